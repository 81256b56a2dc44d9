"""The life of daemons: one per profile, started twice, killed, stopped, of another version, in homes of all sorts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.rpc.connection import Connection, Service
from tests.integration import shapes
from tests.integration.daemons import Somebody, ended, small_disk, town, until

NOBODY = 65534


@pytest.fixture(scope="module")
def long_lived() -> Iterator[Somebody]:
    with town("Ann") as (found,):
        yield found


@pytest.fixture
def ann(long_lived: Somebody) -> Iterator[Somebody]:
    """Somebody whose daemon runs, when the test begins and again when it is over."""
    yield long_lived
    long_lived.start()


@pytest.fixture
def asleep(home: Path) -> Iterator[Somebody]:
    """Somebody whose daemon has never run."""
    somebody = Somebody(home / "ann", "Ann").arrive(start=False)
    yield somebody
    somebody.cli("daemon", "stop")


def test_a_second_one_in_the_foreground_is_refused(ann: Somebody) -> None:
    pid = ann.pid
    ann.fails(8, "already_running", "daemon", "run", "--json")
    assert ann.start()["pid"] == pid
    assert ann.ask("status")["pid"] == pid


def test_two_that_start_at_once_get_the_same_daemon(asleep: Somebody) -> None:
    starting = [asleep.popen("daemon", "start", "--json") for _ in range(4)]
    answers = [one.communicate(timeout=60) for one in starting]
    assert [one.returncode for one in starting] == [0] * 4, answers
    assert len({json.loads(out)["pid"] for out, _ in answers}) == 1


def test_two_that_begin_at_once_make_one_person(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann")
    words = [str(home / f"words{n}") for n in range(3)]
    starting = [ann.popen("init", "--name", "Ann", "--words-file", path, "--json") for path in words]
    answers = [one.communicate(timeout=60) for one in starting]
    assert sorted(one.returncode for one in starting) == [0, 8, 8], answers
    assert [Path(path).exists() for path in words] == [one.returncode == 0 for one in starting]


def test_stop_ends_the_process_and_says_so(ann: Somebody) -> None:
    pid, began = ann.pid, time.monotonic()
    status = ann.good("daemon", "stop", "--json")[0]
    assert time.monotonic() - began < 6  # 3 s are promised
    assert ended(pid)
    assert status["running"] is False and shapes.faults(status, shapes.STATUS) == []
    assert ann.good("daemon", "stop", "--json")[0]["running"] is False


def test_without_a_daemon_commands_say_how_to_start_it(asleep: Somebody) -> None:
    for words in ("whoami", "send bob --json hi", "inbox", "watch", "peers", "contact list", "chat bob"):
        done = asleep.cli(*words.split(), *(() if "--json" in words else ("--json",)))
        assert (done.status, done.error["code"], done.error["hint"], done.out) == (3, "daemon_not_running", "p2pmsg daemon start", "")


def test_status_prints_and_fails_when_nothing_runs(asleep: Somebody) -> None:
    done = asleep.cli("status", "--json")
    assert (done.status, done.error["code"]) == (3, "daemon_not_running")
    assert done.objects[0]["running"] is False and shapes.faults(done.objects[0], shapes.STATUS) == []


def test_a_killed_one_leaves_nothing_in_the_way(ann: Somebody) -> None:
    sent = ann.ask("send", target="me", text="kept")
    socket_path = Path(ann.ask("status")["socket"])
    ann.kill()
    assert socket_path.exists()  # stale
    ann.fails(3, "daemon_not_running", "whoami", "--json")
    assert ann.start()["running"] is True
    assert ann.ask("history", target="me")[-1]["id"] == sent["id"]


def test_it_holds_nothing_of_its_caller(asleep: Somebody) -> None:
    read, write = os.pipe()
    with asleep.popen("daemon", "start", pass_fds=(write,)) as starting:
        starting.communicate(timeout=60)  # ends only when nobody holds the pipes
    os.close(write)
    os.set_blocking(read, False)
    assert os.read(read, 1) == b""  # the end of the file: no writer is left
    os.close(read)


def test_sigterm_and_interrupts(asleep: Somebody) -> None:
    for number, status in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        with asleep.popen("daemon", "run") as running:
            until(lambda: asleep.cli("status").status == 0, "it answers")
            running.send_signal(number)
            out, err = running.communicate(timeout=20)
        assert (running.returncode, out) == (status, b""), err


class Other:
    """A daemon of another version, for the profile of somebody whose own does not run."""

    def __init__(self, somebody: Somebody, version: str) -> None:
        class Elder(Service):
            def hello(self) -> dict[str, object]:
                return {"version": version, "protocol": 1, "profile": "default"}

        self._path = somebody.home / "old.sock"
        self._service = Elder(handler=None, profile="default")  # type: ignore[arg-type]
        (somebody.folder / "lock").write_text(json.dumps({"pid": os.getpid(), "socket": str(self._path), "version": version}))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        while True:
            try:
                accepted, _ = await asyncio.to_thread(self._listener.accept)
            except OSError:
                return
            reader, writer = await asyncio.open_unix_connection(sock=accepted)
            await Connection(self._service, reader, writer).run()
            writer.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_a_daemon_of_another_version_is_named(asleep: Somebody) -> None:
    other = Other(asleep, "0.0.9")
    try:
        for words in ("whoami", "status", "send bob hi", "watch"):
            done = asleep.cli(*words.split()[:1], "--json", *words.split()[1:])
            assert (done.status, done.error["code"], done.error["hint"]) == (3, "daemon_other_version", "p2pmsg daemon restart")
            assert "0.0.9" in done.error["message"]
    finally:
        other.close()


def test_two_profiles_live_in_one_home(ann: Somebody) -> None:
    bob = Somebody(ann.home, "Bob", "work").arrive()
    try:
        assert ann.ask("whoami")["name"] == "Ann" and bob.ask("whoami")["name"] == "Bob"
        assert ann.ask("status")["socket"] != bob.ask("status")["socket"]
        ann.befriend(bob)
        ann.say(bob, "under one roof")
        assert bob.cli("--profile", "default", "whoami", "--json").objects[0]["name"] == "Ann"
    finally:
        bob.stop()


def test_a_home_with_a_long_path(home: Path) -> None:
    long = home / ("x" * (119 - len(str(home)) - 1))
    assert len(str(long)) == 119
    ann = Somebody(long, "Ann").arrive()
    try:
        assert len(ann.ask("status")["socket"].encode()) <= 100
        assert ann.good("whoami", "--json")[0]["home"] == str(long)
        assert ann.cli("status", "--json", env={**ann.environ, "TMPDIR": "/var/tmp"}).status == 0  # found by the lock file
    finally:
        ann.stop()


def test_settings_are_read_at_the_next_start(ann: Somebody) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = ann.ask("status")["port"]
    assert ann.good("config", "set", "listen.port", str(port), "--json")[0] == {
        "key": "listen.port", "value": port, "default": 0, "source": "file",
    }  # fmt: skip
    assert ann.ask("status")["port"] == before
    assert ann.good("daemon", "restart", "--json")[0]["port"] == port


def test_a_settings_file_that_cannot_be_read_keeps_the_daemon_from_starting(asleep: Somebody) -> None:
    (asleep.folder / "config.toml").write_text("[listen]\nport = 'many'\n")
    error = asleep.fails(8, "settings_invalid", "daemon", "start", "--json")
    assert "listen.port" in error["message"]
    assert asleep.cli("config", "set", "listen.port", "0").status == 0  # the way out
    assert asleep.start()["running"]


def test_what_is_made_is_mine_alone(ann: Somebody) -> None:
    for path in [ann.home, *ann.home.rglob("*")]:
        status = path.lstat()
        if path == ann.home:
            continue
        assert stat.S_IMODE(status.st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(("name", "mode"), [("", 0o755), ("data.db", 0o640), ("config.toml", 0o666), ("key", 0o644)])
def test_it_does_not_start_where_others_can_reach_it(asleep: Somebody, name: str, mode: int) -> None:
    path = asleep.folder / name
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    error = asleep.fails(8, "settings_invalid" if name == "config.toml" else "home_unusable", "daemon", "start", "--json")
    assert error["message"].startswith("Others may ") and str(path) in error["message"]
    subprocess.run(["sh", "-c", error["hint"]], check=True)
    assert asleep.start()["running"]
    path.chmod(before)


def test_a_file_in_the_way_of_the_home(home: Path) -> None:
    (home / "file").write_text("")
    Somebody(home / "file", "Ann").fails(8, "home_unusable", "init", "--name", "Ann", "--words-file", str(home / "w"), "--json")
    assert not (home / "w").exists()


def test_words_are_never_written_over(home: Path) -> None:
    (home / "words").write_text("mine")
    Somebody(home / "ann", "Ann").fails(8, "file_exists", "init", "--name", "Ann", "--words-file", str(home / "words"), "--json")
    assert (home / "words").read_text() == "mine" and not (home / "ann").exists()


def test_init_without_a_terminal_needs_a_file_for_the_words(home: Path) -> None:
    error = Somebody(home / "ann", "Ann").fails(2, "usage", "init", "--name", "Ann", "--json")
    assert "--words-file" in error["hint"] and not (home / "ann").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_home(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann")
    ann.home.mkdir()
    os.chown(ann.home, NOBODY, NOBODY)
    error = ann.fails(8, "home_unusable", "init", "--name", "Ann", "--words-file", str(home / "words"), "--json")
    assert "somebody else" in error["message"]
    assert list(ann.home.iterdir()) == [] and not (home / "words").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")
def test_a_home_that_is_read_only(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann")
    ann.home.mkdir()
    with small_disk(ann.home, 1 << 20, ",ro"):
        ann.fails(8, "home_unusable", "init", "--name", "Ann", "--words-file", str(home / "words"), "--json")
    assert not (home / "words").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")
def test_a_profile_on_a_disk_that_became_read_only(asleep: Somebody) -> None:
    copy = asleep.home.with_name("copy")
    copy.mkdir()
    with small_disk(copy, 16 << 20):
        shutil.copytree(asleep.home, copy, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(copy)], check=True)
        elsewhere = Somebody(copy, "Ann")
        elsewhere.fails(8, "home_unusable", "daemon", "start", "--json")
        elsewhere.fails(8, "home_unusable", "config", "set", "typing", "false", "--json")
        assert elsewhere.cli("config", "get", "typing", "--json").objects[0]["value"] is True


def test_a_folder_that_went_away_is_noticed(asleep: Somebody) -> None:
    asleep.start()
    pid = asleep.pid
    shutil.rmtree(asleep.home)
    assert asleep.cli("status", "--json").status == 3
    os.kill(pid, signal.SIGTERM)
    until(lambda: ended(pid), "it ends all the same")
