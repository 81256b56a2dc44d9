"""The lock of a profile: one process at a time works on it, and says in the lock file where its socket is.

Two files, both locked by flock(2) and so free as soon as their holder has died: `lock` is held for as long as the work lasts and
holds one line of JSON; `starting` is held while its holder is not ready yet, so that a second one waits for that and then learns
that the first is there. Knows nothing of what the work is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from p2pmsg.daemon.home import Profile
from p2pmsg.errors import AlreadyRunning, file_faults
from p2pmsg.rpc.locate import LOCK_BYTES

STARTING_FILE = "starting"
PROBES_OUTLIVED_S = 0.1
"""`is_held` takes the lock for microseconds; whoever wants it tries again for this long before believing that it is taken."""


class Lock:
    """A profile's lock, held. Ends with `release`, with the block, or with the process."""

    def __init__(self, held: int, starting: int, made: Sequence[Path]) -> None:
        self._held = held
        self._starting = starting
        self._made = made

    @classmethod
    def acquire(cls, profile: Profile) -> Self:
        """Take the lock of a profile whose folder exists; waits while another holder is getting ready. After a failure no file is left.

        Raises: AlreadyRunning (the other is ready), HomeUnusable, StorageFull.
        """
        with file_faults(profile.lock), contextlib.ExitStack() as undo:
            made: list[Path] = []
            starting = _open_and_wait(profile.folder / STARTING_FILE, made)
            undo.callback(os.close, starting)
            undo.callback(_unlink, made)
            held = _open(profile.lock, made)
            undo.callback(os.close, held)
            if not _take(held):
                raise AlreadyRunning(_who_runs(profile))
            lock = cls(held, starting, made)
            lock._write({})
            undo.pop_all()  # both files stay open from here on
            return lock

    def publish(self, *, socket: Path | None, version: str, protocol: int, started_at: str) -> None:
        """Say who holds the lock: a daemon does at once with `socket=None`, and with its socket when it answers.

        Raises: StorageFull, HomeUnusable.
        """
        where = None if socket is None else str(socket)
        self._write({"pid": os.getpid(), "socket": where, "version": version, "protocol": protocol, "started_at": started_at})
        if socket is not None:
            fcntl.flock(self._starting, fcntl.LOCK_UN)

    def release(self) -> None:
        """Give the lock back; its files stay. Twice is once."""
        if self._held < 0:
            return
        with contextlib.suppress(OSError, AlreadyRunning):
            self._write({})
        for descriptor in (self._held, self._starting):
            os.close(descriptor)
        self._held = self._starting = -1

    def forget(self) -> None:
        """Delete those of the lock's files that were made with it, and give it back: the way back of an `init` that failed."""
        _unlink(self._made)
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _write(self, value: dict[str, Any]) -> None:
        """Replace the line by one write, padded over what stood there: a reader sees the old line or the new one."""
        line = json.dumps(value).encode()
        old_bytes = os.fstat(self._held).st_size
        os.pwrite(self._held, line.ljust(old_bytes - 1) + b"\n", 0)


def is_held(profile: Profile) -> bool:
    """Say whether a living process holds the profile's lock; where the file system has no locks nobody does."""
    try:
        descriptor = os.open(profile.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False


def holder(profile: Profile) -> dict[str, Any] | None:
    """Return what the daemon that holds the lock wrote into it (`pid`, `socket`, …), or None: nobody holds it, or no daemon."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        with profile.lock.open("rb") as file:
            info = json.loads(file.read(LOCK_BYTES))
        if isinstance(info, dict) and type(info.get("pid")) is int and info["pid"] > 0 and is_held(profile):
            return info
    return None


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _open(path: Path, made: list[Path]) -> int:
    """Return the file opened; one that was not there before is made, and noted."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags, 0o600)
    made.append(path)
    return descriptor


def _open_and_wait(path: Path, made: list[Path]) -> int:
    """Return a file locked; one that `forget` deleted while we waited for it locks nothing, so its successor is taken."""
    while True:
        made.clear()
        descriptor = _open(path, made)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            _unlink(made)
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Lock a file without waiting for its holder, but outlive those who only look."""
    deadline = time.monotonic() + PROBES_OUTLIVED_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _who_runs(profile: Profile) -> str:
    info = holder(profile)
    if info is None:
        return f"Another p2pmsg command works on profile {profile.name} at the moment."
    return f"The daemon of profile {profile.name} already runs (pid {info['pid']})."
