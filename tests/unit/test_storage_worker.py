"""The thread that owns the database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from p2pmsg.config import limits
from p2pmsg.errors import StorageBusy, StorageDamaged, StorageFailed, StorageFull
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import open_database, open_memory
from p2pmsg.storage.worker import Inline, Worker

KEY = bytes(range(32))


def put(key: str) -> Callable[[Db], str]:
    def job(db: Db) -> str:
        db.execute("INSERT INTO meta (key, value) VALUES (?, 1)", (key,))
        return key

    return job


def keys(db: Db) -> list[str]:
    return [key for (key,) in db.execute("SELECT key FROM meta ORDER BY key")]


@pytest_asyncio.fixture
async def worker(home: Path) -> AsyncIterator[Worker]:
    worker = Worker(home / "data.db", KEY)
    assert await worker.open() == ()
    yield worker
    await worker.close()


@pytest.mark.asyncio
async def test_what_is_done_is_on_the_disk(worker: Worker, home: Path) -> None:
    assert await worker.run(put("a")) == "a"
    assert await worker.ask(keys) == ["a"]
    other = open_database(home / "data.db", KEY).db
    assert keys(other) == ["a"]
    other.conn.close()


@pytest.mark.asyncio
async def test_outcomes_come_in_order_on_the_loop(worker: Worker) -> None:
    told: list[object] = []
    last = asyncio.get_running_loop().create_future()
    here = threading.get_ident()

    def done(outcome: object) -> None:
        assert threading.get_ident() == here
        told.append(outcome)
        if outcome == "z":
            last.set_result(None)

    for key in "abcz":
        worker.submit(put(key), done)
    worker_thread = await worker.ask(lambda db: threading.get_ident())
    await last
    assert told == ["a", "b", "c", "z"] and worker_thread != here


@pytest.mark.asyncio
async def test_nothing_is_told_from_within_the_call(worker: Worker) -> None:
    told: list[object] = []
    worker.submit(put("a"), told.append)
    assert told == []
    await worker.ask(keys)
    assert told == ["a"]


@pytest.mark.asyncio
async def test_jobs_that_wait_share_a_transaction(worker: Worker) -> None:
    entered, release = threading.Event(), threading.Event()

    def block(db: Db) -> None:
        entered.set()
        release.wait(5)

    first = asyncio.get_running_loop().create_future()
    worker.submit(block, first.set_result)
    await asyncio.to_thread(entered.wait, 5)
    changes: list[object] = []
    for key in "abc":
        worker.submit(lambda db, key=key: (put(key)(db), db.conn.in_transaction), changes.append)  # type: ignore[misc]
    release.set()
    assert await worker.ask(keys) == ["a", "b", "c"]
    await first
    assert changes == [("a", True), ("b", True), ("c", True)]


@pytest.mark.asyncio
async def test_a_fault_in_a_job_harms_no_other(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda db: 1 // 0)
    assert await worker.run(put("a")) == "a"


@pytest.mark.asyncio
async def test_a_fault_in_who_is_told_harms_no_other(worker: Worker) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context["exception"]))

    def done(outcome: object) -> None:
        raise ValueError("told")

    worker.submit(put("a"), done)
    assert await worker.run(put("b")) == "b"
    assert [str(fault) for fault in faults] == ["told"]


@pytest.mark.asyncio
async def test_who_no_longer_waits_is_passed_over(worker: Worker) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await worker.run(put("a"))
    assert await worker.ask(keys) == ["a"]


@pytest.mark.asyncio
async def test_more_than_may_wait_is_refused(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JOBS_WAITING", 3)
    entered, release = threading.Event(), threading.Event()
    worker.read(lambda db: (entered.set(), release.wait(5)), lambda outcome: None)
    await asyncio.to_thread(entered.wait, 5)
    told: list[object] = []
    for key in "abcd":
        worker.submit(put(key), told.append)
    await asyncio.sleep(0)
    assert [type(outcome) for outcome in told] == [StorageBusy]
    monkeypatch.undo()
    release.set()
    assert await worker.ask(keys) == ["a", "b", "c"]
    assert told[1:] == ["a", "b", "c"]


@pytest.mark.asyncio
async def test_jobs_may_need_room_on_the_disk(home: Path) -> None:
    worker = Worker(home / "data.db", KEY, room=lambda folder: 999)
    await worker.open()
    with pytest.raises(StorageFull):
        await worker.run(put("a"), room_bytes=1000)
    assert await worker.run(put("b"), room_bytes=999) == "b"
    assert await worker.run(put("c")) == "c"
    assert worker.free_bytes == 999
    await worker.close()


@pytest.mark.asyncio
async def test_where_the_room_is_not_known_nothing_is_refused(home: Path) -> None:
    def fails(folder: Path) -> int:
        raise OSError("gone")

    worker = Worker(home / "data.db", KEY, room=fails)
    await worker.open()
    assert await worker.run(put("a"), room_bytes=1000) == "a" and worker.free_bytes is None
    await worker.close()


@pytest.mark.asyncio
async def test_closing_finishes_what_was_given_and_takes_nothing_more(home: Path) -> None:
    worker = Worker(home / "data.db", KEY)
    await worker.open()
    told: list[object] = []
    for number in range(100):
        worker.submit(put(f"{number:03}"), told.append)
    await worker.close()
    assert len(told) == 100 and not (home / "data.db-wal").exists()
    with pytest.raises(StorageFailed):
        await worker.run(put("late"))
    await worker.close()


@pytest.mark.asyncio
async def test_what_cannot_be_opened_says_so_and_needs_no_closing(home: Path) -> None:
    (home / "data.db").mkdir()
    worker = Worker(home / "data.db", KEY)
    with pytest.raises(StorageFailed):
        await worker.open()
    await worker.close()


@pytest.mark.asyncio
async def test_a_damaged_database_is_reported_on_opening(home: Path) -> None:
    (home / "data.db").write_bytes(b"rubbish" * 1000)
    worker = Worker(home / "data.db", KEY)
    (warning,) = await worker.open()
    assert warning.code == "database_set_aside"
    await worker.close()


def test_the_inline_twin_runs_when_its_scheduler_says_so() -> None:
    due: list[Callable[[], None]] = []
    told: list[object] = []
    inline = Inline(open_memory(), due.append)
    inline.submit(put("a"), told.append)
    inline.read(keys, told.append)
    assert told == [] and len(due) == 1
    due.pop()()
    assert told == ["a", ["a"]]
    inline.submit(put("b"), lambda outcome: inline.submit(put("c"), told.append))
    due.pop()()
    assert len(due) == 1
    due.pop()()
    assert told == ["a", ["a"], "c"]


def test_the_inline_twin_knows_low_disks_too() -> None:
    due: list[Callable[[], None]] = []
    told: list[object] = []
    inline = Inline(open_memory(), due.append)
    inline.free_bytes = 0
    inline.submit(put("a"), told.append, room_bytes=1)
    due.pop()()
    assert isinstance(told[0], StorageFull)


def test_the_inline_twin_goes_on_after_a_lost_transaction() -> None:
    def lose(db: Db) -> None:
        db.execute("ROLLBACK")
        raise ValueError("gone")

    due: list[Callable[[], None]] = []
    told: list[object] = []
    inline = Inline(open_memory(), due.append)
    for job in (lose, put("a")):
        inline.submit(job, told.append)
    while due:
        due.pop()()
    assert isinstance(told[0], ValueError) and told[1:] == ["a"]


@pytest.mark.asyncio
async def test_what_is_committed_into_a_deleted_file_is_not_told_as_stored(home: Path) -> None:
    worker = Worker(home / "data.db", KEY)
    await worker.open()
    await worker.run(put("before"))
    (home / "data.db-wal").unlink()
    await worker.run(put("a"))  # the journal is made anew
    assert (home / "data.db-wal").exists()
    (home / "data.db").unlink()
    with pytest.raises(StorageDamaged):
        await worker.run(put("b"))
    assert await worker.ask(keys) == ["a", "before"]  # as long as it is open
    await worker.close()
    with pytest.raises(StorageDamaged):
        await Worker(home / "data.db", KEY, existing=True).open()
