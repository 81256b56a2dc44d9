"""What the daemon asks of Linux alone, with an answer for systems that do not know it: kinds of file systems, ends of processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PR_SET_DUMPABLE = 4
_GROUPS = Path("/sys/fs/cgroup")
REMOTE = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x5346414F: "afs",
    0x00C36400: "ceph",
}
"""`f_type` of statfs(2) where a Unix socket may not work, or may be seen by another machine; sshfs and virtiofs are fuse."""


def is_local(path: Path) -> bool:
    """Say whether a Unix socket may live there; what is not known counts as local. Raises: OSError where there is nothing."""
    return file_system_type(path) not in REMOTE


def file_system_type(path: Path) -> int:
    """Return `f_type` of statfs(2), 0 on systems other than Linux. Raises: OSError where there is nothing."""
    path.stat()
    if sys.platform != "linux":
        return 0
    answer = (ctypes.c_long * 64)()  # struct statfs is 120 bytes and starts with f_type, a long
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), answer) != 0:
        return 0
    return answer[0] & 0xFFFFFFFF


def keep_memory_private() -> None:
    """Leave no core file, and let no other process of the same user read this one's memory; what the system does not know is left out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def free_memory_bytes() -> int | None:
    """Return how much memory this process can still take without the kernel ending one for it; None where that is not known.

    What is cached of files counts as free; swap counts. A limit of any control group that the process is in counts.
    """
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found = [(int(rows["MemAvailable"].split()[0]) + int(rows["SwapFree"].split()[0])) << 10]
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except (OSError, ValueError, KeyError):
        return None
    for _, controllers, path in groups:
        if controllers == "memory":
            found += _free_below(_GROUPS / "memory", path, ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_")
        elif not controllers:
            found += _free_below(_GROUPS, path, ("memory.max", "memory.current"), "")
    return max(0, min(found))


def _free_below(root: Path, path: str, names: tuple[str, str], prefix: str) -> Iterator[int]:
    """Yield what each limit on the way up leaves; a group that is not seen, as in a container, is looked for at the root."""
    folder = root / path.lstrip("/")
    for each in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError, KeyError):
            limit, used = (int((each / name).read_text()) for name in names)  # "max" is no number: no limit
            counts = dict(line.split() for line in (each / "memory.stat").read_text().splitlines())
            yield limit - used + int(counts[f"{prefix}inactive_file"]) + int(counts[f"{prefix}active_file"])
        if each == root:
            break


class OtherProcess:
    """A process that is not our child, held so that its pid cannot come to mean another one."""

    def __init__(self, pid: int, handle: int | None) -> None:
        self.pid = pid
        self._handle = handle

    @classmethod
    @contextlib.contextmanager
    def opened(cls, pid: int) -> Iterator[OtherProcess]:
        """Give the process to the block. Raises: ProcessLookupError where there is none."""
        handle = os.pidfd_open(pid) if sys.platform == "linux" else None
        try:
            yield cls(pid, handle)
        finally:
            if handle is not None:
                os.close(handle)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended gets none. Raises: PermissionError."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle is not None and sys.platform == "linux":
                signal.pidfd_send_signal(self._handle, number)
            else:
                os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end, and say whether it came; by then its files are closed and its locks are free."""
        if self._handle is not None:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000))
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.05)
        return False
