"""Group commit: jobs that wait are run together in one transaction, each in a savepoint of its own.

So one fsync serves all who waited for it, and a job that fails undoes its own changes only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2pmsg.errors import StorageFull
from p2pmsg.storage import erasing, faults
from p2pmsg.storage.cipher import SQL_FAULTS, Db, sqlite

BATCH_S: Final = 0.02
"""After this long a transaction takes no further job: the first one in it waits for the last."""

Done = Callable[[Any], None]
"""Takes the job's result, or the exception that it failed with."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do with the database, and whom to tell."""

    run: Callable[[Db], Any]
    done: Done
    writes: bool
    room_bytes: int = 0
    """Refused while the disk has less room than this; what makes the database hardly larger needs none."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A job and its outcome, which counts: it is committed, or nothing of it is stored."""

    job: Job
    outcome: object

    def tell(self) -> None:
        self.job.done(self.outcome)


class _BatchLost(Exception):
    """SQLite undid the whole transaction, not just the statement that failed."""


def run_batch(
    db: Db,
    waiting: deque[Job],
    *,
    folder: Path | None,
    free_bytes: int | None = None,
    fault: Exception | None = None,
    budget_s: float = BATCH_S,
) -> list[Settled]:
    """Take jobs off `waiting`, run them in order and commit; return all that were taken with their outcomes.

    Where the transaction is lost or cannot be committed every writing job of it fails, and the reading ones are run again: what
    they saw is no longer true; what was not begun stays on `waiting`. Never raises. `free_bytes` is the disk's room, None where that
    is not known; with a `fault` nothing is written: each job that would fails with it.
    """
    settled: list[Settled] = []
    deadline = time.monotonic() + budget_s
    try:
        while waiting and (not settled or time.monotonic() < deadline):
            job = waiting.popleft()
            settled.append(Settled(job, None))
            settled[-1] = Settled(job, fault if job.writes and fault is not None else _run(db, job, free_bytes, folder))
        if db.conn.in_transaction:
            db.execute("COMMIT")
    except (*SQL_FAULTS, _BatchLost) as error:
        _roll_back(db)
        cause = error.__cause__ if isinstance(error, _BatchLost) else error
        return [_after_loss(db, each.job, cause, folder) for each in settled]
    erasing.scrub(db)
    return settled


def run_alone(db: Db, job: Callable[[Db], object], folder: Path) -> None:
    """Run one job in a transaction of its own. Raises: what the job raised, what the disk did as an error of ours."""
    (settled,) = run_batch(db, deque((Job(job, lambda _: None, writes=True),)), folder=folder)
    if isinstance(settled.outcome, BaseException):
        raise settled.outcome


def _run(db: Db, job: Job, free_bytes: int | None, folder: Path | None) -> object:
    if not job.writes:
        return _attempt(db, job, folder)
    if free_bytes is not None and free_bytes < job.room_bytes:
        return StorageFull("The disk is nearly full: nothing new is taken on.")
    if not db.conn.in_transaction:
        db.execute("BEGIN IMMEDIATE")
    db.execute("SAVEPOINT job")
    outcome = _attempt(db, job, folder)
    if isinstance(outcome, Exception):
        if not db.conn.in_transaction:
            raise _BatchLost from outcome
        db.execute("ROLLBACK TO job")
    db.execute("RELEASE job")
    return outcome


def _attempt(db: Db, job: Job, folder: Path | None) -> object:
    """Run one job; whatever it raises is its outcome, as it must not end the thread that serves all others."""
    try:
        return job.run(db)
    except sqlite.Error as error:
        return faults.translated(error, folder)
    except Exception as error:  # the other border of the thread: who gave the job raises it
        return error


def _after_loss(db: Db, job: Job, cause: BaseException | None, folder: Path | None) -> Settled:
    if not job.writes:
        return Settled(job, _attempt(db, job, folder))
    return Settled(job, faults.translated(cause, folder) if isinstance(cause, sqlite.Error) else cause)


def _roll_back(db: Db) -> None:
    try:
        if db.conn.in_transaction:
            db.execute("ROLLBACK")
    except SQL_FAULTS:
        pass  # the next BEGIN reports what is wrong
