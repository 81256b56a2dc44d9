"""Whatever statement, commit or write fails: nothing acknowledged is lost, nothing is doubled, and the work goes on.

One life of a database is run with every n-th statement failing, in each way a disk has; then with every page that the journal
cannot grow by. What failed is tried again, as the node and people do.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.errors import StorageFailed
from p2pmsg.storage import batches as batches_module
from p2pmsg.storage import people
from p2pmsg.storage import worker as module
from p2pmsg.storage.batches import Job, run_batch
from p2pmsg.storage.cipher import Db, sqlite
from p2pmsg.storage.database import Opened, close_database, open_database
from p2pmsg.storage.rebuild import rebuild
from p2pmsg.storage.worker import Worker
from tests.unit.lives import ANN, Life, Run, left_by
from tests.unit.shelves import NOW, Shelf, own_identity
from tests.unit.test_storage_rebuild import everything

KEY = bytes(range(32))
NOMEM, FULL, IOERR_WRITE, IOERR_FSYNC = 7, 13, 10 | 3 << 8, 10 | 4 << 8
KILLED = -1
WAL_HEADER, WAL_PAGE = 32, 24 + 4096
PATIENCE_S = 10.0

# -- the seam: a connection that fails


@dataclass
class Failing:
    """A connection whose statement number `at` fails, and `more` after it; `undoes` says whether SQLite drops the transaction too.

    A rollback never fails: SQLite ends the transaction whatever the disk says.
    """

    real: Any
    at: int = 0
    code: int = FULL
    undoes: bool = False
    more: int = 0
    seen: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def execute(self, sql: str, *parameters: object) -> Any:
        self._count(sql)
        return self.real.execute(sql, *parameters)

    def executemany(self, sql: str, rows: object) -> Any:
        self._count(sql)
        return self.real.executemany(sql, rows)

    def _count(self, sql: str) -> None:
        if sql == "ROLLBACK":
            return
        self.seen.append(sql)
        if self.at and self.at <= len(self.seen) <= self.at + self.more:
            self.failed.append(sql)
            if self.undoes and self.real.in_transaction:
                self.real.execute("ROLLBACK")
            raise fault(self.code)


def fault(code: int) -> BaseException:
    """Return what SQLCipher raises for a code of SQLite, or what stands for the end of the process."""
    if code == KILLED:
        return Killed()
    if code == NOMEM:
        return MemoryError()
    error = sqlite.OperationalError("the disk said no")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_INJECTED"
    failure: BaseException = error
    return failure


def check(life: Life, db: Db) -> None:
    """Compare what is in a database with what a life without faults leaves, and its views with those that the logs give."""
    life.ann.db = db
    assert left_by(life) == unharmed(life.at_home)
    before = everything(life.ann)
    rebuild(db)
    assert everything(life.ann) == before


def batches(db: Db) -> Run:
    def run(jobs: list[Callable[[Db], object]]) -> list[object]:
        waiting = deque(Job(job, lambda outcome: None, writes=True) for job in jobs)
        outcomes: list[object] = []
        while waiting:
            outcomes += [each.outcome for each in run_batch(db, waiting, folder=None, budget_s=60)]
            assert not db.conn.in_transaction
        return outcomes

    return run


def lived(at: int = 0, *, at_home: bool = False, **how: Any) -> tuple[Life, Failing]:
    """Return a life in memory, in which this statement fails."""
    ann = Shelf(ANN)
    failing = Failing(ann.db.conn, at, **how)
    ann.db.conn = failing  # type: ignore[assignment]
    life = Life(ann, batches(ann.db), at_home)
    life.live()
    failing.at = 0
    return life, failing


def test_every_kind_of_statement_that_writes_is_among_them() -> None:
    """Whoever writes something new to the database gives it a place in a life."""
    written: set[tuple[str, str]] = set()
    for file in Path(batches_module.__file__).parent.glob("*.py"):
        if file.name != "migrations.py":
            written |= kinds(file.read_text())
    assert written - kinds(" ".join(lived()[1].seen + lived(at_home=True)[1].seen)) == {("INSERT", "identity")}  # once, by init


def kinds(sql: str) -> set[tuple[str, str]]:
    found = re.findall(r"\b(INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM) ([a-z_]+)\b", sql)
    return {(verb.split()[0], table) for verb, table in found}


@cache
def unharmed(at_home: bool) -> dict[str, object]:
    return left_by(lived(at_home=at_home)[0])


# -- statements and commits


WAYS = {
    "full": {"code": FULL},
    "full, and all is undone": {"code": FULL, "undoes": True},
    "fsync": {"code": IOERR_FSYNC},
    "memory": {"code": NOMEM},
    "write, for a while": {"code": IOERR_WRITE, "more": 7},
}


@pytest.mark.parametrize("at_home,way", [(False, way) for way in WAYS] + [(True, "full"), (True, "full, and all is undone")])
def test_every_statement_may_fail(at_home: bool, way: str) -> None:
    count, committed = len(lived(at_home=at_home)[1].seen), 0
    for at in range(1, count + 1):
        life, failing = lived(at, at_home=at_home, **WAYS[way])
        try:
            check(life, life.ann.db)
        except AssertionError as error:
            raise AssertionError(f"statement {at} of {count}: {failing.failed}") from error
        committed += "COMMIT" in failing.failed
    assert count > 200 and committed >= 8


@pytest.fixture
def profile(home: Path) -> Path:
    """A database on the disk with Ann's identity, closed."""
    path = home / "data.db"
    db = open_database(path, KEY).db
    people.create_identity(db, own_identity(ANN))
    people.add_links(db, ANN.links, NOW)
    close_database(db)
    return path


def test_the_thread_outlives_it(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Failing] = []

    def open_failing(path: Path, key: bytes, **how: bool) -> Opened:
        opened = open_database(path, key, **how)
        made.append(Failing(opened.db.conn))
        opened.db.conn = made[-1]  # type: ignore[assignment]
        shelves.append(Shelf(ANN, opened.db))
        return opened

    shelves: list[Shelf] = []
    monkeypatch.setattr(module, "open_database", open_failing)
    sound = profile.read_bytes()
    commits = [at for at, sql in enumerate(lived()[1].seen, 1) if sql in ("COMMIT", "BEGIN IMMEDIATE")]
    for at in (*commits, *range(1, 280, 40)):
        profile.write_bytes(sound)
        life = asyncio.run(with_worker(profile, made, shelves, at))
        assert life.failures or made[-1].failed
        db = open_database(profile, KEY).db
        check(life, db)
        close_database(db)


async def with_worker(path: Path, made: list[Failing], shelves: list[Shelf], at: int) -> Life:
    worker = Worker(path, KEY)
    assert await worker.open() == ()
    made[-1].at = at

    def run(jobs: list[Callable[[Db], object]]) -> list[object]:
        outcomes: list[Future[object]] = [Future() for _ in jobs]
        for job, outcome in zip(jobs, outcomes, strict=True):
            worker.submit(job, outcome.set_result)
        return [outcome.result(PATIENCE_S) for outcome in outcomes]

    life = Life(shelves[-1], run)
    await asyncio.to_thread(life.live)
    await worker.close()
    return life


# -- the end of the process


class Killed(BaseException):
    """The process ends here."""


def test_the_process_may_end_before_a_statement(profile: Path) -> None:
    sound, seen, ends = profile.read_bytes(), lived()[1].seen, 0
    for at, sql in enumerate(seen, 1):
        if at % 2 and not sql.startswith(("COMMIT", "PRAGMA")):
            continue
        profile.write_bytes(sound)
        db = open_database(profile, KEY).db
        db.conn = Failing(db.conn, at, KILLED)  # type: ignore[assignment]
        life = Life(Shelf(ANN, db), batches(db))
        life.run = mortal(life, profile)
        life.live()
        check(life, life.ann.db)
        close_database(life.ann.db)
        ends += len(life.failures) or sql.startswith("PRAGMA")
    assert ends >= len(seen) // 2


def mortal(life: Life, path: Path) -> Run:
    """Start again, with what lies on the disk, after the process has ended; what was not committed has failed."""

    def run(jobs: list[Callable[[Db], object]]) -> list[object]:
        dying = life.ann.db.conn
        try:
            return batches(life.ann.db)(jobs)
        except Killed:
            assert isinstance(dying, Failing)
            life.ann.db = reopened(dying, path)
        committed = dying.seen[-1].startswith("PRAGMA")
        return [None if committed else StorageFailed("killed") for _ in jobs]

    return run


def reopened(dying: Failing, path: Path) -> Db:
    parts = {part: part.read_bytes() for part in (path, path.with_name("data.db-wal"))}
    dying.real.close()  # which tidies up, unlike a kill
    for part, data in parts.items():
        part.write_bytes(data)
    opened = open_database(path, KEY)
    assert opened.warnings == ()
    return opened.db


# -- real writes


@contextlib.contextmanager
def files_end_at(size_bytes: int) -> Iterator[Callable[[], None]]:
    """Let no file of this process grow beyond a size (EFBIG) until the function that is given is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def heal() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield heal
    finally:
        heal()


def test_every_page_of_the_journal_may_not_be_written(profile: Path) -> None:
    sound, failed, at = profile.read_bytes(), 0, 0
    while at == failed:  # until the journal never grows that long
        profile.write_bytes(sound)
        db = open_database(profile, KEY).db
        with files_end_at(WAL_HEADER + at * WAL_PAGE + WAL_PAGE // 2) as heal:
            life = Life(Shelf(ANN, db), healing(batches(db), heal))
            life.live()
        close_database(db)
        db = open_database(profile, KEY).db
        check(life, db)
        close_database(db)
        failed += bool(life.failures)
        at += 1
    assert failed >= 15


def healing(run: Run, heal: Callable[[], None]) -> Run:
    """Give the disk its room back as soon as somebody was told that there is none."""

    def and_heal(jobs: list[Callable[[Db], object]]) -> list[object]:
        outcomes = run(jobs)
        if any(isinstance(outcome, BaseException) for outcome in outcomes):
            heal()
        return outcomes

    return and_heal
