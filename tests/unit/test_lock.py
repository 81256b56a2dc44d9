from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from p2pmsg.daemon.home import Profile, locate, prepare
from p2pmsg.daemon.lock import Lock, holder, is_held
from p2pmsg.errors import AlreadyRunning, HomeUnusable, StorageFull
from p2pmsg.rpc.locate import lock_info

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def profile(home: Path) -> Profile:
    profile = locate({"P2PMSG_HOME": str(home)})
    prepare(profile)
    return profile


def publish(lock: Lock, socket: Path | None = Path("/run/s.sock")) -> None:
    lock.publish(socket=socket, version="1", protocol=1, started_at="2026-01-01T00:00:00.000Z")


def test_a_lock_that_is_held_is_not_taken_twice(profile: Profile) -> None:
    with Lock.acquire(profile) as lock:
        publish(lock)
        with pytest.raises(AlreadyRunning, match=rf"already runs \(pid {os.getpid()}\)"):
            Lock.acquire(profile)
    Lock.acquire(profile).release()


def test_profiles_do_not_stand_in_each_others_way(home: Path, profile: Profile) -> None:
    other = locate({"P2PMSG_HOME": str(home)}, "other")
    prepare(other)
    with Lock.acquire(profile), Lock.acquire(other):
        assert is_held(profile)
        assert is_held(other)


def test_what_is_published_is_what_the_cli_reads(profile: Profile) -> None:
    with Lock.acquire(profile) as lock:
        publish(lock)
        expected = {"pid": os.getpid(), "socket": "/run/s.sock", "version": "1", "protocol": 1, "started_at": "2026-01-01T00:00:00.000Z"}
        assert lock_info(profile.folder) == holder(profile) == expected
        assert profile.lock.read_bytes().count(b"\n") == 1


def test_before_the_socket_is_there_the_cli_finds_nothing_but_stop_does(profile: Profile) -> None:
    with Lock.acquire(profile) as lock:
        publish(lock, socket=None)
        assert lock_info(profile.folder) is None
        assert (holder(profile) or {})["pid"] == os.getpid()


def test_a_shorter_line_leaves_nothing_of_a_longer_one(profile: Profile) -> None:
    with Lock.acquire(profile) as lock:
        publish(lock, Path("/run/" + "x" * 90))
        publish(lock, Path("/s"))
        assert json.loads(profile.lock.read_text())["socket"] == "/s"


def test_a_path_that_is_no_text_comes_back_as_it_was(profile: Profile) -> None:
    with Lock.acquire(profile) as lock:
        publish(lock, Path(os.fsdecode(b"/run/\xff.sock")))
        assert os.fsencode((lock_info(profile.folder) or {})["socket"]) == b"/run/\xff.sock"


def test_a_released_lock_names_nobody(profile: Profile) -> None:
    lock = Lock.acquire(profile)
    publish(lock)
    lock.release()
    lock.release()
    assert profile.lock.exists()
    assert lock_info(profile.folder) is None
    assert holder(profile) is None
    assert not is_held(profile)


def test_a_new_holder_wipes_what_a_killed_one_left(profile: Profile) -> None:
    profile.lock.write_text('{"pid": 1, "socket": "/old.sock"}\n')
    assert holder(profile) is None
    with Lock.acquire(profile):
        assert lock_info(profile.folder) is None
        assert holder(profile) is None


@pytest.mark.parametrize("rubbish", ["", "\0" * 100, "[]", '{"pid": "1"}', '{"pid": -1}', '{"pid": true}', "[" * 5000, "x" * 100_000])
def test_rubbish_in_the_file_is_nobody(profile: Profile, rubbish: str) -> None:
    with Lock.acquire(profile):
        profile.lock.write_text(rubbish)
        assert holder(profile) is None


def test_the_files_are_closed_to_others(profile: Profile) -> None:
    with Lock.acquire(profile):
        modes = {stat.S_IMODE(path.stat().st_mode) for path in profile.folder.iterdir()}
    assert modes == {0o600}


def test_a_link_in_its_place_is_not_followed(home: Path, profile: Profile) -> None:
    profile.lock.symlink_to(home / "target")
    with pytest.raises(HomeUnusable):
        Lock.acquire(profile)
    assert not (home / "target").exists()


def test_a_second_one_waits_until_the_first_is_ready(profile: Profile) -> None:
    outcome: list[BaseException] = []

    def second() -> None:
        try:
            Lock.acquire(profile)
        except AlreadyRunning as error:
            outcome.append(error)

    with Lock.acquire(profile) as lock:
        waiting = threading.Thread(target=second)
        waiting.start()
        publish(lock, socket=None)
        assert outcome == []
        publish(lock)
        waiting.join(10)
        assert len(outcome) == 1


def test_a_second_one_takes_over_from_a_first_that_ended_before_it_was_ready(profile: Profile) -> None:
    taken: list[Lock] = []
    first = Lock.acquire(profile)
    waiting = threading.Thread(target=lambda: taken.append(Lock.acquire(profile)))
    waiting.start()
    first.release()
    waiting.join(10)
    taken[0].release()


def test_forget_leaves_no_file_and_nobody_waits_on_a_deleted_one(profile: Profile) -> None:
    taken: list[Lock] = []
    first = Lock.acquire(profile)
    waiting = threading.Thread(target=lambda: taken.append(Lock.acquire(profile)))
    waiting.start()
    first.forget()
    waiting.join(10)
    assert is_held(profile)
    taken[0].forget()
    assert list(profile.folder.iterdir()) == []


def test_looking_does_not_stand_in_the_way(profile: Profile) -> None:
    Lock.acquire(profile).release()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_held(profile)

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(50):
        Lock.acquire(profile).release()
    stop.set()
    looking.join(10)


def test_a_killed_process_holds_nothing(profile: Profile) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from p2pmsg.daemon import home, lock\n"
        "held = lock.Lock.acquire(home.locate({'P2PMSG_HOME': sys.argv[2]}))\n"
        "held.publish(socket=pathlib.Path('/s'), version='1', protocol=1, started_at='')\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(CHECKOUT), str(profile.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert (holder(profile) or {})["pid"] == child.pid
        child.kill()
        child.wait()
        assert holder(profile) is None
        Lock.acquire(profile).release()


@pytest.mark.parametrize("existed", [False, True])
def test_a_lock_that_cannot_be_written_leaves_no_file(profile: Profile, monkeypatch: pytest.MonkeyPatch, existed: bool) -> None:
    if existed:
        Lock.acquire(profile).release()
    before = set(profile.folder.iterdir())

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(StorageFull):
        Lock.acquire(profile)
    assert set(profile.folder.iterdir()) == before and not is_held(profile)


def test_forget_leaves_files_that_were_there_before(profile: Profile) -> None:
    Lock.acquire(profile).release()
    Lock.acquire(profile).forget()
    assert {path.name for path in profile.folder.iterdir()} == {"lock", "starting"}
