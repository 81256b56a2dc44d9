"""Opening: encrypted, sound, not newer; else set aside, or refused untouched."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from p2pmsg.errors import DatabaseNewer, StorageDamaged, StorageFailed
from p2pmsg.storage import database, people
from p2pmsg.storage.batches import Job, run_batch
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import close_database, open_database, set_aside

KEY = bytes(range(32))


@pytest.fixture
def path(home: Path) -> Path:
    return home / "data.db"


def filled(path: Path, rows: int = 200) -> None:
    db = open_database(path, KEY).db
    db.execute("BEGIN")
    for number in range(rows):
        db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"canary-{number}", os.urandom(300)))
    db.execute("COMMIT")
    close_database(db)


def rows(db: Db) -> int:
    return int(db.execute("SELECT count(*) FROM meta").fetchone()[0])


def test_a_new_database_is_mine_alone_and_set_as_it_must_be(path: Path) -> None:
    opened = open_database(path, KEY)
    setting = {name: opened.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "secure_delete")}
    assert setting == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1} and opened.warnings == ()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("data.db-wal").stat().st_mode & 0o777 == 0o600
    close_database(opened.db)


def test_all_tables_are_strict(path: Path) -> None:
    db = open_database(path, KEY).db
    loose = [row for row in db.execute("PRAGMA table_list").fetchall() if not row[5] and not row[1].startswith("sqlite_")]
    assert loose == [] and db.execute("PRAGMA foreign_key_check").fetchall() == []
    close_database(db)


def test_nothing_of_it_can_be_read_from_the_files(path: Path) -> None:
    db = open_database(path, KEY).db
    db.execute("INSERT INTO meta (key, value) VALUES ('canary', 'canary')")
    for part in path.parent.iterdir():
        assert b"canary" not in part.read_bytes() and b"SQLite" not in part.read_bytes()
    close_database(db)


def test_what_was_stored_is_there_again(path: Path) -> None:
    filled(path)
    opened = open_database(path, KEY)
    assert rows(opened.db) == 200 and opened.warnings == ()
    close_database(opened.db)


def test_a_clean_end_leaves_one_file(path: Path) -> None:
    filled(path)
    assert [part.name for part in path.parent.iterdir()] == ["data.db"]


@pytest.mark.parametrize("damage", ["byte", "zeros", "cut", "rubbish", "plain"])
def test_a_damaged_file_is_set_aside_and_said_so(path: Path, damage: str) -> None:
    filled(path)
    data = bytearray(path.read_bytes())
    match damage:
        case "byte":
            data[len(data) // 2] ^= 1
        case "zeros":
            data[8192:12288] = bytes(4096)
        case "cut":
            del data[len(data) // 2 :]
        case "rubbish":
            data = bytearray(os.urandom(5000))
        case "plain":
            data[:16] = b"SQLite format 3\0"
    path.write_bytes(data)
    opened = open_database(path, KEY)
    (warning,) = opened.warnings
    aside = next(part for part in path.parent.iterdir() if ".damaged-" in part.name)
    assert [key for (key,) in opened.db.execute("SELECT key FROM meta")] == ["set_aside"]
    assert aside.read_bytes() == bytes(data)
    assert warning.code == "database_set_aside" and aside.name in warning.message and warning.hint
    close_database(opened.db)


def test_a_database_under_another_key_is_kept_whole(path: Path) -> None:
    filled(path)
    opened = open_database(path, bytes(32))
    close_database(opened.db)
    aside = next(part for part in path.parent.iterdir() if ".damaged-" in part.name)
    path.unlink()
    aside.rename(path)
    again = open_database(path, KEY)
    assert rows(again.db) == 200
    close_database(again.db)


def test_whose_identity_was_in_it_is_told_so_at_every_start(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)
    for _ in range(2):
        opened = open_database(path, KEY)
        with pytest.raises(StorageDamaged, match=r"moved to .*damaged-"):
            people.identity(opened.db)
        close_database(opened.db)


def test_two_set_aside_in_one_second_do_not_meet(path: Path) -> None:
    names = set()
    for _ in range(3):
        path.write_bytes(b"x")
        names.add(set_aside(path).name)
    assert len(names) == 3


def test_a_journal_goes_along(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"x")
    aside = set_aside(path)
    assert sorted(part.name for part in path.parent.iterdir()) == sorted(aside.name + suffix for suffix in ("", "-wal", "-shm"))


def test_a_large_sound_file_is_checked_after_an_unclean_end_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr(database, "_CHECKED_BYTES", 1)
    checked: list[bool] = []
    monkeypatch.setattr(database, "_check", lambda db: checked.append(True))
    db = open_database(path, KEY).db
    assert checked == []
    db.execute("INSERT INTO meta (key, value) VALUES ('a', 1)")
    other = open_database(path, KEY).db
    assert checked == [True]
    db.conn.close()
    close_database(other)


def test_a_newer_database_is_refused_untouched(path: Path) -> None:
    db = open_database(path, KEY).db
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('p2pmsg', 'm9999_later', '')")
    close_database(db)
    before = path.read_bytes()
    with pytest.raises(DatabaseNewer, match="m9999_later"):
        open_database(path, KEY)
    assert path.read_bytes() == before and [part.name for part in path.parent.iterdir()] == ["data.db"]


def test_a_folder_in_its_place_cannot_be_opened(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageFailed):
        open_database(path, KEY)


def test_a_link_in_its_place_is_not_followed_into_the_dark(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "data.db")
    with pytest.raises(StorageFailed):
        open_database(path, KEY)


def test_a_key_has_32_bytes(path: Path) -> None:
    with pytest.raises(ValueError, match="32"):
        open_database(path, b"short")


def test_damage_that_comes_while_it_runs_is_an_error_and_no_crash(path: Path) -> None:
    filled(path, 2000)
    db = open_database(path, KEY).db
    db.execute("PRAGMA shrink_memory").fetchall()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(4096))
    waiting = deque([Job(rows_read, lambda outcome: None, writes=False), Job(rows, lambda outcome: None, writes=True)])
    outcomes = [each.outcome for each in run_batch(db, waiting, folder=path.parent)]
    assert isinstance(outcomes[0], StorageDamaged)
    db.conn.close()


def rows_read(db: Db) -> int:
    return len(db.execute("SELECT * FROM meta").fetchall())


KILLED = """
import os, sys
from pathlib import Path
from p2pmsg.storage.database import open_database
db = open_database(Path(sys.argv[1]), bytes(range(32))).db
for number in range(10**6):
    db.execute("INSERT INTO meta (key, value) VALUES (?, 1)", (f"{number:06}",))
    os.write(1, b"%06d" % number)
"""


def test_what_was_committed_survives_a_kill(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = child.stdout.read(6 * 40)
    child.kill()
    said += child.stdout.read()
    child.stdout.close()
    child.wait()
    opened = open_database(path, KEY)
    kept = {key for (key,) in opened.db.execute("SELECT key FROM meta")}
    assert opened.warnings == () and {said[at : at + 6].decode() for at in range(0, len(said) // 6 * 6, 6)} <= kept
    close_database(opened.db)


FULL = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from p2pmsg.errors import StorageFailed, StorageFull
from p2pmsg.storage.worker import Worker

async def main():
    worker = Worker(Path(sys.argv[1]), bytes(range(32)))
    await worker.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    told, refused = [], 0
    for number in range(300):
        key = f"{number:03}"
        job = lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, os.urandom(3000)))
        try:
            await worker.run(job)
            told.append(key)
        except (StorageFull, StorageFailed):
            refused += 1
    assert refused, "the limit was never met"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await worker.run(lambda db: db.execute("INSERT INTO meta (key, value) VALUES ('again', 1)"))
    print(",".join([*told, "again"]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_disk_that_fills_up_loses_nothing_that_was_said_to_be_stored(path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", FULL, str(path)], stdout=subprocess.PIPE, text=True, timeout=60)
    told = set(child.stdout.strip().split(","))
    opened = open_database(path, KEY)
    kept = {key for (key,) in opened.db.execute("SELECT key FROM meta")}
    assert "again" in told and len(told) > 10 and told == kept and opened.warnings == ()
    close_database(opened.db)


def test_a_database_that_is_to_be_there_is_not_made(home: Path) -> None:
    with pytest.raises(StorageDamaged) as gone:
        open_database(home / "data.db", KEY, existing=True)
    assert "data.db" in str(gone.value) and "init" in gone.value.hint and list(home.iterdir()) == []


@pytest.mark.parametrize("closed", [True, False])
def test_a_journal_that_should_be_there_is_missed(home: Path, closed: bool) -> None:
    path = home / "data.db"
    first = open_database(path, KEY)
    assert first.warnings == ()
    if closed:
        close_database(first.db)
    alone = home / "copy" / "data.db"
    alone.parent.mkdir()
    alone.write_bytes(path.read_bytes())
    opened = open_database(alone, KEY)
    assert [warning.code for warning in opened.warnings] == ([] if closed else ["journal_missing"])
    close_database(opened.db)
    assert open_database(alone, KEY).warnings == ()
