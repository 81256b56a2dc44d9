"""`chat`: a line in is a message out, and what comes in is shown, and so read.

On a terminal the line being typed stays whole on the last row while messages appear above it; elsewhere lines are just printed.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.editor import Prompt, columns, raw_keys
from p2pmsg.cli.grammar import TEXT, command
from p2pmsg.cli.session import Session, utf8
from p2pmsg.config import limits
from p2pmsg.errors import NoDaemon, P2pmsgError, TextTooLong

if TYPE_CHECKING:
    from p2pmsg.rpc.client import Client

CONTEXT = 10
"""Messages shown from before, on a terminal."""
WORTH_SAYING = ("delivered", "read")


@command("chat")
@click.argument("target", type=TEXT)
def chat(session: Session, target: str) -> None:
    """Talk: type lines, see answers. Ends with Ctrl-D."""
    with session.connect() as client, ExitStack() as stack:
        client.call("watch", {"in": target})
        talk = Chat(session, target, client)
        if not session.json and os.isatty(output.STDIN) and os.isatty(output.STDOUT):
            talk.prompt = prompt = Prompt(output.paint, "> ", limits.TEXT_BYTES, columns)
            stack.enter_context(raw_keys(output.STDIN, prompt.paint))
            stack.callback(prompt.clear)
        talk.begin()
        talk.run()


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
        self._last_of_mine: str | None = None

    def begin(self) -> None:
        """Show what is unread, on a terminal after some of what was said before."""
        unread = self._unread()
        if self.prompt is not None:
            before = unread[0]["id"] if unread else None
            self._show_new(self.session.call("history", target=self.target, n=CONTEXT, before=before))
        self._show_new(unread)

    def run(self) -> None:
        """Go on until the input ends. Raises: DaemonNotRunning; ReaderGone; whatever a line is refused for, unless a person typed it."""
        poll = select.poll()
        poll.register(output.STDIN, select.POLLIN)
        poll.register(self._client.fileno(), select.POLLIN)
        poll.register(output.STDOUT, 0)
        if self.prompt is not None:
            self.prompt.paint()
        while True:
            ready = dict(poll.poll())
            if ready.get(output.STDOUT, 0) & (select.POLLERR | select.POLLHUP):
                raise output.ReaderGone
            if self._client.fileno() in ready:
                self._client.take()
            while self._client.has_line():
                self._happened(next(self._events))
            if output.STDIN in ready and not self._typed(os.read(output.STDIN, 65_536)):
                return

    def _typed(self, data: bytes) -> bool:
        """Send the lines in what was typed; say whether there may be more."""
        for line in self.prompt.feed(data) if self.prompt is not None and data else self._lines.feed(data):
            if line is None:
                return False
            if line.strip():
                self._say(line)
        return bool(data)

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
        self._last_of_mine = sent["id"]
        self._show_new([sent])

    def _happened(self, event: dict[str, Any]) -> None:
        if event["type"] == "message":
            self._message(event["message"])
        elif event["type"] == "state":
            self._state(event["id"], event["state"])

    def _message(self, message: dict[str, Any]) -> None:
        if message["state"] == "unread":
            self._show_new(self._unread())
        if message["id"] in self._shown:
            self._state(message["id"], message["state"])
        elif (message["received_at"] or message["sent_at"]) >= self._since:
            self._show_new([message])

    def _state(self, identity: str, state: str) -> None:
        """Say on a terminal how the last thing that I said fares."""
        if self.prompt is not None and identity == self._last_of_mine and state in WORTH_SAYING:
            self.prompt.above(f"       ({state})")
            if state == "read":
                self._last_of_mine = None

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
                self.prompt.above(show.message(message, self.session.people))


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
