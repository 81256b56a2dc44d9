"""How far messages got: acknowledgements of other devices, receipts of other accounts, read marks of my own.

All of them are vectors that only grow: a change costs as much as it newly covers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
from p2pmsg.protocol.bodies import ReadEntry
from p2pmsg.storage import erasing, feed, numbers
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.stored import holds

_OF_LOG = "message IN (SELECT number FROM event WHERE conversation = ? AND device = ? AND seq > ? AND seq <= ?)"


def store_ack(
    db: Db,
    conversation: ConversationId,
    by_account: AccountId,
    by_device: DeviceId,
    vector: Mapping[DeviceId, tuple[int, bytes]],
    now_ms: int,
) -> None:
    """Keep what a device has committed, log by log; my messages that its account has got by that are delivered.

    An entry whose event I do not hold says nothing that I could check and is passed over; so is one that is no news.
    """
    found = numbers.find_conversation(db, conversation)
    if found is None:
        return
    account = numbers.number_of_account(db, by_account)
    acker = numbers.number_of_device(db, by_device, account)
    me = numbers.my_account(db)
    for device, (seq, prefix) in vector.items():
        row = db.execute("SELECT number, account FROM device WHERE id = ?", (device,)).fetchone()
        if row is None or not holds(db, found, row[0], seq, prefix):
            continue
        covered = _raise_ack(db, (found, row[0], account), acker, seq, prefix)
        if covered is not None and row[1] == me and account != me:
            reached(db, found, "delivered", account, _OF_LOG, (found, row[0], covered, seq), now_ms, now_ms)


def _raise_ack(db: Db, log: tuple[int, int, int], by_device: int, seq: int, prefix: bytes) -> int | None:
    """Return up to where the account's devices had committed a log before; None where this is no news of this device."""
    sql = "SELECT by_device, seq FROM ack WHERE conversation = ? AND device = ? AND account = ?"
    before = dict(db.execute(sql, log).fetchall())
    if seq <= before.get(by_device, 0):
        return None
    db.execute(
        "INSERT OR REPLACE INTO ack (conversation, device, account, by_device, seq, id) VALUES (?, ?, ?, ?, ?, ?)",
        (*log, by_device, seq, prefix),
    )
    return int(max(before.values(), default=0))


def reached(
    db: Db, conversation: int, state: str, account: int, which: str, parameters: Sequence[object], at_ms: int, feed_ms: int | None
) -> None:
    """Set when messages were delivered to, or read by, an account where that is new.

    Who has read a message has got it. `which` is an SQL condition on `delivery`; `feed_ms` None keeps it out of the feed.
    """
    change = "read_ms = ?1, delivered_ms = coalesce(delivered_ms, ?1)" if state == "read" else "delivered_ms = ?1"
    sql = f"UPDATE delivery SET {change} WHERE account = ?2 AND {state}_ms IS NULL AND {which} RETURNING message"
    changed = sorted(row[0] for row in db.execute(sql, (at_ms, account, *parameters)).fetchall())
    if feed_ms is not None:
        feed.state_reached(db, changed, conversation, state, account, feed_ms)
    erasing.delivered(db, changed)


def expect(db: Db, message: int, account: int) -> None:
    """Take a message of mine on as one that is to reach an account."""
    db.execute("INSERT OR IGNORE INTO delivery (message, account) VALUES (?, ?)", (message, account))


def catch_up(
    db: Db, message: int, conversation: int, device: int, seq: int, account: int, now_ms: int, held_ms: int, *, silent: bool
) -> None:
    """Apply to a message of my other device what its recipient acknowledged or read before this device had the message."""
    feed_ms = None if silent else now_ms
    log = (conversation, device, account, seq)
    sql = "SELECT 1 FROM ack WHERE conversation = ? AND device = ? AND account = ? AND seq >= ?"
    if db.execute(sql, log).fetchone() is not None:
        reached(db, conversation, "delivered", account, "message = ?", (message,), now_ms, feed_ms)
    sql = "SELECT max(at_ms, ?) FROM mark WHERE conversation = ? AND device = ? AND account = ? AND seq >= ?"
    if (read := db.execute(sql, (held_ms, *log)).fetchone()) is not None:
        reached(db, conversation, "read", account, "message = ?", (message,), read[0], feed_ms)


def read_by_me(db: Db, conversation: int, me: int, entry: ReadEntry, at_ms: int) -> None:
    """Raise my read mark of one log; it may be ahead of what this device holds, as my other devices read too."""
    device = numbers.number_of_device(db, DeviceId(entry.device))
    before = _raise_mark(db, (conversation, me, device), entry, at_ms)
    if before is None:
        return
    count = db.execute(
        """SELECT count(*) FROM event e JOIN message m ON m.number = e.number
        WHERE e.conversation = ? AND e.device = ? AND e.seq > ? AND e.seq <= ? AND m.mine = 0 AND m.system = 0 AND m.text IS NOT NULL""",
        (conversation, device, before, entry.seq),
    ).fetchone()[0]
    db.execute("UPDATE conversation SET unread = max(unread - ?, 0) WHERE number = ?", (count, conversation))


def read_by_peer(db: Db, conversation: int, me: int, peer: int, entry: ReadEntry, at_ms: int, feed_ms: int | None) -> None:
    """Take a receipt for one of my logs. Of this device's log nobody can have read what is not there: such an entry is passed over."""
    row = db.execute(
        "SELECT d.number, d.id = i.device FROM device d, identity i WHERE d.id = ? AND d.account = ?", (entry.device, me)
    ).fetchone()
    if row is None or (row[1] and not holds(db, conversation, row[0], entry.seq, entry.id)):
        return
    before = _raise_mark(db, (conversation, peer, row[0]), entry, at_ms)
    if before is not None:
        reached(db, conversation, "read", peer, _OF_LOG, (conversation, row[0], before, entry.seq), at_ms, feed_ms)


def read_upto(db: Db, conversation: int, account: int, device: int) -> int:
    """Return up to which number of a log an account has read; 0 for nothing."""
    sql = "SELECT seq FROM mark WHERE conversation = ? AND account = ? AND device = ?"
    row = db.execute(sql, (conversation, account, device)).fetchone()
    return int(row[0]) if row else 0


def count_unread(db: Db, conversation: int) -> None:
    """Count anew what is unread: others' messages above my read marks."""
    db.execute(
        """UPDATE conversation SET unread = (
            SELECT count(*) FROM message m JOIN event e ON e.number = m.number
            WHERE m.conversation = conversation.number AND m.mine = 0 AND m.system = 0 AND m.text IS NOT NULL AND e.seq > coalesce(
                (SELECT k.seq FROM mark k WHERE k.conversation = e.conversation AND k.device = e.device AND k.account = ?), 0))
        WHERE number = ?""",
        (numbers.my_account(db), conversation),
    )


def _raise_mark(db: Db, mark: tuple[int, int, int], entry: ReadEntry, at_ms: int) -> int | None:
    """Return what the mark was before; None where this is no news, or of a branch that is not the one held."""
    conversation, account, device = mark
    before = read_upto(db, conversation, account, device)
    if entry.seq <= before or holds(db, conversation, device, entry.seq, entry.id) is False:
        return None
    db.execute(
        "INSERT OR REPLACE INTO mark (conversation, account, device, seq, id, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (*mark, entry.seq, entry.id, at_ms),
    )
    return before
