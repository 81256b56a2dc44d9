"""Requests of strangers that nobody has answered yet: a nickname and a time, and nothing else of whoever asked."""

from __future__ import annotations

from dataclasses import dataclass

from p2pmsg.config import limits
from p2pmsg.storage.cipher import Db


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request; `id` is drawn at random."""

    id: str
    nickname: str
    received_ms: int


def put(db: Db, request: RequestRow) -> None:
    """Store a request, or that it was made again; over limits.REQUESTS the oldest goes."""
    db.execute(
        """INSERT INTO request (id, nickname, received_ms) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET nickname = excluded.nickname, received_ms = excluded.received_ms""",
        (request.id, request.nickname, request.received_ms),
    )
    db.execute(
        "DELETE FROM request WHERE id NOT IN (SELECT id FROM request ORDER BY received_ms DESC, id LIMIT ?)",
        (limits.REQUESTS,),
    )


def drop(db: Db, request: str) -> None:
    """Forget a request that was answered. Harmless where there is none."""
    db.execute("DELETE FROM request WHERE id = ?", (request,))


def waiting(db: Db) -> list[RequestRow]:
    """Return all requests, oldest first."""
    return [RequestRow(*row) for row in db.execute("SELECT id, nickname, received_ms FROM request ORDER BY received_ms, id")]
