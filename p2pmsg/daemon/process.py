"""Start, stop and restart the daemon of a profile from another process, and read its log.

`start` waits on a pipe on which the daemon says that it answers, or why not; there is no looking again and again.
Knows nothing of what the daemon does: that is `service`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import p2pmsg
from p2pmsg.config import limits
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.journal import older
from p2pmsg.daemon.linux import OtherProcess
from p2pmsg.daemon.lock import holder, is_held
from p2pmsg.daemon.usage import disk_bytes
from p2pmsg.errors import AlreadyRunning, DaemonNotRunning, FileNotFound, NotPermitted, P2pmsgError, TimedOut, file_faults
from p2pmsg.rpc import client

READY_FD = "P2PMSG_READY_FD"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
READY_BYTES = 65_536
PROGRAM = (sys.executable, "-I", str(Path(p2pmsg.__file__).with_name("__main__.py")))
"""The CLI, wherever it was started from; `-I`: no variable of the caller's and no folder of his brings in other code."""


def start(profile: Profile, *, program: Sequence[str] = PROGRAM) -> dict[str, Any]:
    """Make sure that the daemon of a profile runs, and return its status; it holds none of our file descriptors.

    Two that start at once get the same daemon.
    Raises: NotInitialized; what the daemon says that it cannot start for; TimedOut (it goes on starting); DaemonOtherVersion.
    """
    try:
        return _status(profile)
    except DaemonNotRunning:
        pass
    try:
        _spawn_and_wait(profile, program)
    except AlreadyRunning:
        pass  # somebody else started it, and it was ready before ours gave way
    return _status(profile)


def stop(profile: Profile) -> dict[str, Any]:
    """End the daemon of a profile and return the status of one that does not run; on return its process is gone, its lock free.

    Raises: TimedOut (15 s), NotPermitted (another user's), AlreadyRunning (the lock is held by another command).
    """
    info = holder(profile)
    if info is None:
        if is_held(profile):
            raise AlreadyRunning(f"Another p2pmsg command works on profile {profile.name} at the moment.", hint="Try again.")
        return stopped_status(profile)
    pid = info["pid"]
    try:
        with OtherProcess.opened(pid) as daemon:
            if holder(profile) == info:  # else it ended meanwhile, and the pid may be anybody's
                _end(daemon)
    except PermissionError as error:
        raise NotPermitted(f"The daemon (pid {pid}) belongs to another user.", hint="Ask that user, or root.") from error
    except ProcessLookupError as error:
        if holder(profile) == info:
            raise NotPermitted(
                f"The lock of profile {profile.name} is held from outside: no process {pid} is seen here.",
                hint="Stop the daemon in the container or on the machine where it was started.",
            ) from error
    return stopped_status(profile)


def _end(daemon: OtherProcess) -> None:
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGCONT)  # one that is halted would not hear it
    if not daemon.wait(STOP_TIMEOUT_S):
        raise TimedOut(
            f"The daemon (pid {daemon.pid}) has not ended within {STOP_TIMEOUT_S:.0f} s.",
            hint=f"kill -9 {daemon.pid}: what was accepted is safe.",
        )


def restart(profile: Profile, *, program: Sequence[str] = PROGRAM) -> dict[str, Any]:
    """Stop the daemon, if it runs, and start it. Raises: as `stop` and `start` do."""
    stop(profile)
    return start(profile, program=program)


def stopped_status(profile: Profile) -> dict[str, Any]:
    """Return the contract's status object of a daemon that does not run."""
    status: dict[str, Any] = {"running": False, "pid": None, "version": p2pmsg.__version__}
    status |= {"protocol": p2pmsg.PROTOCOL_VERSION, "socket": None}
    status |= {"home": str(profile.home), "log": str(profile.log), "started_at": None, "port": None, "interfaces": []}
    status |= {"visible_until": None, "vault": "locked", "vault_mode": None, "unread": 0, "queued": 0}
    status |= {"requests": 0, "requests_max": limits.REQUESTS}
    return status | {"disk_bytes": disk_bytes(profile.folder), "warnings": []}


def report_ready(environ: Mapping[str, str] = os.environ, error: P2pmsgError | None = None) -> None:
    """Called by the daemon, once: tell whoever started it that it answers, or why it cannot; nobody may be listening."""
    if error is None:
        _tell_systemd(environ.get("NOTIFY_SOCKET", ""))
    number = environ.get(READY_FD, "")
    if not number.isdecimal():
        return
    answer: dict[str, Any] = {"ok": True}
    if error is not None:
        answer = {"error": {"message": error.message, "data": {**error.as_json(), "exit_status": error.exit_status}}}
    with contextlib.suppress(OSError), os.fdopen(int(number), "wb") as pipe:
        pipe.write(json.dumps(answer).encode() + b"\n")


def _tell_systemd(path: str) -> None:
    """Say that we are ready, where systemd started us and waits for that (sd_notify(3))."""
    if path.startswith(("/", "@")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", path.replace("@", "\0", 1) if path.startswith("@") else path)


def logs(profile: Profile, count: int, *, follow: bool = False) -> Iterator[str]:
    """Yield the last lines of the daemon's log, without line ends; with `follow` go on until closed, across rotations.

    Raises: FileNotFound where no daemon has run yet.
    """
    if not profile.log.exists():
        raise FileNotFound(f"There is no log yet: {profile.log}", hint="p2pmsg daemon start")
    if follow:
        return _follow(profile.log, count)
    files = [path for path in (*older(profile.log), profile.log) if path.exists()]
    return iter(deque(itertools.chain.from_iterable(_lines(path) for path in files), maxlen=count))


def _status(profile: Profile) -> dict[str, Any]:
    with client.connect(profile.folder) as connection:
        status: dict[str, Any] = connection.call("status")
        return status


def _spawn_and_wait(profile: Profile, program: Sequence[str]) -> None:
    ready, told = os.pipe()
    try:
        try:
            daemon = _spawn(profile, program, told)
        finally:
            os.close(told)
        answer = _read_line(ready, START_TIMEOUT_S)
    finally:
        os.close(ready)
    if answer is not None and "ok" in answer:
        daemon.returncode = 0  # it outlives us: nobody waits for it
        return
    if answer is None:
        daemon.returncode = 0
        raise TimedOut(f"The daemon has not answered within {START_TIMEOUT_S:.0f} s; it goes on starting.", hint="p2pmsg daemon logs")
    daemon.wait()
    if "error" in answer:
        raise client.failure(answer["error"])
    raise P2pmsgError(f"The daemon ended before it answered (exit {daemon.returncode}).", hint=f"Look at the end of {profile.log}")


def _spawn(profile: Profile, program: Sequence[str], told: int) -> subprocess.Popen[bytes]:
    """Run `daemon run` in a session of its own, with nothing of ours open but the pipe on which it reports."""
    command = [*program, "--profile", profile.name, "daemon", "run"]
    environ = {**os.environ, READY_FD: str(told)}
    if profile.home_was_named:
        environ["P2PMSG_HOME"] = str(profile.home)  # whole, for it starts in another folder
    with file_faults(profile.log):
        log = os.open(profile.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environ,
            umask=0o077,
            pass_fds=(told,),
            start_new_session=True,
        )
    finally:
        os.close(log)


def _read_line(pipe: int, timeout_s: float) -> dict[str, Any] | None:
    """Return what the daemon says of its start, {} if it ended without a word, None if the time is over."""
    data = b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while poll.poll(timeout_s * 1000):
        more = os.read(pipe, READY_BYTES)
        data += more
        if not more or data.endswith(b"\n") or len(data) > READY_BYTES:
            try:
                answer = json.loads(data)
            except ValueError:
                return {}
            return answer if isinstance(answer, dict) else {}
    return None


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield line.rstrip("\n")


def _follow(path: Path, count: int) -> Iterator[str]:
    command = ["tail", "-n", str(count), "-F", str(path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tail:
        assert tail.stdout is not None
        try:
            for line in tail.stdout:
                yield line.decode("utf-8", "replace").rstrip("\n")
        finally:
            tail.terminate()
