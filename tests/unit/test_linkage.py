"""Connections become links: the node's side against a peer that follows the rules, or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon.linkage import Joining, Link, Linkage
from p2pmsg.errors import InviteExpired, InviteUsed, InviteWithdrawn, PeerMisbehaved
from p2pmsg.model.addresses import Path
from p2pmsg.model.gates import Ended, GateRow
from p2pmsg.protocol import wire
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import BYE, MISBEHAVED, REFUSED, CompareStrings, Peering
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import Ack, Frame, FrameType, Message
from tests.simulation.scheduler import NodeClock, Scheduler
from tests.unit.meeting import EXPORTER, End, dialler, frames, hello_of, knowledge, responder
from tests.unit.nodes import Wire
from tests.unit.people import Person, invite_row, pair_row

ANN, BOB = Person("Ann"), Person("Bob")
TO_BOB, FROM_ANN = pair_row(ANN, BOB)
INVITE = invite_row(BOB)
ANN_KNOWS, BOB_KNOWS = knowledge(ANN, [TO_BOB], BOB.links), knowledge(BOB, [FROM_ANN], ANN.links)
NOTHING = Ack([])


class Ear:
    """The node, as far as links know it: it writes down what it hears."""

    def __init__(self, known: Knowledge) -> None:
        self.known = known
        self.linkage: Linkage
        self.commit: Callable[[Link], None] = lambda link: self.linkage.committed(link.number)
        self.opened: list[Link] = []
        self.compared: list[tuple[Link, CompareStrings]] = []
        self.lost: list[tuple[Link, int | None]] = []
        self.messages: list[Message] = []
        self.chains: list[bytes] = []
        self.holds: list[bool] = []
        self.fault: Exception | None = None

    def knowledge(self) -> Knowledge:
        return self.known

    def strings_ready(self, link: Link, compare: CompareStrings) -> None:
        self.compared.append((link, compare))

    def peering_proven(self, link: Link, peering: Peering) -> None:
        self.commit(link)

    def link_opened(self, link: Link) -> None:
        self.opened.append(link)

    def chain_received(self, link: Link, payload: bytes) -> None:
        self.chains.append(payload)

    def message_received(self, link: Link, message: Message) -> None:
        if self.fault is not None:
            raise self.fault
        self.messages.append(message)

    def hold_changed(self, link: Link, holding: bool) -> None:
        self.holds.append(holding)

    def link_lost(self, link: Link, code: int | None) -> None:
        self.lost.append((link, code))


class Here:
    """One linkage on virtual time, with one connection."""

    def __init__(self, known: Knowledge) -> None:
        self.time = Scheduler()
        self.ear = Ear(known)
        self.linkage = self.ear.linkage = Linkage(NodeClock(self.time, lambda: 1_000, 0.0), self.ear)
        self.wire = Wire(listener=self.linkage)
        self.told: list[Exception | bool | str] = []

    def ready(self) -> None:
        self.linkage.connection_ready(self.wire, EXPORTER)  # type: ignore[arg-type]

    def dial(self, gate: GateRow = TO_BOB, *, joining: bool = False) -> Link:
        told = Joining(None, lambda: self.told.append("opened"), self.told.append) if joining else None
        self.wire.dialled = True
        link = Link(self.wire, Path.MDNS, BOB.account, gate, told)  # type: ignore[arg-type]
        self.linkage.dialled(link)
        return link

    def converse(self, peer: End, data: bytes = b"") -> None:
        """Carry bytes to and fro until both are silent."""
        while data or self.wire.written:
            self.wire.take(data)
            data = peer.feed(self.wire.taken())

    @property
    def link(self) -> Link:
        (link,) = self.linkage
        return link


def answering() -> tuple[Here, End]:
    """Bob's linkage, and Ann who dials it."""
    here = Here(BOB_KNOWS)
    here.ready()
    return here, dialler(ANN, BOB, TO_BOB, ANN_KNOWS)


def dialling(rows: list[GateRow] | None = None, gate: GateRow = TO_BOB) -> tuple[Here, End]:
    """Ann's linkage that has dialled, and Bob who answers."""
    here = Here(ANN_KNOWS)
    here.dial(gate, joining=gate is INVITE)
    here.ready()
    return here, responder(knowledge(BOB, [FROM_ANN] if rows is None else rows))


def opened() -> tuple[Here, End]:
    here, peer = answering()
    here.converse(peer, peer.start())
    assert peer.opened
    return here, peer


def say(here: Here, peer: End, frame_type: int, payload: bytes) -> None:
    """Have the peer send a frame on the open link."""
    assert peer.opened
    here.wire.take(peer.opened.channel.send(frame_type, payload, here.time.now))


def heard(here: Here, peer: End) -> list[tuple[int, bytes | None]]:
    """Open what was written for the peer."""
    assert peer.opened
    channel = peer.opened.channel
    return [(frame.type, channel.receive(frame.type, frame.body, here.time.now)[0]) for frame in here.wire.frames()]


# -- links open


def test_an_answered_connection_becomes_a_link() -> None:
    here, _ = opened()
    (link,) = here.ear.opened
    assert link is here.link and (link.path, link.account, link.opened_ms) == (Path.INCOMING, ANN.account, 1_000)
    assert link.hello == hello_of(ANN) and link.handshake is None and link.timeout is None
    assert here.wire.proven and here.wire.frame_limit == limits.FRAME_BYTES


def test_a_dialled_connection_becomes_a_link() -> None:
    here, peer = dialling()
    here.converse(peer)
    assert [link.hello for link in here.ear.opened] == [hello_of(BOB)] and peer.opened and here.wire.proven
    assert here.ear.opened[0].path is Path.MDNS


def test_nothing_is_said_before_the_commit() -> None:
    here, peer = answering()
    here.ear.commit = lambda link: None
    here.converse(peer, peer.start())
    assert not here.ear.opened and not peer.opened and not here.wire.proven
    here.time.run_until(60.0)  # my own disk's time, not the peer's
    assert not here.wire.over
    here.linkage.committed(here.wire.number)
    here.converse(peer)
    assert here.ear.opened and peer.opened


def test_a_commit_for_a_link_that_has_gone_changes_nothing() -> None:
    here, peer = answering()
    here.ear.commit = lambda link: None
    here.converse(peer, peer.start())
    here.wire.lose(None)
    here.linkage.committed(here.wire.number)
    assert here.wire.written == b"" and not here.ear.opened and len(here.ear.lost) == 1


def test_a_failed_commit_closes() -> None:
    here, peer = answering()
    here.ear.commit = lambda link: here.linkage.close(link.number, REFUSED)
    here.converse(peer, peer.start())
    assert here.wire.closed == REFUSED and not peer.opened and [code for _, code in here.ear.lost] == [REFUSED]


# -- faults before a link is open all look the same


def refused(here: Here) -> None:
    assert here.wire.refused and here.wire.closed is None
    assert [(link.broken, code) for link, code in here.ear.lost] == [(True, None)] and not list(here.linkage)
    assert here.linkage.refused == 1 and here.linkage.misbehaved == 0 and not here.ear.opened
    here.time.run_until(here.time.now + 60.0)
    assert len(here.ear.lost) == 1


@pytest.mark.parametrize(
    "data", [bytes(5), b"\x01\x00\x05hello", b"\x04\x00\x00\x00\x00", b"\x0a\x00\x00\x00\x00", b"\xff\x00\x00\x00\x01x"]
)
def test_rubbish_is_refused(data: bytes) -> None:
    here, _ = answering()
    here.wire.take(data)
    refused(here)
    assert here.wire.written == b""


def test_whoever_holds_no_gate_key_is_refused() -> None:
    here = Here(knowledge(BOB, []))
    here.ready()
    here.wire.take(dialler(ANN, BOB, TO_BOB, ANN_KNOWS).start())
    refused(here)


def test_whoever_may_not_link_is_refused() -> None:
    here, peer = answering()
    here.ear.known = knowledge(BOB, [FROM_ANN], ANN.links, may_link=lambda account, device: False)
    here.wire.closed, here.wire.written = None, b""
    here = Here(here.ear.known)
    here.ready()
    here.converse(peer, peer.start())
    refused(here)


def test_a_peer_without_the_key_is_refused_by_the_dialler() -> None:
    here, _ = dialling()
    wrong = responder(knowledge(BOB, [GateRow(b"?" * 32, FROM_ANN.purpose, ANN.account)]))
    wrong.machine._rows = lambda: [FROM_ANN]
    (ready,) = frames(wrong.feed(here.wire.taken()))
    here.wire.take(wire.plain_frame(ready.type, ready.body[:-1] + bytes((ready.body[-1] ^ 1,))))
    refused(here)


def test_frames_after_a_fault_are_not_looked_at() -> None:
    here, _ = answering()
    here.linkage.frame_received(here.wire, Frame(FrameType.READY, b""))  # type: ignore[arg-type]
    here.linkage.frame_received(here.wire, Frame(FrameType.GATE, b""))  # type: ignore[arg-type]
    here.linkage.connection_lost(here.wire, 7)  # type: ignore[arg-type]
    refused(here)


def test_silence_is_refused_in_time() -> None:
    here, _ = answering()
    here.time.run_until(limits.HANDSHAKE_TIMEOUT_S - 0.01)
    assert not here.wire.over
    here.time.run_until(limits.HANDSHAKE_TIMEOUT_S + 0.01)
    refused(here)


def test_a_peer_that_stops_half_way_is_refused_in_time() -> None:
    here, peer = answering()
    here.wire.take(peer.start())
    assert here.wire.frames()[0].type == FrameType.READY and here.wire.frame_limit == limits.FRAME_BYTES
    here.time.run_until(limits.HANDSHAKE_TIMEOUT_S + 0.01)
    refused(here)


def test_a_peer_that_never_says_hello_is_refused_in_time() -> None:
    here, peer = answering()
    peer.commits = False
    here.converse(peer, peer.start())
    assert here.wire.closed is None
    here.time.run_until(limits.HANDSHAKE_TIMEOUT_S + 0.01)
    refused(here)


def test_a_fault_of_ours_ends_that_link_alone(caplog: pytest.LogCaptureFixture) -> None:
    here, peer = answering()

    def broken(link: Link) -> None:
        raise ZeroDivisionError

    here.ear.commit = broken
    here.converse(peer, peer.start())
    refused(here)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("code", [None, BYE, REFUSED])
@pytest.mark.parametrize("steps", range(4))
def test_a_connection_lost_at_any_step_is_told_once(steps: int, code: int | None) -> None:
    here, peer = answering()
    data = peer.start()
    for _ in range(steps):
        here.wire.take(data)
        data = peer.feed(here.wire.taken())
    here.wire.lose(code)
    here.wire.lose(code)
    assert [lost for _, lost in here.ear.lost] == [code] and not list(here.linkage)
    here.time.run_until(60.0)
    assert here.linkage.refused == 0 and len(here.ear.lost) == 1


# -- invites that open nothing more


@pytest.mark.parametrize("ended,error", [(Ended.EXPIRED, InviteExpired), (Ended.USED, InviteUsed), (Ended.WITHDRAWN, InviteWithdrawn)])
def test_who_comes_with_an_ended_invite_is_told_so(ended: Ended, error: type[Exception]) -> None:
    spent = Person("Eve").account if ended is Ended.USED else None
    row = GateRow(INVITE.key, INVITE.purpose, None, ended, spent)
    here, peer = dialling([row], INVITE)
    here.converse(peer)
    (told,) = here.told
    assert isinstance(told, error)
    assert here.wire.closed == BYE and here.linkage.refused == 0 and len(here.ear.lost) == 1


def test_an_invite_that_ended_at_the_commit_is_answered_with_gone() -> None:
    here = Here(knowledge(BOB, [INVITE]))
    here.ear.commit = lambda link: here.linkage.committed(link.number, Ended.USED)
    here.ready()
    peer = dialler(ANN, BOB, INVITE)
    with pytest.raises(InviteUsed):
        here.converse(peer, peer.start())
    assert not here.ear.opened and not here.wire.over
    here.time.run_until(60.0)  # whoever is told so and stays is put out
    assert here.wire.over


def test_an_invite_that_is_used_opens() -> None:
    here, peer = dialling([INVITE], INVITE)
    here.converse(peer)
    (link,) = here.ear.opened
    assert link.peering is not None and link.peering.pair_key is not None and link.peering.new_links == ()
    assert here.told == []  # the node tells, once it knows which link stays


# -- open links


def test_messages_go_both_ways() -> None:
    here, peer = opened()
    here.linkage.send(here.wire.number, NOTHING)
    assert heard(here, peer) == [(FrameType.ACK, wire.encode(NOTHING)[1])]
    say(here, peer, *wire.encode(NOTHING))
    assert here.ear.messages == [NOTHING]


def test_a_chain_on_an_open_link_is_handed_on_page_by_page() -> None:
    here, peer = opened()
    (page,) = encode_chain(ANN.links)
    say(here, peer, FrameType.CHAIN, page)
    assert here.ear.chains == [page]


def test_frames_of_later_versions_are_passed_over() -> None:
    here, peer = opened()
    say(here, peer, 40, b"whatever")
    assert here.ear.messages == [] and not here.wire.over
    assert here.linkage.not_understood == {ANN.account}


def misbehaved(here: Here) -> None:
    assert here.wire.closed == MISBEHAVED and here.linkage.misbehaved == 1 and here.linkage.refused == 0
    assert [code for _, code in here.ear.lost] == [MISBEHAVED] and not list(here.linkage)


def test_a_frame_that_does_not_open_ends_the_link() -> None:
    here, _ = opened()
    here.wire.take(b"\x0e\x00\x00\x00\x20" + bytes(32))
    misbehaved(here)


@pytest.mark.parametrize("number,payload", [(FrameType.HAVE, b"\xc1"), (FrameType.ACK, b""), (FrameType.PROVE, b"x")])
def test_a_frame_that_is_none_ends_the_link(number: int, payload: bytes) -> None:
    here, peer = opened()
    assert peer.opened
    if number in wire.PLAIN:
        here.wire.take(wire.plain_frame(number, payload))
    else:
        say(here, peer, number, payload)
    misbehaved(here)


def test_a_fault_that_the_node_finds_ends_the_link() -> None:
    here, peer = opened()
    here.ear.fault = PeerMisbehaved("asked for what it may not have")
    say(here, peer, *wire.encode(NOTHING))
    misbehaved(here)


def test_a_fault_found_later_ends_the_link_once() -> None:
    here, _ = opened()
    for _ in range(2):
        here.linkage.fault(here.wire.number, PeerMisbehaved("found in storage"))
    misbehaved(here)


def test_our_own_fault_ends_the_link_it_happened_on() -> None:
    here, peer = opened()
    here.ear.fault = KeyError("ours")
    say(here, peer, *wire.encode(NOTHING))
    misbehaved(here)


def test_a_link_that_was_closed_takes_nothing() -> None:
    here, _ = opened()
    here.linkage.close(here.wire.number, BYE)
    here.linkage.send(here.wire.number, NOTHING)
    here.linkage.close(here.wire.number, BYE)
    here.linkage.fault(here.wire.number, PeerMisbehaved("too late"))
    assert here.wire.closed == BYE and here.wire.written == b"" and len(here.ear.lost) == 1 and here.linkage.get(here.wire.number) is None


# -- renewal of keys


def test_keys_are_renewed_in_time() -> None:
    here, _ = opened()
    due = here.linkage.poll(0.0)
    assert due == pytest.approx(limits.RENEW_S)
    here.time.run_until(limits.RENEW_S)
    later = here.linkage.poll(limits.RENEW_S)
    assert [frame.type for frame in here.wire.frames()] == [FrameType.KEY]
    assert later is None or later > limits.RENEW_S


def test_without_open_links_nothing_is_due() -> None:
    here, _ = answering()
    assert here.linkage.poll(0.0) is None


def test_a_peer_that_renews_nothing_is_held_and_then_closed() -> None:
    here, peer = opened()
    assert peer.opened
    for _ in range(limits.HOLD_FRAMES + 1):
        here.linkage.send(here.wire.number, NOTHING)
    assert here.ear.holds == [True]
    due = here.linkage.poll(here.time.now)
    assert due == pytest.approx(here.time.now + limits.HOLD_S)
    here.linkage.poll(here.time.now + limits.HOLD_S)
    misbehaved(here)


def test_a_peer_that_renews_late_gets_what_was_held() -> None:
    here, peer = opened()
    assert peer.opened
    count = limits.HOLD_FRAMES + 5
    for _ in range(count):
        here.linkage.send(here.wire.number, NOTHING)
    answers = [peer.opened.channel.receive(frame.type, frame.body, here.time.now) for frame in here.wire.frames()]
    here.wire.take(b"".join(out for _, out in answers))
    assert here.ear.holds == [True, False]
    assert [number for number, _ in heard(here, peer)] == [FrameType.NEXT] + [FrameType.ACK] * (count - len(answers))


def test_a_peer_for_whom_too_much_is_held_is_closed_and_the_node_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BYTES", 1000)
    here, _ = opened()
    for _ in range(limits.HOLD_FRAMES):
        here.linkage.send(here.wire.number, NOTHING)
    for _ in range(1000):
        here.linkage.send(here.wire.number, NOTHING)
    misbehaved(here)


def test_secrets_of_a_link_are_not_shown() -> None:
    here, _ = opened()
    text: Any = repr(here.link.peering)
    assert repr(TO_BOB.key) not in text


def test_of_several_dials_for_an_invite_only_the_first_that_is_proven_goes_on() -> None:
    here, peer = dialling([INVITE], INVITE)
    first = here.link
    second = Wire(listener=here.linkage)
    here.linkage.dialled(Link(second, Path.INVITE, BOB.account, INVITE, first.joining))  # type: ignore[arg-type]
    here.linkage.connection_ready(second, EXPORTER)  # type: ignore[arg-type]
    answer = responder(knowledge(BOB, [INVITE])).feed(second.taken())
    here.wire.take(peer.feed(here.wire.taken()))
    second.take(answer)
    assert second.closed == BYE
    assert second.written == b""  # no PROVE: its maker stores nothing for this link
    here.converse(peer)
    assert here.ear.opened == [first]
