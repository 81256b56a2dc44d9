"""What I say of a contact is stored, and memory follows."""

from __future__ import annotations

import asyncio

import pytest

from p2pmsg.daemon.saying import say
from p2pmsg.errors import ContactNotFound
from p2pmsg.model.accounts import Trust
from p2pmsg.storage import people as people_store
from tests.unit.nodes import House, moved_in, settle
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")


async def test_a_name_and_trust_each_leave_the_other_as_it_is() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    bob = house.node.people.contacts[BOB.account]
    await say(house.node, bob, name="Robert")
    await say(house.node, bob, verified_by="number")
    found = house.node.people.contacts[BOB.account]
    assert (found.name, found.trust, found.verified_by) == ("Robert", Trust.VERIFIED, "number")
    stored = people_store.contact(house.storage.db, BOB.account)
    assert stored is not None and (stored.name, stored.trust, stored.verified_by) == ("Robert", Trust.VERIFIED, "number")


async def test_of_somebody_removed_nothing_is_said() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    bob = house.node.people.contacts[BOB.account]
    await say(house.node, bob, removed=True)
    assert BOB.account not in house.node.people.contacts
    with pytest.raises(ContactNotFound):
        await say(house.node, bob, name="Robert")


async def test_who_is_removed_is_announced_to_no_more_though_nobody_waits_for_the_answer() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    saying = asyncio.get_running_loop().create_future()

    async def remove() -> None:
        saying.set_result(None)
        await say(house.node, house.node.people.contacts[BOB.account], removed=True)

    async with asyncio.TaskGroup() as tasks:
        removing = tasks.create_task(remove())
        await saying
        removing.cancel()
    await settle()
    assert BOB.account not in house.node.people.contacts
    assert house.node.people.me.presence_number == 2 and house.endpoint.epochs == 1
