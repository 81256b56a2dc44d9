"""`chat`: a line in is a message out, and what comes in is shown, and so read.

On a terminal the line being typed stays whole on the last row while messages appear above it; elsewhere lines are just printed.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.editor import Prompt, columns, raw_keys
from p2pmsg.cli.grammar import TEXT, command
from p2pmsg.cli.session import Session, utf8
from p2pmsg.config import limits
from p2pmsg.errors import NoDaemon, NotFound, P2pmsgError, TextTooLong

if TYPE_CHECKING:
    from p2pmsg.rpc.client import Client

CONTEXT = 10
"""Messages shown from before, on a terminal."""
TOLD_EVERY_S = 1.0
"""While I type the daemon hears of it no more often; it tells others still less often."""
NAME_COLUMNS = 24
"""Of who types, at most: the line being typed stands in the same row."""
SETTLED_S = 2.0
"""After so long the state of what I said is told as it is then, and not again."""
NOT_SENT = ("/quit", "/exit", "/help")
HELP = "Ctrl-D ends the chat. To send this word, put a blank before it."


@command("chat")
@click.argument("target", type=TEXT)
def chat(session: Session, target: str) -> None:
    """Talk: type lines, see answers. Ends with Ctrl-D."""
    typed = not session.json and os.isatty(output.STDIN) and os.isatty(output.STDOUT)
    with session.watching() as client, ExitStack() as stack:
        client.call("watch", {"in": target, "typing": typed or None})
        talk = Chat(session, target, client)
        if typed:
            talk.prompt = prompt = Prompt(output.paint, "> ", limits.TEXT_BYTES, columns)
            stack.enter_context(raw_keys(output.STDIN, prompt.paint))
            stack.callback(prompt.clear)
        talk.begin()
        talk.run()


@dataclass(slots=True)
class Mine:
    """Something that I said here whose state was not told yet; `due` by the monotonic clock."""

    state: str
    due: float


class Chat:
    """One conversation on the screen; `prompt` is None where lines are just printed."""

    def __init__(self, session: Session, target: str, client: Client) -> None:
        self.session = session
        self.target = target
        self.prompt: Prompt | None = None
        self._client = client
        self._events = client.events()
        self._lines = Lines()
        self._since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._shown: set[str] = set()
        self._mine: dict[str, Mine] = {}
        self._told_typing = -math.inf
        self._types_until = math.inf
        """When the other one counts as typing no more."""

    def begin(self) -> None:
        """Show what is unread, on a terminal after some of what was said before."""
        unread = self._unread()
        if self.prompt is not None:
            output.note(f"{self._who()}. Ctrl-D ends.")
            before = unread[0]["id"] if unread else None
            self._show_new(self.session.call("history", target=self.target, n=CONTEXT, before=before))
        self._show_new(unread)

    def _who(self) -> str:
        try:
            contact = self.session.call("contact.show", name=self.target)
        except NotFound:  # oneself, or an id
            return f"Chat with {text.line(self.target)}"
        return f"Chat with {show.name(contact)}, who is {'online' if contact['online'] else 'away'}"

    def run(self) -> None:
        """Go on until the input ends. Raises: DaemonNotRunning; ReaderGone; whatever a line is refused for, unless a person typed it."""
        poll = select.poll()
        poll.register(output.STDIN, select.POLLIN)
        poll.register(self._client.fileno(), select.POLLIN)
        poll.register(output.STDOUT, 0)
        if self.prompt is not None:
            self.prompt.paint()
        while True:
            ready = dict(poll.poll(self._patience_ms()))
            if ready.get(output.STDOUT, 0) & (select.POLLERR | select.POLLHUP):
                raise output.ReaderGone
            if self._client.fileno() in ready:
                self._client.take()
            while self._client.has_line():
                self._happened(next(self._events))
            self._settle(time.monotonic())
            if output.STDIN in ready and not self._typed(os.read(output.STDIN, 65_536)):
                self._settle(math.inf)
                return

    def _typed(self, data: bytes) -> bool:
        """Send the lines in what was typed; say whether there may be more."""
        before = self.prompt.line.text if self.prompt is not None else ""
        for line in self.prompt.feed(data) if self.prompt is not None and data else self._lines.feed(data):
            if line is None:
                return False
            if self.prompt is not None and line.rstrip() in NOT_SENT:
                self.prompt.above(HELP)
            elif line.strip() if self.prompt is not None else line:
                self._say(line)
        if self.prompt is not None and self.prompt.line.text not in ("", before):
            self._tell_typing()
        return bool(data)

    def _tell_typing(self) -> None:
        now = time.monotonic()
        if now - self._told_typing >= TOLD_EVERY_S:
            self._told_typing = now
            self._client.tell("chat.typing", {"target": self.target})

    def _say(self, line: str) -> None:
        try:
            sent = self.session.call("send", target=self.target, text=line)
        except NoDaemon:
            raise
        except P2pmsgError as error:
            if self.prompt is None:
                raise
            self.prompt.above(f"Error: {text.line(error.message)}\nTry: {text.line(error.hint)}")
            return
        if self.prompt is not None:
            self._mine[sent["id"]] = Mine(sent["state"], time.monotonic() + SETTLED_S)
        self._show_new([sent])

    def _happened(self, event: dict[str, Any]) -> None:
        if event["type"] == "message":
            self._message(event["message"])
        elif event["type"] == "state":
            self._state(event["id"], event["state"])
        elif event["type"] == "typing":
            self._types(event["typing"])

    def _types(self, typist: dict[str, Any] | None) -> None:
        """Show who types for as long as that counts; nobody where it is None or counts no more."""
        seconds = typist["for_s"] if typist is not None else 0
        self._types_until = time.monotonic() + seconds if seconds else math.inf
        if self.prompt is not None:
            name = self.session.people.label(typist["account"], typist["name"]) if typist is not None else ""
            self.prompt.note(f"{text.cut(name, NAME_COLUMNS)} is typing…" if seconds else "")

    def _message(self, message: dict[str, Any]) -> None:
        if not message["mine"]:
            self._types(None)
        if message["state"] == "unread":
            self._show_new(self._unread())
        if message["id"] in self._shown:
            self._state(message["id"], message["state"])
        elif (message["received_at"] or message["sent_at"]) >= self._since:
            self._show_new([message])

    def _state(self, identity: str, state: str) -> None:
        """Take in how something that I said fares; told once, when it is read or some time has passed."""
        if identity in self._mine:
            self._mine[identity].state = state
            if state == "read":
                self._tell(identity)

    def _settle(self, now: float) -> None:
        for identity in [identity for identity, mine in self._mine.items() if mine.due <= now]:
            self._tell(identity)
        if self._types_until <= now < math.inf:
            self._types(None)

    def _tell(self, identity: str) -> None:
        mine = self._mine.pop(identity)
        if self.prompt is not None:
            self.prompt.above(f"       ({mine.state})")

    def _patience_ms(self) -> int | None:
        """Return how long nothing need be done; None for ever."""
        due = min((mine.due for mine in self._mine.values()), default=math.inf)
        due = min(due, self._types_until)
        return None if due == math.inf else max(0, math.ceil((due - time.monotonic()) * 1000))

    def _unread(self) -> list[dict[str, Any]]:
        """Return what is unread and mark it read: it is shown at once."""
        found: list[dict[str, Any]] = []
        while True:
            part = self.session.call("read", target=self.target)
            found += part
            if len(part) < limits.RPC_LIST:
                return found

    def _show_new(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message["id"] in self._shown:
                continue
            self._shown.add(message["id"])
            if self.session.json:
                output.json_line(message)
            elif self.prompt is None:
                output.line(show.message(message, self.session.people))
            else:
                self.prompt.above(show.message(message, self.session.people, remark=message["id"] not in self._mine))


class Lines:
    """Splits standard input that is no terminal into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield whole lines; the last one may lack its newline, so empty `data` ends it. Raises: TextTooLong, InvalidText."""
        *lines, tail = data.split(b"\n") if data else (b"", b"")
        for line in lines:
            whole = bytes(self._rest + line)
            self._rest.clear()
            yield utf8(whole)
        self._rest += tail
        if len(self._rest) > limits.TEXT_BYTES:
            raise TextTooLong(f"A line on standard input has more than {limits.TEXT_BYTES:,} bytes.")
