"""Put the database under another key, whole or not at all; says under which key it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from p2pmsg.errors import StorageDamaged, StorageFailed, StorageFull
from p2pmsg.storage import copies, faults
from p2pmsg.storage.cipher import Db, sqlite
from p2pmsg.storage.database import connect, end_use

_ROOM: Final = 1.1
"""How much of its size a change of key needs besides, for the journal."""


def opens(path: Path, key: bytes) -> bool:
    """Say whether this raw 32-byte key opens the database. False also where there is no database.

    What an interrupted change left in the journal is undone by this look. Raises: StorageFailed, StorageFull.
    """
    if not path.exists():
        return False
    db = connect(path, key)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite.Error as error:
        if faults.is_damage(error):
            return False
        raise faults.translated(error, path.parent) from error
    finally:
        db.conn.close()
    return True


def rekey(path: Path, old: bytes, new: bytes) -> None:
    """Encrypt every page anew, and delete the copies under the old key. Nobody else has the database open.

    Killed at any point it opens under one of the two keys.

    Raises:
        StorageFull, StorageFailed: it stays under `old`.
        StorageDamaged: it is not under `old`.
    """
    if faults.free_bytes(path.parent) < _ROOM * path.stat().st_size:
        raise StorageFull("The disk has too little room: while its key is changed the database is there twice.")
    db = connect(path, old)
    try:
        # SQLCipher's rekey is one transaction; with the old kind of journal there is no file beside the database that outlives it
        _set(db, "journal_mode", "DELETE")
        end_use(db)
        db.execute(f"PRAGMA rekey = \"x'{new.hex()}'\"")
        _set(db, "journal_mode", "WAL")
    except sqlite.Error as error:
        if faults.is_damage(error):
            raise StorageDamaged("The database does not open under its key.") from error
        raise _fault(error, path) from error
    finally:
        db.conn.close()
    if not opens(path, new):
        raise StorageFailed("The database stayed under its old key.")
    copies.drop_copies(path)


def _fault(error: sqlite.Error, path: Path) -> Exception:
    """Return what the disk did. SQLCipher says of whatever ends a change of key that it is one of SQL: then it is told by the room."""
    found = faults.translated(error, path.parent)
    if not isinstance(found, sqlite.Error):
        return found
    if faults.free_bytes(path.parent) < path.stat().st_size:
        return StorageFull("The disk is full: the key was not changed.")
    return StorageFailed(f"The key of the database could not be changed ({faults.name_of(error)}).")


def _set(db: Db, setting: str, value: str) -> None:
    answer = str(db.execute(f"PRAGMA {setting} = {value}").fetchone()[0])
    if answer.upper() != value:
        raise StorageFailed(f"The database could not be prepared for another key ({setting} is {answer}): something else has it open.")
