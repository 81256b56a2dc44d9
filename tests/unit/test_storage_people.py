"""Who I am and whom I know."""

from __future__ import annotations

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import AlreadyInitialized, NotInitialized
from p2pmsg.model.addresses import Address
from p2pmsg.protocol import authority
from p2pmsg.storage import doors, people
from p2pmsg.storage.database import open_memory
from tests.unit.people import Person, seeded
from tests.unit.shelves import NOW, Shelf, own_identity

ANN, BOB, CARL = Person("Ann"), Person("Bob", ("Robert",)), Person("Carl")


@pytest.fixture
def ann() -> Shelf:
    return Shelf(ANN)


def test_who_i_am_is_said_once() -> None:
    db = open_memory()
    with pytest.raises(NotInitialized):
        people.identity(db)
    people.create_identity(db, own_identity(ANN))
    assert people.identity(db) == own_identity(ANN)
    with pytest.raises(AlreadyInitialized):
        people.create_identity(db, own_identity(BOB))


def test_secrets_are_not_shown() -> None:
    assert repr(ANN.secret) not in repr(own_identity(ANN))


def test_chains_come_back_as_they_were_signed(ann: Shelf) -> None:
    people.add_links(ann.db, BOB.links[:1], NOW)
    people.add_links(ann.db, BOB.links, NOW)
    chains = people.chains(ann.db)
    assert chains == {ANN.account: ANN.links, BOB.account: BOB.links}
    assert authority.resolve(chains[BOB.account]).nickname == "Robert"


def test_strangers_are_no_contacts(ann: Shelf) -> None:
    people.add_links(ann.db, BOB.links, NOW)
    people.saw(ann.db, BOB.account, NOW)
    assert people.contacts(ann.db) == [] and people.contact(ann.db, BOB.account) is None


def test_contacts_in_the_order_in_which_they_were_met(ann: Shelf) -> None:
    for who in (CARL, BOB):
        ann.meet(who)
    ann.meet(CARL, via=None, name="C")
    assert [contact.account for contact in people.contacts(ann.db)] == [CARL.account, BOB.account]


def test_what_only_this_device_knows_joins_what_events_say(ann: Shelf) -> None:
    ann.meet(BOB)
    people.saw(ann.db, BOB.account, NOW)
    people.set_nickname(ann.db, BOB.account, "Robert")
    people.set_presence(ann.db, BOB.account, b"p" * 32, 3)
    contact = people.contact(ann.db, BOB.account)
    assert contact is not None and contact.pair_key == seeded("pair")
    assert (contact.nickname, contact.alert, contact.last_seen_ms) == ("Robert", None, NOW)
    assert (contact.presence_key, contact.presence_number, contact.blocked) == (b"p" * 32, 3, False)


def test_an_older_presence_key_changes_nothing(ann: Shelf) -> None:
    ann.meet(BOB)
    for number in (3, 2, 5, 4):
        people.set_presence(ann.db, BOB.account, bytes([number]) * 32, number)
    contact = people.contact(ann.db, BOB.account)
    assert contact is not None and (contact.presence_key, contact.presence_number) == (b"\x05" * 32, 5)


def test_forgetting_leaves_no_key_and_no_address(ann: Shelf) -> None:
    ann.meet(BOB)
    people.set_presence(ann.db, BOB.account, b"p" * 32, 1)
    people.remember_address(ann.db, BOB.account, "home", Address("10.0.0.2", 4242), NOW)
    people.forget(ann.db, BOB.account)
    contact = people.contact(ann.db, BOB.account)
    assert contact is not None and contact.presence_key is None and people.last_known(ann.db, "home") == {}


def test_addresses_belong_to_the_network_where_they_were_learnt(ann: Shelf) -> None:
    people.remember_address(ann.db, BOB.account, "home", Address("fe80::1", 4242, 7), NOW)
    people.remember_address(ann.db, BOB.account, "office", Address("10.0.0.2", 4242), NOW)
    assert people.last_known(ann.db, "home") == {BOB.account: [Address("fe80::1", 4242)]}
    assert people.last_known(ann.db, "cafe") == {}


def test_the_newest_addresses_are_kept_up_to_the_limit(ann: Shelf) -> None:
    for number in range(limits.ADDRESSES_PER_CONTACT + 3):
        people.remember_address(ann.db, BOB.account, "home", Address(f"10.0.0.{number}", 4242), NOW + number)
    people.remember_address(ann.db, BOB.account, "home", Address("10.0.0.6", 4343), NOW + 100)
    known = people.last_known(ann.db, "home")[BOB.account]
    assert len(known) == limits.ADDRESSES_PER_CONTACT and known[0] == Address("10.0.0.6", 4343)


def test_a_port_for_each_network(ann: Shelf) -> None:
    assert people.network_port(ann.db, "home") is None
    people.set_network_port(ann.db, "home", 40000, NOW)
    people.set_network_port(ann.db, "office", 50000, NOW)
    people.set_network_port(ann.db, "home", 40001, NOW)
    assert (people.network_port(ann.db, "home"), people.network_port(ann.db, "office")) == (40001, 50000)


@pytest.mark.parametrize("value", ["text", 7, b"bytes", 2**62, ""])
def test_values_of_this_device_alone(ann: Shelf, value: str | int | bytes) -> None:
    assert people.get_meta(ann.db, "key") is None
    people.put_meta(ann.db, "key", 0)
    people.put_meta(ann.db, "key", value)
    assert people.get_meta(ann.db, "key") == value


def test_who_was_removed_has_no_way_back_by_the_invite_he_used(ann: Shelf) -> None:
    doors.add_invite(ann.db, b"k" * 32, "0123456789abcdef", NOW, NOW + 1000)
    doors.spend_invite(ann.db, "0123456789abcdef", BOB.account, NOW)
    people.forget(ann.db, BOB.account)
    assert doors.gates(ann.db, 0) == ()
