from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

from p2pmsg.config import limits
from p2pmsg.crypto import gates, kem
from p2pmsg.crypto.channel import Channel
from p2pmsg.errors import HandshakeRefused, InviteExpired, InviteUsed, InviteWithdrawn, Refused
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.ids import AccountId, DeviceId
from p2pmsg.protocol import wire
from p2pmsg.protocol.handshake import GONE_PATIENCE_S, Responder
from p2pmsg.protocol.wire import Frame, FrameType
from tests.unit.meeting import EXPORTER, End, dialler, frames, hello_of, knowledge, meet, posing, responder
from tests.unit.people import Person, invite_row, pair_row, seeded

ANN, BOB, CARL = Person("Ann", nicknames=("Ann B.",)), Person("Bob"), Person("Carl")
TO_BOB, FROM_ANN = pair_row(ANN, BOB)
INVITE = invite_row(BOB)
KNOWN = (*ANN.links, *BOB.links)


def contacts() -> tuple[End, End]:
    """Ann dials Bob; they have known each other for long."""
    return dialler(ANN, BOB, TO_BOB, knowledge(ANN, stored=BOB.links)), responder(knowledge(BOB, [FROM_ANN], ANN.links))


def invited(row: GateRow = INVITE, person: Person = ANN) -> tuple[End, End]:
    """Somebody dials Bob with an invite of Bob's that Bob's node has as `row`."""
    return dialler(person, BOB, INVITE), responder(knowledge(BOB, [row]))


# -- both sides back to back


def test_contacts_open_a_link() -> None:
    ann, bob = contacts()
    meet(ann, bob)
    assert ann.opened and bob.opened
    for end, peer, gate, dialled in ((ann, BOB, TO_BOB, True), (bob, ANN, FROM_ANN, False)):
        assert end.opened
        peering = end.opened.peering
        assert (peering.account, peering.device_key, peering.device_id) == (peer.account, peer.key, peer.device)
        assert (peering.gate, peering.dialled, peering.new_links, peering.pair_key) == (gate, dialled, (), None)
        assert peering.membership.links == frozenset(link.id for link in peer.links)
        assert end.opened.hello == hello_of(peer)
        assert end.peerings == [peering]


def test_the_channel_carries_on_in_both_directions() -> None:
    ann, bob = contacts()
    meet(ann, bob)
    assert ann.opened and bob.opened
    for a, b in ((ann.opened.channel, bob.opened.channel), (bob.opened.channel, ann.opened.channel)):
        (frame,) = frames(a.send(FrameType.HAVE, b"hello", 0.0))
        assert b.receive(frame.type, frame.body, 0.0) == (b"hello", b"")


def test_an_invite_makes_contacts_with_one_pair_key_and_whole_chains() -> None:
    ann, bob = invited()
    meet(ann, bob)
    assert ann.opened and bob.opened
    assert ann.opened.peering.pair_key == bob.opened.peering.pair_key != None  # noqa: E711
    assert ann.opened.peering.new_links == BOB.links
    assert bob.opened.peering.new_links == ANN.links
    assert bob.opened.peering.gate.reference == gates.invite_id(b"\x22" * 16)


def test_every_link_has_another_pair_key() -> None:
    keys = set()
    for n in range(3):
        ann, bob = dialler(ANN, BOB, INVITE, entropy=seeded(f"{n}", 64)), responder(knowledge(BOB, [INVITE]))
        meet(ann, bob)
        keys.add(ann.peerings[0].pair_key)
    assert len(keys) == 3


def test_a_longer_chain_is_learnt_on_the_next_link() -> None:
    ann = dialler(ANN, BOB, TO_BOB, knowledge(ANN, stored=BOB.links))
    bob = responder(knowledge(BOB, [FROM_ANN], ANN.links[:1]))
    meet(ann, bob)
    assert bob.peerings[0].new_links == ANN.links[1:]
    assert bob.peerings[0].membership.nickname == "Ann B."


def test_own_devices_meet_under_a_pair_with_myself() -> None:
    row = GateRow(gates.pair_gate(b"\x33" * 32, ANN.account, ANN.account), Purpose.PAIR, ANN.account)
    ann, other = dialler(ANN, ANN, row), responder(knowledge(ANN, [row]))
    with pytest.raises(HandshakeRefused, match="own device"):
        meet(ann, other)


def test_a_chain_of_many_frames() -> None:
    long = Person("Long", nicknames=tuple(f"Long {n}" for n in range(400)))
    to, row = pair_row(long, BOB)
    ann, bob = dialler(long, BOB, to), responder(knowledge(BOB, [row]))
    meet(ann, bob)
    assert len([f for f in frames(ann.sent) if f.type == FrameType.CHAIN]) > 1
    assert bob.peerings[0].new_links == long.links


def test_the_row_is_found_among_a_thousand() -> None:
    others = [GateRow(seeded(str(n)), Purpose.PAIR, CARL.account) for n in range(limits.GATE_ROWS - 1)]
    for rows in ([FROM_ANN, *others], [*others, FROM_ANN]):
        ann, bob = dialler(ANN, BOB, TO_BOB), responder(knowledge(BOB, rows))
        meet(ann, bob)
        assert bob.peerings[0].gate == FROM_ANN


def test_one_byte_at_a_time_is_the_same() -> None:
    ann, bob = invited()
    way = [(bob, byte) for byte in ann.start()]
    while way:
        end, byte = way.pop(0)
        way += [(ann if end is bob else bob, answer) for answer in end.feed(bytes((byte,)))]
    assert ann.opened and bob.opened


# -- as conversations, with the commits apart


def test_nothing_is_answered_before_it_is_committed() -> None:
    ann, bob = invited()
    ann.commits = bob.commits = False
    assert bob.feed(ann.feed(bob.feed(ann.start()))) == b""
    assert len(bob.peerings) == 1 and not bob.opened

    welcome = bob.committed()
    assert [frame.type for frame in frames(welcome)] == [FrameType.WELCOME, FrameType.CHAIN, FrameType.HELLO]
    assert ann.feed(welcome) == b""
    assert len(ann.peerings) == 1 and not ann.opened

    hello = ann.committed()
    assert [frame.type for frame in frames(hello)] == [FrameType.HELLO]
    assert ann.opened and not bob.opened
    assert bob.feed(hello) == b""
    assert bob.opened


def test_the_dialler_opens_when_hello_comes_after_its_commit() -> None:
    ann, bob = invited()
    ann.commits = False
    *first, hello = frames(bob.feed(ann.feed(bob.feed(ann.start()))))
    for frame in first:
        ann.take(frame)
    assert ann.committed() and not ann.opened
    ann.take(hello)
    assert ann.opened


def test_sizes_on_the_wire() -> None:
    ann, bob = contacts()
    meet(ann, bob)
    assert [(f.type, 3 + len(f.body)) for f in frames(ann.sent)[:2]] == [(1, 1252), (3, 1331)]
    assert [(f.type, len(f.body)) for f in frames(bob.sent)[:2]] == [(2, 2416), (4, 176)]


def test_a_mac_must_verify_before_long_frames_are_taken() -> None:
    ann, bob = contacts()
    assert not bob.machine.proven and not ann.machine.proven
    ready = bob.feed(ann.start())
    assert bob.machine.proven
    ann.feed(ready)
    assert ann.machine.proven


def test_nothing_before_the_channel_names_anybody() -> None:
    ann, bob = contacts()
    meet(ann, bob)
    plain = b"".join(f.body for f in frames(ann.sent + bob.sent) if f.type in (FrameType.GATE, FrameType.READY, FrameType.PROVE))
    for person in (ANN, BOB):
        for secret in (person.account, person.key, person.device, person.links[0].id, TO_BOB.key, person.name.encode()):
            assert secret not in plain
            assert secret not in ann.sent + bob.sent


def test_the_machines_forget_their_secrets() -> None:
    ann, bob = contacts()
    meet(ann, bob)
    for machine in (ann.machine, bob.machine):
        assert machine._ephemeral is None and machine._channel is None and machine._pair_key is None
        assert not any(machine._seed)


# -- order of checks: nothing is asked about an account before it is the gate's, nothing read before a good signature


def asked_of_bob(me: Person = ANN, row: GateRow = FROM_ANN, **changes: object) -> list[str]:
    asked: list[str] = []

    def may_link(account: AccountId, device: DeviceId) -> bool:
        asked.append("may_link")
        return True

    def known(account: AccountId) -> None:
        asked.append("known")

    attempt = dialler(me, BOB, TO_BOB, knowledge(me, me=posing(me, **changes)))
    bob = responder(replace(knowledge(BOB, [row], may_link=may_link), known=known))
    with pytest.raises(HandshakeRefused):
        meet(attempt, bob)
    assert bob.peerings == []
    return asked


def test_another_account_than_the_gates_is_refused_first() -> None:
    assert asked_of_bob(CARL) == []
    assert asked_of_bob(account=AccountId(bytes(32))) == []


def test_a_bad_signature_is_refused_before_anything_is_read() -> None:
    assert asked_of_bob(sign=lambda message: bytes(64)) == ["may_link"]
    assert asked_of_bob(sign=CARL.sign) == ["may_link"]


def test_the_chain_is_read_last() -> None:
    assert asked_of_bob(device_key=CARL.key, sign=CARL.sign) == ["may_link", "known"]


def test_who_is_kept_out_is_refused_on_either_side() -> None:
    def nobody(account: AccountId, device: DeviceId) -> bool:
        return False

    for ann, bob in (
        (dialler(ANN, BOB, TO_BOB), responder(knowledge(BOB, [FROM_ANN], may_link=nobody))),
        (dialler(ANN, BOB, TO_BOB, knowledge(ANN, may_link=nobody)), responder(knowledge(BOB, [FROM_ANN]))),
    ):
        with pytest.raises(HandshakeRefused, match="kept out"):
            meet(ann, bob)
        assert not ann.opened and not bob.opened


def test_an_invite_admits_neither_nobody_nor_its_maker() -> None:
    for account in (AccountId(bytes(32)), BOB.account):
        ann = dialler(ANN, BOB, INVITE, knowledge(ANN, me=posing(ANN, account=account)))
        with pytest.raises(HandshakeRefused, match="not for this account"):
            meet(ann, responder(knowledge(BOB, [INVITE])))


def test_the_account_dialled_must_answer() -> None:
    row = GateRow(INVITE.key, Purpose.INVITE, None)
    with pytest.raises(HandshakeRefused):  # Carl holds the secret, and checks the signature against his own account
        meet(dialler(ANN, BOB, INVITE), responder(knowledge(CARL, [row])))


# -- strangers, rubbish, time


def test_a_stranger_gets_nothing() -> None:
    bob = responder(knowledge(BOB, [FROM_ANN, INVITE]))
    stranger = dialler(CARL, BOB, GateRow(seeded("guess"), Purpose.PAIR, BOB.account))
    with pytest.raises(HandshakeRefused):
        bob.feed(stranger.start())
    assert bob.sent == b"" and bob.peerings == []


def test_with_no_rows_nobody_gets_in() -> None:
    with pytest.raises(HandshakeRefused):
        meet(dialler(ANN, BOB, TO_BOB), responder(knowledge(BOB)))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version: int) -> None:
    _, bob = contacts()
    key = kem.PrivateKey.from_seed(bytes(32)).public
    t0 = h(b"hs/t0", EXPORTER, bytes((version,)), key)
    with pytest.raises(HandshakeRefused):
        bob.take(Frame(FrameType.GATE, bytes((version,)) + key + m(FROM_ANN.key, b"hs/gate", t0)))


@given(st.sampled_from([False, True]), st.integers(0, 255), st.binary(max_size=50))
def test_any_first_frame_is_refused(of_dialler: bool, number: int, body: bytes) -> None:
    end = contacts()[not of_dialler]
    end.start()
    with pytest.raises(HandshakeRefused):
        end.take(Frame(number, body))
    assert end.peerings == []


@given(st.data())
def test_a_changed_bit_anywhere_is_refused_by_who_reads_it(data: st.DataObject) -> None:
    ann, bob = contacts()
    way = frames(ann.start())
    target, position = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 10_000))
    readers = [bob, ann, bob, bob, ann, ann, ann, bob]
    for number, reader in enumerate(readers):
        frame = way.pop(0)
        if number == target:
            body = bytearray(frame.body)
            body[position % len(body)] ^= 1 << position % 8
            before = len(reader.peerings)
            with pytest.raises(HandshakeRefused):
                reader.take(Frame(frame.type, bytes(body)))
            assert len(reader.peerings) == before and not reader.opened
            return
        way += frames(reader.take(frame))


@pytest.mark.parametrize("number", range(8))
def test_a_frame_sent_twice_is_refused(number: int) -> None:
    ann, bob = contacts()
    way = frames(ann.start())
    for count, reader in enumerate([bob, ann, bob, bob, ann, ann, ann, bob]):
        frame = way.pop(0)
        way += frames(reader.take(frame))
        if count == number:
            with pytest.raises(HandshakeRefused):
                reader.take(frame)
            return


def test_after_a_fault_the_machine_has_ended() -> None:
    ann, bob = contacts()
    good = frames(ann.start())[0]
    with pytest.raises(HandshakeRefused):
        bob.take(Frame(FrameType.GATE, b""))
    with pytest.raises(HandshakeRefused):
        bob.take(good)
    with pytest.raises(RuntimeError):
        bob.committed()


def test_a_hello_that_is_none_is_refused() -> None:
    ann, _ = contacts()
    bob = responder(replace(knowledge(BOB, [FROM_ANN]), hello=lambda device: b"\xc1"))
    with pytest.raises(HandshakeRefused):
        meet(ann, bob)


def test_five_seconds_and_no_more() -> None:
    ann, bob = contacts()
    for machine in (ann.machine, bob.machine):
        assert machine.deadline == limits.HANDSHAKE_TIMEOUT_S
        machine.tick(limits.HANDSHAKE_TIMEOUT_S - 0.01)
        with pytest.raises(HandshakeRefused):
            machine.tick(limits.HANDSHAKE_TIMEOUT_S)


def test_my_own_commit_takes_as_long_as_it_takes_and_hello_has_its_own_time() -> None:
    ann, bob = contacts()
    bob.commits = False
    bob.feed(ann.feed(bob.feed(ann.start())))
    bob.machine.tick(1000.0)
    bob.now = 1000.0
    bob.committed()
    assert bob.machine.deadline == 1000.0 + limits.HANDSHAKE_TIMEOUT_S
    with pytest.raises(HandshakeRefused):
        bob.machine.tick(1000.0 + limits.HANDSHAKE_TIMEOUT_S)


def test_too_little_entropy_is_our_fault() -> None:
    with pytest.raises(ValueError, match="64"):
        Responder(knowledge(BOB), EXPORTER, bytes(63), 0.0)


# -- invites that have ended


def ended(reason: Ended | None, spent_by: AccountId | None = None) -> GateRow:
    return GateRow(INVITE.key, Purpose.INVITE, None, reason, spent_by)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (ended(Ended.EXPIRED), InviteExpired),
        (ended(Ended.USED, CARL.account), InviteUsed),
        (ended(None, CARL.account), InviteUsed),
        (ended(Ended.WITHDRAWN), InviteWithdrawn),
        (ended(Ended.WITHDRAWN, ANN.account), InviteWithdrawn),
    ],
)
def test_an_ended_invite_says_why_and_nothing_else(row: GateRow, error: type[Refused]) -> None:
    ann, bob = invited(row)
    with pytest.raises(error):
        meet(ann, bob)
    assert ann.peerings == bob.peerings == []
    assert [frame.type for frame in frames(bob.sent)] == [FrameType.READY, FrameType.GONE]
    with pytest.raises(HandshakeRefused):
        bob.machine.tick(GONE_PATIENCE_S)


def test_who_used_an_invite_may_come_again_with_it() -> None:
    for row in (ended(Ended.USED, ANN.account), ended(None, ANN.account), ended(Ended.EXPIRED, ANN.account)):
        ann, bob = invited(row)
        meet(ann, bob)
        assert ann.opened and bob.opened


def test_two_at_once_with_one_invite_only_one_is_let_in() -> None:
    (ann, first), (carl, second) = invited(), invited(person=CARL)
    for a, b in ((ann, first), (carl, second)):
        b.commits = False
        b.feed(a.feed(b.feed(a.start())))
    ann.feed(first.committed())
    with pytest.raises(InviteUsed):  # the second transaction found the invite spent
        carl.feed(second.perform(second.machine.gone(Ended.USED, 0.0)))  # type: ignore[union-attr]
    assert ann.opened and not carl.opened and not carl.peerings


def test_gone_ends_nothing_but_invites() -> None:
    ann, bob = contacts()
    bob.commits = False
    bob.feed(ann.feed(bob.feed(ann.start())))
    gone = bob.perform(bob.machine.gone(Ended.WITHDRAWN, 0.0))  # type: ignore[union-attr]
    with pytest.raises(HandshakeRefused):
        ann.feed(gone)


@pytest.mark.parametrize("reason", [b"", b"\x00", b"\x04", b"\x01\x01"])
def test_gone_without_a_known_reason(reason: bytes) -> None:
    ann, bob = invited()
    bob.commits = False
    bob.feed(ann.feed(bob.feed(ann.start())))
    with pytest.raises(HandshakeRefused):
        ann.feed(bob.machine._seal(FrameType.GONE, reason, 0.0))


# -- the specification once more, by other means


def h(domain: bytes, *parts: bytes) -> bytes:
    return blake2b(b"p2pmsg/1/" + domain + b"\0" + b"".join(parts), digest_size=32).digest()


def m(key: bytes, domain: bytes, *parts: bytes) -> bytes:
    return blake2b(b"p2pmsg/1/" + domain + b"\0" + b"".join(parts), key=key, digest_size=32).digest()


def test_a_dialler_written_from_the_specification_alone_gets_in() -> None:
    bob = responder(knowledge(BOB, [INVITE]))
    g = m(b"\x22" * 16, b"gate/invite", BOB.account)
    ek = kem.PrivateKey.from_seed(seeded("ek"))
    t0 = h(b"hs/t0", EXPORTER, b"\x01", ek.public)
    ready = bob.feed(b"\x01" + (1249).to_bytes(2, "big") + b"\x01" + ek.public + m(g, b"hs/gate", t0))

    assert ready[:3] == b"\x02" + (2416).to_bytes(2, "big")
    ek_r, sealed_r, mac = ready[3:1219], ready[1219:2387], ready[2387:]
    t1 = h(b"hs/t1", t0, ek_r, sealed_r)
    assert mac == m(g, b"hs/ready", t1)
    seed_r, seed_d = ek.open(sealed_r, t0), seeded("seed")
    heads = h(b"heads", ANN.links[-1].id)
    signature = SigningKey(ANN.secret[:32]).sign(b"p2pmsg/1/hs/prove\0" + t1 + BOB.account + ANN.account + ANN.key + heads).signature
    prove = kem.seal(ek_r, seed_d + ANN.account + ANN.key + heads + signature, t1)
    t2 = h(b"hs/t2", t1, prove)
    k = m(g, b"hs/key", seed_d, seed_r, t2)
    channel = Channel(m(k, b"ch/d"), m(k, b"ch/r"), 0.0)
    links = b"".join((64 + len(link.body)).to_bytes(2, "big") + link.signature + link.body for link in ANN.links)
    answer = frames(bob.feed(b"\x03" + (1328).to_bytes(2, "big") + prove + channel.send(5, b"\x01" + links, 0.0)))

    welcome, chain_frame, hello = [channel.receive(frame.type, frame.body, 0.0)[0] or b"" for frame in answer]
    account, device, heads_r, signature = welcome[:32], welcome[32:64], welcome[64:96], welcome[96:]
    assert (account, device, heads_r) == (BOB.account, BOB.key, h(b"heads", BOB.links[0].id))
    VerifyKey(device).verify(b"p2pmsg/1/hs/welcome\0" + t2 + ANN.account + account + device + heads_r, signature)
    assert chain_frame[3:] == BOB.links[0].signature + BOB.links[0].body
    assert wire.decode(FrameType.HELLO, hello) == hello_of(BOB)
    assert bob.peerings[0].pair_key == m(k, b"pair", *sorted((ANN.account, BOB.account)))
    assert not bob.opened
    bob.feed(channel.send(FrameType.HELLO, wire.encode(hello_of(ANN))[1], 0.0))
    assert bob.opened and bob.opened.hello == hello_of(ANN)
