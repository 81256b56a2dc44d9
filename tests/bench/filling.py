"""Puts many messages into a profile whose daemon does not run, half of them mine, as the daemons would have stored them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from p2pmsg.config import limits
from p2pmsg.crypto import gates, signing, vault
from p2pmsg.model.accounts import Membership
from p2pmsg.model.events import Conversation, ConversationKind, Event, Kind, Tip
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import authority, log
from p2pmsg.protocol.bodies import TextBody, encode_body
from p2pmsg.storage import delivery, people, receiving
from p2pmsg.storage import log as log_store
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import close_database, open_database
from p2pmsg.storage.people import OwnIdentity
from tests.bench.talk import TEXT
from tests.lan.people import Person

BEGINNING_MS = 1_700_000_000_000


def fill(mine: Person, other: Person, count: int) -> None:
    """Store `count` messages between the two on my side alone: the other must not come back, who would find himself an old copy."""
    with opened(other) as db:
        him = people.identity(db)
    with opened(mine) as db:
        me = people.identity(db)
        chains = {account: authority.resolve(links) for account, links in people.chains(db).items()}
        tips = log_store.tips(db)
        members = (me.account, him.account) if me.account < him.account else (him.account, me.account)
        shared = Conversation(gates.direct_conversation(me.account, him.account), ConversationKind.DIRECT, members)
        ends = tips.get(shared.id, {})
        for who in (me, him):
            held = ends.get(who.device, [])
            events = list(_written(who, chains[who.account], shared, held[0] if held else None, count // 2))
            if who is me:
                _append(db, me, shared, events)
                _acknowledge(db, shared, him.account, him, events[-1])
            else:
                _receive(db, shared, events, chains[him.account])


@contextmanager
def opened(person: Person) -> Iterator[Db]:
    """Open the database of somebody whose daemon does not run."""
    folder: Path = person.folder
    opened = open_database(folder / "data.db", vault.database_key(vault.open_key(folder / "key")))
    opened.db.execute("BEGIN IMMEDIATE")
    try:
        yield opened.db
        opened.db.execute("COMMIT")
    finally:
        close_database(opened.db)


def _written(who: OwnIdentity, chain: Membership, conversation: Conversation, tip: Tip | None, count: int) -> Iterator[Event]:
    """Yield messages that follow each other in one log, one a second."""
    for number in range(count):
        event = log.write(
            tip,
            conversation.id,
            who.device,
            Kind.TEXT,
            encode_body(TextBody(TEXT), os.urandom(16)),
            hlc=max(BEGINNING_MS + number * 1000 << 16, tip.hlc + 1 if tip else 0),
            account_heads=chain.heads,
            sign=lambda message: signing.sign(who.device_secret, message),
        )
        tip = Tip(event.header.seq, event.id, event.header.hlc, chain.heads)
        yield event


def _append(db: Db, me: OwnIdentity, conversation: Conversation, events: Sequence[Event]) -> None:
    for event in events:
        log_store.append(db, conversation, me.device, lambda _, event=event: event, BEGINNING_MS)  # type: ignore[misc]


def _receive(db: Db, conversation: Conversation, events: Sequence[Event], author: Membership) -> None:
    context = receiving.CheckContext(author, mine=False)
    for at in range(0, len(events), limits.EVENTS_PER_FRAME):
        receiving.receive(db, conversation.id, events[at : at + limits.EVENTS_PER_FRAME], context, BEGINNING_MS)


def _acknowledge(db: Db, conversation: Conversation, account: AccountId, by: OwnIdentity, last: Event) -> None:
    vector = {last.header.device: (last.header.seq, last.id[:8])}
    delivery.store_ack(db, conversation.id, account, by.device, vector, BEGINNING_MS)
