"""Deleting: what `self` says is deleted is shown no more, and its body leaves database and journal; headers keep the logs whole.

A message of mine that its recipient does not have yet is hidden at once, but keeps its body until a device of the recipient has
committed it (`doomed`): deleting takes nothing back, and a log whose body is nowhere would stop at the recipient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar
from weakref import WeakSet

from p2pmsg.config import limits
from p2pmsg.model.events import Kind
from p2pmsg.model.ids import PREFIX_BYTES, ConversationId, DeviceId, EventId
from p2pmsg.protocol.bodies import DeleteBody, ReadEntry
from p2pmsg.storage import copies, numbers
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import empty_journal

T = TypeVar("T")
_NEVER: Final = 1 << 63
KEPT: Final = (Kind.READ, Kind.CONTACT, Kind.SETTING, Kind.DELETE, Kind.SEEN)
"""Kinds whose bodies stay, as views rest on what they say. All others go, also those that this version cannot show."""
_JOURNAL_DUE: Final[WeakSet[Db]] = WeakSet()
"""Databases from which something was erased that their journal still has."""

_CONTENT: Final = f"e.kind NOT IN ({', '.join(str(int(kind)) for kind in KEPT)})"
_ERASABLE: Final = f"{_CONTENT} AND e.body IS NOT NULL"
_ON_LINE: Final = """(e.branch = 0 OR EXISTS (SELECT 1 FROM cleared x
    JOIN event o ON o.conversation = x.conversation AND o.device = x.device AND o.seq = x.seq AND substr(o.id, 1, 8) = x.id
    WHERE x.conversation = e.conversation AND x.device = e.device AND x.seq >= e.seq AND o.branch = e.branch))"""
"""Of a log that forked an entry covers its own branch and the first one: what another copy of the device wrote was not seen yet."""
_IN_RANGE: Final = f"e.conversation = ?1 AND e.device = ?2 AND e.seq <= ?3 AND (e.branch > 0 OR e.seq > ?4) AND {_ERASABLE} AND {_ON_LINE}"
_WAITING: Final = """SELECT d.message FROM delivery d JOIN event e ON e.number = d.message
    JOIN contact c ON c.account = d.account AND c.removed = 0 WHERE d.delivered_ms IS NULL"""
"""Messages of mine that are still to be delivered; to somebody who is no contact nothing is."""

_OF_BRANCH: Final = "e.conversation = ? AND e.device = ? AND e.branch = ?"


class Deletions:
    """What is deleted of one conversation, within one job."""

    def __init__(self, db: Db, conversation: int) -> None:
        self._db = db
        self._conversation = conversation
        self._named, self._cleared = db.execute(
            "SELECT EXISTS (SELECT 1 FROM deleted), EXISTS (SELECT 1 FROM cleared WHERE conversation = ?)", (conversation,)
        ).fetchone()
        self._upto: dict[int, int] = {}

    def cover(self, number: int | None, event: EventId, device: int, seq: int) -> bool:
        """Say whether an event was deleted before it came here; `number` None where it is not stored yet."""
        if self._named and self._db.execute("SELECT 1 FROM deleted WHERE event = ?", (event,)).fetchone() is not None:
            return True
        return bool(self._cleared) and seq <= self._top(device) and (number is None or self._on_line(number))

    def _top(self, device: int) -> int:
        if device not in self._upto:
            self._upto[device] = _cleared_upto(self._db, self._conversation, device)
        return self._upto[device]

    def _on_line(self, number: int) -> bool:
        return self._db.execute(f"SELECT 1 FROM event e WHERE e.number = ? AND {_ON_LINE}", (number,)).fetchone() is not None


def delete(db: Db, conversation: int, body: DeleteBody) -> None:
    """Do what a deletion says, to what is held; what comes later is found by `Deletions`."""
    for event in body.events:
        db.execute("INSERT OR IGNORE INTO deleted (event) VALUES (?)", (event,))
        row = db.execute("SELECT number FROM event WHERE id = ?", (event,)).fetchone()
        if row is not None:
            delete_one(db, row[0])
    devices: dict[int, list[ReadEntry]] = {}
    for entry in body.upto:
        devices.setdefault(numbers.number_of_device(db, DeviceId(entry.device)), []).append(entry)
    for device, entries in devices.items():
        before = _cleared_upto(db, conversation, device)
        rows = [(conversation, device, entry.seq, entry.id) for entry in entries]
        db.conn.executemany("INSERT OR IGNORE INTO cleared (conversation, device, seq, id) VALUES (?, ?, ?, ?)", rows)
        _erase(db, _IN_RANGE, (conversation, device, max(entry.seq for entry in entries), before))


def delete_one(db: Db, number: int) -> None:
    """Hide one message, or a system line whose event is needed; erase its body unless it is still to be delivered."""
    db.execute("UPDATE message SET text = NULL WHERE number = ?", (number,))
    _erase(db, f"e.number = ?1 AND {_ERASABLE}", (number,))


def _erase(db: Db, which: str, parameters: tuple[int, ...]) -> None:
    chosen = f"SELECT e.number FROM event e WHERE {which}"
    db.execute(f"INSERT OR IGNORE INTO doomed (event) {_WAITING} AND {which}", parameters)
    db.execute(f"UPDATE message SET text = NULL WHERE text IS NOT NULL AND number IN ({chosen})", parameters)
    done = db.execute(f"UPDATE event AS e SET body = NULL WHERE {which} AND e.number NOT IN (SELECT event FROM doomed)", parameters)
    if done.rowcount:
        _JOURNAL_DUE.add(db)


def delivered(db: Db, messages: Iterable[int]) -> None:
    """Erase those of the messages that only waited for this."""
    if db.execute("SELECT 1 FROM doomed LIMIT 1").fetchone() is None:
        return
    for number in messages:
        if db.execute("DELETE FROM doomed WHERE event = ?", (number,)).rowcount:
            _let_go(db, "number = ?", number)


def parted(db: Db, account: int) -> None:
    """Erase what waited to be delivered to somebody who is no contact any more."""
    waited = "SELECT d.event FROM doomed d JOIN delivery r ON r.message = d.event WHERE r.account = ?"
    _let_go(db, f"number IN ({waited})", account)
    db.execute(f"DELETE FROM doomed WHERE event IN ({waited})", (account,))


def _let_go(db: Db, which: str, parameter: int) -> None:
    if db.execute(f"UPDATE event SET body = NULL WHERE {which}", (parameter,)).rowcount:
        _JOURNAL_DUE.add(db)


def scrub(db: Db) -> None:
    """Empty the journal of a database from which something was erased, and drop its copy from before an upgrade: to be called after the
    commit. A failure is made good later.
    """
    if db in _JOURNAL_DUE and not db.conn.in_transaction and empty_journal(db) and copies.drop_copies_of(db):
        _JOURNAL_DUE.discard(db)


def _cleared_upto(db: Db, conversation: int, device: int) -> int:
    sql = "SELECT coalesce(max(seq), 0) FROM cleared WHERE conversation = ? AND device = ?"
    return int(db.execute(sql, (conversation, device)).fetchone()[0])


# -- what is to be deleted


def waiting_count(db: Db, conversation: ConversationId) -> int:
    """Return how many deleted messages of a conversation keep their bodies until they are delivered."""
    sql = "SELECT count(*) FROM doomed d JOIN event e ON e.number = d.event JOIN conversation c ON c.number = e.conversation WHERE c.id = ?"
    return int(db.execute(sql, (conversation,)).fetchone()[0])


def shown_count(db: Db, conversation: ConversationId, *, lines: bool = False) -> int:
    """Return how many messages a conversation shows; system lines count only if `lines` says so."""
    sql = """SELECT count(*) FROM message m JOIN conversation c ON c.number = m.conversation
        WHERE c.id = ? AND (m.system = 0 OR ?) AND m.text IS NOT NULL"""
    return int(db.execute(sql, (conversation, lines)).fetchone()[0])


def everything(db: Db, conversation: ConversationId) -> list[DeleteBody]:
    """Return the deletions of all that is held of a conversation, system lines too; none where nothing is left to delete."""
    found = numbers.find_conversation(db, conversation)
    left = f"""SELECT EXISTS (SELECT 1 FROM message WHERE conversation = ?1 AND text IS NOT NULL) OR EXISTS (SELECT 1 FROM event e
        WHERE e.conversation = ?1 AND {_ERASABLE} AND e.number NOT IN (SELECT event FROM doomed))"""
    if found is None or not db.execute(left, (found,)).fetchone()[0]:
        return []
    sql = "SELECT d.id, t.seq, t.id FROM tip t JOIN device d ON d.number = t.device WHERE t.conversation = ? ORDER BY t.device, t.branch"
    upto = [ReadEntry(device, seq, event[:PREFIX_BYTES]) for device, seq, event in db.execute(sql, (found,)).fetchall()]
    sql = "SELECT e.id FROM message m JOIN event e ON e.number = m.number WHERE m.conversation = ? AND m.system = 1 AND m.text IS NOT NULL"
    lines = [row[0] for row in db.execute(sql, (found,)).fetchall()]
    logs = [DeleteBody(conversation, list(some), []) for some in _parts(upto, limits.HAVE_LOGS)]
    return logs + [DeleteBody(conversation, [], list(some)) for some in _parts(lines, limits.DELETED_EVENTS)]


def newest_ms(db: Db) -> int | None:
    """Return when the last event was stored here, by my clock; None where there is none."""
    row = db.execute("SELECT held_ms FROM event ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else int(row[0])


def older_than(db: Db, before_ms: int) -> list[DeleteBody]:
    """Return the deletions of what was first held here before a time by my clock, and is not still to be delivered.

    What its author's clock says does not count: a message that was long under way is new here.
    """
    bodies: list[DeleteBody] = []
    for number, conversation in db.execute("SELECT number, id FROM conversation WHERE kind IS NOT NULL ORDER BY number").fetchall():
        upto = list(_old_parts(db, number, before_ms))
        bodies += [DeleteBody(conversation, list(some), []) for some in _parts(upto, limits.HAVE_LOGS)]
    return bodies


def _old_parts(db: Db, conversation: int, before_ms: int) -> Iterator[ReadEntry]:
    sql = "SELECT t.device, d.id, t.branch, t.seq FROM tip t JOIN device d ON d.number = t.device WHERE t.conversation = ?"
    for device, device_id, branch, top in db.execute(sql, (conversation,)).fetchall():
        log = (conversation, device, branch)
        seq = min(_old_upto(db, log, top, before_ms), _first_undelivered(db, log) - 1)
        before = _cleared_upto(db, conversation, device) if branch == 0 else 0
        shown = f"""SELECT 1 FROM event e JOIN message m ON m.number = e.number AND m.text IS NOT NULL
            WHERE {_OF_BRANCH} AND e.seq > ? AND e.seq <= ? AND {_CONTENT} LIMIT 1"""
        if db.execute(shown, (*log, before, seq)).fetchone() is not None:
            event = db.execute(f"SELECT e.id FROM event e WHERE {_OF_BRANCH} AND e.seq = ?", (*log, seq)).fetchone()
            yield ReadEntry(device_id, seq, event[0][:PREFIX_BYTES])


def _old_upto(db: Db, log: tuple[int, int, int], top: int, before_ms: int) -> int:
    """Return the number of the last event of a branch that was held before a time; found by halving, as times only grow along a log.

    Where the clock was set back meanwhile less may be found: never what is newer at the place that was looked at.
    """
    sql = f"SELECT e.seq, e.held_ms FROM event e WHERE {_OF_BRANCH} AND e.seq <= ? ORDER BY e.seq DESC LIMIT 1"
    low, high = 0, top
    while low < high:
        row = db.execute(sql, (*log, (low + high + 1) // 2)).fetchone()
        if row is not None and row[1] < before_ms:
            low = (low + high + 1) // 2
        else:
            high = (low + high + 1) // 2 - 1
    row = db.execute(sql, (*log, low)).fetchone()
    return int(row[0]) if row is not None else 0


def _first_undelivered(db: Db, log: tuple[int, int, int]) -> int:
    """Return the number of the first message of a log that is still to be delivered: it lies above what was acknowledged."""
    acknowledged = "SELECT coalesce(max(k.seq), 0) FROM ack k JOIN conversation c ON c.number = k.conversation AND c.peer = k.account"
    sql = f"""SELECT min(e.seq) FROM event e JOIN delivery d ON d.message = e.number AND d.delivered_ms IS NULL
        JOIN contact p ON p.account = d.account AND p.removed = 0
        WHERE {_OF_BRANCH} AND e.seq > ({acknowledged} WHERE k.conversation = ? AND k.device = ?)"""
    return int(db.execute(sql, (*log, *log[:2])).fetchone()[0] or _NEVER)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
