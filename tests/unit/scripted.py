"""A daemon whose answers are written down by the test, behind a real RPC server on a real socket, and the CLI as a real process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from p2pmsg.rpc.connection import Call
from p2pmsg.rpc.server import Server, listen

MAIN = Path(__file__).parents[2] / "p2pmsg" / "__main__.py"
ANN, BOB = "a1" * 32, "b0" * 32
ME = {"account": ANN, "device": "d1" * 32, "name": "Ann", "device_name": "laptop", "fingerprint": "f", "home": "/h"}


class Script:
    """A handler: per method a value, an exception, or a function of (params, call) that may be a coroutine."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"contact.list": [contact()], "whoami": ME, **answers}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, method: str, params: object, call: Call) -> object:
        self.calls.append((method, msgspec.to_builtins(params)))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        if not callable(answer):
            return answer
        result = answer(params, call)
        return await result if asyncio.iscoroutine(result) else result

    def asked(self, method: str) -> list[dict[str, Any]]:
        """Return the params of every call of a method."""
        return [params for name, params in self.calls if name == method]


class Daemon:
    """Serves a script in a thread, for a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.script = Script()
        self.folder = home / "profiles" / "default"
        self.folder.mkdir(parents=True)
        (self.folder / "key").touch()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    async def _serve(self) -> None:
        self._loop, self._serving = asyncio.get_running_loop(), asyncio.current_task()
        path = self.home / "socket"
        listener = listen(path)
        (self.folder / "lock").write_text(json.dumps({"pid": os.getpid(), "socket": str(path), "version": "x"}))
        self._started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await Server(self.script, profile="default", log="/h/daemon.log").serve(listener)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(5)

    def stop(self) -> None:
        if self._thread.is_alive():
            assert self._loop is not None and self._serving is not None
            self._loop.call_soon_threadsafe(self._serving.cancel)
            self._thread.join(5)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def daemon_at(home: Path) -> Iterator[Daemon]:
    """Run a scripted daemon for the block."""
    daemon = Daemon(home)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def command(*words: str | bytes) -> list[str | bytes]:
    """Return the command line of the CLI."""
    return [sys.executable, "-I", str(MAIN), *words]


def cli(home: Path, *words: str | bytes, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run the CLI to its end; none of its three files is a terminal."""
    env = {**os.environ, "P2PMSG_HOME": str(home), **environ}
    return subprocess.run(command(*words), input=stdin, capture_output=True, env=env, timeout=20, check=False)


def error_of(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """Return the error object in the last line of stderr."""
    error: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])["error"]
    assert set(error) == {"code", "message", "hint", "candidates"}
    return error


def contact(account: str = BOB, name: str = "bob", trust: str = "verified", **more: Any) -> dict[str, Any]:
    """Return a contact object."""
    found = {"account": account, "name": name, "nickname": name, "trust": trust, "verified_by": None, "alert": None, "blocked": False}
    return {**found, "online": False, "last_seen": None, **more}


def message(text: str | None, number: int = 1, *, mine: bool = False, **more: Any) -> dict[str, Any]:
    """Return a message object, of mine or of Bob's."""
    sender = {"account": ANN, "name": "Ann", "device": "d1"} if mine else {"account": BOB, "name": "bob", "device": "d2"}
    found = {"id": f"{number:064x}", "conversation": "c0" * 32, "kind": "text", "from": sender, "mine": mine, "text": text}
    times = {"sent_at": "2099-01-31T12:03:04.005Z", "received_at": None if mine else "2099-01-31T12:03:04.105Z", "clock_skew_s": None}
    return {**found, **times, "state": "queued" if mine else "unread", "deliveries": [], **more}
