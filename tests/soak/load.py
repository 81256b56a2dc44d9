"""What one person says under load, and what becomes of it as far as that person is told."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.bench.talk import IN_FLIGHT, Lines
from tests.lan.people import Person

MOST: Final = 350
"""Messages of one side in one round: both together stay below what one `history` shows."""
SILENCE_S: Final = 30.0
FILLING: Final = "x" * 180


class Load:
    """One side of a round: texts `NAME ROUND NUMBER`, sent as fast as they are taken. Use as a context manager."""

    def __init__(self, person: Person, to: Person, number: int) -> None:
        self.person, self.to = person, to
        self.prefix = f"{person.name} {number} "
        self.asked = 0
        self.answered = 0
        self.accepted: dict[str, str] = {}
        """Texts by the message id that the answer gave."""
        self.delivered: set[str] = set()
        """Ids that were told to be delivered."""
        self.gone = False
        self._clients = person.connect(), person.connect()
        self._clients[1].call("watch")
        self._answers, self._events = (Lines(socket.socket(fileno=os.dup(client.fileno()))) for client in self._clients)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for client, lines in zip(self._clients, (self._answers, self._events), strict=True):
            lines.socket.close()
            client.__exit__()

    @property
    def in_flight(self) -> int:
        """Messages that were asked to be sent and of which nobody knows yet that they arrived."""
        return self.asked - len(self.delivered)

    @property
    def open_sockets(self) -> list[socket.socket]:
        return [] if self.gone else [self._answers.socket, self._events.socket]

    def ask(self) -> None:
        """Send as many as may be under way at once."""
        while not self.gone and self.asked < MOST and self.asked - self.answered < IN_FLIGHT:
            params = {"target": self.to.account, "text": f"{self.prefix}{self.asked:04} {FILLING}"}
            request = json.dumps({"jsonrpc": "2.0", "id": f"n{self.asked}", "method": "send", "params": params})
            self._guarded(lambda: self._answers.socket.sendall(request.encode() + b"\n"))  # noqa: B023  # called at once
            self.asked += 1

    def take(self, ready: Sequence[socket.socket]) -> None:
        """Take in what has arrived on these sockets, as far as they are this side's."""
        for lines, learn in ((self._answers, self._answer), (self._events, self._event)):
            if lines.socket in ready and not self.gone:
                for line in self._guarded(lines.take) or ():
                    learn(json.loads(line))

    def _answer(self, message: dict[str, Any]) -> None:
        if str(message.get("id", "")).startswith("n"):
            self.answered += 1
            sent = message["result"]
            self.accepted[sent["id"]] = sent["text"]

    def _event(self, message: dict[str, Any]) -> None:
        event = message.get("params", {})
        if event.get("type") == "state" and event["state"] in ("delivered", "read"):
            self.delivered.add(event["id"])

    def _guarded(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except OSError:
            self.gone = True
            return None


def pump(loads: Sequence[Load], until: Callable[[], object], *, asking: bool) -> None:
    """Keep the loads going until something holds, looked at after whatever arrives and every 5 ms."""
    heard = time.monotonic()
    while not until():
        if asking:
            for load in loads:
                load.ask()
        sockets = [each for load in loads for each in load.open_sockets]
        ready, _, _ = select.select(sockets, [], [], 0.005)
        for load in loads:
            load.take(ready)
        heard = time.monotonic() if ready else heard
        if time.monotonic() - heard > SILENCE_S:
            raise AssertionError(f"nothing was heard for {SILENCE_S:g} s")
