"""The files under an open database may be deleted or replaced: what is told as stored stays, or it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pmsg.errors import StorageDamaged, StorageFailed
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import close_database, open_database
from p2pmsg.storage.footing import Footing

KEY = bytes(range(32))


@pytest.fixture
def path(home: Path) -> Path:
    return home / "data.db"


@pytest.fixture
def db(path: Path) -> Db:
    return open_database(path, KEY).db


def put(db: Db, key: str) -> None:
    db.execute("INSERT INTO meta (key, value) VALUES (?, 'x')", (key,))


def copied(path: Path) -> set[str]:
    """Return what a copy of the files as they are now holds: that of a process which is killed here."""
    folder = path.parent / "copy"
    folder.mkdir()
    for part in path.parent.glob("data.db*"):
        (folder / part.name).write_bytes(part.read_bytes())
    copy = open_database(folder / "data.db", KEY).db
    found = {row[0] for row in copy.execute("SELECT key FROM meta")}
    close_database(copy)
    return found


def test_files_that_stay_are_no_fault(db: Db, path: Path) -> None:
    footing = Footing(path)
    put(db, "one")
    assert footing.fault(db) is None
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert footing.fault(db) is None


@pytest.mark.parametrize("parts", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_a_journal_that_is_deleted_is_made_anew_with_nothing_lost(db: Db, path: Path, parts: tuple[str, ...]) -> None:
    footing = Footing(path)
    put(db, "one")
    for part in parts:
        path.with_name(path.name + part).unlink()
    put(db, "two")
    assert footing.fault(db) is None and footing.fault(db) is None
    assert path.with_name("data.db-wal").exists()
    put(db, "three")
    assert copied(path) >= {"one", "two", "three"}


def test_a_database_that_is_deleted_is_a_fault_and_whole_as_long_as_it_is_open(db: Db, path: Path) -> None:
    footing = Footing(path)
    put(db, "one")
    descriptor = os.open(path, os.O_RDONLY)
    path.unlink()
    fault = footing.fault(db)
    assert isinstance(fault, StorageDamaged) and str(os.getpid()) in fault.hint
    path.with_name("data.db-wal").unlink()
    with os.fdopen(descriptor, "rb") as file:
        path.write_bytes(file.read())
    assert "one" in copied(path)
    assert isinstance(footing.fault(db), StorageDamaged)


def test_another_file_in_its_place_is_a_fault(db: Db, path: Path) -> None:
    footing = Footing(path)
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").rename(path)
    assert isinstance(footing.fault(db), StorageDamaged)


def test_a_journal_that_cannot_be_made_anew_is_a_fault_until_it_can(db: Db, path: Path) -> None:
    footing = Footing(path)
    put(db, "one")
    path.with_name("data.db-wal").unlink()
    db.execute("BEGIN")  # in which no journal can be changed
    assert isinstance(footing.fault(db), StorageFailed)
    db.execute("COMMIT")
    assert footing.fault(db) is None
