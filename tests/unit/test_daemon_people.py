"""Who I am and whom I know, in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pmsg.crypto import gates
from p2pmsg.daemon.people import Me, People
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import Contact, Trust
from p2pmsg.model.events import ConversationKind
from p2pmsg.model.gates import Ended, GateRow, Purpose
from tests.unit.people import Person, invite_row, pair_row, seeded

ANN, BOB, EVE = Person("Ann"), Person("Bob", nicknames=("Bobby",)), Person("Eve")
PRESENCE, PAIR = seeded("presence"), seeded("pair")


@pytest.fixture
def people() -> People:
    """Ann's: Bob is her contact."""
    here = People(Me(ANN.account, ANN.device, ANN.key, ANN.secret, seeded("mine")))
    here.learn_chain(ANN.links)
    here.learn_chain(BOB.links[:1])
    here.contacts[BOB.account] = Contact(BOB.account, None, "Bob", Trust.VERIFIED, None, PAIR, PRESENCE)
    return here


def test_a_chain_that_grows_is_learnt_link_by_link(people: People) -> None:
    membership = people.learn_chain(BOB.links[1:])
    assert membership.nickname == "Bobby" and people.memberships[BOB.account] is membership
    assert people.links_of(BOB.account) == BOB.links and people.contacts[BOB.account].nickname == "Bobby"
    assert people.learn_chain(BOB.links) == membership


def test_a_bad_chain_changes_nothing(people: People) -> None:
    before = people.chains[BOB.account], people.memberships[BOB.account], people.contacts[BOB.account]
    with pytest.raises(PeerMisbehaved):
        people.learn_chain(EVE.links + BOB.links)
    assert EVE.account not in people.chains
    assert before == (people.chains[BOB.account], people.memberships[BOB.account], people.contacts[BOB.account])


def test_my_identity_is_what_a_handshake_proves(people: People) -> None:
    me = people.identity()
    assert (me.account, me.device_key, me.device_id, me.links) == (ANN.account, ANN.key, ANN.device, ANN.links)
    assert people.me.sign(b"x") == ANN.sign(b"x")


def test_my_secrets_are_not_shown(people: People) -> None:
    assert repr(ANN.secret) not in repr(people.me) and repr(seeded("mine")) not in repr(people.me)


# -- doors


def test_an_invite_ends_by_the_monotonic_clock(people: People) -> None:
    row = invite_row(ANN)
    people.gates, people.invite_ends = (row,), {row.reference: 10.0}
    assert [each.ended for each in people.rows(10.0)] == [None]
    assert [each.ended for each in people.rows(10.1)] == [Ended.EXPIRED]


def test_an_invite_of_which_nobody_knows_when_it_ends_has_ended(people: People) -> None:
    people.gates = (invite_row(ANN),)
    assert [each.ended for each in people.rows(0.0)] == [Ended.EXPIRED]


def test_a_pair_does_not_end_and_an_ended_invite_stays_as_it_ended(people: People) -> None:
    withdrawn = GateRow(b"w" * 32, Purpose.INVITE, None, Ended.WITHDRAWN, reference="w")
    people.gates = (pair_row(ANN, BOB)[0], withdrawn)
    people.invite_ends = {"w": 5.0}
    assert people.rows(9.0) == people.gates


def pair(number: int, *, retired: bool = False) -> GateRow:
    return replace(pair_row(ANN, BOB, bytes([number]) * 32)[0], retired=retired)


def test_a_contact_is_dialled_under_the_gate_that_he_is_known_to_hold_then_under_others_in_turn(people: People) -> None:
    oldest, old, known, new, newest = pair(1, retired=True), pair(2, retired=True), pair(3), pair(4), pair(5)
    people.gates = (newest, new, pair_row(ANN, EVE)[0], known, old, oldest, invite_row(ANN))
    assert [people.gate_to(BOB.account, turn) for turn in range(6)] == [known, new, newest, old, oldest, known]
    assert people.gate_to(Person("Carl").account, 0) is None


def test_a_gate_replaces_those_before_it_once_it_is_known_to_be_held(people: People) -> None:
    old, known, new = pair(1, retired=True), pair(2), pair(3)
    people.gates = (new, known, old, invite_row(ANN))
    assert people.replaces(BOB.account, new.key)
    assert not any(people.replaces(BOB.account, key) for key in (known.key, old.key, invite_row(ANN).key))
    assert not people.replaces(EVE.account, new.key)


def test_who_may_link(people: People) -> None:
    assert people.may_link(BOB.account, BOB.device) and people.may_link(EVE.account, EVE.device)
    people.forked.add(BOB.device)
    assert not people.may_link(BOB.account, BOB.device)
    people.contacts[EVE.account] = Contact(EVE.account, None, "Eve", Trust.VERIFIED, None, PAIR, blocked=True)
    assert not people.may_link(EVE.account, EVE.device)


# -- announcements


@pytest.mark.parametrize("key", [PRESENCE, PAIR])
@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_contact_is_recognised_by_either_key_in_any_place(people: People, key: bytes, at: int) -> None:
    tags = [seeded(f"random {n}", 8) for n in range(8)]
    tags[at] = gates.tag(key, b"nonce", b"addresses")
    assert people.recognise(b"nonce", b"addresses", b"".join(tags)) == BOB.account


def test_tags_of_strangers_or_over_other_addresses_are_not_recognised(people: People) -> None:
    tag = gates.tag(PRESENCE, b"nonce", b"addresses")
    assert people.recognise(b"nonce", b"others", tag) is None and people.recognise(b"other", b"addresses", tag) is None
    assert people.recognise(b"nonce", b"addresses", b"x" + tag[:-1]) is None
    assert people.recognise(b"nonce", b"addresses", b"") is None
    assert people.recognise(b"nonce", b"addresses", b"1234" + tag + b"5678") is None  # tags lie at multiples of eight
    assert people.recognise(b"nonce", b"addresses", gates.tag(people.me.presence_key, b"nonce", b"addresses")) is None


def test_a_contact_without_a_presence_key_yet(people: People) -> None:
    people.contacts[BOB.account] = Contact(BOB.account, None, "Bob", Trust.VERIFIED, None, PAIR)
    assert people.recognise(b"n", b"a", gates.tag(PAIR, b"n", b"a")) == BOB.account


# -- conversations


def test_both_name_their_conversation_alike(people: People) -> None:
    talk = people.direct(BOB.account)
    assert talk.kind is ConversationKind.DIRECT and talk.members == tuple(sorted((ANN.account, BOB.account)))
    assert talk.id == gates.direct_conversation(BOB.account, ANN.account)


def test_conversations_and_their_devices(people: People) -> None:
    own, talk = people.conversations()
    assert own == people.own() and talk == people.direct(BOB.account)
    assert people.devices(own) == {ANN.device: ANN.account}
    assert people.devices(talk) == {ANN.device: ANN.account, BOB.device: BOB.account}
    assert people.devices(people.direct(EVE.account)) == {ANN.device: ANN.account}


def test_whose_a_device_is(people: People) -> None:
    assert people.account_of(BOB.device) == BOB.account and people.account_of(EVE.device) is None
