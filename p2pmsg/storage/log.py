"""The logs: each function is a job that leaves log, views and feed in agreement.

What is long has its own file (`receiving`, `ranges`, `delivery`); this is the table of contents.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pmsg.model.events import Conversation, Event, Tip
from p2pmsg.model.ids import PREFIX_BYTES, DeviceId
from p2pmsg.storage import numbers
from p2pmsg.storage.branches import Log
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.delivery import store_ack
from p2pmsg.storage.ranges import give, ids_at, tips
from p2pmsg.storage.receiving import OLD_COPY, CheckContext, Received, receive
from p2pmsg.storage.stored import Author
from p2pmsg.storage.views import View

__all__ = [
    "CheckContext",
    "Received",
    "append",
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


def forked(db: Db) -> set[DeviceId]:
    """Return the devices with a log that forked."""
    rows = db.execute("SELECT DISTINCT d.id FROM tip t JOIN device d ON d.number = t.device WHERE t.branch > 0")
    return {DeviceId(row[0]) for row in rows}


def is_old_copy(db: Db) -> bool:
    """Say whether an event of this device's log was shown that it lacks: then it writes nothing more under its key."""
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (OLD_COPY,)).fetchone() is not None
