"""One run of the program: which profile, how to print, and the daemon to talk to."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2pmsg.cli import output, text
from p2pmsg.errors import ConfirmationNeeded, DaemonNotRunning, InvalidText, P2pmsgError, UsageError, VaultLocked
from p2pmsg.rpc import locate

if TYPE_CHECKING:
    from p2pmsg.cli.people import People
    from p2pmsg.rpc.client import Client

LINE_BYTES = 4096


class Session:
    """Made once; every command gets it. `json` and `yes` are set while the command line is read."""

    def __init__(self) -> None:
        self.profile: str | None = None
        self.json = False
        self.yes = False
        self._client: Client | None = None
        self._people: People | None = None

    def close(self) -> None:
        """Let go of the daemon."""
        if self._client is not None:
            self._client.__exit__()
            self._client = None

    @property
    def folder(self) -> Path:
        """The folder of the profile that counts here. Raises: UsageError."""
        return locate.profile_folder(os.environ, self.profile)

    def connect(self) -> Client:
        """Return a new connection to the daemon. Raises: NoDaemon."""
        from p2pmsg.rpc.client import connect

        return connect(self.folder)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Client]:
        """Give a new connection for what lasts. Raises: VaultLocked where it ends because the vault was locked; NoDaemon."""
        try:
            with self.connect() as client:
                yield client
        except DaemonNotRunning as gone:
            raise self._why(gone) from gone

    def _why(self, gone: DaemonNotRunning) -> P2pmsgError:
        try:
            with self.connect() as client:
                vault = client.call("status")["vault"]
        except P2pmsgError:
            return gone
        if vault == "locked":
            return VaultLocked("The vault was locked meanwhile.")
        return VaultLocked("The vault was closed for a moment, as its key was changed.", hint="Type the command again.")

    def call(self, method: str, *, answer: Callable[[Any], str] | None = None, **params: Any) -> Any:
        """Return the result of a method; params that are None are left out. Raises: P2pmsgError as the daemon said it."""
        if self._client is None:
            self._client = self.connect()
        return self._client.call(method, params, answer=answer)

    def call_all(self, method: str, **params: Any) -> list[Any]:
        """Return the whole list of a method, in however many parts it comes."""
        if self._client is None:
            self._client = self.connect()
        return self._client.call_all(method, params)

    def stdin_first(self) -> bool:
        """Wait until a line can be read from stdin, or it has ended; False where the daemon has something to say before."""
        import select

        client = self._client
        if client is None:
            return True
        return not client.has_line() and output.STDIN in select.select([output.STDIN, client.fileno()], [], [])[0]

    @property
    def people(self) -> People:
        """How people are called in human output; asks the daemon once."""
        if self._people is None:
            from p2pmsg.cli.people import People

            self._people = People(self.call_all("contact.list"))
        return self._people

    def show(self, value: Any, render: Callable[[Any], str]) -> None:
        """Print one object: as JSON, or as `render` says it to people."""
        if self.json:
            output.json_line(value)
        else:
            output.line(render(value))

    def show_all(self, values: Iterable[Any], render: Callable[[list[Any]], str], *, nothing: str) -> None:
        """Print objects, one a line; where there are none, people are told so on stderr."""
        if self.json:
            for value in values:
                output.json_line(value)
            return
        values = list(values)
        if values:
            output.line(render(values))
        else:
            output.note(nothing)

    def confirm(self, question: str) -> None:
        """Return if `--yes` was given or somebody says yes. Raises: ConfirmationNeeded."""
        if self.yes:
            return
        if not can_ask():
            raise ConfirmationNeeded(f"{question} Nobody can be asked here.")
        sys.stderr.write(f"{text.line(question)} [y/N] ")
        sys.stderr.flush()
        if read_line().strip().lower() not in ("y", "yes"):
            raise ConfirmationNeeded("Nothing was changed.", hint="")


def can_ask() -> bool:
    """Say whether a question reaches somebody: stdin and stderr are terminals."""
    return os.isatty(output.STDIN) and os.isatty(output.STDERR)


def read_line(limit: int = LINE_BYTES) -> str:
    """Return the next line of stdin without its newline, "" at its end; takes not a byte more than the line.

    Raises: InvalidText, UsageError for a line over `limit` bytes.
    """
    taken = bytearray()
    while (byte := os.read(output.STDIN, 1)) not in (b"", b"\n"):
        taken += byte
        if len(taken) > limit:
            raise UsageError(f"The line on standard input is longer than {limit} bytes.")
    if not byte and can_ask():
        output.note("")  # Ctrl-D leaves the cursor behind the question
    return utf8(bytes(taken))


def utf8(data: bytes) -> str:
    """Return text for others to read. Raises: InvalidText where it is not UTF-8 or has a NUL."""
    try:
        words = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidText("The text is not UTF-8.") from error
    if "\0" in words:
        raise InvalidText("The text has a NUL character.")
    return words


def argument(word: str) -> str:
    """Return an argument as the text that its bytes are in UTF-8, whatever the locale made of them. Raises: InvalidText."""
    return word if word.isascii() else utf8(os.fsencode(word))
