"""What kind of file system a path lies on: the one place of the daemon that asks Linux alone."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

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
