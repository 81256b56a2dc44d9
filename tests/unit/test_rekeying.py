import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from p2pmsg.errors import StorageDamaged, StorageFailed, StorageFull
from p2pmsg.storage import copies, faults, rekeying
from p2pmsg.storage.database import close_database, connect, open_database

OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database under OLD with a megabyte in it."""
    path = tmp_path / "data.db"
    opened = open_database(path, OLD)
    opened.db.execute("CREATE TABLE filled (id INTEGER PRIMARY KEY, bytes BLOB) STRICT")
    opened.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 100) INSERT INTO filled SELECT i, randomblob(10000) FROM n"
    )
    close_database(opened.db)
    return path


def rows(path: Path, key: bytes) -> int:
    opened = open_database(path, key)
    assert not opened.warnings
    count: int = opened.db.execute("SELECT count(*) FROM filled WHERE length(bytes) = 10000").fetchone()[0]
    close_database(opened.db)
    return count


def test_only_its_own_key_opens_a_database(path: Path, tmp_path: Path) -> None:
    assert rekeying.opens(path, OLD)
    assert not rekeying.opens(path, NEW)
    assert not rekeying.opens(tmp_path / "none.db", OLD)
    assert not (tmp_path / "none.db").exists()


def test_all_is_under_the_new_key_and_nothing_of_the_old_is_left(path: Path) -> None:
    copies.keep_copy(path)
    rekeying.rekey(path, OLD, NEW)
    assert (rekeying.opens(path, OLD), rekeying.opens(path, NEW)) == (False, True)
    assert rows(path, NEW) == 100
    assert [each.name for each in path.parent.iterdir()] == ["data.db"]


def test_what_the_journal_still_held_is_taken_along(path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from p2pmsg.storage.database import open_database
db = open_database(Path({str(path)!r}), {OLD!r}).db
db.execute("INSERT INTO filled VALUES (1000, randomblob(10000))")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert path.with_name("data.db-wal").stat().st_size > 0
    rekeying.rekey(path, OLD, NEW)
    assert rows(path, NEW) == 101


def test_another_key_than_the_databases_changes_nothing(path: Path) -> None:
    with pytest.raises(StorageDamaged):
        rekeying.rekey(path, NEW, OLD)
    assert rows(path, OLD) == 100


def test_while_somebody_has_it_open_it_stays_as_it_is(path: Path) -> None:
    other = connect(path, OLD)
    other.execute("SELECT count(*) FROM filled").fetchone()
    with pytest.raises(StorageFailed):
        rekeying.rekey(path, OLD, NEW)
    other.conn.close()
    assert rows(path, OLD) == 100


def test_without_room_for_the_journal_it_is_not_begun(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "free_bytes", lambda folder: path.stat().st_size)
    with pytest.raises(StorageFull):
        rekeying.rekey(path, OLD, NEW)
    assert rows(path, OLD) == 100


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")
@pytest.mark.parametrize("free_kb", [50, 500, 900])
def test_a_disk_that_others_fill_meanwhile_leaves_it_under_its_key(path: Path, tmp_path: Path, free_kb: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size_kb = (path.stat().st_size >> 10) + free_kb
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(disk)], check=True)
    try:
        there = disk / path.name
        shutil.copyfile(path, there)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(StorageFull):
            patch.setattr(rekeying, "_ROOM", 0.0)
            rekeying.rekey(there, OLD, NEW)
        assert rekeying.opens(there, OLD) and not rekeying.opens(there, NEW)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_killed_at_any_moment_it_opens_under_one_of_the_two(path: Path) -> None:
    program = f"""
from pathlib import Path
from p2pmsg.storage import rekeying
print(flush=True)
rekeying.rekey(Path({str(path)!r}), {OLD!r}, {NEW!r})
"""
    for moment_s in (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            assert child.stdout is not None
            child.stdout.readline()
            threading.Event().wait(moment_s)
            child.kill()
        if rekeying.opens(path, NEW):
            rekeying.rekey(path, NEW, OLD)
        assert rows(path, OLD) == 100
