"""Two strangers nearby, their machines back to back, and whoever sits between them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import gates, sas
from p2pmsg.errors import HandshakeRefused, PeerMisbehaved
from p2pmsg.protocol.comparing import ENTROPY_BYTES, ComparingDialler, ComparingResponder, decode_nick, encode_nick
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import CompareStrings
from p2pmsg.protocol.wire import Frame, FrameType, plain_frame
from tests.unit.meeting import EXPORTER, End, frames, knowledge, posing
from tests.unit.people import Person, pair_row, seeded

ANN, BOB, EVE = Person("Ann"), Person("Bob"), Person("Eve")
OTHER_LEG = seeded("another TLS session")
OPENING_BYTES = 3 + 32 + 64


def knows(person: Person, admits: bool = True, **what: object) -> Knowledge:
    return replace(knowledge(person, **what), nick=person.name, admit=lambda: admits)  # type: ignore[arg-type]


def bob_asks(exporter: bytes = EXPORTER, seed: str = "d", person: Person = BOB) -> End:
    return End(ComparingDialler(knows(person), exporter, seeded(seed, ENTROPY_BYTES), 0.0))


def ann_shows(exporter: bytes = EXPORTER, seed: str = "r", person: Person = ANN, **what: object) -> End:
    return End(ComparingResponder(knows(person, **what), exporter, seeded(seed, ENTROPY_BYTES), 0.0))  # type: ignore[arg-type]


def shown(end: End) -> CompareStrings:
    assert len(end.compared) == 1
    return end.compared[0]


def yes(end: End) -> bytes:
    return end.perform(end.machine.consent(end.now))  # type: ignore[union-attr]


def both_see_strings(d: End, r: End) -> None:
    assert r.feed(d.feed(r.feed(d.start()))) == b""


def carry(data: bytes, to: End, back: End) -> None:
    while data:
        to, back, data = back, to, to.feed(data)


def both_say_yes(d: End, r: End) -> None:
    gate = yes(d)
    assert r.feed(gate) == b""
    carry(yes(r), d, r)


def refused(end: End, data: bytes) -> None:
    with pytest.raises(HandshakeRefused):
        end.feed(data)
    assert not end.peerings and end.opened is None


@pytest.fixture
def pair() -> tuple[End, End]:
    d, r = bob_asks(), ann_shows()
    both_see_strings(d, r)
    return d, r


def test_both_see_the_same_strings_and_the_other_name(pair: tuple[End, End]) -> None:
    d, r = pair
    assert shown(d).strings == shown(r).strings
    assert (shown(d).nick, shown(r).nick) == ("Ann", "Bob")
    assert len(shown(d).strings.numbers) == 3 and len(shown(d).strings.emoji) == 7


@pytest.mark.parametrize("first", ["dialler", "responder"])
def test_both_yes_makes_contacts_whoever_is_first(pair: tuple[End, End], first: str) -> None:
    d, r = pair
    if first == "dialler":
        both_say_yes(d, r)
    else:
        assert yes(r) == b""
        carry(yes(d), r, d)
    assert d.opened and r.opened and d.opened.peering.account == ANN.account and r.opened.peering.account == BOB.account
    assert d.peerings[0].pair_key == r.peerings[0].pair_key is not None
    assert d.peerings[0].new_links == ANN.links and r.peerings[0].new_links == BOB.links


def test_one_side_alone_gets_nowhere(pair: tuple[End, End]) -> None:
    d, r = pair
    assert r.feed(yes(d)) == b"" and not r.machine.proven
    assert not d.peerings and not r.peerings


def test_a_visible_node_says_only_its_name_before_both_said_yes(pair: tuple[End, End]) -> None:
    d, r = pair
    r.feed(yes(d))
    assert len(r.sent) == OPENING_BYTES and [frame.type for frame in frames(r.sent)] == [FrameType.NONCE]
    assert [frame.type for frame in frames(d.sent)] == [FrameType.COMMIT, FrameType.REVEAL, FrameType.GATE]
    for person, said in ((ANN, r.sent), (BOB, d.sent)):
        assert not any(secret in said for secret in (person.account, person.key, person.device))


def test_the_limit_on_unproven_bytes_leaves_room(pair: tuple[End, End]) -> None:
    d, r = pair
    both_say_yes(d, r)
    unproven = [frame for frame in frames(d.sent)[:3]]
    assert sum(3 + len(frame.body) for frame in unproven) == 1386 < limits.UNPROVEN_BYTES


def test_a_peer_that_made_the_string_earns_no_trust_before_my_own_yes(pair: tuple[End, End]) -> None:
    d, r = pair
    r.feed(yes(d))
    assert not r.machine.proven
    yes(r)
    assert r.machine.proven


# -- no


def test_a_prove_before_my_own_yes_is_refused(pair: tuple[End, End]) -> None:
    d, r = pair
    r.feed(yes(d))
    refused(r, plain_frame(FrameType.PROVE, bytes(1331)))


@pytest.mark.parametrize("frame_type", [FrameType.READY, FrameType.NONCE, FrameType.GATE, FrameType.WELCOME])
def test_no_frame_of_the_peer_is_my_yes(pair: tuple[End, End], frame_type: FrameType) -> None:
    with pytest.raises(HandshakeRefused):
        pair[0].take(Frame(frame_type, bytes(1216 + 1168 + 32)))


def test_yes_counts_once_and_only_where_something_is_compared(pair: tuple[End, End]) -> None:
    d, r = pair
    for end in (bob_asks(), ann_shows()):
        with pytest.raises(RuntimeError):
            yes(end)
    yes(d)
    with pytest.raises(RuntimeError):
        yes(d)
    yes(r)
    assert yes(r) == b""


def test_a_second_gate_is_refused(pair: tuple[End, End]) -> None:
    d, r = pair
    gate = yes(d)
    r.feed(gate)
    refused(r, gate)


def test_people_have_two_minutes(pair: tuple[End, End]) -> None:
    for end in pair:
        end.machine.tick(limits.COMPARE_TIMEOUT_S - 0.1)
        with pytest.raises(HandshakeRefused):
            end.machine.tick(limits.COMPARE_TIMEOUT_S)


@pytest.mark.parametrize("side", [0, 1])
def test_machines_alone_have_five_seconds(side: int) -> None:
    d, r = bob_asks(), ann_shows()
    r.feed(d.start())
    with pytest.raises(HandshakeRefused):
        (d, r)[side].machine.tick(limits.HANDSHAKE_TIMEOUT_S)


def test_after_both_yes_machines_have_five_seconds_again(pair: tuple[End, End]) -> None:
    d, r = pair
    d.now = r.now = 100.0
    r.feed(yes(d))
    d.feed(yes(r))
    assert d.machine.deadline == r.machine.deadline == 105.0


# -- strangers at a node


def test_who_is_not_visible_refuses_commit() -> None:
    end = ann_shows(admits=False)
    refused(end, bob_asks().start())
    assert not end.machine.admitted and end.sent == b""  # type: ignore[union-attr]


def test_a_responder_without_commit_is_a_responder_as_any_other() -> None:
    row, _ = pair_row(BOB, ANN)
    end = ann_shows(rows=[row], admits=False)
    with pytest.raises(HandshakeRefused, match="no gate key"):
        end.feed(plain_frame(FrameType.GATE, b"\x01" + bytes(1216 + 32)))
    assert not end.machine.admitted  # type: ignore[union-attr]


def test_commit_comes_first_or_not_at_all() -> None:
    end = ann_shows()
    refused(end, plain_frame(FrameType.REVEAL, bytes(96)))
    refused(end, bob_asks().start())


@pytest.mark.parametrize("change", ["nonce", "name", "both swapped"])
def test_another_reveal_than_committed_is_refused(change: str) -> None:
    d, r = bob_asks(), ann_shows()
    (reveal,) = frames(d.feed(r.feed(d.start())))
    nonce, nick = reveal.body[:32], reveal.body[32:]
    wrong = {"nonce": seeded("later") + nick, "name": nonce + encode_nick("Bobby"), "both swapped": nick + nonce}[change]
    refused(r, plain_frame(FrameType.REVEAL, wrong))
    assert not r.compared


@pytest.mark.parametrize("size", [0, 31, 33, 96])
def test_commit_of_another_length(size: int) -> None:
    refused(ann_shows(), plain_frame(FrameType.COMMIT, bytes(size)))


@pytest.mark.parametrize("size", [0, 95, 97])
def test_openings_of_another_length(size: int) -> None:
    d, r = bob_asks(), ann_shows()
    r.feed(d.start())
    refused(d, plain_frame(FrameType.NONCE, bytes(size)))
    refused(r, plain_frame(FrameType.REVEAL, bytes(size)))


@pytest.mark.parametrize("name", [b"", b"me", b"\xff\xfe", b"a\0b", b"\x1b[2J", "\u202eevil".encode(), b"a/b", b" x"])
def test_names_that_are_none(name: bytes) -> None:
    d = bob_asks()
    d.start()
    refused(d, plain_frame(FrameType.NONCE, bytes(32) + name.ljust(64, b"\0")))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_name_or_misbehaviour(data: bytes) -> None:
    try:
        name = decode_nick(data)
    except PeerMisbehaved:
        return
    assert encode_nick(name) == data.rstrip(b"\0").ljust(64, b"\0") or len(data) > 64


def test_a_long_name_is_cut_between_characters() -> None:
    assert decode_nick(encode_nick("é" * 40)) == "é" * 32
    assert decode_nick(encode_nick("x" * 63 + "é")) == "x" * 63
    assert decode_nick(encode_nick("x" * 62 + " é")) == "x" * 62


# -- man in the middle


@pytest.mark.parametrize("seed", range(200))
def test_who_sits_between_makes_the_strings_differ(seed: int) -> None:
    """Eve ends both legs and says the right names: she has other sessions, so she would need 39 equal bits."""
    d, r = bob_asks(seed=f"d{seed}"), ann_shows(OTHER_LEG, seed=f"r{seed}")
    to_ann, to_bob = bob_asks(OTHER_LEG, f"e{seed}"), ann_shows(seed=f"f{seed}", person=ANN)
    both_see_strings(to_ann, r)
    both_see_strings(d, to_bob)
    assert shown(d).nick == "Ann" and shown(r).nick == "Bob"
    assert shown(d).strings.numbers != shown(r).strings.numbers
    assert shown(d).strings.emoji != shown(r).strings.emoji


def test_frames_passed_on_unchanged_fail_at_reveal() -> None:
    """Relayed word for word, the commitment is of another session."""
    d, r = bob_asks(), ann_shows(OTHER_LEG)
    reveal = d.feed(r.feed(d.start()))
    refused(r, reveal)


def test_eve_may_relay_nonces_and_the_strings_differ() -> None:
    """She answers Bob with Ann's own nonce, and Ann with Bob's, as soon as she has it; the session is in the string."""
    d, r = bob_asks(), ann_shows(OTHER_LEG)
    d.start()
    eve = bob_asks(OTHER_LEG, "e")
    nonce = r.feed(eve.start())
    d.feed(nonce)
    r.feed(eve.feed(nonce))
    assert shown(d).strings != shown(r).strings


def test_a_gate_under_another_string_is_refused_before_my_own_yes(pair: tuple[End, End]) -> None:
    d, r = bob_asks(), ann_shows(OTHER_LEG)
    eve = bob_asks(OTHER_LEG, "e")
    both_see_strings(eve, r)
    both_see_strings(d, ann_shows(seed="f"))
    refused(r, yes(d))


def test_a_ready_under_another_string_is_refused() -> None:
    d, r, eve = bob_asks(), ann_shows(), ann_shows(seed="other")
    both_see_strings(d, eve)
    both_see_strings(other := bob_asks(), r)
    yes(d)
    r.feed(yes(other))
    refused(d, yes(r))


def test_reflection_leads_nowhere() -> None:
    """Bob is given back his own frames: none is a frame of the other role."""
    d = bob_asks()
    refused(d, d.start())
    d = bob_asks()
    d.start()
    d.feed(plain_frame(FrameType.NONCE, seeded("n") + encode_nick("Ann")))
    refused(d, yes(d))


def test_swapped_roles_make_another_string() -> None:
    ours, theirs, x = seeded("ours"), seeded("theirs"), EXPORTER
    one = sas.transcript(x, (ours, theirs), (encode_nick("Bob"), encode_nick("Ann")))
    assert one != sas.transcript(x, (theirs, ours), (encode_nick("Ann"), encode_nick("Bob")))
    assert gates.sas_gate(one, x) != gates.sas_gate(one, OTHER_LEG)


# -- who stands behind the name


def test_my_own_account_is_no_stranger() -> None:
    d, r = bob_asks(person=ANN), ann_shows()
    both_see_strings(d, r)
    r.feed(yes(d))
    prove = d.feed(yes(r))
    refused(r, prove)


def test_a_device_that_is_not_the_accounts_is_refused() -> None:
    eve = posing(EVE, account=BOB.account, links=BOB.links, heads=BOB.identity.heads)
    d = End(ComparingDialler(replace(knows(EVE), me=eve), EXPORTER, seeded("d", ENTROPY_BYTES), 0.0))
    r = ann_shows()
    both_see_strings(d, r)
    r.feed(yes(d))
    refused(r, d.feed(yes(r)))


def test_somebody_kept_out_is_refused() -> None:
    d, r = bob_asks(), ann_shows(may_link=lambda account, device: account != BOB.account)
    both_see_strings(d, r)
    r.feed(yes(d))
    refused(r, d.feed(yes(r)))


def test_an_old_contact_may_compare_again() -> None:
    d, r = bob_asks(), ann_shows(stored=BOB.links)
    both_see_strings(d, r)
    both_say_yes(d, r)
    assert r.peerings[0].new_links == () and r.peerings[0].pair_key is not None
