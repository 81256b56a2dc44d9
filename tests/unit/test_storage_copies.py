"""Before a newer version changes the tables the database is copied."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from p2pmsg import __version__
from p2pmsg.errors import StorageFull
from p2pmsg.storage import copies, database, erasing
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import close_database, open_database
from p2pmsg.storage.migrations import MIGRATIONS

KEY = bytes(range(32))
LAST = MIGRATIONS.pending(Db(memory=True))[-1].name


@pytest.fixture
def path(home: Path) -> Path:
    return home / "data.db"


def of_an_older_version(path: Path) -> bytes:
    """Make a database that lacks the last step; return its bytes."""
    db = database.connect(path, KEY)
    for setting in database._SETTINGS:
        db.execute(f"PRAGMA {setting}").fetchall()
    MIGRATIONS.apply(db, stop_before=LAST)
    db.execute("INSERT INTO meta (key, value) VALUES ('canary', 1)")
    close_database(db)
    return path.read_bytes()


def upgrade(path: Path) -> None:
    opened = open_database(path, KEY)
    assert opened.warnings == () and MIGRATIONS.pending(opened.db) == []
    assert opened.db.execute("SELECT count(*) FROM meta WHERE key = 'canary'").fetchone() == (1,)
    close_database(opened.db)


def test_an_upgrade_leaves_a_copy_that_can_be_put_back(path: Path) -> None:
    before = of_an_older_version(path)
    upgrade(path)
    (copy,) = copies.copies(path)
    assert copy.name == f"data.db.before-{__version__}" and copy.read_bytes() == before and copy.stat().st_mode & 0o777 == 0o600
    copy.rename(path)
    upgrade(path)


def test_without_a_change_there_is_none(path: Path) -> None:
    for _ in range(2):
        close_database(open_database(path, KEY).db)
    assert [part.name for part in path.parent.iterdir()] == ["data.db"]


def test_one_is_kept(path: Path) -> None:
    of_an_older_version(path)
    path.with_name("data.db.before-0.0.1").write_bytes(b"older")
    path.with_name(f"data.db.before-{__version__}").write_bytes(b"of a step before")
    upgrade(path)
    assert [copy.name for copy in copies.copies(path)] == [f"data.db.before-{__version__}"]
    assert copies.copies(path)[0].stat().st_size > 1000


def test_what_was_committed_before_a_kill_is_in_it(path: Path) -> None:
    of_an_older_version(path)
    db = database.connect(path, KEY)
    db.execute("INSERT INTO meta (key, value) VALUES ('journalled', 1)")
    killed = {part: part.read_bytes() for part in path.parent.iterdir()}
    db.conn.close()
    for part, data in killed.items():
        part.write_bytes(data)
    upgrade(path)
    old = database.connect(copies.copies(path)[0], KEY)
    assert old.execute("SELECT count(*) FROM meta WHERE key = 'journalled'").fetchone() == (1,)
    old.conn.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_where_there_is_no_room_for_it_nothing_is_changed(path: Path) -> None:
    before = of_an_older_version(path)
    path.with_name(f"data.db.before-{__version__}.new").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        open_database(path, KEY)
    assert path.read_bytes() == before and copies.copies(path) == []


def test_after_a_week_it_goes(path: Path) -> None:
    of_an_older_version(path)
    upgrade(path)
    (copy,) = copies.copies(path)
    upgrade(path)
    assert copy.exists()
    old = time.time() - copies.KEPT_S - 1
    os.utime(copy, (old, old))
    upgrade(path)
    assert not copy.exists()


def test_what_is_deleted_for_good_goes_from_it_too(path: Path) -> None:
    db = open_database(path, KEY).db
    path.with_name("data.db.before-1").touch()
    erasing.scrub(db)
    assert len(copies.copies(path)) == 1
    erasing._JOURNAL_DUE.add(db)
    erasing.scrub(db)
    assert copies.copies(path) == [] and db not in erasing._JOURNAL_DUE
    close_database(db)


def test_a_copy_that_cannot_be_deleted_now_is_tried_again(path: Path) -> None:
    db = open_database(path, KEY).db
    path.with_name("data.db.before-1").mkdir()
    assert copies.drop_copies_of(db) is False
    close_database(db)


def test_in_memory_there_are_none() -> None:
    assert copies.drop_copies_of(database.open_memory()) is True
