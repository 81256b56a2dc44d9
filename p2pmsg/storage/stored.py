"""Events as rows: written once, read back as the exact bytes that were signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2pmsg.model.events import Event, Header
from p2pmsg.model.ids import PREFIX_BYTES, EventId
from p2pmsg.protocol import wire
from p2pmsg.storage.cipher import Db


@dataclass(frozen=True, slots=True)
class Author:
    """The device that wrote a log, by number."""

    device: int
    tie: bytes
    """First 8 bytes of its id: decides between events of one position."""
    mine: bool
    """A device of my account."""
    this: bool
    """This very device."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An event that has its place in the order shown."""

    number: int
    id: EventId
    header: Header
    body: bytes | None
    position: int
    held_ms: int
    author: Author

    @property
    def tie(self) -> bytes:
        """Decides between changes of one position, the same way on every device."""
        return self.author.tie + self.header.seq.to_bytes(8, "big")


def author_of(db: Db, device: int, *, me: int) -> Author:
    """Return what views need to know of a device."""
    sql = "SELECT d.id, d.account = ?, d.id = i.device FROM device d, identity i WHERE d.number = ?"
    row = db.execute(sql, (me, device)).fetchone()
    return Author(device, row[0][:PREFIX_BYTES], bool(row[1]), bool(row[2]))


def event_of_row(row: tuple[Any, ...]) -> Event:
    """Return the event of `header, signature, body` as stored."""
    return wire.decode_event(*row)


def holds(db: Db, conversation: int, device: int, seq: int, prefix: bytes) -> bool | None:
    """Say whether the log has, at a number, the event whose id starts so; None where it has none at all there."""
    sql = "SELECT id FROM event WHERE conversation = ? AND device = ? AND seq = ?"
    ids = [row[0] for row in db.execute(sql, (conversation, device, seq))]
    return any(event.startswith(prefix) for event in ids) if ids else None
