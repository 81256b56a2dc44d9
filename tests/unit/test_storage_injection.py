"""Whatever statement, commit or write fails: nothing acknowledged is lost, nothing is doubled, and the work goes on.

One life of a database is run with every n-th statement failing, in each way a disk has; then with every page that the journal
cannot grow by. What failed is tried again, as the node and people do.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.errors import StorageFailed, StorageFull
from p2pmsg.model.events import Event
from p2pmsg.model.ids import EventId
from p2pmsg.storage import feed, log, people, queries
from p2pmsg.storage import worker as module
from p2pmsg.storage.batches import Job, run_batch
from p2pmsg.storage.cipher import Db, sqlite
from p2pmsg.storage.database import Opened, close_database, open_database
from p2pmsg.storage.rebuild import rebuild
from p2pmsg.storage.worker import Worker
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct, line, own_identity
from tests.unit.test_storage_rebuild import everything

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)
KEY = bytes(range(32))
FROM_BOB = line(Shelf(BOB), TALK, [f"theirs {number}" for number in range(6)])
NOMEM, FULL, IOERR_WRITE, IOERR_FSYNC = 7, 13, 10 | 3 << 8, 10 | 4 << 8
KILLED = -1
WAL_HEADER, WAL_PAGE = 32, 24 + 4096
TRIES = 10
PATIENCE_S = 10.0

Run = Callable[[list[Callable[[Db], object]]], list[object]]
"""Runs jobs that wait together, and returns their outcomes in order."""


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


# -- the life


@dataclass
class Life:
    """What Ann's database goes through, and what was promised of it on the way."""

    ann: Shelf
    run: Run
    promised: list[EventId] = field(default_factory=list)
    said: dict[str, Event] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def live(self) -> None:
        ann = self.ann
        self.together(lambda: ann.meet(BOB))
        self.together(self.say("one"), self.hear(0, 2), self.say("two"))
        self.together(lambda: ann.ack(BOB, [self.said["one"]]), self.hear(3, 4))
        self.together(self.hear(0, 4), lambda: ann.mark_read(TALK.id, [FROM_BOB[1]]), self.say("three"))
        self.together(lambda: ann.delete(BOB, [FROM_BOB[0]]), lambda: ann.delete(BOB, [self.said["one"]]))
        self.together(self.hear(0, 6), lambda: ann.delete(BOB, [self.said["three"]]), self.say("four"))
        self.together(lambda: ann.ack(BOB, [self.said["four"]]))
        self.together(lambda: ann.meet(BOB, name="Robert"))

    def together(self, *steps: Callable[[], object]) -> None:
        """Run steps that wait together; those that failed are tried again, as often as a fault may last."""
        left = list(steps)
        for _ in range(TRIES):
            outcomes = self.run([lambda db, step=step: step() for step in left])  # type: ignore[misc]
            self._note(outcomes)
            left = [step for step, outcome in zip(left, outcomes, strict=True) if isinstance(outcome, BaseException)]
            if not left:
                return
        raise AssertionError(f"it never went on: {self.failures[-1]!r}")

    def _note(self, outcomes: list[object]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Event):
                self.promised.append(outcome.id)
            elif isinstance(outcome, log.Received):
                self.promised += [tip.id for tip in outcome.tips]
            elif isinstance(outcome, BaseException):
                assert isinstance(outcome, StorageFull | StorageFailed | MemoryError), repr(outcome)
                self.failures.append(outcome)
        real = getattr(self.ann.db.conn, "real", self.ann.db.conn)
        assert set(self.promised) <= {EventId(row[0]) for row in real.execute("SELECT id FROM event")}, "what was promised is there"

    def say(self, text: str) -> Callable[[], Event]:
        def step() -> Event:
            self.said[text] = self.ann.say(BOB, text)
            return self.said[text]

        return step

    def hear(self, start: int, stop: int) -> Callable[[], object]:
        return lambda: self.ann.take(FROM_BOB[start:stop], BOB)


def left_by(life: Life) -> dict[str, object]:
    """What a life must have left, whatever failed on the way: all but ids and times."""
    db = life.ann.db
    rows = [row for row in queries.history(db, TALK.id, 100) if row.kind == "text"]
    fed = [(change.type, change.state, change.account) for change in feed.after(db, 0).changes]
    return {
        "texts": sorted((row.text, [each.delivered_ms is not None for each in row.deliveries]) for row in rows),
        "unread": life.ann.unread(BOB),
        "logs": db.execute(
            "SELECT c.id, d.id, e.seq FROM event e, conversation c, device d"
            " WHERE c.number = e.conversation AND d.number = e.device ORDER BY 1, 2, 3"
        ).fetchall(),
        "erased": db.execute("SELECT count(*) FROM event WHERE body IS NULL").fetchone()[0],
        "fed": sorted(fed, key=repr),
        "contacts": [contact.name for contact in people.contacts(db)],
    }


def check(life: Life, db: Db) -> None:
    """Compare what is in a database with what a life without faults leaves, and its views with those that the logs give."""
    life.ann.db = db
    assert left_by(life) == unharmed()
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


def lived(at: int = 0, **how: Any) -> tuple[Life, Failing]:
    """Return a life in memory, in which this statement fails."""
    ann = Shelf(ANN)
    failing = Failing(ann.db.conn, at, **how)
    ann.db.conn = failing  # type: ignore[assignment]
    life = Life(ann, batches(ann.db))
    life.live()
    failing.at = 0
    return life, failing


@cache
def unharmed() -> dict[str, object]:
    return left_by(lived()[0])


# -- statements and commits


WAYS = {
    "full": {"code": FULL},
    "full, and all is undone": {"code": FULL, "undoes": True},
    "fsync": {"code": IOERR_FSYNC},
    "memory": {"code": NOMEM},
    "write, for a while": {"code": IOERR_WRITE, "more": 7},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_statement_may_fail(way: str) -> None:
    count, committed = len(lived()[1].seen), 0
    for at in range(1, count + 1):
        life, failing = lived(at, **WAYS[way])
        try:
            check(life, life.ann.db)
        except AssertionError as error:
            raise AssertionError(f"statement {at} of {count}: {failing.failed}") from error
        committed += "COMMIT" in failing.failed
    assert count > 250 and committed >= 8


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
