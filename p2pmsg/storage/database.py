"""Open the encrypted database: its key, its settings, its soundness; knows no table but the migrations'."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from p2pmsg.errors import DatabaseNewer, StorageDamaged
from p2pmsg.storage import copies, faults
from p2pmsg.storage.cipher import SQL_FAULTS, Db, sqlite
from p2pmsg.storage.migrations import MIGRATIONS, newer_than_ours

SET_ASIDE: Final = "set_aside"
"""Key in `meta`: where the damaged database went in whose place this one was made."""
BEGIN_ANEW: Final = "Put a copy of it from before in its place; or begin anew: p2pmsg --profile NAME init --name YOUR-NAME"
_IN_USE: Final = 1
"""`user_version` of a database that was not closed since: there is a journal, without which it is not whole."""
_BUSY_S: Final = 5.0
_CACHE_KIB: Final = 4_000
"""A daemon that has talked for long holds all of it for ever: its memory stays below 80 MB. Eight times as much sends no faster."""
_WAL_KEPT_BYTES: Final = 16 << 20
_STATEMENTS: Final = 256
_CHECKED_BYTES: Final = 48_000_000
"""Up to this size the whole file is checked at every start: at most 150 ms (3 ms a megabyte). A larger one after an unclean
end only: each page has a MAC, so damage is found at the latest when it is read."""
_SETTINGS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "foreign_keys = ON",
    f"cache_size = -{_CACHE_KIB}",
    f"journal_size_limit = {_WAL_KEPT_BYTES}",
)


@dataclass(frozen=True, slots=True)
class StorageWarning:
    """Something to tell the user that did not keep the database from opening; the form of `status`'s warnings."""

    code: str
    message: str
    hint: str


_JOURNAL_MISSING: Final = StorageWarning(
    "journal_missing",
    "The database was used last without being closed, and its journal is missing: what was written then may be lost.",
    "Where you still have it: p2pmsg daemon stop, put data.db-wal back beside data.db as it was, p2pmsg daemon start",
)


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database and what there is to say about it."""

    db: Db
    warnings: tuple[StorageWarning, ...] = ()


def open_database(path: Path, key: bytes, *, existing: bool = False) -> Opened:
    """Open or create the database of a profile; `key` is 32 raw bytes. To be used by the calling thread alone.

    A file that is damaged, foreign or under another key is moved aside with its journal, and an empty one made: the
    warning names where it went. The whole file is checked where that is quick, or where the last end was not clean. Before tables
    are changed a copy is made.

    Raises:
        DatabaseNewer: a newer version made it; nothing was touched.
        StorageFull, StorageFailed: the disk does not let it be opened or written.
        StorageDamaged: it is to be there (`existing`), and is not.
    """
    if existing and not path.exists():
        raise StorageDamaged(f"The database is gone: {path}.", hint=BEGIN_ANEW)
    try:
        try:
            journal_there = _journal_of(path).exists()
            db = _open_sound(path, key)
            return Opened(db, _begin_use(db, journal_there=journal_there))
        except StorageDamaged as damage:
            aside = set_aside(path)
            db = _open_sound(path, key)
            db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (SET_ASIDE, str(aside)))
            _begin_use(db, journal_there=True)
            return Opened(db, (_warning(aside, damage),))
    except sqlite.Error as error:
        raise faults.translated(error, path.parent) from error
    except OSError as error:
        raise faults.of_system(error) from error


def open_memory() -> Db:
    """Return an empty database that lives in memory only: for the simulation and for tests."""
    db = connect(":memory:", bytes(32))
    MIGRATIONS.apply(db)
    return db


def set_aside(path: Path) -> Path:
    """Move a database and its journal to `NAME.damaged-TIME`, where SQLite still finds them as one; return that path."""
    aside = _free_name(path)
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def close_database(db: Db) -> None:
    """Write the journal back and close; a disk that refuses keeps the journal, from which the next start goes on."""
    end_use(db)
    empty_journal(db)
    db.conn.close()


def note_use(db: Db) -> None:
    """Note in the file that from now on a journal belongs to it, which this begins. Raises: what SQLite raises."""
    db.execute(f"PRAGMA user_version = {_IN_USE}")


def end_use(db: Db) -> None:
    """Note in the file that it is whole without a journal, once that is written back."""
    with contextlib.suppress(*SQL_FAULTS):
        if db.execute("PRAGMA user_version").fetchone()[0]:
            db.execute("PRAGMA user_version = 0")


def empty_journal(db: Db) -> bool:
    """Write the journal back and cut it to nothing, with what was erased since; say whether the disk let that happen.

    Nothing committed is lost where it did not.
    """
    try:
        return not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except SQL_FAULTS:
        return False


def _open_sound(path: Path, key: bytes) -> Db:
    copies.drop_copies(path, older_than_s=copies.KEPT_S)
    doubtful = _journal_left(path) or (path.exists() and path.stat().st_size <= _CHECKED_BYTES)
    db = connect(path, key)
    try:
        _refuse_newer(db)
        if doubtful:
            _check(db)
        if MIGRATIONS.applied(db) and MIGRATIONS.pending(db):
            close_database(db)  # for the copy is of one file
            copies.keep_copy(path)
            db = connect(path, key)
        for setting in _SETTINGS:
            db.execute(f"PRAGMA {setting}").fetchall()
        MIGRATIONS.apply(db)
        empty_journal(db)  # a killed process may have left there what it had erased
    except sqlite.Error as error:
        db.conn.close()
        if faults.is_damage(error):
            raise StorageDamaged(str(error)) from error
        raise
    except BaseException:
        db.conn.close()
        raise
    return db


def connect(path: Path | str, key: bytes) -> Db:
    """Return a connection under a raw 32-byte key, which nothing has tried yet; a file that is missing is made, 0600.

    Where the file system shares no memory the journal's index is kept in the process, and nobody else can read beside it.
    """
    if len(key) != 32:
        raise ValueError("the key of a database has 32 bytes")
    if isinstance(path, Path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite.connect(str(path), isolation_level=None, check_same_thread=False, timeout=_BUSY_S, cached_statements=_STATEMENTS)
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    if isinstance(path, Path) and not faults.shares_memory(path.parent):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return Db(connection, strict=True, execute_plugins=False)


def _refuse_newer(db: Db) -> None:
    if newer := newer_than_ours(db):
        raise DatabaseNewer(f"The database was made by a newer version of p2pmsg ({max(newer)}).")


def _check(db: Db) -> None:
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        raise StorageDamaged(f"{answer}")


def _begin_use(db: Db, *, journal_there: bool) -> tuple[StorageWarning, ...]:
    """Note in the file itself that there is a journal beside it from now on; say so where there should have been one, and was not."""
    missed = not journal_there and db.execute("PRAGMA user_version").fetchone()[0] == _IN_USE
    with contextlib.suppress(*SQL_FAULTS):  # a full disk may be read all the same
        note_use(db)
    empty_journal(db)
    return (_JOURNAL_MISSING,) if missed else ()


def _journal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _journal_left(path: Path) -> bool:
    """Say whether the last user of the database ended without closing it: a clean end removes the journal."""
    try:
        return _journal_of(path).stat().st_size > 0
    except FileNotFoundError:
        return False


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = (path.with_name(stem + (f".{count}" if count else "")) for count in range(1000))
    return next(name for name in names if not name.exists())


def _warning(aside: Path, damage: StorageDamaged) -> StorageWarning:
    return StorageWarning(
        "database_set_aside",
        f"The database could not be read ({damage}). It was moved to {aside}, and an empty one was made.",
        "Keep that file: what it holds may be saved. Put the right key back if the key file was changed.",
    )
