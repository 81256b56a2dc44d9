"""People on a LAN in a box: each has a home, a node, a real daemon there, and speaks through the CLI and the local API.

    with Scene(2) as here:
        ann, bob = here.pair()
        ann.send(bob, "hello", wait="delivered")

The CLI runs inside the person's namespace; the local API is called from outside, since Unix sockets know no namespaces.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import p2pmsg
from p2pmsg.config import limits
from p2pmsg.rpc import client
from tests.lan.lan import Lan

Json = dict[str, Any]
PROGRAM = [sys.executable, "-I", str(Path(p2pmsg.__file__).with_name("__main__.py"))]
SOON_S = 10.0
"""Enough for whatever needs no timer to run out, on a machine that does other things too."""
AWAY_S, STOPPED_S, ONLINE_AGAIN_S = 15.0, 3.0, 5.0
"""What users are promised; the tests give twice as much."""
LOG_LINES = 12
_numbers = itertools.count(1)


class Person:
    """Somebody with a machine."""

    program = PROGRAM

    def __init__(self, lan: Lan, node: int, folder: Path, name: str) -> None:
        self.lan, self.node, self.name = lan, node, name
        self.home = folder / name.lower()
        self.account = ""
        self.pid: int | None = None

    @property
    def folder(self) -> Path:
        return self.home / "profiles" / "default"

    # -- the command line

    def command(self, *words: str) -> list[str]:
        """Return the command line of the CLI as this person."""
        return ["env", f"P2PMSG_HOME={self.home}", *self.program, *words]

    def cli(self, *words: str, status: int = 0) -> Json:
        """Run a command with --json in the person's namespace; return what it printed (for a list the last object)."""
        done = self.lan.run(self.node, self.command(*words, "--json"))
        assert done.returncode == status, f"{self.name}: {' '.join(words)}: exit {done.returncode}: {done.stderr}"
        lines = done.stdout.splitlines()
        return json.loads(lines[-1]) if lines else {}

    def init(self, **settings: str) -> None:
        """Make the identity; `settings` are those of `config set` with `_` for the dot after the first word."""
        words = self.home.with_name(f"{self.name}-words")
        made = self.cli("init", "--name", self.name, "--device", f"{self.name}'s laptop", "--words-file", str(words))
        self.account = made["account"]
        for key, value in settings.items():
            self.configure(key.replace("_", ".", 1), value)

    def configure(self, key: str, value: str) -> None:
        self.cli("config", "set", key, value)

    def start(self) -> None:
        self.pid = self.cli("daemon", "start")["pid"]

    def stop(self) -> float:
        """Stop the daemon; return the seconds that took."""
        begun = time.monotonic()
        self.cli("daemon", "stop")
        self.pid = None
        return time.monotonic() - begun

    # -- the process

    def signal(self, number: int) -> None:
        assert self.pid is not None
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9 the daemon and wait until it is gone. Harmless where none runs."""
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self.pid)
            try:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                select.select([process], [], [], SOON_S)
            finally:
                os.close(process)
        self.pid = None

    # -- the local API

    def connect(self) -> client.Client:
        return client.connect(self.folder)

    def ask(self, method: str, **params: Any) -> Any:
        with self.connect() as connection:
            return connection.call(method, params)

    def meet(self, other: Person) -> None:
        """Use an invite of the other's."""
        self.ask("contact.add", invite=other.ask("contact.invite")["invite"])

    def send(self, to: Person, text: str, wait: str | None = None) -> Json:
        message: Json = self.ask("send", target=to.account, text=text, wait=wait)
        if wait is not None:
            assert message["state"] in (wait, "read"), message
        return message

    def texts(self, other: Person) -> list[Json]:
        """Return the messages with the other, oldest first."""
        lines = self.ask("history", target=other.account, n=limits.RPC_LIST)
        assert len(lines) < limits.RPC_LIST, "more than one answer holds"
        return [each for each in lines if each["kind"] == "text"]

    def got(self, other: Person) -> list[str]:
        """Return the texts that came from the other, in the order shown."""
        return [each["text"] for each in self.texts(other) if not each["mine"]]

    def states(self, other: Person) -> dict[str, str]:
        """Return the state of each message of mine to the other, by its text."""
        return {each["text"]: each["state"] for each in self.texts(other) if each["mine"]}

    def peer(self, other: Person) -> Json:
        return next(peer for peer in self.ask("peers") if peer["account"] == other.account)

    def sees(self, other: Person) -> bool:
        return bool(self.peer(other)["online"])

    # -- waiting

    def until(self, holds: Callable[[], Any], within_s: float = SOON_S) -> Any:
        """Return what `holds` returns as soon as that is true, looking whenever `watch` tells of anything.

        Raises: AssertionError when the time is over, also where it then holds and `watch` did not tell.
        """
        deadline = time.monotonic() + within_s
        with self.connect() as watching:
            watching.call("watch")
            events = watching.events()
            while not (value := holds()):
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not select.select([watching], [], [], left_s)[0]:
                    raise AssertionError(self._in_vain(holds, within_s))
                watching.take()
                while watching.has_line():
                    next(events)
            return value

    def until_online(self, other: Person, within_s: float = SOON_S) -> Json:
        """Return the peer object once there is a link to the other."""
        found: Json = self.until(lambda: (peer := self.peer(other))["online"] and peer, within_s)
        return found

    def until_away(self, other: Person, within_s: float) -> None:
        self.until(lambda: not self.sees(other), within_s)

    def until_got(self, other: Person, text: str, within_s: float = SOON_S) -> None:
        self.until(lambda: text in self.got(other), within_s)

    def until_delivered(self, other: Person, within_s: float = SOON_S) -> None:
        """Wait until everything that was sent to the other is stored there."""
        self.until(lambda: all(state in ("delivered", "read") for state in self.states(other).values()), within_s)

    def log(self, lines: int = LOG_LINES) -> list[str]:
        return (self.folder / "daemon.log").read_text().splitlines()[-lines:]

    def _in_vain(self, holds: Callable[[], Any], within_s: float) -> str:
        what = "watch did not tell of what holds now" if holds() else "did not come to hold"
        return "\n".join([f"{self.name}: {what} within {within_s:g} s; peers: {self.ask('peers')}", *self.log()])


class Scene:
    """A LAN, and people on it. A context manager: all end with it, and their homes are removed."""

    def __init__(self, nodes: int = 2, **options: Any) -> None:
        self.lan = Lan(nodes, prefix=f"p2pmsg{os.getpid()}-s{next(_numbers)}-", **options)
        self.people: list[Person] = []
        self._folder = Path()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="p2p-"))
        self.lan.__enter__()
        return self

    def __exit__(self, *_fault: object) -> None:
        for person in self.people:
            person.kill()
        self.lan.down()
        shutil.rmtree(self._folder, ignore_errors=True)

    def person(self, node: int, name: str, **settings: str) -> Person:
        """Make somebody on a node; no daemon runs yet."""
        person = Person(self.lan, node, self._folder, name)
        self.people.append(person)
        person.init(**settings)
        return person

    def pair(self, *nodes: int, **settings: str) -> tuple[Person, Person]:
        """Return Ann and Bob, on nodes 1 and 2, who are contacts and linked."""
        first, second = nodes or (1, 2)
        ann, bob = self.person(first, "Ann", **settings), self.person(second, "Bob", **settings)
        start(ann, bob)
        bob.meet(ann)
        ann.until_online(bob)
        bob.until_online(ann)
        return ann, bob


def start(*people: Person) -> float:
    """Start the daemons of all of them at the same time.

    Return for how many seconds others had the processors that one of the daemons and its command were ready to run on, at most.
    """
    waited_s = []
    with contextlib.ExitStack() as running:
        starting = [
            running.enter_context(
                subprocess.Popen(
                    person.lan.command(person.node, person.command("daemon", "start", "--json")),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for person in people
        ]
        for person, process in zip(people, starting, strict=True):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            command_s = _waited_s(process.pid)
            out, err = process.communicate()
            assert process.returncode == 0, f"{person.name}: {err}"
            person.pid = json.loads(out)["pid"]
            waited_s.append(command_s + _waited_s(person.pid))
    return max(waited_s)


def _waited_s(pid: int | None) -> float:
    return sum(int(each.read_text().split()[1]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextlib.contextmanager
def halted(*people: Person) -> Iterator[None]:
    """Let no instruction of their daemons be executed meanwhile."""
    for person in people:
        person.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for person in people:
            person.signal(signal.SIGCONT)
