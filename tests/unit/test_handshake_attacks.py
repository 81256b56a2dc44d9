"""Attacks on links: man in the middle, impersonation by a thief of keys, frames moved about, cuts, spent invites.

NEXT withheld, KEY flooded and 200 frames without KEY are in `test_channel`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import agreement, chain, gates, kem
from p2pmsg.crypto.channel import KEY, NEXT, Channel
from p2pmsg.errors import HandshakeRefused, InviteUsed, PeerMisbehaved
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import authority
from p2pmsg.protocol.knowledge import Identity
from p2pmsg.protocol.wire import Frame, FrameReader, FrameType
from tests.unit.meeting import End, dialler, frames, hostile, knowledge, meet, posing, responder
from tests.unit.people import Person, invite_row, pair_row, seeded

ANN, BOB, MALLORY = Person("Ann"), Person("Bob"), Person("Mallory")
TO_BOB, FROM_ANN = pair_row(ANN, BOB)
INVITE = invite_row(BOB)
LEG_ANN, LEG_BOB = seeded("Ann to Mallory"), seeded("Mallory to Bob")
CASES = {"A": (TO_BOB, FROM_ANN), "B": (INVITE, INVITE)}
case = pytest.mark.parametrize("case", CASES)


def ann_dials(case: str, exporter: bytes, entropy: str = "ann") -> End:
    return dialler(ANN, BOB, CASES[case][0], exporter=exporter, entropy=seeded(entropy, 64))


def bob_answers(case: str, exporter: bytes, entropy: str = "bob") -> End:
    return responder(knowledge(BOB, [CASES[case][1]]), exporter, seeded(entropy, 64))


def refused(end: End, data: bytes) -> None:
    """Assert that these bytes are answered by nothing but the end of the link, and change nothing."""
    sent = end.sent
    with pytest.raises(HandshakeRefused):
        end.feed(data)
    assert end.sent == sent and end.peerings == [] and end.opened is None


# -- 1. Terminate on both sides: Mallory has a TLS session with each, and so two exporters


@case
def test_gate_of_one_leg_opens_nothing_on_the_other(case: str) -> None:
    refused(bob_answers(case, LEG_BOB), ann_dials(case, LEG_ANN).start())


@case
def test_ready_of_another_link_is_refused(case: str) -> None:
    """Bob answered an honest dial of Ann's; Mallory hands that READY to her next dial, through himself or on the same leg."""
    honest = ann_dials(case, LEG_BOB)
    ready = bob_answers(case, LEG_BOB).feed(honest.start())
    for exporter, entropy in ((LEG_ANN, "ann"), (LEG_ANN, "ann again"), (LEG_BOB, "ann again")):
        victim = ann_dials(case, exporter, entropy)
        victim.start()
        refused(victim, ready)


@case
def test_gate_replayed_with_its_exporter_leads_nowhere(case: str) -> None:
    """Were the exporter equal, a replayed GATE would get a READY; its key is Ann's, so nobody can go on from there."""
    honest = ann_dials(case, LEG_BOB)
    gate = honest.start()
    first, second = bob_answers(case, LEG_BOB), bob_answers(case, LEG_BOB, "bob again")
    prove = honest.feed(first.feed(gate))
    assert second.feed(gate) != first.sent
    refused(second, prove)


@case
def test_prove_of_one_leg_is_refused_on_the_other(case: str) -> None:
    """Mallory is a contact of Bob's himself, or holds the invite: he gets to PROVE on his own, and puts in Ann's."""
    gate_of_mallory = CASES[case][0] if case == "B" else pair_row(MALLORY, BOB)[0]
    rows = [FROM_ANN, pair_row(MALLORY, BOB)[1], INVITE]
    ann, honest_bob = ann_dials(case, LEG_ANN), bob_answers(case, LEG_ANN)
    prove = ann.feed(honest_bob.feed(ann.start()))
    mallory = dialler(MALLORY, BOB, gate_of_mallory, exporter=LEG_BOB)
    bob = responder(knowledge(BOB, rows), LEG_BOB)
    bob.feed(mallory.start())
    refused(bob, prove)


@case
def test_a_proof_made_for_mallory_is_none_for_bob(case: str) -> None:
    """Ann dials Mallory, a real contact. He opens her proof and seals it anew for Bob: another transcript, another `to`."""
    to_mallory, from_ann = pair_row(ANN, MALLORY)
    ann = dialler(ANN, MALLORY, to_mallory, exporter=LEG_ANN)
    mallory = responder(knowledge(MALLORY, [from_ann]), LEG_ANN, seeded("mallory", 64))
    prove = frames(ann.feed(mallory.feed(ann.start())))[0]
    ephemeral = kem.PrivateKey.from_seed(seeded("mallory", 64)[:32])
    proof = ephemeral.open(prove.body, mallory.machine._t1)[32:]  # type: ignore[union-attr]

    key, gate = kem.PrivateKey.from_seed(seeded("mallory dials")), CASES[case][0].key  # he holds even Ann's gate key
    t0 = agreement.t0(LEG_BOB, b"\x01", key.public)
    bob = bob_answers(case, LEG_BOB)
    ready = frames(bob.feed(b"\x01" + (1249).to_bytes(2, "big") + b"\x01" + key.public + agreement.gate_mac(gate, t0)))[0]
    ek_r, sealed = ready.body[:1216], ready.body[1216:-32]
    sealed_again = kem.seal(ek_r, bytes(32) + proof, agreement.t1(t0, ek_r, sealed))
    refused(bob, b"\x03" + (1328).to_bytes(2, "big") + sealed_again)


def test_who_photographed_the_invite_cannot_answer_for_its_maker() -> None:
    """With the secret and at Bob's address Mallory learns who wanted in (the residual), but is never taken for Bob."""
    for me in impostors(BOB, MALLORY):
        ann = ann_dials("B", LEG_ANN)
        with pytest.raises(HandshakeRefused):
            meet(ann, hostile(responder(knowledge(MALLORY, [INVITE], me=me), LEG_ANN)))
        assert ann.peerings == [] and ann.opened is None


# -- 3. Key compromise impersonation: who stole all of Ann's secrets meets Ann as Bob


def impostors(of: Person, thief: Person) -> list[Identity]:
    """Return all ways to pose as `of` for somebody who has the secrets of `thief` alone, but every chain."""
    own = posing(thief)
    named = posing(thief, account=of.account)
    chained = posing(thief, account=of.account, links=of.links, heads=authority.heads(of.links))
    forged = (*of.links, chain.parse(chain.profile(thief.secret, thief.key, of.account, [of.links[-1].id], "Forged")))
    grafted = replace(chained, links=forged, heads=authority.heads(forged))
    return [own, named, chained, replace(chained, device_key=of.key), grafted, replace(grafted, device_key=of.key)]


@pytest.mark.parametrize("secrets", [ANN, MALLORY], ids=["Ann's keys", "own keys"])
@pytest.mark.parametrize("stored", [(), BOB.links], ids=["chain unknown", "chain known"])
def test_the_thief_of_anns_secrets_is_never_bob_to_ann(secrets: Person, stored: tuple[ChainLink, ...]) -> None:
    """He has her device key, the pair's key and all chains. Dialling her, and answering her dial."""
    for me in impostors(BOB, secrets):
        ann = responder(knowledge(ANN, [TO_BOB], stored))
        with pytest.raises(HandshakeRefused):
            meet(hostile(dialler(secrets, ANN, FROM_ANN, knowledge(secrets, me=me))), ann)
        assert ann.peerings == [] and ann.opened is None and len(frames(ann.sent)) == 1

        ann = dialler(ANN, BOB, TO_BOB, knowledge(ANN, stored=stored))
        with pytest.raises(HandshakeRefused):
            meet(ann, hostile(responder(knowledge(secrets, [FROM_ANN], me=me))))
        assert ann.peerings == [] and ann.opened is None and ann.machine.proven  # only the proof was wrong


def test_the_same_keys_would_open_were_the_identity_true() -> None:
    """The harness of the test above, with nothing forged: else it would prove nothing."""
    ann = responder(knowledge(ANN, [TO_BOB]))
    meet(hostile(dialler(BOB, ANN, FROM_ANN)), ann)
    assert ann.opened
    ann = dialler(ANN, BOB, TO_BOB)
    meet(ann, hostile(responder(knowledge(BOB, [FROM_ANN]))))
    assert ann.opened


def test_links_recorded_before_the_theft_stay_shut() -> None:
    ann, bob = ann_dials("A", LEG_ANN), bob_answers("A", LEG_ANN)
    meet(ann, bob)
    gate, ready, prove = (frames(data)[n].body for data, n in ((ann.sent, 0), (bob.sent, 0), (ann.sent, 1)))
    welcome = frames(bob.sent)[1]
    t0 = agreement.t0(LEG_ANN, gate[:1], gate[1:1217])
    t1 = agreement.t1(t0, ready[:1216], ready[1216:-32])
    stolen = [ANN.secret[:32], ANN.secret[32:], ANN.root[1][:32], TO_BOB.key, b"\x11" * 32, bytes(32)]
    for secret in stolen:
        for sealed, info in ((ready[1216:-32], t0), (prove, t1)):
            with pytest.raises(PeerMisbehaved):
                kem.PrivateKey.from_seed(secret).open(sealed, info)
        for other in stolen:
            keys = agreement.channel_keys(agreement.master_key(TO_BOB.key, secret, other, agreement.t2(t1, prove)))
            with pytest.raises(PeerMisbehaved):
                Channel(keys[0], keys[1], 0.0).receive(welcome.type, welcome.body, 0.0)


# -- 6. The channel: every recorded frame, moved in time, direction and link


@dataclass(slots=True)
class Talk:
    """A link on which both talk, each frame read at once; long enough for renewals in both directions."""

    seed: str
    recorded: list[tuple[int, Frame]] = field(default_factory=list)
    """(who read it, the frame)"""
    sides: tuple[Channel, Channel] = field(init=False)

    def __post_init__(self) -> None:
        a, b = seeded(f"{self.seed}/a"), seeded(f"{self.seed}/b")
        self.sides = (Channel(a, b, 0.0), Channel(b, a, 0.0))

    def say(self, speaker: int, text: bytes = b"text") -> None:
        self.carry(1 - speaker, self.sides[speaker].send(FrameType.EVENTS, text, 0.0))

    def carry(self, reader: int, data: bytes) -> None:
        for frame in frames(data):
            self.recorded.append((reader, frame))
            _, out = self.sides[reader].receive(frame.type, frame.body, 0.0)
            self.carry(1 - reader, out)

    def until(self, turns: int) -> Talk:
        for turn in range(turns):
            self.say(int(turn % 3 == 0))
        return self


TURNS = 170
ELSEWHERE = Talk("another link").until(TURNS).recorded


def test_the_talk_renews_both_directions() -> None:
    kinds = [(reader, frame.type) for reader, frame in Talk("x").until(TURNS).recorded]
    assert all((reader, kind) in kinds for reader in (0, 1) for kind in (KEY, NEXT))


@given(st.integers(1, TURNS), st.integers(0, 10**6), st.sampled_from([0, 1]))
@settings(max_examples=150)
def test_no_recorded_frame_is_taken_again_by_either_side(turns: int, pick: int, reader: int) -> None:
    talk = Talk("x").until(turns)
    _, frame = talk.recorded[pick % len(talk.recorded)]
    with pytest.raises(PeerMisbehaved):
        talk.sides[reader].receive(frame.type, frame.body, 0.0)


@given(st.integers(0, TURNS), st.integers(0, 10**6), st.sampled_from([0, 1]))
@settings(max_examples=100)
def test_no_frame_of_another_link_is_taken(turns: int, pick: int, reader: int) -> None:
    _, frame = ELSEWHERE[pick % len(ELSEWHERE)]
    with pytest.raises(PeerMisbehaved):
        Talk("x").until(turns).sides[reader].receive(frame.type, frame.body, 0.0)


def test_no_frame_of_the_same_two_is_taken_on_their_next_link() -> None:
    links = []
    for entropy in ("first", "second"):
        ann, bob = ann_dials("A", LEG_ANN, entropy), bob_answers("A", LEG_ANN, f"{entropy} bob")
        meet(ann, bob)
        links.append((ann.opened, bob.opened))
    (ann_before, _), (_, bob_now) = links
    assert ann_before and bob_now
    (frame,) = frames(ann_before.channel.send(FrameType.EVENTS, b"text", 0.0))
    with pytest.raises(PeerMisbehaved):
        bob_now.channel.receive(frame.type, frame.body, 0.0)


@given(st.integers(0, TURNS), st.integers(0, 1))
@settings(max_examples=40)
def test_a_frame_left_out_or_overtaken_ends_the_link(turns: int, speaker: int) -> None:
    talk = Talk("x").until(turns)
    sender, reader = talk.sides[speaker], talk.sides[1 - speaker]
    sender.send(FrameType.EVENTS, b"lost", 0.0)
    (late,) = frames(sender.send(FrameType.EVENTS, b"next", 0.0))
    with pytest.raises(PeerMisbehaved):
        reader.receive(late.type, late.body, 0.0)


@given(st.integers(0, TURNS), st.integers(0, 19), st.sampled_from(list(FrameType)))
@settings(max_examples=60)
def test_a_frame_cut_or_given_another_number_ends_the_link(turns: int, cut: int, number: FrameType) -> None:
    for kind, keep in ((FrameType.EVENTS, cut), (number, None)):
        talk = Talk("x").until(turns)
        (frame,) = frames(talk.sides[0].send(FrameType.EVENTS, b"text", 0.0))
        if (kind, keep) == (frame.type, None):
            continue
        with pytest.raises(PeerMisbehaved):
            talk.sides[1].receive(kind, frame.body[:keep], 0.0)


def test_a_renewal_cut_at_every_byte_changes_nothing() -> None:
    talk = Talk("x")
    for _ in range(limits.RENEW_FRAMES - 1):
        talk.say(0)
    (last,) = frames(talk.sides[0].send(FrameType.EVENTS, b"text", 0.0))
    _, key = talk.sides[1].receive(last.type, last.body, 0.0)
    assert [cut for cut in range(len(key)) if frames(key[:cut])] == []
    _, answer = talk.sides[0].receive(KEY, frames(key)[0].body, 0.0)
    assert [cut for cut in range(len(answer)) if frames(answer[:cut])] == []


# -- 6 and 10. Cut at every byte of the handshake, and come again: with the invite, or as contacts


@dataclass(slots=True)
class Node:
    """What one side has stored: what its commits said."""

    person: Person
    pairs: dict[AccountId, bytes] = field(default_factory=dict)
    invite: GateRow | None = None

    def commit(self, end: End) -> None:
        for peering in end.peerings:
            if peering.pair_key is not None:
                self.pairs[peering.account] = peering.pair_key
                if not peering.dialled:
                    assert self.invite is not None
                    self.invite = replace(self.invite, spent_by=peering.account)

    def rows(self) -> list[GateRow]:
        mine = self.person.account
        pairs = [GateRow(gates.pair_gate(key, mine, account), Purpose.PAIR, account) for account, key in self.pairs.items()]
        return pairs + ([self.invite] if self.invite else [])


def attempt(ann: Node, bob: Node, entropy: str, cut: int | None = None) -> tuple[End, End]:
    """Let Ann dial Bob as what they are to her, and cut the wire after so many bytes."""
    gate = next((row for row in ann.rows() if row.account == BOB.account), INVITE)
    d = dialler(ANN, BOB, gate, entropy=seeded(f"{entropy}/d", 64))
    r = responder(knowledge(BOB, bob.rows()), entropy=seeded(f"{entropy}/r", 64))
    left = cut if cut is not None else 1 << 30
    data, reader, other = d.start(), r, d
    while data and left > 0:
        data, left = reader.feed(data[:left]), left - len(data[:left])
        reader, other = other, reader
    ann.commit(d)
    bob.commit(r)
    return d, r


def edges() -> list[int]:
    """Return cuts at, just before and just behind every end of a frame and of its header."""
    d, r = attempt(Node(ANN), Node(BOB, invite=INVITE), "edges")
    way = [*frames(d.sent)[:1], *frames(r.sent)[:1], *frames(d.sent)[1:-1], *frames(r.sent)[1:], *frames(d.sent)[-1:]]
    cuts, at = {0, 1}, 0
    for frame in way:
        head = 3 if frame.type in (FrameType.GATE, FrameType.READY, FrameType.PROVE) else 5
        cuts |= {at + 1, at + head, at + head + len(frame.body) // 2}
        at += head + len(frame.body)
        cuts |= {at - 1, at, at + 1}
    return sorted(cuts)


def cut_and_come_again(cut: int) -> None:
    ann, bob = Node(ANN), Node(BOB, invite=INVITE)
    attempt(ann, bob, "first", cut)
    assert set(ann.pairs) <= {BOB.account} and set(bob.pairs) <= {ANN.account}
    assert not ann.pairs or ann.pairs[BOB.account] == bob.pairs[ANN.account]
    d, r = attempt(ann, bob, "again")
    assert d.opened and r.opened
    assert ann.pairs[BOB.account] == bob.pairs[ANN.account]
    assert bob.invite and bob.invite.spent_by == ANN.account


@pytest.mark.parametrize("cut", edges())
def test_a_cut_at_every_edge_is_mended_by_coming_again(cut: int) -> None:
    cut_and_come_again(cut)


@given(st.integers(0, 9000))
@settings(max_examples=60)
def test_a_cut_at_any_byte_is_mended_by_coming_again(cut: int) -> None:
    cut_and_come_again(cut)


def test_the_welcome_lost_ten_times_makes_one_contact() -> None:
    ann, bob = Node(ANN), Node(BOB, invite=INVITE)
    before_welcome = 1252 + 2419 + 1331 + 1500
    for number in range(10):
        attempt(ann, bob, f"lost {number}", before_welcome)
    assert ann.pairs == {} and set(bob.pairs) == {ANN.account}
    d, r = attempt(ann, bob, "at last")
    assert d.opened and r.opened and ann.pairs[BOB.account] == bob.pairs[ANN.account]


# -- 10. An invite used by another


def test_a_spent_invite_tells_another_holder_that_and_no_more() -> None:
    bob = Node(BOB, invite=INVITE)
    attempt(Node(ANN), bob, "ann")
    mallory, r = dialler(MALLORY, BOB, INVITE), responder(knowledge(BOB, bob.rows()))
    with pytest.raises(InviteUsed):
        meet(mallory, r)
    assert r.peerings == [] and mallory.peerings == []
    gone = frames(r.sent)[-1]
    assert (gone.type, len(gone.body)) == (FrameType.GONE, 1 + 16)


def test_wrong_macs_never_spend_an_invite() -> None:
    bob = Node(BOB, invite=INVITE)
    for number in range(20):
        guess = GateRow(seeded(f"guess {number}"), Purpose.INVITE, None)
        r = responder(knowledge(BOB, bob.rows()))
        refused(r, dialler(MALLORY, BOB, guess).start())
        bob.commit(r)
    assert bob.invite == INVITE


def test_frames_are_read_within_their_limits_from_the_first_byte() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x01" + limits.UNPROVEN_BYTES.to_bytes(2, "big")) == []
    with pytest.raises(PeerMisbehaved):
        FrameReader().feed(b"\x01" + (limits.UNPROVEN_BYTES + 1).to_bytes(2, "big"))
