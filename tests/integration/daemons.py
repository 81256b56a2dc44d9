"""People with real daemons: processes of their own on loopback, spoken to by the real CLI and the real local API."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from p2pmsg.rpc import client

T = TypeVar("T")
Json = dict[str, Any]
MAIN = Path(__file__).parents[2] / "p2pmsg" / "__main__.py"
PATIENCE_S = 15.0
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "TZ")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[Json]:
        """The objects of stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Json:
        """The error in the last line of stderr."""
        found: Json = json.loads(self.err.splitlines()[-1])
        assert set(found) == {"error"} and set(found["error"]) == {"code", "message", "hint", "candidates"}
        return found["error"]  # type: ignore[no-any-return]


class Somebody:
    """A person on this machine: a home, a profile in it, and its daemon."""

    def __init__(self, home: Path, name: str, profile: str = "default") -> None:
        self.home, self.name, self.profile = home, name, profile
        self.account = ""

    @property
    def folder(self) -> Path:
        return self.home / "profiles" / self.profile

    @property
    def environ(self) -> dict[str, str]:
        environ = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {**environ, "P2PMSG_HOME": str(self.home), "P2PMSG_PROFILE": self.profile}

    # -- the command line

    def popen(self, *words: str, **how: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.environ}
        return subprocess.Popen([sys.executable, "-I", str(MAIN), *words], **(pipes | how))

    def cli(self, *words: str, stdin: bytes = b"", **how: Any) -> Done:
        """Run a command to its end."""
        with self.popen(*words, stdin=subprocess.PIPE, **how) as started:
            try:
                out, err = started.communicate(stdin, timeout=60)
            except BaseException:
                started.kill()
                raise
        return Done(started.returncode, out.decode(), err.decode())

    def good(self, *words: str, stdin: bytes = b"") -> list[Json]:
        """Return the objects of a command that succeeds; `--json` is put behind the command's options by the caller."""
        done = self.cli(*words, stdin=stdin)
        assert done.status == 0, done.err
        assert done.err == "", done.err
        return done.objects

    def fails(self, status: int, code: str, *words: str, stdin: bytes = b"") -> Json:
        """Run a command that fails with this exit status and code, and prints nothing; return the error."""
        done = self.cli(*words, stdin=stdin)
        assert (done.status, done.error["code"], done.out) == (status, code, ""), (done.status, done.err)
        return done.error

    # -- the local API

    def ask(self, method: str, **params: Any) -> Any:
        with client.connect(self.folder) as connection:
            return connection.call(method, params)

    # -- life

    def arrive(self, *, start: bool = True) -> Somebody:
        """Make the identity, keep to loopback, and start the daemon."""
        done = self.cli("init", "--name", self.name, "--words-file", str(self.home.parent / f"{self.home.name}-{self.profile}"), "--json")
        assert done.status == 0, done.err
        self.account = done.objects[0]["account"]
        self.configure("discovery.interfaces", "lo")
        if start:
            self.start()
        return self

    def configure(self, key: str, value: str) -> None:
        done = self.cli("config", "set", key, value, "--json")
        assert done.status == 0, done.err

    def start(self) -> Json:
        return self.good("daemon", "start", "--json")[0]

    def stop(self) -> None:
        done = self.cli("daemon", "stop", "--json")
        assert done.status == 0, done.err

    def kill(self) -> None:
        """End the daemon the hard way."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: ended(pid), "the killed daemon ends")

    @property
    def pid(self) -> int:
        pid: int = json.loads((self.folder / "lock").read_bytes())["pid"]
        return pid

    @property
    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def logged(self, words: str) -> int:
        """Return how many lines of the daemon's log have these words."""
        return sum(words in line for line in (self.folder / "daemon.log").read_text().splitlines())

    # -- with others

    def befriend(self, other: Somebody) -> None:
        """Make an invite that the other uses; return when both have a link."""
        invite = self.ask("contact.invite")["invite"]
        other.ask("contact.add", invite=invite, timeout_s=PATIENCE_S)
        until(lambda: self.linked(other) and other.linked(self), "both are online")

    @contextlib.contextmanager
    def visible(self) -> Iterator[None]:
        """Be visible to everybody nearby; what others asked meanwhile is declined at the end."""
        self.good("visible", "on", "--for", "5m", "--json")
        yield
        for request in self.ask("contact.requests"):
            self.ask("contact.decline", id=request["id"])

    def linked(self, other: Somebody) -> bool:
        return any(peer["online"] for peer in self.ask("peers") if peer["account"] == other.account)

    def say(self, to: Somebody, text: str, wait: str | None = "delivered") -> Json:
        message: Json = self.ask("send", target=to.account, text=text, wait=wait, timeout_s=PATIENCE_S)
        if wait is not None:
            assert message["state"] in (wait, "read"), message
        return message

    def texts(self, other: Somebody) -> list[str]:
        found = self.ask("history", target=other.account, n=1000)
        return [message["text"] for message in found if message["kind"] == "text"]

    def state(self, other: Somebody, message: Json) -> str:
        found = self.ask("history", target=other.account, n=1000)
        return next(each["state"] for each in found if each["id"] == message["id"])


def ended(pid: int) -> bool:
    """Say whether a process is over, though its parent may not have asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int, options: str = "") -> Iterator[None]:
    """Mount a disk of its own at an empty folder; root only."""
    how = f"size={size_bytes},mode=700{options}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def until(holds: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """Look again and again until something holds, and return it."""
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"within {within_s:g} s it was not so that {what}"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def town(*names: str, friends: bool = True) -> Iterator[list[Somebody]]:
    """People with running daemons, each a contact of the first; all is stopped and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    people = [Somebody(folder / name.lower(), name) for name in names]
    try:
        for somebody in people:
            somebody.arrive()
        for other in people[1:] if friends else ():
            people[0].befriend(other)
        yield people
    finally:
        for somebody in people:
            with contextlib.suppress(Exception):
                somebody.stop()
        shutil.rmtree(folder, ignore_errors=True)
