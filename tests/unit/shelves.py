"""People with storage: each has a database in memory, writes events into it and takes those of others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from p2pmsg.crypto import gates, signing
from p2pmsg.model.accounts import Device, Membership
from p2pmsg.model.events import Claim, Conversation, ConversationKind, Event, Tip
from p2pmsg.model.ids import ConversationId, EventId
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol import log as rules
from p2pmsg.protocol.bodies import Body, ContactBody, DeleteBody, ReadBody, ReadEntry, TextBody, encode_body, kind_of
from p2pmsg.storage import erasing, log, people, queries
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import open_memory
from tests.unit.people import Person, seeded

NOW = 1_700_000_000_000


def direct(a: Person, b: Person) -> Conversation:
    members = tuple(sorted((a.account, b.account)))
    return Conversation(gates.direct_conversation(a.account, b.account), ConversationKind.DIRECT, members)


def own(who: Person) -> Conversation:
    return Conversation(gates.self_conversation(who.account), ConversationKind.SELF, (who.account,))


class Shelf:
    """One device of a person, with its database. The clock stands until the test moves it."""

    def __init__(self, who: Person, db: Db | None = None) -> None:
        self.who = who
        self.now_ms = NOW
        self.db = db or open_memory()
        if db is None:
            people.create_identity(self.db, own_identity(who))
            people.add_links(self.db, who.links, NOW)

    @property
    def membership(self) -> Membership:
        return authority.resolve(self.who.links)

    def write(self, conversation: Conversation, body: Body, parents: Sequence[EventId] = ()) -> Event:
        """Append an event to the own log."""
        self.now_ms += 1
        return log.append(self.db, conversation, self.who.device, lambda tip: self.make(tip, conversation, body, parents), self.now_ms)

    def make(self, tip: Tip | None, conversation: Conversation, body: Body, parents: Sequence[EventId] = (), hlc: int = 0) -> Event:
        """Sign an event that follows a tip, and store it nowhere."""
        return rules.write(
            tip,
            conversation.id,
            self.who.device,
            kind_of(body),
            encode_body(body, os.urandom(16)),
            hlc=hlc or rules.next_hlc(self.now_ms, 0, tip.hlc if tip else 0),
            account_heads=self.membership.heads,
            sign=self.who.sign,
            parents=parents,
        )

    def say(self, other: Person, text: str, parents: Sequence[EventId] = ()) -> Event:
        return self.write(direct(self.who, other), TextBody(text), parents)

    def meet(self, other: Person, **changes: object) -> Event:
        """Write into `self` that somebody is a contact, or what else the changes say of him."""
        return self.write(own(self.who), contact_body(other, **changes))

    def mark_read(self, conversation: ConversationId, upto: Sequence[Event], *, within: Conversation | None = None) -> Event:
        entries = [ReadEntry(e.header.device, e.header.seq, e.id[:8]) for e in upto]
        return self.write(within or own(self.who), ReadBody(conversation, entries))

    def delete(self, other: Person, events: Sequence[Event]) -> Event:
        """Delete single messages of the conversation with somebody."""
        return self.write(own(self.who), DeleteBody(direct(self.who, other).id, [], [event.id for event in events]))

    def delete_all(self, other: Person) -> list[Event]:
        """Delete all that is held of the conversation with somebody."""
        return [self.write(own(self.who), body) for body in erasing.everything(self.db, direct(self.who, other).id)]

    def take(self, events: Sequence[Event], author: Membership | Person, *, mine: bool = False, last_resort: bool = False) -> log.Received:
        """Receive events of one log."""
        self.now_ms += 1
        membership = authority.resolve(author.links) if isinstance(author, Person) else author
        context = log.CheckContext(membership, mine=mine, skew_ms=None, last_resort=last_resort)
        return log.receive(self.db, events[0].header.conversation, events, context, self.now_ms)

    def ack(self, by: Person, events: Sequence[Event]) -> list[EventId]:
        """Note that somebody's device has committed up to these events; return the messages that were delivered by that."""
        self.now_ms += 1
        vector = {e.header.device: (e.header.seq, e.id[:8]) for e in events}
        before = self._delivered()
        log.store_ack(self.db, events[0].header.conversation, by.account, by.device, vector, self.now_ms)
        return self._delivered()[len(before) :]

    def _delivered(self) -> list[EventId]:
        sql = "SELECT e.id FROM delivery d JOIN event e ON e.number = d.message WHERE d.delivered_ms IS NOT NULL"
        return [EventId(row[0]) for row in self.db.execute(f"{sql} ORDER BY d.delivered_ms, e.number")]

    def texts(self, other: Person) -> list[str]:
        return [row.text for row in queries.history(self.db, direct(self.who, other).id, 1000)]

    def row(self, event: Event) -> queries.MessageRow:
        return queries.messages(self.db, [event.id])[event.id]

    def unread_all(self) -> int:
        return int(self.db.execute("SELECT sum(unread) FROM conversation").fetchone()[0])

    def unread(self, other: Person) -> int:
        rows = queries.conversations(self.db)
        return next(row.unread for row in rows if row.conversation == direct(self.who, other).id)


def own_identity(who: Person) -> people.OwnIdentity:
    return people.OwnIdentity(who.account, who.device, who.key, who.secret, who.root[0], b"b" * 1216, NOW)


def contact_body(other: Person, **changes: object) -> ContactBody:
    fields: dict[str, object] = {
        "account": other.account,
        "name": None,
        "nickname": other.name,
        "trust": "verified",
        "verified_by": "invite",
        "pair_key": seeded("pair"),
        "via": "invite_theirs",
        "removed": False,
    }
    return ContactBody(**(fields | changes))  # type: ignore[arg-type]


def second_device(who: Person) -> tuple[Person, Membership]:
    """Return a person's other device, as a person of the same account, and what the chain would say of both."""
    key, secret = signing.keypair(seeded(f"{who.name}/phone"))
    phone = replace_keys(who, key, secret)
    first = authority.resolve(who.links)
    device = Device(phone.device, phone.key, "phone", admin=True, active=True)
    return phone, replace(first, devices=first.devices | {device.id: device})


def replace_keys(who: Person, key: object, secret: bytes) -> Person:
    phone = Person(who.name, seed=who.seed)
    phone.key, phone.secret = key, secret  # type: ignore[assignment]
    return phone


def claim(event: Event) -> Claim:
    return wire.claim_of(event.header.device, event.header.seq, event.id)


def tip_of(event: Event) -> Tip:
    return Tip(event.header.seq, event.id, event.header.hlc, event.header.account_heads)


def line(shelf: Shelf, conversation: Conversation, texts: Sequence[str], after: Event | None = None) -> list[Event]:
    """Sign texts that follow each other, stored nowhere."""
    tip, events = (tip_of(after) if after else None), []
    for text in texts:
        shelf.now_ms += 1
        events.append(shelf.make(tip, conversation, TextBody(text)))
        tip = tip_of(events[-1])
    return events
