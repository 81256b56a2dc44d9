"""Look at a database without changing it, also while its owner works on it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from p2pmsg.errors import DatabaseNewer, StorageDamaged, StorageFailed
from p2pmsg.storage import faults
from p2pmsg.storage.cipher import SQL_FAULTS, Db, sqlite
from p2pmsg.storage.migrations import newer_than_ours

CHECKED_BYTES: Final = 48_000_000
"""Up to this size all pages are looked at: a sixth of a second."""
_BUSY_S: Final = 2.0


def look(path: Path, key: bytes) -> str:
    """Return what there is to say of a sound database; `key` is 32 raw bytes.

    Raises:
        StorageFailed: it cannot be opened, or not be written to.
        StorageDamaged: it is cut, altered, or under another key.
        DatabaseNewer: a newer version made it.
    """
    _check_writable(path)
    try:
        size = path.stat().st_size
        if _journal(path).exists() and not faults.shares_memory(path.parent):
            return f"It can be written to; {size / 1_000_000:.1f} MB. Only the daemon looks into it: this file system shares no memory."
        with _opened(path, key) as connection:
            _look_inside(connection, whole=size <= CHECKED_BYTES)
    except sqlite.Error as error:
        raise faults.translated(error, path.parent) from error
    except OSError as error:
        raise faults.of_system(error) from error
    checked = "every page is sound" if size <= CHECKED_BYTES else "too large to be looked through"
    return f"It opens, and can be written to; {size / 1_000_000:.1f} MB, {checked}."


def names(path: Path, key: bytes) -> set[str]:
    """Return how the people are called that a database knows, as far as it can be read."""
    found: set[str] = set()
    with contextlib.suppress(*SQL_FAULTS, OSError), _opened(path, key) as connection:
        for column, table in (("name", "contact"), ("nickname", "contact"), ("nickname", "acquaintance"), ("nickname", "request")):
            found |= {name for (name,) in connection.execute(f"SELECT {column} FROM {table}").fetchall() if name}
    return found


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@contextlib.contextmanager
def _opened(path: Path, key: bytes) -> Iterator[sqlite.Connection]:
    # Without a journal nobody has it open; "immutable" then keeps SQLite from making one.
    how = "mode=ro" if _journal(path).exists() else "immutable=1"
    connection = sqlite.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, timeout=_BUSY_S)
    try:
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        yield connection
    finally:
        connection.close()


def _look_inside(connection: sqlite.Connection, *, whole: bool) -> None:
    if newer := newer_than_ours(Db(connection, strict=True, execute_plugins=False)):
        raise DatabaseNewer(f"The database was made by a newer version of p2pmsg ({max(newer)}).")
    answer = connection.execute("PRAGMA quick_check(1)" if whole else "SELECT 'ok' FROM sqlite_schema").fetchone()
    if answer is None or answer[0] != "ok":
        raise StorageDamaged(f"The database is damaged: {answer and answer[0]}.")


def _check_writable(path: Path) -> None:
    """Open the file and make a nameless one beside it, as the journal is: rights alone do not tell of a read-only disk."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        check_folder(path.parent)
    except OSError as error:
        what = "read-only" if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else error.strerror
        raise StorageFailed(f"The database cannot be written to: {error.filename or path.parent} is {what}.") from error


def check_folder(folder: Path) -> None:
    """Make a file that has no name in a folder, and let it go. Raises: OSError where the folder takes none."""
    with tempfile.TemporaryFile(dir=folder, prefix="p2pmsg-"):
        pass
