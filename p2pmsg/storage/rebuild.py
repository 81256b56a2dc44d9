"""Make the views anew from the logs."""

from __future__ import annotations

from typing import Final

from p2pmsg.model.events import Kind
from p2pmsg.protocol.bodies import KNOWN
from p2pmsg.storage import numbers, people
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.delivery import count_unread
from p2pmsg.storage.stored import Author, author_of, event_of_row
from p2pmsg.storage.views import UNKNOWN, View

SHOWN_BY: Final = "kinds"
"""Key in `meta`: the kinds of events that were known when the views were made."""
_EMPTIED = ("message", "waiting", "mark", "contact", "setting", "deleted", "cleared", "doomed", "seen")


def is_behind(db: Db) -> bool:
    """Say whether the views were made by a version that knew other kinds of events than this one, or by one that did not say."""
    return people.get_meta(db, SHOWN_BY) != _kinds()


def catch_up(db: Db) -> bool:
    """Show what an older version could not show, in the caller's transaction; say whether there was any."""
    unknown = "SELECT 1 FROM message m JOIN event e ON e.number = m.number WHERE m.system = ?"
    found = db.execute(unknown, (UNKNOWN,)).fetchone() is not None
    if found:
        rebuild(db)
    people.put_meta(db, SHOWN_BY, _kinds())
    return found


def _kinds() -> str:
    return ",".join(map(str, sorted(KNOWN)))


def rebuild(db: Db) -> None:
    """Empty the views and fill them from the events, within the caller's transaction; the feed hears nothing.

    When a delivery was acknowledged stands in no log: that time is kept. What was read is found again.
    """
    me = numbers.my_account(db)
    for table in _EMPTIED:
        db.execute(f"DELETE FROM {table}")
    db.execute("UPDATE event SET position = NULL")
    db.execute("UPDATE delivery SET read_ms = NULL")
    shown: dict[int, View] = {}
    authors: dict[int, Author] = {}
    rows = db.execute("SELECT number, conversation, device, held_ms FROM event ORDER BY number").fetchall()
    for number, conversation, device, held_ms in rows:
        view = shown.get(conversation) or shown.setdefault(conversation, View(db, conversation, held_ms, silent=True))
        author = authors.get(device) or authors.setdefault(device, author_of(db, device, me=me))
        row = db.execute("SELECT header, signature, body FROM event WHERE number = ?", (number,)).fetchone()
        event = event_of_row(row)
        position = view.position_of(event.header)
        if position is not None:
            db.execute("UPDATE event SET position = ? WHERE number = ?", (position, number))
        view.add(number, event, position, held_ms, author)
        if event.header.kind == Kind.DELETE:
            shown.clear()  # they know what was deleted when they were made
    for row in db.execute("SELECT number FROM conversation").fetchall():
        count_unread(db, row[0])
