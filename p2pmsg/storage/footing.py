"""The files under an open database: whether they are still those that were opened.

Deleted files live on for who has them open: everything would seem to go well, and be gone at the end of the process.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2pmsg.errors import StorageDamaged, StorageFailed
from p2pmsg.storage.cipher import SQL_FAULTS, Db
from p2pmsg.storage.database import empty_journal, note_use


class Footing:
    """The database file, its journal and the journal's index, as they are now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = self._look()

    def fault(self, db: Db) -> StorageDamaged | StorageFailed | None:
        """Return why what was committed is not safe; a journal that was deleted is made anew, after which it is."""
        found = self._look()
        if found[0] != self._files[0]:
            empty_journal(db)  # the file that lives on is whole by that
            return StorageDamaged(
                f"The database was deleted or replaced while the daemon used it: {self._path}. Nothing more is stored.",
                hint=f"Before you stop the daemon, save what it has: install -m 600 /proc/{os.getpid()}/fd/N {self._path}; "
                f"ls -l /proc/{os.getpid()}/fd shows N. Then: p2pmsg daemon restart",
            )
        if found != self._files:
            if not _renew_journal(db):
                return StorageFailed("The database's journal was deleted, and cannot be made anew.")
            self._files = self._look()
        return None

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_identity(self._path.with_name(self._path.name + suffix)) for suffix in ("", "-wal", "-shm"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _renew_journal(db: Db) -> bool:
    """Write back what only the journal has that lives on, and begin another."""
    try:
        modes = [db.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0] for mode in ("DELETE", "WAL")]
        note_use(db)
    except SQL_FAULTS:
        return False
    return modes == ["delete", "wal"]
