"""What faces ask for: messages, conversations, counts. Reads only, but for the keys of `send`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from p2pmsg.config import limits
from p2pmsg.errors import Ambiguous, MessageNotFound
from p2pmsg.model.events import Conversation, Event
from p2pmsg.model.ids import ID_BYTES, AccountId, ConversationId, DeviceId, EventId
from p2pmsg.storage import numbers
from p2pmsg.storage.cipher import Db

_CANDIDATES: Final = 10
_ID_PREFIX: Final = re.compile(rf"[0-9A-Fa-f]{{4,{2 * ID_BYTES}}}")
"""What may stand for an id: 4 characters or more; `bytes.fromhex` alone would pass over blanks."""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """How far a message of mine got with one account; what is not delivered is queued or sent, as the node knows."""

    account: AccountId
    delivered_ms: int | None
    read_ms: int | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A text or a system line, as it stands."""

    id: EventId
    conversation: ConversationId
    kind: str
    """"text", "system", or "unknown": of a newer version."""
    account: AccountId
    device: DeviceId
    seq: int
    mine: bool
    text: str
    sent_ms: int
    """By its author's clock."""
    received_ms: int | None
    """When it was first held here; None for messages of mine."""
    skew_ms: int | None
    unread: bool
    deliveries: tuple[DeliveryRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation in the inbox."""

    conversation: ConversationId
    kind: str
    account: AccountId | None
    unread: int
    last: MessageRow | None


@dataclass(frozen=True, slots=True)
class Counts:
    """For `status`; messages of removed contacts do not count."""

    unread: int
    undelivered: int
    """Messages of mine that no device of their recipient has committed."""


def history(
    db: Db,
    conversation: ConversationId,
    limit: int = 50,
    *,
    before: EventId | None = None,
    after: EventId | None = None,
    since_ms: int | None = None,
) -> list[MessageRow]:
    """Return the last `limit` messages, or with `after` the first ones after it; oldest first, in the order shown.

    Raises:
        MessageNotFound: `before` or `after` names none of this conversation.
    """
    found = numbers.find_conversation(db, conversation)
    if found is None:
        return []
    conditions, parameters = ["conversation = ?", "text IS NOT NULL"], [found]
    for bound, sign in ((before, "<"), (after, ">")):
        if bound is not None:
            conditions.append(f"(position, tie, seq) {sign} (?, ?, ?)")
            parameters += _place_of(db, found, bound)
    if since_ms is not None:
        conditions.append("position >= ?")
        parameters.append(since_ms << 16)
    way = "ASC" if after is not None else "DESC"
    sql = f"""SELECT number FROM message WHERE {" AND ".join(conditions)}
        ORDER BY position {way}, tie {way}, seq {way}, number {way} LIMIT ?"""
    chosen = [row[0] for row in db.execute(sql, (*parameters, limit))]
    return _rows(db, chosen if after is not None else chosen[::-1])


def unread_count(db: Db, conversation: ConversationId) -> int:
    """Return how many messages of a conversation are unread; 0 where nothing of it was ever stored."""
    row = db.execute("SELECT unread FROM conversation WHERE id = ?", (conversation,)).fetchone()
    return int(row[0]) if row is not None else 0


def unread(db: Db, conversation: ConversationId, limit: int = limits.RPC_LIST) -> list[MessageRow]:
    """Return others' messages above my read marks, oldest first, the first `limit` of them."""
    found = numbers.find_conversation(db, conversation)
    if found is None:
        return []
    sql = """SELECT m.number FROM (SELECT DISTINCT device FROM tip WHERE conversation = ?1) t
        JOIN event e ON e.conversation = ?1 AND e.device = t.device AND e.seq > coalesce(
            (SELECT k.seq FROM mark k WHERE k.conversation = ?1 AND k.account = ?2 AND k.device = t.device), 0)
        JOIN message m ON m.number = e.number AND m.conversation = ?1
        WHERE m.mine = 0 AND m.system = 0 AND m.text IS NOT NULL ORDER BY m.position, m.tie, m.seq LIMIT ?3"""
    return _rows(db, [row[0] for row in db.execute(sql, (found, numbers.my_account(db), limit))])


def messages(db: Db, events: Iterable[EventId]) -> dict[EventId, MessageRow]:
    """Return the messages that these events are, where they are any."""
    found = []
    for event in events:
        row = db.execute("SELECT number FROM event WHERE id = ?", (event,)).fetchone()
        found += [row[0]] if row is not None else []
    return {row.id: row for row in _rows(db, found)}


def as_written(event: Event, conversation: Conversation, me: AccountId, text: str) -> MessageRow:
    """Return a text of mine as `messages` would in the transaction that wrote it."""
    header = event.header
    return MessageRow(
        id=event.id,
        conversation=header.conversation,
        kind="text",
        account=me,
        device=header.device,
        seq=header.seq,
        mine=True,
        text=text,
        sent_ms=header.hlc >> 16,
        received_ms=None,
        skew_ms=None,
        unread=False,
        deliveries=tuple(DeliveryRow(member, None, None) for member in conversation.members if member != me),
    )


def find_message(db: Db, prefix: str) -> MessageRow:
    """Return the message whose id, in hex, starts so.

    Raises:
        MessageNotFound: none does, or it is no hex.
        Ambiguous: several do; `candidates` has the first ten.
    """
    width = 2 * ID_BYTES
    if not _ID_PREFIX.fullmatch(prefix):
        raise MessageNotFound(f"There is no message {prefix}.")
    low, high = bytes.fromhex(prefix.ljust(width, "0")), bytes.fromhex(prefix.ljust(width, "f"))
    sql = """SELECT e.number FROM event e JOIN message m ON m.number = e.number
        WHERE e.id BETWEEN ? AND ? AND m.text IS NOT NULL ORDER BY e.id LIMIT ?"""
    found = _rows(db, [row[0] for row in db.execute(sql, (low, high, _CANDIDATES))])
    if not found:
        raise MessageNotFound(f"There is no message {prefix}.")
    if len(found) > 1:
        raise Ambiguous(f"{prefix} may mean several messages.", candidates=[row.id.hex() for row in found])
    return found[0]


def conversations(db: Db, *, only_unread: bool = False) -> list[ConversationRow]:
    """Return conversations that have anything to show, most recent first; not those with contacts that were removed."""
    rows = db.execute(
        f"""SELECT c.id, c.kind, a.id, c.unread,
            (SELECT m.number FROM message m WHERE m.conversation = c.number AND m.text IS NOT NULL
             ORDER BY m.position DESC, m.tie DESC, m.seq DESC LIMIT 1) AS last
        FROM conversation c LEFT JOIN account a ON a.number = c.peer WHERE {_VISIBLE} AND (c.unread > 0 OR NOT ?)""",
        (only_unread,),
    ).fetchall()
    order = "SELECT position, tie, seq FROM message WHERE number = ?"
    shown = [(db.execute(order, (row[4],)).fetchone(), row) for row in rows if row[4] is not None]
    shown.sort(key=lambda each: each[0], reverse=True)
    lasts = _rows(db, [row[4] for _, row in shown])
    return [ConversationRow(row[0], row[1], row[2], row[3], last) for (_, row), last in zip(shown, lasts, strict=True)]


def counts(db: Db) -> Counts:
    """Return how much is unread, and how much of mine is not delivered yet: as costly as what is not delivered."""
    waiting = """SELECT count(*) FROM tip t JOIN device d ON d.number = t.device AND d.account = ?1
        JOIN conversation c ON c.number = t.conversation AND c.peer IS NOT NULL
        JOIN event e ON e.conversation = t.conversation AND e.device = t.device AND e.branch = t.branch AND e.seq > coalesce(
            (SELECT max(k.seq) FROM ack k WHERE k.conversation = t.conversation AND k.device = t.device AND k.account = c.peer), 0)
        JOIN delivery r ON r.message = e.number AND r.delivered_ms IS NULL WHERE """
    unread_now = f"SELECT coalesce(sum(c.unread), 0) FROM conversation c WHERE {_VISIBLE}"
    return Counts(
        db.execute(unread_now).fetchone()[0],
        db.execute(waiting + _VISIBLE, (numbers.my_account(db),)).fetchone()[0],
    )


def sent_under(db: Db, key: str, now_ms: int) -> EventId | None:
    """Return the message that was sent under this key in the last 7 days."""
    sql = "SELECT event FROM send_key WHERE key = ? AND at_ms > ?"
    row = db.execute(sql, (key, now_ms - int(limits.KEY_KEPT_S * 1000))).fetchone()
    return EventId(row[0]) if row is not None else None


def keep_key(db: Db, key: str, event: EventId, now_ms: int) -> None:
    """Remember under which key a message was sent, and drop keys that are over their time: in the message's transaction."""
    db.execute("DELETE FROM send_key WHERE at_ms <= ?", (now_ms - int(limits.KEY_KEPT_S * 1000),))
    db.execute("INSERT OR REPLACE INTO send_key (key, event, at_ms) VALUES (?, ?, ?)", (key, event, now_ms))


_VISIBLE: Final = "(c.kind = 'self' OR EXISTS (SELECT 1 FROM contact p WHERE p.account = c.peer AND p.removed = 0))"
_MESSAGE: Final = """SELECT m.number, e.id, c.id, 
    CASE m.system WHEN 0 THEN 'text' WHEN 1 THEN 'system' ELSE 'unknown' END, a.id, d.id, e.seq, m.mine, m.text, e.hlc >> 16,
    iif(m.mine, NULL, e.held_ms), e.skew_ms,
    NOT m.mine AND NOT m.system AND e.seq > coalesce(
        (SELECT k.seq FROM mark k WHERE k.conversation = e.conversation AND k.account = ? AND k.device = e.device), 0)
FROM message m JOIN event e ON e.number = m.number JOIN conversation c ON c.number = m.conversation
    JOIN device d ON d.number = e.device JOIN account a ON a.number = d.account WHERE m.number = ? AND m.text IS NOT NULL"""


def _rows(db: Db, chosen: Sequence[int]) -> list[MessageRow]:
    """Return messages by number, in that order; those erased are left out."""
    me = numbers.my_account(db)
    rows = (db.execute(_MESSAGE, (me, number)).fetchone() for number in chosen)
    return [_message(db, row) for row in rows if row is not None]


def _message(db: Db, row: Sequence[Any]) -> MessageRow:
    number, event, conversation, kind, account, device, seq, mine, text, sent_ms, received_ms, skew_ms, is_unread = row
    sql = "SELECT a.id, r.delivered_ms, r.read_ms FROM delivery r JOIN account a ON a.number = r.account WHERE r.message = ? ORDER BY a.id"
    return MessageRow(
        id=event,
        conversation=conversation,
        kind=kind,
        account=account,
        device=device,
        seq=seq,
        mine=bool(mine),
        text=text,
        sent_ms=sent_ms,
        received_ms=received_ms,
        skew_ms=skew_ms,
        unread=bool(is_unread),
        deliveries=tuple(DeliveryRow(*each) for each in db.execute(sql, (number,))) if mine else (),
    )


def _place_of(db: Db, conversation: int, event: EventId) -> list[int]:
    sql = """SELECT m.position, m.tie, m.seq FROM message m JOIN event e ON e.number = m.number
        WHERE e.id = ? AND m.conversation = ?"""
    row = db.execute(sql, (event, conversation)).fetchone()
    if row is None:
        raise MessageNotFound("There is no such message in this conversation.")
    return list(row)
