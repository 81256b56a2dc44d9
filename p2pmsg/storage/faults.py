"""What SQLite and the disk report, as errors of ours that say what to do."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from pathlib import Path
from typing import Final

from p2pmsg.errors import StorageDamaged, StorageFailed, StorageFull
from p2pmsg.storage.cipher import sqlite

_NO_ROOM_BYTES: Final = 1 << 20
"""Below this an I/O error is one of a full disk: SQLite reports some of them (shared memory, fsync) as such."""
_TRIED_BYTES: Final = 1 << 16
_BUSY, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 8, 10, 11, 13, 14, 26


def free_bytes(folder: Path) -> int:
    """Return how much an ordinary user may still write on the file system of a folder.

    Raises:
        OSError: the folder has gone.
    """
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def shares_memory(folder: Path) -> bool:
    """Say whether processes can share memory by a file of this folder, as those that read a database with a journal do.

    Some network file systems do not let them. A folder that takes no file counts as one that does: that is told by others.
    """
    try:
        file = tempfile.TemporaryFile(dir=folder, prefix="p2pmsg-")
    except OSError:
        return True
    with file:
        try:
            file.truncate(mmap.PAGESIZE)
            mmap.mmap(file.fileno(), mmap.PAGESIZE).close()
        except OSError as error:
            return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    return True


def is_damage(error: sqlite.Error) -> bool:
    """Say whether the file itself is to blame: wrong key, foreign file, torn or altered pages."""
    return _code(error) in (_CORRUPT, _NOTADB)


def translated(error: sqlite.Error, folder: Path | None) -> Exception:
    """Return the error of ours for what the disk did; any other is a fault of our SQL and returned as it is."""
    code = _code(error)
    if code == _FULL or (code == _IOERR and _no_room(folder)):
        return StorageFull("The disk is full. Nothing of this was stored.")
    if is_damage(error):
        return StorageDamaged(f"The database is damaged: {error}.")
    if code == _READONLY:
        return StorageFailed("The database cannot be written to: it is read-only.")
    if code in (_IOERR, _CANTOPEN, _BUSY):
        return StorageFailed(f"The database cannot be read or written: {error} ({name_of(error)}).")
    ours: Exception = error
    return ours


def of_system(error: OSError) -> StorageFull | StorageFailed:
    """Return the error of ours for what the file system did."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("The disk is full. Nothing of this was stored.")
    return StorageFailed(f"The database cannot be opened: {error.strerror}.")


def name_of(error: sqlite.Error) -> str:
    """Return SQLite's own name of what went wrong."""
    return str(getattr(error, "sqlite_errorname", None) or type(error).__name__)


def _code(error: sqlite.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _no_room(folder: Path | None) -> bool:
    """Say whether the disk is full, or so much of it as this user may fill: only writing tells of a quota."""
    try:
        if folder is None or free_bytes(folder) < _NO_ROOM_BYTES:
            return folder is not None
        with tempfile.TemporaryFile(dir=folder, prefix="p2pmsg-", buffering=0) as file:
            file.write(bytes(_TRIED_BYTES))
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
