"""Drives one daemon over two connections: one that sends, one that watches for what was delivered.

Reads lines as bytes and decodes as few of them as it can: on a small machine the one who measures takes from those measured.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

from tests.lan.people import Person

TEXT: Final = "x" * 200
IN_FLIGHT: Final = 64
"""Requests without an answer yet: as many as the daemon takes from one connection."""
PATIENCE_S: Final = 30.0


class Lines:
    """The lines that arrive on a socket."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._rest = b""

    def take(self) -> list[bytes]:
        """Return the whole lines that have arrived; waits if nothing has."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the daemon has gone")
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole


class Talk:
    """What one person says, and what becomes of it. Use as a context manager."""

    def __init__(self, person: Person, to: Person, text: str = TEXT) -> None:
        self._clients = person.connect(), person.connect()
        self._clients[1].call("watch")
        self._to, self._text = to.account, text
        self._send, self._watch = (Lines(socket.socket(fileno=os.dup(client.fileno()))) for client in self._clients)
        self._number = 0

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        for client, lines in zip(self._clients, (self._send, self._watch), strict=True):
            lines.socket.close()
            client.__exit__()

    def say(self) -> float:
        """Send one message; return the seconds until the event that says it is delivered."""
        begun = time.monotonic()
        self._request()
        message = b""
        answered = False
        for lines in self._arrivals():
            for line in lines:
                if b'"result"' in line:
                    answered, message = True, json.loads(line)["result"]["id"].encode()
                elif answered and is_delivered(line) and message in line:
                    return time.monotonic() - begun
        raise AssertionError

    def flood(self, count: int) -> float:
        """Send many; return the seconds until the last is told to be delivered."""
        begun = time.monotonic()
        asked = answered = delivered = 0
        arrivals = self._arrivals()
        while delivered < count:
            while asked < count and asked - answered < IN_FLIGHT:
                self._request()
                asked += 1
            for line in next(arrivals):
                answered += b'"result"' in line
                delivered += is_delivered(line)
        return time.monotonic() - begun

    def queue(self, count: int) -> None:
        """Send many; return when all are stored."""
        asked = answered = 0
        arrivals = self._arrivals()
        while answered < count:
            while asked < count and asked - answered < IN_FLIGHT:
                self._request()
                asked += 1
            answered += sum(b'"result"' in line for line in next(arrivals))

    def until_delivered(self, count: int) -> float:
        """Wait until so many more are told to be delivered; return the time at which that was, by the monotonic clock."""
        arrivals = self._arrivals()
        while count > 0:
            count -= sum(map(is_delivered, next(arrivals)))
        return time.monotonic()

    def until_peer(self, *, online: bool) -> float:
        """Wait for the event that says that the other came or went; return the time at which that was."""
        wanted = {"account": self._to, "online": online}
        for lines in self._arrivals():
            for line in lines:
                if b'"type":"peer"' in line and wanted.items() <= json.loads(line)["params"]["peer"].items():
                    return time.monotonic()
        raise AssertionError

    def _request(self) -> None:
        self._number += 1
        params: dict[str, Any] = {"target": self._to, "text": self._text}
        line = json.dumps({"jsonrpc": "2.0", "id": self._number, "method": "send", "params": params}, separators=(",", ":"))
        self._send.socket.sendall(line.encode() + b"\n")

    def _arrivals(self) -> Iterator[list[bytes]]:
        both = {self._send.socket: self._send, self._watch.socket: self._watch}
        while True:
            ready, _, _ = select.select(list(both), [], [], PATIENCE_S)
            if not ready:
                raise TimeoutError(f"nothing came for {PATIENCE_S:g} s")
            yield [line for each in ready for line in both[each].take()]


def is_delivered(line: bytes) -> bool:
    return b'"type":"state"' in line and b'"state":"delivered"' in line
