"""The durable line of what changed, for `watch`: each row has a cursor that only grows; the oldest rows are dropped with time.

A row of a message names the event only, so that it is shown as it stands when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from p2pmsg.config import limits
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, EventId
from p2pmsg.storage import numbers
from p2pmsg.storage.cipher import Db

_LOOKED_THROUGH: Final = 20_000
"""Rows that one call looks through for one conversation, so that others need not wait for it."""


class ChangeType(StrEnum):
    MESSAGE = "message"
    STATE = "state"
    CONTACT = "contact"
    REQUEST = "request"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Change:
    """One row: for `message` the event, for `state` event, state and account, else a JSON object as it was then."""

    cursor: int
    at_ms: int
    type: ChangeType
    conversation: ConversationId | None = None
    event: EventId | None = None
    state: str | None = None
    account: AccountId | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Changes in order, and the cursor to go on from; `more` where there may be others already."""

    changes: tuple[Change, ...]
    cursor: int
    more: bool


_PRUNED: Final = "feed_pruned"
"""Key in `meta`: the cursor of the last row that was dropped."""
_PRUNED_AT_ONCE: Final = 5000


def first_cursor(db: Db) -> int:
    """Return the oldest position from which everything is still there; 0 where nothing was dropped so far."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_PRUNED,)).fetchone()
    return int(row[0]) if row is not None else 0


def last_cursor(db: Db) -> int:
    """Return the position after everything so far; 0 where nothing happened yet."""
    return int(db.execute("SELECT coalesce(max(cursor), 0) FROM feed").fetchone()[0])


def after(db: Db, cursor: int, conversation: ConversationId | None = None, limit: int = 1000) -> Page:
    """Return the changes after a cursor, oldest first, at most `limit`; of one conversation where it is named.

    A conversation's page may be empty and still have `more`: go on from its cursor.
    """
    end = last_cursor(db)
    upto = end if conversation is None else min(end, cursor + _LOOKED_THROUGH)
    wanted = None if conversation is None else numbers.find_conversation(db, conversation)
    rows = db.execute(
        """SELECT f.cursor, f.at_ms, f.type, c.id, e.id, f.state, a.id, f.payload
        FROM feed f LEFT JOIN conversation c ON c.number = f.conversation LEFT JOIN event e ON e.number = f.event
            LEFT JOIN account a ON a.number = f.account
        WHERE f.cursor > ? AND f.cursor <= ? AND (? OR f.conversation = ?) ORDER BY f.cursor LIMIT ?""",
        (cursor, upto, conversation is None, wanted, limit),
    ).fetchall()
    changes = tuple(Change(row[0], row[1], ChangeType(row[2]), *row[3:]) for row in rows)
    if len(changes) == limit:
        return Page(changes, changes[-1].cursor, more=changes[-1].cursor < end)
    return Page(changes, max(cursor, upto), more=upto < end)


def prune(db: Db, before_ms: int) -> bool:
    """Drop some of the oldest changes, as far as they came before a time or are more than are kept; say whether others are due, too."""
    first, last = first_cursor(db), last_cursor(db)
    most = first + _PRUNED_AT_ONCE
    sql = "SELECT coalesce(min(cursor) - 1, ?2) FROM feed WHERE cursor <= ?2 AND at_ms >= ?1"
    old = int(db.execute(sql, (before_ms, most)).fetchone()[0])
    upto = min(max(old, last - limits.FEED_MOST), last - limits.FEED_LEAST, most)
    if upto <= first:
        return False
    db.execute("DELETE FROM feed WHERE cursor <= ?", (upto,))
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_PRUNED, upto))
    return upto == most


def record(db: Db, change: ChangeType, payload: str, now_ms: int, conversation: ConversationId | None = None) -> int:
    """Add a change that carries its JSON object as it is now; return its cursor."""
    number = None if conversation is None else numbers.find_conversation(db, conversation)
    sql = "INSERT INTO feed (at_ms, type, conversation, payload) VALUES (?, ?, ?, ?)"
    return int(db.execute(sql, (now_ms, change, number, payload)).lastrowid or 0)


def mark(
    db: Db, conversation: ConversationId, device: DeviceId, after_seq: int, upto_seq: int, state: str, account: AccountId, now_ms: int
) -> None:
    """Add a state ("sent", "queued") of the messages with these numbers in my log that the account has not committed yet."""
    db.execute(
        """INSERT INTO feed (at_ms, type, conversation, event, state, account)
        SELECT ?, 'state', e.conversation, e.number, ?, d.account
        FROM event e JOIN delivery d ON d.message = e.number
        WHERE e.conversation = (SELECT number FROM conversation WHERE id = ?) AND e.device = (SELECT number FROM device WHERE id = ?)
            AND e.seq > ? AND e.seq <= ? AND d.account = (SELECT number FROM account WHERE id = ?) AND d.delivered_ms IS NULL
        ORDER BY e.seq""",
        (now_ms, state, conversation, device, after_seq, upto_seq, account),
    )


def message_changed(db: Db, event: int, conversation: int, now_ms: int) -> None:
    """Add a message that is new or changed, by the numbers of its event and of the conversation that shows it."""
    db.execute("INSERT INTO feed (at_ms, type, conversation, event) VALUES (?, 'message', ?, ?)", (now_ms, conversation, event))


def state_reached(db: Db, events: Iterable[int], conversation: int, state: str, account: int, now_ms: int) -> None:
    """Add a state that messages have reached with an account, all by number."""
    sql = "INSERT INTO feed (at_ms, type, conversation, event, state, account) VALUES (?, 'state', ?, ?, ?, ?)"
    db.conn.executemany(sql, [(now_ms, conversation, event, state, account) for event in events])
