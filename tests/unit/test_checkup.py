"""Looking at a database that somebody works on, or nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pmsg.errors import DatabaseNewer, StorageDamaged, StorageFailed
from p2pmsg.storage import checkup
from p2pmsg.storage.checkup import check_folder, look
from p2pmsg.storage.database import close_database, open_database

KEY = b"k" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    close_database(open_database(tmp_path / "data.db", KEY).db)
    return tmp_path / "data.db"


def test_a_sound_one_is_left_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    assert "every page is sound" in look(path, KEY)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_beside_its_owner(path: Path) -> None:
    db = open_database(path, KEY).db
    db.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")
    assert "It opens" in look(path, KEY)
    db.execute("INSERT INTO meta (key, value) VALUES ('c', 'd')")
    close_database(db)


def test_a_large_one_is_not_looked_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "CHECKED_BYTES", 1)
    assert "too large" in look(path, KEY)


def test_names(path: Path) -> None:
    assert checkup.names(path, KEY) == set()
    db = open_database(path, KEY).db
    db.execute("INSERT INTO request (id, nickname, received_ms) VALUES ('a', 'Eve', 1)")
    db.execute("INSERT INTO account (number, id) VALUES (1, x'01')")
    db.execute("INSERT INTO acquaintance (account, nickname) VALUES (1, 'bob')")
    columns = "account, position, tie, name, nickname, trust, pair_key, removed"
    db.execute(f"INSERT INTO contact ({columns}) VALUES (1, 0, x'', 'Bobby', 'Bob', 'verified', x'', 0)")
    assert checkup.names(path, KEY) == {"Eve", "bob", "Bob", "Bobby"}
    close_database(db)
    assert checkup.names(path, b"x" * 32) == checkup.names(path.with_name("none"), KEY) == set()


def test_another_key(path: Path) -> None:
    with pytest.raises(StorageDamaged):
        look(path, b"x" * 32)


def test_a_page_flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageDamaged):
        look(path, KEY)


def test_a_newer_one(path: Path) -> None:
    db = open_database(path, KEY).db
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('p2pmsg', 'm9999_later', '2030')")
    close_database(db)
    with pytest.raises(DatabaseNewer):
        look(path, KEY)


def test_what_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot be written to"):
        look(tmp_path / "missing.db", KEY)
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageFailed):
        look(tmp_path / "folder.db", KEY)
    with pytest.raises(OSError):
        check_folder(tmp_path / "no such folder")
