"""What others get from me: what they ask for and may have, in pieces, and no more at once than may be on its way."""

from __future__ import annotations

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Conversation, ConversationKind, Event, Kind
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import log, wire
from p2pmsg.protocol.asking import Shared
from p2pmsg.protocol.giving import Gives
from p2pmsg.protocol.messages import LoadEvents, MarkSent, ReplicationCommand, SendMessage
from p2pmsg.protocol.peers import LogKey, Peer
from tests.unit.people import Person
from tests.unit.shelves import tip_of

ANN, BOB, EVE = Person("Ann"), Person("Bob"), Person("Eve")
TALK = Conversation(ConversationId(b"c" * 32), ConversationKind.DIRECT, (ANN.account, BOB.account))
MINE: LogKey = (TALK.id, ANN.device[:8])
LINK = LinkNumber(1)


def written(count: int, size_bytes: int = 100) -> list[Event]:
    events: list[Event] = []
    for number in range(1, count + 1):
        tip = tip_of(events[-1]) if events else None
        events.append(log.write(tip, TALK.id, ANN.device, Kind.TEXT, bytes(size_bytes), hlc=number, account_heads=(), sign=ANN.sign))
    return events


def end(events: list[Event]) -> Claim:
    return wire.claim_of(ANN.device, events[-1].header.seq, events[-1].id)


class Counter:
    """Ann's side of one link."""

    def __init__(self, events: list[Event], account: AccountId = BOB.account) -> None:
        self.shared = Shared(TALK, {MINE[1]: ANN.device}, {MINE[1]: ANN.account}, {MINE[1]: (end(events),)} if events else {})
        self.peer = Peer(LINK, account, DeviceId(b"p" * 32), compare_at=0.0, compared=True)
        self.out: list[ReplicationCommand] = []
        self.gives = Gives(ANN.account, MINE[1], {TALK.id: self.shared}, {LINK: self.peer}, self.out.append)

    def wants(self, head: Claim, *locator: Claim) -> None:
        asked = wire.Range(TALK.id, wire.pack_claims(locator), wire.pack_claims([head]))
        self.gives.wanted(self.peer, wire.Want([asked]))
        self.gives.pump(self.peer)

    def taken(self) -> list[ReplicationCommand]:
        found, self.out[:] = list(self.out), []
        return found


def test_what_is_asked_for_is_read_handed_over_and_noted_as_sent() -> None:
    events = written(3)
    counter = Counter(events)
    counter.wants(end(events), end(events[:1]))
    (load,) = counter.taken()
    assert isinstance(load, LoadEvents) and (load.head, load.locator) == (end(events), (end(events[:1]),))
    counter.gives.loaded(load, events[1:])
    send, mark = counter.taken()
    assert isinstance(send, SendMessage) and isinstance(send.message, wire.Events) and len(send.message.events) == 2
    assert mark == MarkSent(BOB.account, TALK.id, 1, 3)
    assert counter.peer.position[MINE] == end(events) and not counter.peer.giving


def test_who_asks_before_he_compared_misbehaves() -> None:
    counter = Counter(written(1))
    counter.peer.compared = False
    with pytest.raises(PeerMisbehaved):
        counter.wants(end(written(1)))


def test_what_he_may_not_have_and_what_is_not_there_are_passed_over_alike() -> None:
    events = written(2)
    for counter, head in ((Counter(events, EVE.account), end(events)), (Counter(events[:1]), end(events)), (Counter([]), end(events))):
        counter.wants(head)
        assert counter.taken() == [] and not counter.peer.giving


def test_no_more_is_read_than_may_be_on_its_way() -> None:
    events = written(4)
    counter = Counter(events)
    counter.peer.unacknowledged_bytes = limits.UNACKNOWLEDGED_BYTES - 1
    counter.wants(end(events))
    (load,) = counter.taken()
    assert isinstance(load, LoadEvents) and load.limit_bytes == 1
    counter.gives.loaded(load, events[:1])
    counter.taken()
    counter.gives.pump(counter.peer)
    assert counter.taken() == []  # the window is closed
    counter.peer.release(MINE, 1)
    counter.peer.unacknowledged_bytes = 0
    counter.gives.pump(counter.peer)
    (load,) = counter.taken()
    assert isinstance(load, LoadEvents) and load.locator == (end(events[:1]),)


def test_what_was_read_for_an_older_question_is_dropped() -> None:
    events = written(3)
    counter = Counter(events)
    counter.wants(end(events))
    (old,) = counter.taken()
    counter.wants(end(events), end(events[:2]))
    (new,) = counter.taken()
    assert isinstance(old, LoadEvents) and isinstance(new, LoadEvents)
    counter.gives.loaded(old, events)
    assert counter.taken() == []
    counter.gives.loaded(new, [])
    assert counter.taken() == [] and not counter.peer.giving


def test_my_other_devices_are_no_recipients() -> None:
    events = written(1)
    counter = Counter(events, ANN.account)
    counter.gives.hand_over(counter.peer, MINE, events)
    assert [type(command) for command in counter.taken()] == [SendMessage]
