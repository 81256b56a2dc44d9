"""Group commit: one transaction for all that waits, a savepoint for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pmsg.errors import StorageFailed, StorageFull
from p2pmsg.storage.batches import Job, Settled, run_alone, run_batch
from p2pmsg.storage.cipher import Db, sqlite
from p2pmsg.storage.database import open_database, open_memory

KEY = bytes(range(32))


@pytest.fixture
def db() -> Db:
    return open_memory()


def put(key: str, value: object = 1) -> Callable[[Db], object]:
    return lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value)).rowcount


def count(db: Db) -> int:
    return int(db.execute("SELECT count(*) FROM meta").fetchone()[0])


def write(job: Callable[[Db], object], *, room_bytes: int = 0) -> Job:
    return Job(job, lambda outcome: None, writes=True, room_bytes=room_bytes)


def read(job: Callable[[Db], object]) -> Job:
    return Job(job, lambda outcome: None, writes=False)


def run(db: Db, *jobs: Job, free_bytes: int | None = None) -> list[object]:
    """Run all jobs, in as many batches as it takes; return their outcomes."""
    waiting, outcomes = deque(jobs), []
    while waiting:
        outcomes += [each.outcome for each in run_batch(db, waiting, free_bytes=free_bytes, folder=None, budget_s=60)]
        assert not db.conn.in_transaction
    return outcomes


def test_jobs_run_in_order_and_see_those_before_them(db: Db) -> None:
    assert run(db, read(count), write(put("a")), read(count), write(put("b")), read(count)) == [0, 1, 1, 1, 2]


def test_a_job_that_fails_undoes_its_own_changes_only(db: Db) -> None:
    def half(db: Db) -> None:
        put("half")(db)
        raise ValueError("no")

    outcomes = run(db, write(put("a")), write(half), write(put("b")))
    assert isinstance(outcomes[1], ValueError) and (outcomes[0], outcomes[2]) == (1, 1)
    assert db.execute("SELECT group_concat(key) FROM meta").fetchone() == ("a,b",)


def test_a_statement_that_fails_is_the_jobs_own_affair(db: Db) -> None:
    outcomes = run(db, write(put("a")), write(put("a")), write(put("b")))
    assert isinstance(outcomes[1], sqlite.IntegrityError) and count(db) == 2


def test_reads_alone_open_no_transaction(db: Db) -> None:
    assert run(db, read(lambda db: db.conn.in_transaction), write(lambda db: db.conn.in_transaction)) == [False, True]


def test_jobs_that_need_more_room_than_there_is_are_refused(db: Db) -> None:
    jobs = (write(put("a"), room_bytes=101), write(put("b"), room_bytes=100), write(put("c")), read(count))
    outcomes = run(db, *jobs, free_bytes=100)
    assert isinstance(outcomes[0], StorageFull) and outcomes[1:] == [1, 1, 2]


def test_with_a_fault_nothing_is_written_and_all_is_read(db: Db) -> None:
    fault = StorageFull("no")
    waiting = deque([write(put("a")), read(count)])
    assert [each.outcome for each in run_batch(db, waiting, folder=None, fault=fault, budget_s=60)] == [fault, 0]


def test_a_full_disk_fails_every_write_of_the_batch_and_the_next_one_works(home: Path) -> None:
    db = open_database(home / "data.db", KEY).db
    full = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {full}").fetchall()
    outcomes = run(db, write(put("small")), write(put("large", b"x" * 100_000)), read(count), write(put("after")))
    assert any(isinstance(outcome, StorageFull) for outcome in outcomes)
    kept = {key for (key,) in db.execute("SELECT key FROM meta")}
    for key, outcome in zip(("small", "large", "", "after"), outcomes, strict=True):
        assert not key or (outcome == 1) == (key in kept)
    db.execute("PRAGMA max_page_count = 100000").fetchall()
    assert run(db, write(put("large", b"x" * 100_000))) == [1]
    db.conn.close()


def test_where_the_transaction_is_lost_writes_fail_and_reads_are_run_again(db: Db) -> None:
    def lose(db: Db) -> None:
        db.execute("ROLLBACK")
        raise ValueError("gone")

    outcomes = run(db, write(put("a")), read(count), write(lose), write(put("b")))
    assert isinstance(outcomes[0], ValueError) and outcomes[1] == 0 and isinstance(outcomes[2], ValueError)
    assert outcomes[3] == 1 and count(db) == 1


def test_what_comes_after_a_lost_transaction_is_left_for_the_next_batch(db: Db) -> None:
    def lose(db: Db) -> None:
        db.execute("ROLLBACK")
        raise ValueError("gone")

    waiting = deque([write(lose), write(put("b"))])
    run_batch(db, waiting, folder=None)
    assert len(waiting) == 1 and run(db, *waiting) == [1]


def test_a_commit_that_fails_fails_all_that_wrote(home: Path) -> None:
    db = open_database(home / "data.db", KEY).db
    db.execute("CREATE TABLE later (a INTEGER REFERENCES meta (key) DEFERRABLE INITIALLY DEFERRED) STRICT")
    outcomes = run(db, write(put("a")), read(count), write(lambda db: db.execute("INSERT INTO later VALUES (7)").rowcount))
    assert [type(outcome) for outcome in outcomes] == [sqlite.IntegrityError, int, sqlite.IntegrityError]
    assert outcomes[1] == 0 and count(db) == 0
    db.conn.close()


def test_another_process_that_holds_the_database_is_an_error_of_storage(home: Path) -> None:
    db, other = open_database(home / "data.db", KEY).db, open_database(home / "data.db", KEY).db
    db.execute("PRAGMA busy_timeout = 1").fetchall()
    other.execute("BEGIN IMMEDIATE")
    outcomes = run(db, write(put("a")), read(count))
    assert isinstance(outcomes[0], StorageFailed) and outcomes[1] == 0
    other.execute("ROLLBACK")
    assert run(db, write(put("a"))) == [1]
    db.conn.close()
    other.conn.close()


def test_a_database_that_may_not_be_written_says_so_and_can_be_read(db: Db) -> None:
    db.execute("PRAGMA query_only = 1").fetchall()
    outcomes = run(db, write(put("a")), read(count))
    assert isinstance(outcomes[0], StorageFailed) and "read-only" in str(outcomes[0]) and outcomes[1] == 0
    db.execute("PRAGMA query_only = 0").fetchall()
    assert run(db, write(put("a"))) == [1]


def test_a_batch_ends_when_its_time_is_up(db: Db) -> None:
    waiting = deque([write(put(str(number))) for number in range(5)])
    settled = run_batch(db, waiting, folder=None, budget_s=0)
    assert len(settled) == 1 and len(waiting) == 4


def test_an_outcome_is_told_to_who_asked() -> None:
    told: list[object] = []
    Settled(Job(count, told.append, writes=False), 7).tell()
    assert told == [7]


def test_a_job_alone_is_committed_or_undone(db: Db, tmp_path: Path) -> None:
    run_alone(db, put("a"), tmp_path)
    with pytest.raises(ValueError, match="no"):
        run_alone(db, lambda db: raising(put("b")(db)), tmp_path)
    assert count(db) == 1 and not db.conn.in_transaction


def raising(done: object) -> None:
    raise ValueError("no")
