"""Read ranges of logs, to hand them on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Event, Tip
from p2pmsg.model.ids import PREFIX_BYTES, ConversationId, DeviceId, DeviceKey
from p2pmsg.protocol import wire
from p2pmsg.protocol.log import verify_run
from p2pmsg.storage import numbers
from p2pmsg.storage.branches import Log, Segment, end_of_row
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.stored import event_of_row

_OF_LOG = "conversation = ? AND device = ?"


def tips(db: Db) -> dict[ConversationId, dict[DeviceId, list[Tip]]]:
    """Return the ends of all logs: one each, and one a branch of those that forked."""
    found: dict[ConversationId, dict[DeviceId, list[Tip]]] = {}
    rows = db.execute(
        """SELECT c.id, d.id, t.branch, t.seq, t.id, t.hlc, t.account_heads, t.base_branch, t.base_seq
        FROM tip t JOIN conversation c ON c.number = t.conversation JOIN device d ON d.number = t.device
        ORDER BY t.conversation, t.device, t.branch"""
    )
    for conversation, device, *end in rows:
        found.setdefault(ConversationId(conversation), {}).setdefault(DeviceId(device), []).append(end_of_row(tuple(end)).tip)
    return found


def ids_at(db: Db, asked: Iterable[tuple[ConversationId, DeviceId, int]]) -> dict[tuple[ConversationId, DeviceId, int], bytes]:
    """Return the first 8 bytes of the ids at these numbers, where they are held; of a log that forked those of branch 0 if it has them."""
    found: dict[tuple[ConversationId, DeviceId, int], bytes] = {}
    sql = """SELECT e.id FROM event e WHERE e.conversation = (SELECT number FROM conversation WHERE id = ?)
        AND e.device = (SELECT number FROM device WHERE id = ?) AND e.seq = ? ORDER BY e.branch LIMIT 1"""
    for key in asked:
        row = db.execute(sql, key).fetchone()
        if row is not None:
            found[key] = row[0][:PREFIX_BYTES]
    return found


def give(
    db: Db, conversation: ConversationId, device: DeviceId, locator: Sequence[Claim], head: Claim, limit_bytes: int, limit_count: int
) -> list[Event]:
    """Return the events after the highest locator entry that lies on the line ending in `head`, oldest first, up to head.

    At least one is returned where there is any, then as many as keep to both limits. They may be cut where
    `wire.frames_of_events` cuts: each frame ends in an event whose signature is good (one signature covers a run, and
    whoever hands on a shorter one answers for its end). Empty where `head` is not held, or nothing lies between.
    """
    key = (numbers.find_conversation(db, conversation), numbers.find_device(db, device))
    if key[0] is None or key[1] is None:
        return []
    sql = f"SELECT branch FROM event WHERE {_OF_LOG} AND seq = ? AND substr(id, 1, 8) = ?"
    row = db.execute(sql, (*key, head.seq, head.id)).fetchone()
    if row is None:
        return []
    line = list(Log(db, key[0], key[1]).segments(row[0], head.seq))
    start = _start(db, (key[0], key[1]), line, locator)
    rows = list(_bounded(_rows(db, (key[0], key[1]), line, start), limit_bytes, limit_count))
    return _soundly_cut(db, key[1], rows)


def _start(db: Db, key: tuple[int, int], line: Sequence[Segment], locator: Sequence[Claim]) -> int:
    """Return the number of the highest locator entry that lies on the line; 0 where none does."""
    sql = f"SELECT 1 FROM event WHERE {_OF_LOG} AND seq = ? AND branch = ? AND substr(id, 1, 8) = ?"
    for claim in sorted(locator, key=lambda claim: -claim.seq):
        on = next((part for part in line if part.after < claim.seq <= part.upto), None)
        if on is not None and db.execute(sql, (*key, claim.seq, on.branch, claim.id)).fetchone() is not None:
            return claim.seq
    return 0


def _rows(db: Db, key: tuple[int, int], line: Sequence[Segment], start: int) -> Iterator[tuple[Event, bool]]:
    sql = f"SELECT header, signature, body, checked FROM event WHERE {_OF_LOG} AND seq > ? AND seq <= ? AND branch = ? ORDER BY seq"
    for part in reversed(line):
        if part.upto > start:
            for *row, checked in db.execute(sql, (*key, max(part.after, start), part.upto, part.branch)):
                yield event_of_row(tuple(row)), bool(checked)


def _bounded(rows: Iterator[tuple[Event, bool]], limit_bytes: int, limit_count: int) -> Iterator[tuple[Event, bool]]:
    size = count = 0
    for event, checked in rows:
        size += event.size
        count += 1
        if count > 1 and (size > limit_bytes or count > limit_count):
            return
        yield event, checked


def _soundly_cut(db: Db, device: int, rows: list[tuple[Event, bool]]) -> list[Event]:
    """Leave out what follows a frame whose end has a bad signature: the run then ends where one was checked."""
    checked = {event.id for event, good in rows if good}
    kept: list[Event] = []
    for frame in wire.frames_of_events([event for event, _ in rows]):
        if frame[-1].id not in checked and not _is_signed(db, device, frame[-1]):
            ends = [at for at, event in enumerate(frame) if event.id in checked]
            return kept + list(frame[: ends[-1] + 1] if ends else ())
        kept += frame
    return kept


def _is_signed(db: Db, device: int, event: Event) -> bool:
    key = db.execute("SELECT key FROM device WHERE number = ?", (device,)).fetchone()[0]
    try:
        verify_run((event,), DeviceKey(key))
    except PeerMisbehaved:
        return False
    return True
