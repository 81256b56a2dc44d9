"""One thread that owns the database; jobs go in from the event loop, outcomes come back on it after their commit."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from p2pmsg.config import limits
from p2pmsg.errors import StorageBusy, StorageFailed
from p2pmsg.storage import faults
from p2pmsg.storage.batches import Job, Settled, run_batch
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import StorageWarning, close_database, open_database
from p2pmsg.storage.footing import Footing

T = TypeVar("T")
_DISK_LOOKED_AT_EVERY_S: Final = 1.0


class Storage(ABC):
    """What the node sees: jobs with a callback, or awaited. Jobs run in the order in which they are given."""

    def submit(self, job: Callable[[Db], T], done: Callable[[T | BaseException], None], *, room_bytes: int = 0) -> None:
        """Run a job that writes; `done` gets its result once that is on the disk, or the exception that undid it.

        It fails with StorageFull while the disk has less room than `room_bytes`. With `limits.JOBS_WAITING` jobs waiting `done` gets
        StorageBusy. `done` is never called from within this call.
        """
        self._take(Job(job, done, writes=True, room_bytes=room_bytes))

    def read(self, job: Callable[[Db], T], done: Callable[[T | BaseException], None]) -> None:
        """Run a job that only reads: it sees all jobs given before it and waits for no fsync of its own."""
        self._take(Job(job, done, writes=False))

    async def run(self, job: Callable[[Db], T], *, room_bytes: int = 0) -> T:
        """Like `submit`. Cancelled: the job is done all the same, only its result is dropped."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(job, partial(_settle, result), room_bytes=room_bytes)
        return await result

    async def ask(self, job: Callable[[Db], T]) -> T:
        """Like `read`. Cancelled: the result is dropped."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.read(job, partial(_settle, result))
        return await result

    @abstractmethod
    def _take(self, job: Job) -> None: ...


def _settle(future: asyncio.Future[T], outcome: T | BaseException) -> None:
    if future.cancelled():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class Worker(Storage):
    """The storage of a daemon: a database file and its thread. `submit` and `read` may be called from any thread."""

    def __init__(self, path: Path, key: bytes, *, existing: bool = False, room: Callable[[Path], int] = faults.free_bytes) -> None:
        self._path = path
        self._existing = existing
        self._key: bytes | None = key
        self._room = room
        self._waiting: deque[Job] = deque()
        self._given = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._looked_at = -_DISK_LOOKED_AT_EVERY_S
        self.free_bytes: int | None = None
        """Room on the disk when it was last looked at (at most once a second, before a job); None where that fails."""

    async def open(self) -> tuple[StorageWarning, ...]:
        """Open the database and start to work; return what there is to tell the user.

        Raises:
            DatabaseNewer, StorageFull, StorageFailed: see `open_database`. StorageDamaged, too, where it was to exist.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[tuple[StorageWarning, ...]] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, args=(opened,), name="storage", daemon=True)
        self._thread.start()
        return await opened

    async def close(self) -> None:
        """Do all jobs given so far, tell their outcomes, and close; jobs given later fail with StorageFailed."""
        if self._thread is None:
            return
        ended = self._loop.create_future()
        self._take(Job(lambda _: None, ended.set_result, writes=False))
        with self._given:
            self._closing = True
            self._given.notify()
        await ended
        await asyncio.to_thread(self._thread.join)

    def _take(self, job: Job) -> None:
        with self._given:
            refused = self._refusal()
            if refused is None:
                self._waiting.append(job)
                self._given.notify()
        if refused is not None:
            self._loop.call_soon_threadsafe(job.done, refused)

    def _refusal(self) -> Exception | None:
        if self._closing:
            return StorageFailed("The database is closed.")
        if len(self._waiting) >= limits.JOBS_WAITING:
            return StorageBusy("Too much is waiting to be stored.")
        return None

    def _work(self, opened: asyncio.Future[tuple[StorageWarning, ...]]) -> None:
        try:
            assert self._key is not None
            database = open_database(self._path, self._key, existing=self._existing)
        except Exception as error:  # the thread's border: whatever it is, `open` raises it on the loop, which waits for an answer
            self._on_loop(self._failed_to_open, opened, error)
            return
        finally:
            self._key = None
        self._on_loop(_settle, opened, database.warnings)
        footing = Footing(self._path)
        try:
            while self._wait_for_jobs():
                self._look_at_disk()
                fault = footing.fault(database.db)
                folder = self._path.parent
                settled = run_batch(database.db, self._waiting, folder=folder, free_bytes=self.free_bytes, fault=fault)
                if (fault := footing.fault(database.db)) is not None:  # before it is told: a commit into a deleted file is none
                    settled = [Settled(each.job, fault) if each.job.writes else each for each in settled]
                self._tell(settled)
        finally:
            close_database(database.db)

    def _failed_to_open(self, opened: asyncio.Future[tuple[StorageWarning, ...]], error: Exception) -> None:
        self._thread = None
        _settle(opened, error)

    def _wait_for_jobs(self) -> bool:
        with self._given:
            self._given.wait_for(lambda: self._waiting or self._closing)
            return bool(self._waiting)

    def _look_at_disk(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _DISK_LOOKED_AT_EVERY_S:
            self._looked_at = now
            try:
                self.free_bytes = self._room(self._path.parent)
            except OSError:
                self.free_bytes = None

    def _tell(self, settled: list[Settled]) -> None:
        self._on_loop(_tell_each, self._loop, settled)

    def _on_loop(self, call: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            pass  # the loop has ended: nobody is left to be told; what was committed stays


def _tell_each(loop: asyncio.AbstractEventLoop, settled: list[Settled]) -> None:
    for each in settled:
        loop.call_soon(each.tell)


class Inline(Storage):
    """The same without a thread: waiting jobs run in one batch when the caller's scheduler says so (simulation, tests).

    Whoever drops it before then has crashed before the commit. `free_bytes` and the database stay the caller's.
    """

    def __init__(self, db: Db, schedule: Callable[[Callable[[], None]], object]) -> None:
        self.db = db
        self.free_bytes: int | None = None
        self._schedule = schedule
        self._waiting: deque[Job] = deque()

    def run_waiting(self) -> None:
        """Run and commit what waits, then tell the outcomes; jobs given meanwhile wait for the next time."""
        settled = run_batch(self.db, self._waiting, free_bytes=self.free_bytes, folder=None, budget_s=float("inf"))
        if self._waiting:
            self._schedule(self.run_waiting)
        for each in settled:
            each.tell()

    def _take(self, job: Job) -> None:
        self._waiting.append(job)
        if len(self._waiting) == 1:
            self._schedule(self.run_waiting)
