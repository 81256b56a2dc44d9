"""My presence key when it is renewed: who has it, who is told, and who recognises me meanwhile."""

from __future__ import annotations

import pytest

from p2pmsg.crypto import gates
from p2pmsg.daemon.saying import say
from p2pmsg.model.events import Event
from p2pmsg.model.ids import LinkNumber
from p2pmsg.protocol.bodies import SettingBody
from p2pmsg.protocol.wire import PresenceKey
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db
from tests.unit.nodes import PAIR_KEY, House, moved_in, neighbours, settle
from tests.unit.people import Person, seeded

pytestmark = pytest.mark.asyncio
ANN, BOB, EVE = Person("Ann"), Person("Bob"), Person("Eve")


async def renew(house: House) -> None:
    """Get another key, as if somebody had been blocked."""
    keys = house.node.presence_keys

    def job(db: Db) -> tuple[Event, SettingBody]:
        body = keys.next(db)
        return house.node.write(db, house.node.people.own(), body), body

    await house.node.run_write(job, then=lambda written: keys.renewed(written[1]))
    keys.tell()


def holds(house: House, other: Person) -> int:
    """Return which of its keys the contact is known to hold: what memory says is stored."""
    contact, stored = house.node.people.contacts[other.account], people_store.contact(house.storage.db, other.account)
    assert stored is not None and stored.holds == contact.holds
    return contact.holds


async def test_who_is_linked_gets_it_and_says_so() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await renew(ann)
        await settle()
        assert holds(ann, BOB) == 2
        known = people_store.contact(bob.storage.db, ANN.account)
        assert known is not None and (known.presence_key, known.presence_number) == (ann.node.people.me.presence_key, 2)
        assert ann.node.presence_keys.lagging() == []


async def test_who_is_away_is_told_apart_by_the_pairs_key_until_he_has_it() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await renew(house)
    assert [who.account for who in house.node.presence_keys.lagging()] == [BOB.account]
    tags = house.announcer._tags(b"n" * 10, b"a")
    assert gates.tag(PAIR_KEY, b"n" * 10, b"a") in tags
    assert gates.tag(house.node.people.me.presence_key, b"n" * 10, b"a") in tags
    assert gates.tag(seeded("Ann/presence"), b"n" * 10, b"a") not in tags


async def test_what_a_contact_says_to_hold_grows_only_and_never_beyond_what_there_is() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await renew(house)
    for said, known in ((3, 0), (1, 1), (0, 1), (2, 2), (1, 2)):
        house.node.presence_keys.holds(house.node.people.contacts[BOB.account], said)
        await settle()
        assert holds(house, BOB) == known


async def test_an_older_key_than_the_one_held_changes_nothing() -> None:
    async with neighbours(ANN, BOB) as (_, bob):
        link = next(iter(bob.node.links)).link
        before = bob.node.people.contacts[ANN.account]
        bob.node.presence_keys.received(link, PresenceKey(b"o" * 32, before.presence_number, 0))
        bob.node.presence_keys.received(LinkNumber(10**6), PresenceKey(b"o" * 32, 9, 0))
        await settle()
        assert bob.node.people.contacts[ANN.account].presence_key == before.presence_key


async def test_the_new_key_is_mine_after_a_restart() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    bob = house.node.people.contacts[BOB.account]
    await say(house.node, bob, blocked=True)
    again = House(ANN, shelf=house.shelf)
    assert again.node.people.me.presence_number == 2
    assert again.node.people.me.presence_key == house.node.people.me.presence_key != seeded("Ann/presence")
