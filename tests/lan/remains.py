"""What a fault must not leave behind: words in the clear, on disk or wire (I6), and a daemon that holds more than before (I7).

A `Remains` is made while both run, are linked, and have nothing to do; `check` waits for that to be so again.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.place import memory_mb
from tests.lan.lines import Lines
from tests.lan.people import SOON_S, Person
from tests.lan.test_secrecy_lan import CAPTURE

MORE_MB = 20.0
MORE_FILES = 4
"""Links and sockets that come and go without any fault."""
MORE_THREADS = 4
"""Of the pool of Python's that looks at files and interfaces: it makes some when they are first needed, and ends none."""
MOST_JOURNAL_BYTES = 16 << 20
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Held:
    """What a running daemon holds of its machine."""

    files: int
    threads: int
    memory_mb: float
    names: frozenset[str]
    """Of all files in the home, with their folders, without old logs."""

    def more_than(self, before: Held) -> list[str]:
        """Say what there is more of than before, beyond what comes and goes."""
        found = [
            (self.files > before.files + MORE_FILES, f"{self.files} open files, {before.files} before"),
            (self.threads > before.threads + MORE_THREADS, f"{self.threads} threads, {before.threads} before"),
            (self.memory_mb > before.memory_mb + MORE_MB, f"{self.memory_mb:.0f} MB of memory, {before.memory_mb:.0f} before"),
            (self.names - before.names, f"new files: {sorted(self.names - before.names)}"),
        ]
        return [what for more, what in found if more]


class Remains:
    """Knows what these daemons held at first; sees what their network carries, where it is one in a namespace."""

    def __init__(self, *people: Person, capture: Path | None = None) -> None:
        self._before = {person.account: held(person) for person in people}
        self._people = people
        self._capture = capture
        self._seen = 0
        if capture is not None:
            first = people[0]
            Lines(first.lan.popen(first.node, [sys.executable, "-c", CAPTURE, str(capture)])).expect(lambda line: True, SOON_S)

    def check(self, *words: bytes) -> None:
        """Raise AssertionError where these words can be read, or a daemon does not come back to what it held within SOON_S."""
        for person in self._people:
            for file in files(person):
                assert not (found := readable(words, file.read_bytes())), f"{file} has {found!r} in the clear"
            assert (person.folder / "data.db-wal").stat().st_size < MOST_JOURNAL_BYTES, f"{person.name}'s journal only grows"
            settles(person, self._before[person.account])
        if self._capture is not None:
            with self._capture.open("rb") as frames:
                frames.seek(self._seen)
                carried = frames.read()
            assert carried, "no packet was seen"
            assert not (found := readable(words, carried)), f"the wire has {found!r} in the clear"
            self._seen += len(carried)


def held(person: Person) -> Held:
    process = Path(f"/proc/{person.pid}")
    names = frozenset(str(file.relative_to(person.home)) for file in files(person) if not file.name.startswith("daemon.log."))
    open_files, threads = (len(list((process / folder).iterdir())) for folder in ("fd", "task"))
    return Held(open_files, threads, memory_mb(person.pid or 0)[0], names)


def files(person: Person) -> list[Path]:
    return [path for path in person.home.rglob("*") if path.is_file() and not path.is_symlink()]


def readable(words: tuple[bytes, ...], data: bytes) -> list[bytes]:
    assert words and all(len(word) >= 6 for word in words), "shorter ones turn up by chance"
    return [word for word in words if word in data]


def settles(person: Person, before: Held) -> None:
    deadline = time.monotonic() + SOON_S
    while more := held(person).more_than(before):
        assert time.monotonic() < deadline, f"{person.name}'s daemon does not come back to what it held: {', '.join(more)}"
        threading.Event().wait(LOOK_S)
