from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.daemon import process
from p2pmsg.daemon.home import Profile, locate, prepare
from p2pmsg.daemon.lock import Lock, holder, is_held
from p2pmsg.errors import AlreadyRunning, DaemonNotRunning, FileNotFound, NotInitialized, P2pmsgError, SettingsInvalid, TimedOut

STUB = (sys.executable, "-I", str(Path(__file__).with_name("stub_daemon.py")))


@pytest.fixture
def profile(home: Path) -> Iterator[Profile]:
    profile = locate({"P2PMSG_HOME": str(home)})
    prepare(profile)
    profile.key.touch()
    yield profile
    info = holder(profile)
    if info is not None and info["pid"] != os.getpid():
        os.kill(info["pid"], signal.SIGKILL)


def start(profile: Profile) -> dict[str, Any]:
    return process.start(profile, program=STUB)


# -- start


def test_start_returns_when_the_daemon_answers(profile: Profile) -> None:
    status = start(profile)
    assert status["running"]
    assert (holder(profile) or {})["pid"] == status["pid"]


def test_starting_a_running_one_is_fine(profile: Profile) -> None:
    assert start(profile)["pid"] == start(profile)["pid"]


def test_two_that_start_at_once_get_the_same_daemon(profile: Profile) -> None:
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(start(profile)["pid"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_the_daemon_holds_nothing_of_ours(profile: Profile, tmp_path: Path) -> None:
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        status = start(profile)
    files = [file for file in status["files"] if not file.startswith(("socket:", "/proc/")) and file != str(profile.lock)]
    assert sorted(set(files) - {str(profile.folder / "starting")}) == ["/dev/null", str(profile.log)]
    assert status["session"] != os.getsid(0)
    assert status["cwd"] == "/"


def test_a_pipe_on_our_output_ends_although_the_daemon_lives(profile: Profile) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from p2pmsg.daemon import home, process\n"
        "print(process.start(home.locate(), program=sys.argv[2:])['pid'])\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).resolve().parents[2]), *STUB]
    done = subprocess.run(command, env={**os.environ, "P2PMSG_HOME": str(profile.home)}, capture_output=True, text=True, timeout=30)
    assert int(done.stdout) == (holder(profile) or {})["pid"]


def test_a_home_named_by_a_relative_path_is_found(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(profile.home.parent)
    monkeypatch.setenv("P2PMSG_HOME", profile.home.name)
    assert start(locate())["running"]
    assert is_held(profile)


def test_what_the_daemon_says_against_starting_is_ours_to_say(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PMSG_STUB", "refuse")
    with pytest.raises(SettingsInvalid, match="line 3 is bad") as caught:
        start(profile)
    assert caught.value.hint == "mend it"


@pytest.mark.parametrize(("mode", "status"), [("die", 3), ("garble", 0)])
def test_one_that_dies_without_a_word_is_an_error_with_the_log(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, mode: str, status: int
) -> None:
    monkeypatch.setenv("P2PMSG_STUB", mode)
    with pytest.raises(P2pmsgError, match=rf"ended before it answered \(exit {status}\)") as caught:
        start(profile)
    assert str(profile.log) in (caught.value.hint or "")
    assert profile.log.read_text() == "stub begins\n"


def test_one_that_takes_too_long_is_left_to_go_on(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_TIMEOUT_S", 0.0)
    with pytest.raises(TimedOut, match="goes on starting"):
        start(profile)
    monkeypatch.undo()
    assert start(profile)["running"]


def test_nobody_lives_here_yet(home: Path) -> None:
    with pytest.raises(NotInitialized):
        start(locate({"P2PMSG_HOME": str(home)}))
    assert list(home.iterdir()) == []


def test_a_lock_held_by_another_command_is_no_daemon(profile: Profile) -> None:
    with Lock.acquire(profile) as lock:
        lock.publish(socket=Path("/nowhere.sock"), version="1", protocol=1, started_at="")
        with pytest.raises(DaemonNotRunning):
            start(profile)


def test_one_that_was_killed_is_started_anew(profile: Profile) -> None:
    first = start(profile)["pid"]
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert start(profile)["pid"] != first


# -- stop and restart


def test_stop_returns_when_process_and_lock_are_gone(profile: Profile) -> None:
    start(profile)
    status = process.stop(profile)
    assert not status["running"]
    assert not is_held(profile)


def test_stopping_a_stopped_one_is_fine(profile: Profile) -> None:
    assert process.stop(profile) == process.stopped_status(profile)


def test_stopping_where_nobody_lives_makes_nothing(home: Path) -> None:
    assert not process.stop(locate({"P2PMSG_HOME": str(home)}))["running"]
    assert list(home.iterdir()) == []


def test_one_that_was_halted_is_stopped_too(profile: Profile) -> None:
    os.kill(start(profile)["pid"], signal.SIGSTOP)
    process.stop(profile)
    assert not is_held(profile)


def test_a_pid_that_a_killed_daemon_left_is_nobodys(profile: Profile) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        profile.lock.write_text(f'{{"pid": {bystander.pid}, "socket": "/s"}}\n')
        process.stop(profile)
        assert bystander.poll() is None
        bystander.kill()


def test_one_that_does_not_end_is_a_timeout_that_says_how(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PMSG_STUB", "deaf")
    monkeypatch.setattr(process, "STOP_TIMEOUT_S", 0.05)
    pid = start(profile)["pid"]
    with pytest.raises(TimedOut) as caught:
        process.stop(profile)
    assert f"kill -9 {pid}" in (caught.value.hint or "")


def test_another_command_is_not_killed_by_stop(profile: Profile) -> None:
    with Lock.acquire(profile), pytest.raises(AlreadyRunning):
        process.stop(profile)


def test_restart_is_another_process(profile: Profile) -> None:
    first = start(profile)["pid"]
    assert process.restart(profile, program=STUB)["pid"] != first
    process.stop(profile)
    assert process.restart(profile, program=STUB)["running"]


def test_the_status_of_a_stopped_one_has_every_field(profile: Profile) -> None:
    fields = "running pid version protocol socket home log started_at port interfaces visible_until vault vault_mode unread queued"
    assert list(process.stopped_status(profile)) == [*fields.split(), "requests", "requests_max", "disk_bytes", "warnings"]


# -- the report


@pytest.mark.parametrize("number", ["", "x", "-1", "99999"])
def test_a_daemon_that_nobody_waits_for_reports_to_nobody(number: str) -> None:
    process.report_ready({process.READY_FD: number})


def test_a_reader_that_has_gone_does_not_stop_the_daemon() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process.report_ready({process.READY_FD: str(writer)})


# -- logs


def test_the_last_lines_come_across_a_rotation(profile: Profile) -> None:
    profile.log.with_name("daemon.log.2").write_text("1\n2\n")
    profile.log.with_name("daemon.log.1").write_text("3\n4\n")
    profile.log.write_bytes(b"5\n\xff6")
    assert list(process.logs(profile, 4)) == ["3", "4", "5", "\ufffd6"]
    assert list(process.logs(profile, 0)) == []
    assert len(list(process.logs(profile, 100))) == 6


def test_no_daemon_has_run_yet(profile: Profile) -> None:
    with pytest.raises(FileNotFound):
        process.logs(profile, 10)


def test_following_goes_on_and_ends_when_closed(profile: Profile) -> None:
    profile.log.write_text("old\nlast\n")
    lines = process.logs(profile, 1, follow=True)
    assert next(lines) == "last"
    with profile.log.open("a") as file:
        file.write("new\n")
    assert next(lines) == "new"
    lines.close()  # type: ignore[attr-defined]  # a generator


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_when_it_is_ready_and_only_then(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{tmp_path}" if abstract else str(tmp_path / "n"))
        listener.setblocking(False)
        environ = {"NOTIFY_SOCKET": f"@{tmp_path}" if abstract else str(tmp_path / "n")}
        process.report_ready(environ, error=SettingsInvalid("bad"))
        with pytest.raises(BlockingIOError):
            listener.recv(100)
        process.report_ready(environ)
        assert listener.recv(100) == b"READY=1"
