"""The client's end of the local API: a plain blocking socket, so that a call feels instant.

Imports neither asyncio nor msgspec. Finds the daemon by the lock file of the profile's folder.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from p2pmsg import __version__
from p2pmsg.config.limits import RPC_LIST
from p2pmsg.errors import DaemonNotRunning, DaemonOtherVersion, NotInitialized, P2pmsgError
from p2pmsg.rpc.locate import initialized, lock_info

HELLO_TIMEOUT_S = 10.0
"""A daemon that takes longer to say hello is stopped or stuck."""


class Client:
    """One connection to the daemon; one call at a time, or one stream of events. Beside either it may be told things.

    Use as a context manager. Every method may raise DaemonNotRunning when the daemon has gone.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = bytearray()
        self._seen = 0
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """The socket, to be polled for reading."""
        return self._socket.fileno()

    def call(self, method: str, params: dict[str, Any] | None = None, *, answer: Callable[[Any], str] | None = None) -> Any:
        """Return the result of a method; `answer` is given what it asks and returns the line that answers.

        Params that are None are left out. Raises: P2pmsgError as the daemon said it.
        """
        self._number += 1
        given = {name: value for name, value in (params or {}).items() if value is not None}
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": given})
        while True:
            message = self._receive()
            if message.get("method") == f"{method}.ask" and answer is not None:
                self._send({"jsonrpc": "2.0", "method": f"{method}.answer", "params": {"line": answer(message["params"])}})
            elif message.get("id") == self._number:
                if "error" in message:
                    raise failure(message["error"])
                return message.get("result")

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """Have a method done whose result, or refusal, nobody waits for."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def call_all(self, method: str, params: dict[str, Any] | None = None) -> list[Any]:
        """Return the whole list of a method that answers with parts of it, by its param `skip`."""
        found: list[Any] = []
        while True:
            part = self.call(method, {**(params or {}), "skip": len(found) or None})
            found += part
            if len(part) < RPC_LIST:
                return found

    def events(self) -> Iterator[Any]:
        """Yield the params of notifications, for ever, waiting for each."""
        while True:
            message = self._receive()
            if "method" in message:
                yield message["params"]

    def has_line(self) -> bool:
        """Say whether `events` can yield without waiting."""
        return self._line_end() >= 0

    def take(self) -> None:
        """Take in what has arrived; waits if nothing has."""
        self._fill()

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise DaemonNotRunning("The daemon has gone.") from error

    def _receive(self) -> dict[str, Any]:
        while (end := self._line_end()) < 0:
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._seen = 0
        message = json.loads(line)
        return message if isinstance(message, dict) else {}

    def _line_end(self) -> int:
        end = self._buffer.find(b"\n", self._seen)
        self._seen = len(self._buffer) if end < 0 else end
        return end

    def _fill(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError as error:
            raise DaemonNotRunning("The daemon does not answer.", hint="p2pmsg daemon restart") from error
        except OSError as error:
            raise DaemonNotRunning("The daemon has gone.") from error
        if not data:
            raise DaemonNotRunning("The daemon has gone.")
        self._buffer += data

    def hello(self) -> None:
        """Make sure that the daemon speaks as we do. Raises: DaemonOtherVersion."""
        self._socket.settimeout(HELLO_TIMEOUT_S)
        theirs = self.call("rpc.hello", {"version": __version__})["version"]
        self._socket.settimeout(None)
        if theirs != __version__:
            raise DaemonOtherVersion(f"The daemon that runs is version {theirs}, and this is {__version__}.")


def connect(folder: Path) -> Client:
    """Return a client of the daemon of a profile's folder, greeted.

    Raises: NotInitialized, DaemonNotRunning, DaemonOtherVersion, HomeUnusable.
    """
    known = initialized(folder)
    info = lock_info(folder) if known else None
    if info is None:
        raise DaemonNotRunning("The daemon is not running.") if known else NotInitialized(f"There is no profile yet in {folder}.")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(info["socket"])
        client = Client(connected)
        client.hello()
    except OSError as error:
        connected.close()
        raise DaemonNotRunning("The daemon is not running.") from error
    except BaseException:
        connected.close()
        raise
    return client


def failure(error: dict[str, Any]) -> P2pmsgError:
    """Return the exception for an error object of the local API: the class with its code, or one made for a code not known here."""
    data = error.get("data") or {}
    code, status = str(data.get("code", "internal")), int(data.get("exit_status", 1))
    kind = _by_code(P2pmsgError, code) or _made(code, status)
    return kind(str(error.get("message", "")), hint=data.get("hint"), candidates=data.get("candidates") or ())


def _by_code(kind: type[P2pmsgError], code: str) -> type[P2pmsgError] | None:
    for below in kind.__subclasses__():
        found = _by_code(below, code)
        if found is not None:
            return found
    return kind if kind.code == code else None


def _made(code: str, exit_status: int) -> type[P2pmsgError]:
    class DaemonError(P2pmsgError):
        """p2pmsg status"""

    DaemonError.code, DaemonError.exit_status = code, exit_status
    return DaemonError
