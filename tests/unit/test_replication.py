"""Replication as conversations: what happened goes in, commands come out; two or three machines back to back."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import gates, signing
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Conversation, ConversationKind, Event, Kind, Tip
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import log, wire
from p2pmsg.protocol.asking import Stored
from p2pmsg.protocol.messages import LoadEvents, LookUpIds, MarkQueued, MarkSent, ReceiveEvents, SendMessage, StoreAck
from p2pmsg.protocol.replication import Replication

ANN, BOB = AccountId(b"a" * 32), AccountId(b"b" * 32)
TALK = Conversation(gates.direct_conversation(ANN, BOB), ConversationKind.DIRECT, (ANN, BOB))
L = LinkNumber(1)


class Machine:
    """A replication with the least storage: lists of events, committed at once."""

    def __init__(self, account: AccountId, name: str, devices: dict[DeviceId, AccountId], conversation: Conversation = TALK) -> None:
        self.account, self.device = account, DeviceId(name.encode() * 32)
        self.conversation = conversation
        self.secret = signing.keypair(name.encode() * 32)[1]
        self.logs: dict[DeviceId, list[Event]] = {}
        self.core = Replication(account, self.device)
        self.core.conversation_opened(conversation, devices, {})
        self.acked: dict[AccountId, int] = {}
        self.marks: list[MarkSent | MarkQueued] = []
        self.received = 0
        self.strip = False
        self.now = 0.0

    def write(self, text: bytes = b"hello", push: bool = True) -> Event:
        mine = self.logs.setdefault(self.device, [])
        tip = Tip(mine[-1].header.seq, mine[-1].id, mine[-1].header.hlc) if mine else None
        hlc = (tip.hlc if tip else 0) + 1
        body = os.urandom(16) + text
        sign = lambda message: signing.sign(self.secret, message)  # noqa: E731
        event = log.write(tip, self.conversation.id, self.device, Kind.TEXT, body, hlc=hlc, account_heads=(), sign=sign)
        mine.append(event)
        if push:
            self.core.events_appended(self.conversation.id, [event], self.now)
        return event

    def take(self, message: wire.Message, link: LinkNumber) -> None:
        match message:
            case wire.Have():
                self.core.have_received(link, message, self.now)
            case wire.Want():
                self.core.want_received(link, message)
            case wire.Events():
                self.core.events_received(link, message)
            case wire.Ack():
                self.core.ack_received(link, message)

    def step(self) -> list[SendMessage]:
        """Perform what is due; return what is to be sent."""
        out: list[SendMessage] = []
        while commands := self.core.poll(self.now):
            for command in commands:
                match command:
                    case SendMessage():
                        out.append(command)
                    case LoadEvents():
                        self.core.events_loaded(command, self._give(command))
                    case LookUpIds():
                        held = {event.header.seq: event.id[:8] for event in self.logs.get(command.device, [])}
                        self.core.ids_found(command, {seq: held[seq] for seq in command.seqs if seq in held}, self.now)
                    case ReceiveEvents():
                        self._store(command)
                    case StoreAck():
                        top = max(claim.seq for claim in command.vector.values())
                        self.acked[command.account] = max(top, self.acked.get(command.account, 0))
                    case MarkSent() | MarkQueued():
                        self.marks.append(command)
        return out

    def _give(self, command: LoadEvents) -> Sequence[Event]:
        events = self.logs[command.device]
        start = max((claim.seq for claim in command.locator), default=0)
        taken: list[Event] = []
        for event in events[start : command.head.seq]:
            if taken and sum(e.size for e in taken) + event.size > command.limit_bytes:
                break
            taken.append(event)
        return taken

    def _store(self, command: ReceiveEvents) -> None:
        mine = self.logs.setdefault(command.device, [])
        accepted, gap, stripped = 0, False, False
        for event in command.events:
            if event.header.seq <= len(mine):
                continue
            if event.header.seq > len(mine) + 1:
                gap = True
                break
            if event.body is None:
                stripped = True
                break
            mine.append(event)
            accepted += 1
        self.received += len(command.events)
        tips = (wire.claim_of(command.device, len(mine), mine[-1].id),) if mine else ()
        size = sum(event.size for event in command.events)
        stored = Stored(tips, accepted, gap, stripped)
        self.core.events_stored(command.link, command.conversation, command.device, size, stored, self.now)


class Wire:
    """Links between machines; every message goes through its bytes."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, LinkNumber], tuple[Machine, LinkNumber]] = {}
        self.machines: list[Machine] = []
        self.sent = 0

    def join(self, a: Machine, b: Machine, number: int = 1) -> None:
        link = LinkNumber(number)
        for one, other in ((a, b), (b, a)):
            self.ends[one.device.hex(), link] = (other, link)
            if one not in self.machines:
                self.machines.append(one)
        a.core.link_opened(link, b.account, b.device, a.now)
        b.core.link_opened(link, a.account, a.device, b.now)

    def cut(self, a: Machine, b: Machine, number: int = 1) -> None:
        link = LinkNumber(number)
        for one in (a, b):
            del self.ends[one.device.hex(), link]
            one.core.link_closed(link, one.now)

    def run(self, until: float = 0.0) -> None:
        moved = True
        while moved:
            moved = False
            for machine in self.machines:
                machine.now = max(machine.now, until)
                for command in machine.step():
                    moved = True
                    self.sent += 1
                    if end := self.ends.get((machine.device.hex(), command.link)):
                        message = wire.decode(*wire.encode(command.message))
                        assert message is not None
                        if machine.strip and isinstance(message, wire.Events):
                            message = wire.Events([wire.SentEvent(e.header, e.signature, None) for e in message.events])
                        end[0].take(message, end[1])


def two() -> tuple[Machine, Machine, Wire]:
    devices = {DeviceId(b"x" * 32): ANN, DeviceId(b"y" * 32): BOB}
    return Machine(ANN, "x", devices), Machine(BOB, "y", devices), Wire()


def same(*machines: Machine) -> bool:
    logs = [{device: [e.id for e in events] for device, events in m.logs.items() if events} for m in machines]
    return all(one == logs[0] for one in logs)


def test_a_waiting_message_is_pulled_when_the_peer_comes() -> None:
    ann, bob, link = two()
    ann.write()
    link.join(ann, bob)
    link.run()
    assert same(ann, bob) and ann.acked == {BOB: 1}


def test_a_new_message_is_pushed_at_once_and_once() -> None:
    ann, bob, link = two()
    link.join(ann, bob)
    link.run()
    for _ in range(5):
        ann.write()
        bob.write()
        link.run()
    assert same(ann, bob)
    assert (bob.received, ann.received) == (5, 5)
    assert ann.acked == {BOB: 5} and bob.acked == {ANN: 5}


def test_nothing_is_handed_over_before_the_peer_has_compared() -> None:
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.write()
    assert [type(c.message) for c in ann.step()] == [wire.Have, wire.Have]
    with pytest.raises(PeerMisbehaved):
        ann.core.want_received(L, wire.Want([]))


def test_ten_thousand_waiting_messages_stay_within_the_window() -> None:
    ann, bob, link = two()
    for _ in range(10_000):
        ann.write(b"x" * 200, push=False)
    last = ann.logs[ann.device][-1]
    ann.core.conversation_opened(
        TALK, {ann.device: ANN, bob.device: BOB}, {ann.device: [wire.claim_of(ann.device, last.header.seq, last.id)]}
    )
    link.join(ann, bob)
    link.run()
    assert same(ann, bob) and bob.received == 10_000


def test_the_window_closes_at_one_mebibyte_and_opens_with_acknowledgements() -> None:
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.core.have_received(L, wire.Have(True, []), 0.0)
    events = [ann.write(b"x" * 60_000) for _ in range(40)]
    frames = [c.message for c in ann.step() if isinstance(c.message, wire.Events)]
    carried = sum(len(f.events) for f in frames)
    assert 16 < carried < 20
    tip = events[carried - 1]
    vector = wire.pack_claims([wire.claim_of(ann.device, tip.header.seq, tip.id)])
    ann.core.ack_received(L, wire.Ack([wire.LogClaims(TALK.id, vector)]))
    assert any(isinstance(c.message, wire.Events) for c in ann.step())


def test_who_acknowledges_more_of_a_log_than_is_here_has_all_that_was_given() -> None:
    """Its author may acknowledge what I am about to store: taken for nothing, the window would stay closed."""
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.core.have_received(L, wire.Have(True, []), 0.0)
    ann.write()
    ann.step()
    assert ann.core._peers[L].unacknowledged_bytes
    vector = wire.pack_claims([Claim(ann.device[:8], 2, b"i" * 8)])
    ann.core.ack_received(L, wire.Ack([wire.LogClaims(TALK.id, vector)]))
    assert not ann.core._peers[L].unacknowledged_bytes


def test_sent_falls_back_to_queued_when_the_link_ends_unacknowledged() -> None:
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.core.have_received(L, wire.Have(True, []), 0.0)
    ann.write()
    ann.step()
    assert ann.core.handed(BOB, TALK.id, 1)
    ann.core.link_closed(L, 1.0)
    ann.step()
    assert not ann.core.handed(BOB, TALK.id, 1)
    assert ann.marks == [MarkSent(BOB, TALK.id, 0, 1), MarkQueued(BOB, TALK.id, 0, 1)]


def test_messages_of_both_meet_after_a_cut_in_the_middle() -> None:
    ann, bob, link = two()
    link.join(ann, bob)
    link.run()
    ann.write()
    link.run()
    link.cut(ann, bob)
    ann.write()
    bob.write()
    link.join(ann, bob, 2)
    link.run()
    assert same(ann, bob)


def test_what_was_stored_only_after_its_link_had_ended_is_acknowledged_on_the_next() -> None:
    ann, bob, link = two()
    link.join(ann, bob)
    link.run()
    event = ann.write()
    (frame,) = [command.message for command in ann.step()]
    bob.take(frame, L)
    (receive,) = bob.core.poll(0.0)
    link.cut(ann, bob)
    link.join(ann, bob, 2)
    for command in bob.step():  # what bob holds is told before the transaction is over, what ann holds is heard after it
        ann.take(command.message, command.link)
    assert isinstance(receive, ReceiveEvents)
    bob._store(receive)
    link.run(until=1.0)
    assert bob.logs[ann.device] == [event] and ann.acked == {BOB: 1}


def test_after_quiescence_a_comparison_moves_nothing() -> None:
    ann, bob, link = two()
    link.join(ann, bob)
    for _ in range(3):
        ann.write()
        bob.write()
        link.run()
    received = (ann.received, bob.received)
    for number in range(2, 12):
        link.cut(ann, bob, number - 1)
        link.join(ann, bob, number)
        link.run()
    assert (ann.received, bob.received) == received


def test_the_slow_timer_compares_again() -> None:
    ann, bob, link = two()
    link.join(ann, bob)
    link.run()
    before = link.sent
    link.run(limits.COMPARE_EVERY_S + 1)
    assert link.sent > before


# -- three devices of one account: gossip


def three() -> tuple[list[Machine], Wire]:
    own = Conversation(gates.self_conversation(ANN), ConversationKind.SELF, (ANN,))
    devices = {DeviceId(name.encode() * 32): ANN for name in "xyz"}
    return [Machine(ANN, name, devices, own) for name in "xyz"], Wire()


def test_what_one_device_wrote_reaches_a_third_through_the_second() -> None:
    (x, y, z), link = three()
    link.join(x, y, 1)
    link.join(y, z, 2)
    link.run()
    x.write()
    link.run()
    link.run(1.0)
    assert same(x, y, z) and z.received == 1


def test_backlog_is_asked_from_one_giver() -> None:
    (x, y, z), link = three()
    link.join(x, y, 1)
    for _ in range(20):
        x.write()
    link.run()
    link.run(1.0)
    link.join(x, z, 2)
    link.join(y, z, 3)
    link.run()
    link.run(2.0)
    assert same(x, y, z) and z.received == 20


def test_a_giver_that_stalls_is_replaced_after_half_a_second() -> None:
    (x, y, z), link = three()
    link.join(x, y, 1)
    x.write()
    link.run()
    z.core.link_opened(LinkNumber(2), ANN, x.device, 0.0)  # claims all, gives nothing
    tip = x.logs[x.device][-1]
    claim = wire.Have(True, [wire.LogClaims(x.conversation.id, wire.pack_claims([wire.claim_of(x.device, 1, tip.id)]))])
    z.core.have_received(LinkNumber(2), claim, 0.0)
    z.step()
    link.join(y, z, 3)
    link.run()
    assert not z.logs.get(x.device)
    link.run(limits.ASK_PATIENCE_S + 0.1)
    assert same(x, y, z)


def test_stripped_bodies_are_sought_from_others() -> None:
    (x, y, z), link = three()
    link.join(x, y, 1)
    for _ in range(3):
        x.write()
    link.run()
    y.strip = True
    link.join(y, z, 2)
    link.run()
    assert not z.logs.get(x.device)
    link.join(x, z, 3)
    link.run()
    assert same(x, y, z)


def friends() -> tuple[list[Machine], Wire]:
    """Ann's device, and two of Bob's."""
    devices = {DeviceId(b"x" * 32): ANN, DeviceId(b"y" * 32): BOB, DeviceId(b"z" * 32): BOB}
    return [Machine(ANN, "x", devices), Machine(BOB, "y", devices), Machine(BOB, "z", devices)], Wire()


def test_an_author_who_leaves_bodies_out_is_the_last_resort() -> None:
    (x, y, _), link = friends()
    link.join(x, y, 1)
    x.write()
    link.run()
    assert y.core.is_last_resort(L, TALK.id, x.device) and not y.core.is_last_resort(LinkNumber(9), TALK.id, x.device)
    assert not y.core.is_last_resort(L, TALK.id, y.device)  # what she gives of my own log
    assert not y.core.is_last_resort(L, ConversationId(bytes(32)), x.device)


def test_while_another_claims_a_log_its_author_is_not_the_last_resort() -> None:
    (x, y, z), link = friends()
    link.join(x, y, 1)
    x.write()
    link.run()
    z.core.link_opened(LinkNumber(2), x.account, x.device, 0.0)
    assert z.core.is_last_resort(LinkNumber(2), TALK.id, x.device)
    z.core.link_opened(LinkNumber(3), y.account, y.device, 0.0)
    vector = wire.pack_claims([wire.claim_of(x.device, 1, x.logs[x.device][0].id)])
    z.core.have_received(LinkNumber(3), wire.Have(True, [wire.LogClaims(TALK.id, vector)]), 0.0)
    assert not z.core.is_last_resort(LinkNumber(2), TALK.id, x.device)


# -- what a peer may not do


def test_conversations_not_shared_do_not_exist_for_the_asker() -> None:
    ann, bob, _ = two()
    other = ConversationId(b"o" * 32)
    ann.core.conversation_opened(
        Conversation(other, ConversationKind.SELF, (ANN,)), {ann.device: ANN}, {ann.device: [Claim(b"x" * 8, 3, b"i" * 8)]}
    )
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.core.have_received(L, wire.Have(True, []), 0.0)
    assert all(entry.conversation != other for c in ann.step() if isinstance(c.message, wire.Have) for entry in c.message.conversations)
    head = wire.pack_claims([Claim(b"x" * 8, 3, b"i" * 8)])
    ann.core.want_received(L, wire.Want([wire.Range(other, b"", head)]))
    assert ann.step() == []


def test_events_of_a_conversation_not_shared_are_misbehaviour() -> None:
    ann, bob, _ = two()
    mallory = Machine(BOB, "m", {}, Conversation(ConversationId(b"m" * 32), ConversationKind.SELF, (BOB,)))
    event = mallory.write(push=False)
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    with pytest.raises(PeerMisbehaved):
        ann.core.events_received(L, wire.Events([wire.sent_event(event)]))


def test_acknowledgements_of_what_was_never_written_are_passed_over() -> None:
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    vector = wire.pack_claims([Claim(ann.device[:8], 99, b"i" * 8)])
    ann.core.ack_received(L, wire.Ack([wire.LogClaims(TALK.id, vector)]))
    ann.step()
    assert ann.acked == {}


def test_more_on_its_way_than_allowed_closes_the_link() -> None:
    ann, bob, _ = two()
    bob.core.link_opened(L, ANN, ann.device, 0.0)
    events = [ann.write(b"x" * 65_000, push=False) for _ in range(40)]
    with pytest.raises(PeerMisbehaved):
        for event in events:
            bob.core.events_received(L, wire.Events([wire.sent_event(event)]))


def test_a_flood_of_claims_makes_storage_look_once_at_a_time() -> None:
    machine = Machine(ANN, "1", {DeviceId(b"1" * 32): ANN, DeviceId(b"2" * 32): BOB})
    machine.write(push=False)
    machine.core.conversation_opened(TALK, {DeviceId(b"1" * 32): ANN}, {machine.device: [Claim(b"1" * 8, 1, b"e" * 8)]})
    machine.core.link_opened(L, BOB, DeviceId(b"2" * 32), 0.0)
    for _ in range(50):
        claims = [Claim(b"1" * 8, 1, os.urandom(8)) for _ in range(limits.HAVE_LOGS)]
        machine.core.have_received(L, wire.Have(True, [wire.LogClaims(TALK.id, wire.pack_claims(claims))]), 0.0)
    looks = [command for command in machine.core.poll(0.0) if isinstance(command, LookUpIds)]
    assert len(looks) == 1
    machine.core.ids_found(looks[0], {1: b"e" * 8}, 0.0)
    again = [command for command in machine.core.poll(0.0) if isinstance(command, LookUpIds)]
    assert len(again) == 1  # for what was claimed last
    machine.core.ids_found(again[0], {1: b"e" * 8}, 0.0)
    assert not any(isinstance(command, LookUpIds) for command in machine.core.poll(0.0))


def test_a_conversation_stands_once_in_a_have() -> None:
    machine = Machine(ANN, "1", {DeviceId(b"1" * 32): ANN})
    machine.core.link_opened(L, BOB, DeviceId(b"2" * 32), 0.0)
    with pytest.raises(PeerMisbehaved):
        machine.core.have_received(L, wire.Have(True, [wire.LogClaims(TALK.id, b"")] * 2), 0.0)


def test_a_burst_beyond_the_window_is_not_pushed_whole() -> None:
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.core.have_received(L, wire.Have(True, []), 0.0)
    events = [ann.write(b"x" * 60_000, push=False) for _ in range(60)]
    ann.core.events_appended(TALK.id, events, 0.0)
    carried = [e for c in ann.step() if isinstance(c.message, wire.Events) for e in c.message.events]
    assert 0 < sum(len(e.body or b"") for e in carried) < limits.UNACKNOWLEDGED_BYTES + 65_536  # the last one may reach over


def test_made_up_requests_of_one_log_stay_few() -> None:
    ann, bob, _ = two()
    ann.core.link_opened(L, BOB, bob.device, 0.0)
    ann.core.have_received(L, wire.Have(True, []), 0.0)
    for _ in range(3):
        ann.write(push=False)
    last = ann.logs[ann.device][-1]
    held = {ann.device: [wire.claim_of(ann.device, 3, last.id)]}
    ann.core.conversation_opened(TALK, {ann.device: ANN, bob.device: BOB}, held)
    heads = [wire.pack_claims([Claim(ann.device[:8], 3, bytes([n]) * 8)]) for n in range(50)]
    ann.core.want_received(L, wire.Want([wire.Range(TALK.id, b"", head) for head in heads]))
    assert len(ann.core._peers[L].giving) <= limits.BRANCHES  # what bounds the work


def test_what_is_kept_back_waits_for_links_of_now_and_later_and_then_goes_out() -> None:
    ann, bob, link = two()
    link.join(ann, bob)
    link.run()
    ann.core.kept_back(BOB, True)
    ann.write()
    link.run()
    assert bob.received == 0
    bob.write()
    link.run()
    assert ann.received == 1
    ann.core.kept_back(BOB, False)
    link.run()
    assert same(ann, bob) and ann.acked == {BOB: 1}


def test_what_is_kept_back_is_so_on_a_link_that_opens() -> None:
    ann, bob, link = two()
    ann.write()
    ann.core.kept_back(BOB, True)
    link.join(ann, bob)
    link.run()
    assert bob.received == 0
    ann.core.kept_back(BOB, False)
    link.run()
    assert same(ann, bob)
