"""The logs: each function is a job that leaves log, views and feed in agreement.

What is long has its own file (`receiving`, `ranges`, `delivery`); this is the table of contents.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pmsg.errors import MessageNotFound
from p2pmsg.model.events import Conversation, Event, Kind, Tip
from p2pmsg.model.ids import PREFIX_BYTES, ConversationId, DeviceId, EventId
from p2pmsg.storage import feed, numbers
from p2pmsg.storage.branches import Log
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.delivery import count_unread, store_ack
from p2pmsg.storage.ranges import give, ids_at, tips
from p2pmsg.storage.receiving import OLD_COPY, CheckContext, ForkProof, Received, receive
from p2pmsg.storage.stored import Author
from p2pmsg.storage.views import View

__all__ = [
    "CheckContext",
    "ForkProof",
    "Received",
    "append",
    "erase_body",
    "forget_history",
    "forked",
    "give",
    "ids_at",
    "is_old_copy",
    "receive",
    "store_ack",
    "tips",
]


def append(db: Db, conversation: Conversation, device: DeviceId, make: Callable[[Tip | None], Event], now_ms: int) -> Event:
    """Write the event that `make` builds on the end of my device's log, show it, and return it."""
    number = numbers.number_of_conversation(db, conversation)
    writer = numbers.number_of_device(db, device, numbers.my_account(db))
    log = Log(db, number, writer)
    end = log.ends.get(0)
    event = make(end.tip if end else None)
    view = View(db, number, now_ms)
    author = Author(writer, device[:PREFIX_BYTES], mine=True, this=True)
    log.write(event, view, author, now_ms, branch=0, checked=True, skew_ms=None)
    log.close()
    view.close()
    return event


def erase_body(db: Db, event: EventId, now_ms: int) -> None:
    """Take what a message says out of log and views; its header keeps the log whole.

    Raises:
        MessageNotFound: there is no such message. Marks, contacts and settings are none: views rest on what they say.
    """
    row = db.execute("SELECT number, conversation FROM event WHERE id = ? AND kind = ?", (event, Kind.TEXT)).fetchone()
    if row is None:
        raise MessageNotFound("There is no such message.")
    db.execute("UPDATE event SET body = NULL WHERE number = ?", (row[0],))
    if db.execute("UPDATE message SET text = NULL WHERE number = ? AND text IS NOT NULL", (row[0],)).rowcount:
        feed.message_changed(db, row[0], row[1], now_ms)
    count_unread(db, row[1])


def forget_history(db: Db, conversation: ConversationId) -> None:
    """Erase what was said in a conversation, here alone. Of mine what has not reached the other yet is kept: it is still to go."""
    number = numbers.require_conversation(db, conversation)
    open_ones = "SELECT message FROM delivery WHERE delivered_ms IS NULL"
    gone = f"SELECT number FROM message WHERE conversation = ? AND system = 0 AND number NOT IN ({open_ones})"
    db.execute(f"UPDATE event SET body = NULL WHERE conversation = ? AND number IN ({gone})", (number, number))
    db.execute(f"UPDATE message SET text = NULL WHERE number IN ({gone})", (number,))
    count_unread(db, number)


def forked(db: Db) -> set[DeviceId]:
    """Return the devices with a log that forked."""
    rows = db.execute("SELECT DISTINCT d.id FROM tip t JOIN device d ON d.number = t.device WHERE t.branch > 0")
    return {DeviceId(row[0]) for row in rows}


def is_old_copy(db: Db) -> bool:
    """Say whether an event of this device's log was shown that it lacks: then it writes nothing more under its key."""
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (OLD_COPY,)).fetchone() is not None
