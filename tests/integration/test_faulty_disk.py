"""Disks that fail at any call, and homes on file systems that lack what local ones have: whole daemons on a real file system.

Here that is FUSE: this machine's kernel has neither the device mapper nor NFS.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from p2pmsg.daemon import home as home_module
from p2pmsg.daemon import linux
from p2pmsg.daemon.home import Profile
from tests.integration.daemons import Json, Somebody, small_disk, town, until
from tests.integration.faulty_disk import FaultyDisk, Rule, faulty_disk, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
FAULTS = {"EIO": "storage_failed", "EROFS": "storage_failed", "ENOSPC": "storage_full", "EDQUOT": "storage_full"}
CALLS = 7
"""More than one `send` makes of either."""
Mount = Callable[..., tuple[Somebody, FaultyDisk]]


@pytest.fixture
def mounted(home: Path) -> Iterator[Mount]:
    """Makes Ann, with a home on such a disk; nothing is in it yet."""
    with ExitStack() as mounts:

        def mount(*features: str) -> tuple[Somebody, FaultyDisk]:
            ann = Somebody(home / "ann", "Ann")
            ann.home.mkdir()
            disk = mounts.enter_context(faulty_disk(ann.home, *features))
            mounts.callback(lambda: (disk.mend(), ann.cli("daemon", "stop")))
            return ann, disk

        yield mount


def codes(somebody: Somebody) -> list[str]:
    return [warning["code"] for warning in somebody.ask("status")["warnings"]]


def test_a_disk_that_fails_and_is_mended(mounted: Mount) -> None:
    ann, disk = mounted()
    with town("Bob") as (bob,):
        ann.arrive()
        ann.befriend(bob)
        pid, waiting = ann.pid, list[Json]()
        for error, code in FAULTS.items():
            for call in ("write", "fsync"):
                disk.break_(Rule(call, error, "*" if error == "EDQUOT" else "data.db-wal"))
                expected = "storage_failed" if call == "fsync" and error != "EDQUOT" else code
                refused = ann.fails(8, expected, "send", "bob", "--json", f"not this ({error})")
                assert refused["message"] and refused["hint"]
                if call == "write":
                    waiting.append(bob.say(ann, f"during {error}", wait=None))
                    until(lambda: "storage_failed" in codes(ann), "status says that others wait")
                    assert bob.state(ann, waiting[-1]) in ("queued", "sent")
                disk.mend()
                ann.say(bob, f"{error} at {call} is over")
        until(lambda: all(bob.state(ann, each) == "delivered" for each in waiting), "it goes on by itself", 60)
        assert bob.texts(ann) == ann.texts(bob) and not [text for text in ann.texts(bob) if text.startswith("not this")]
        assert len(set(ann.texts(bob))) == len(ann.texts(bob)) == 12 and ann.pid == pid and codes(ann) == []


def test_a_disk_that_is_full_at_any_call(mounted: Mount) -> None:
    ann, disk = mounted()
    with town("Bob") as (bob,):
        ann.arrive()
        ann.befriend(bob)
        accepted, failed = [], []
        for number in range(CALLS):
            for call in ("write", "fsync"):
                disk.break_(Rule(call, "ENOSPC", "data.db*", after=number, count=1))
                done = ann.cli("send", "bob", "--json", text := f"{call} {number}")
                (accepted if done.status == 0 else failed).append(text)
                assert done.status == 0 or done.error["code"].startswith("storage_"), done.err
        disk.mend()
        until(lambda: bob.texts(ann) == accepted, "all that was accepted arrives, once, in order", 45)
        assert ann.texts(bob) == accepted and failed and accepted


def test_a_database_that_cannot_be_read_is_not_taken_for_a_damaged_one(mounted: Mount) -> None:
    ann, disk = mounted()
    ann.arrive()
    ann.say(ann, "kept", wait=None)
    ann.stop()
    disk.break_(Rule("read", "EIO", "data.db"))
    ann.fails(8, "storage_failed", "daemon", "start", "--json")
    disk.mend()
    assert ann.start()["running"] and [each["text"] for each in ann.ask("history", target="me")] == ["kept"]
    assert list(ann.folder.glob("*damaged*")) == []


def test_without_shared_memory_sockets_and_true_deletion_one_lives_all_the_same(mounted: Mount) -> None:
    ann, disk = mounted("no-mmap", "silly")
    disk.break_(Rule("mknod", "EPERM"))
    with town("Bob") as (bob,):
        ann.arrive()
        ann.befriend(bob)
        ann.say(bob, "from afar")
        bob.say(ann, "hello")
        assert not ann.ask("status")["socket"].startswith(str(ann.home))
        rows = {row["check"]: row for row in ann.cli("doctor", "--json").objects}
        assert rows["database"]["ok"] is True and "no memory" in rows["database"]["detail"]
        assert rows["home"]["ok"] is None and "fuse" in rows["home"]["detail"] and "one machine" in rows["home"]["hint"]
        ann.kill()
        ann.start()
        assert ann.texts(bob) == ["from afar", "hello"]
        ann.good("config", "set", "typing", "false", "--json")
        ann.stop()
        assert list(ann.home.rglob(".nfs*")) == []
        ann.good("wipe", "--yes", "--json")
        assert list(ann.home.iterdir()) == []


def test_a_home_without_locks_is_refused_in_words(mounted: Mount, home: Path) -> None:
    ann, disk = mounted("locks")
    disk.break_(Rule("flock", "ENOLCK"))
    refused = ann.fails(8, "home_unusable", "init", "--name", "Ann", "--words-file", str(home / "words"), "--json")
    assert "no locks" in refused["message"] and "local disk" in refused["hint"]
    assert list(ann.home.iterdir()) == [] and not (home / "words").exists()
    disk.mend()
    ann.arrive(start=False)
    disk.break_(Rule("flock", "ENOLCK"))
    for words in (("daemon", "start"), ("wipe", "--yes"), ("config", "set", "typing", "false")):
        assert "no locks" in ann.fails(8, "home_unusable", *words, "--json")["message"]
    assert ann.cli("status", "--json").objects[0]["running"] is False
    disk.mend()
    assert ann.start()["running"]


def test_a_socket_goes_where_one_can_be_made(mounted: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, disk = mounted()
    monkeypatch.setattr(linux, "REMOTE", {})  # as if it were a local one
    profile = Profile(ann.home, "default", home_was_named=True)
    assert home_module.socket_path(profile).parent == ann.home / "run" and list((ann.home / "run").iterdir()) == []
    disk.break_(Rule("mknod", "EPERM"))
    assert not home_module.socket_path(profile).is_relative_to(ann.home)


def test_a_disk_that_is_read_only_at_the_start(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann")
    ann.home.mkdir()
    with small_disk(ann.home, 64_000_000):
        ann.arrive(start=False)
        subprocess.run(["mount", "-o", "remount,ro", str(ann.home)], check=True)
        refused = ann.fails(8, "home_unusable", "daemon", "start", "--json")
        assert "Read-only" in refused["message"] or "read-only" in refused["message"]
        subprocess.run(["mount", "-o", "remount,rw", str(ann.home)], check=True)
        assert ann.start()["running"]
        ann.stop()
