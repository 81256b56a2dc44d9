"""A machine with 128 MB for the daemon: a memory cgroup of the kernel's, a history of 100,000, and 10,000 that come at once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from tests.bench.filling import fill
from tests.bench.talk import Talk
from tests.lan.memory import Group, limited, why_not
from tests.lan.people import Person, Scene

LIMIT_BYTES = 128 << 20
HISTORY, COMING = 100_000, 10_000
MINUTES_S = 120.0


@pytest.fixture(scope="module")
def memory_limits_work() -> None:
    if (reason := why_not()) is not None:
        (pytest.fail if os.environ.get("P2PMSG_REQUIRE_LAN") == "1" else pytest.skip)(reason)


def start_within(group: Group, person: Person) -> None:
    """Start a daemon in the group; only it stays there."""
    argv = group.inside(person.lan.command(person.node, person.command("daemon", "start", "--json")))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    person.pid = json.loads(done.stdout)["pid"]
    assert group.holds(person.pid)


def test_much_comes_to_a_daemon_with_much_history_and_little_memory(memory_limits_work: None, scene: Callable[..., Scene]) -> None:
    here = scene(3)
    ann, bob = here.pair()
    carl = here.person(3, "Carl")
    carl.start()
    carl.meet(ann)
    ann.until_online(carl)
    for person in (ann, carl):
        person.stop()
    fill(ann, carl, HISTORY)
    with limited(LIMIT_BYTES) as group, Talk(bob, ann) as talk:
        talk.queue(COMING)
        start_within(group, ann)
        pid, busy = ann.pid, 0
        with ann.connect() as asking:
            while bob.ask("status")["queued"]:
                assert len(asking.call("history", {"target": carl.account, "n": 1000})) == 1000
                assert len(asking.call("inbox", {"all": True})) >= 2
                busy = max(busy, group.own_bytes)
            assert asking.call("status", {})["pid"] == pid and asking.call("status", {})["unread"] >= COMING
            assert len(asking.call("history", {"target": bob.account, "n": 1000})) == 1000
        ann.send(bob, "all of them", wait="delivered")
        assert (ann.ask("status")["pid"], group.killed) == (pid, 0)
        assert max(busy, group.own_bytes) < LIMIT_BYTES
        ann.kill()
