"""Small machines: few open files, little memory. Real daemons on loopback live and talk within them."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.rpc import client
from tests.integration.daemons import Somebody, until

FILES = 64
DATA_BYTES = 160 << 20
RESIDENT_BYTES = 128 << 20
CALLS, AT_ONCE = 100, 10
SLACK = 4
"""Files that a daemon may have opened meanwhile for other reasons."""


@contextlib.contextmanager
def within(home: Path, *limits: tuple[int, int]) -> Iterator[tuple[Somebody, Somebody]]:
    """Two people whose daemons were started under these limits."""

    def limit() -> None:
        for which, value in limits:
            resource.setrlimit(which, (value, value))

    ann, bob = (Somebody(home / name.lower(), name).arrive(start=False) for name in ("Ann", "Bob"))
    try:
        for somebody in (ann, bob):
            done = somebody.cli("daemon", "start", "--json", preexec_fn=limit)
            assert done.status == 0, done.err
        yield ann, bob
    finally:
        for somebody in (ann, bob):
            somebody.cli("daemon", "stop")


@pytest.fixture
def with_few_files(home: Path) -> Iterator[tuple[Somebody, Somebody]]:
    with within(home, (resource.RLIMIT_NOFILE, FILES)) as people:
        yield people


@pytest.fixture
def with_little_memory(home: Path) -> Iterator[tuple[Somebody, Somebody]]:
    with within(home, (resource.RLIMIT_DATA, DATA_BYTES)) as people:
        yield people


def open_files(somebody: Somebody) -> int:
    return len(list(Path(f"/proc/{somebody.pid}/fd").iterdir()))


def limit_of(somebody: Somebody, name: str) -> int:
    lines = Path(f"/proc/{somebody.pid}/limits").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[3])


def most_resident_bytes(somebody: Somebody) -> int:
    lines = Path(f"/proc/{somebody.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


def test_few_files_are_enough_to_meet_talk_and_be_asked(with_few_files: tuple[Somebody, Somebody]) -> None:
    ann, bob = with_few_files
    pids = ann.pid, bob.pid
    assert limit_of(ann, "Max open files") == limit_of(bob, "Max open files") == FILES
    ann.befriend(bob)
    before = open_files(ann)
    for start in range(0, CALLS, AT_ONCE):
        asked = [ann.popen("send", "bob", "--json", f"call {number}") for number in range(start, start + AT_ONCE)]
        outs = [one.communicate(timeout=60) for one in asked]
        assert [one.returncode for one in asked] == [0] * AT_ONCE, outs
    bob.say(ann, "heard")
    until(lambda: len(bob.texts(ann)) == CALLS + 1, "all has come")
    assert len(set(bob.texts(ann))) == CALLS + 1
    until(lambda: open_files(ann) <= before + SLACK, "what was opened is closed")
    assert (ann.pid, bob.pid) == pids


def test_more_callers_than_files_harm_nobody(with_few_files: tuple[Somebody, Somebody]) -> None:
    ann, bob = with_few_files
    ann.befriend(bob)
    pid, before = ann.pid, open_files(ann)
    with contextlib.ExitStack() as crowd:
        for _ in range(2 * FILES):
            crowd.callback(caller(ann).close)
        until(lambda: open_files(ann) >= FILES - 8, "its files run out")
        bob.say(ann, "through the crowd")  # what is open stays so
    until(lambda: open_files(ann) <= before + SLACK, "the crowd has gone")
    with client.connect(ann.folder) as connection:
        assert connection.call("status", {})["pid"] == pid
    ann.say(bob, "after it")
    assert ann.texts(bob) == ["through the crowd", "after it"]


def caller(somebody: Somebody) -> socket.socket:
    """Connect to the local API and say nothing."""
    path = json.loads((somebody.folder / "lock").read_bytes())["socket"]
    talker = socket.socket(socket.AF_UNIX)
    talker.setblocking(False)
    with contextlib.suppress(BlockingIOError):  # the line at the door is full: as with any crowd
        talker.connect(path)
    return talker


def test_a_thousand_messages_in_little_memory(with_little_memory: tuple[Somebody, Somebody]) -> None:
    ann, bob = with_little_memory
    pids = ann.pid, bob.pid
    assert limit_of(ann, "Max data size") == limit_of(bob, "Max data size") == DATA_BYTES
    ann.befriend(bob)
    with client.connect(ann.folder) as connection:
        for number in range(1000):
            connection.call("send", {"target": bob.account, "text": f"{number} " + "x" * 190})
    until(lambda: len(bob.texts(ann)) == 1000, "all has come")
    assert [text.split()[0] for text in bob.texts(ann)] == [str(number) for number in range(1000)]
    until(lambda: unfinished(ann, bob) == 0, "all is known to have come")
    assert (ann.pid, bob.pid) == pids
    assert max(most_resident_bytes(ann), most_resident_bytes(bob)) < RESIDENT_BYTES


def unfinished(ann: Somebody, bob: Somebody) -> int:
    found = ann.ask("history", target=bob.account, n=1000)
    return sum(message["kind"] == "text" and message["state"] not in ("delivered", "read") for message in found)
