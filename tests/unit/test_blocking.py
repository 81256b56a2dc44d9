"""Somebody is blocked: to him it is as if the cable were pulled; to all others nothing has happened."""

from __future__ import annotations

import pytest

from p2pmsg.crypto import gates
from p2pmsg.daemon.relations import Relations
from p2pmsg.errors import Blocked
from p2pmsg.rpc import api
from p2pmsg.storage import doors
from p2pmsg.storage import people as people_store
from tests.unit.nodes import PAIR_KEY, House, Wire, moved_in, neighbours, settle
from tests.unit.people import Person, seeded

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")


def relations(house: House) -> Relations:
    return Relations(house.node, house.storage, house.announcer, house.endpoint, house.redraw_port)  # type: ignore[arg-type]


async def block(house: House, name: str = "Bob") -> None:
    assert (await relations(house).block(api.ContactBlock(name=name)))["blocked"] is True


async def test_the_link_falls_silent_without_a_word() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        wire = next(iter(ann.node.linkage)).connection
        assert isinstance(wire, Wire)
        await settle()
        said = wire.written
        await block(ann)
        await settle()
        assert (wire.abandoned, wire.closed, wire.refused) == (True, None, False)
        assert wire.written == said
        assert not ann.node.links.of_account(BOB.account) and bob.node.links.of_account(ANN.account)
        assert ann.redrawn == 1


async def test_no_key_is_left_by_which_he_comes_in_or_is_dialled() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    assert house.node.people.gates
    await block(house)
    await settle()
    assert house.node.people.gates == () and doors.gates(house.storage.db, 0) == ()
    stored = people_store.contact(house.storage.db, BOB.account)
    assert stored is not None and stored.blocked and stored.pair_key is None
    assert house.node.people.gate_to(BOB.account, 0) is None
    assert not house.node.people.may_link(BOB.account, BOB.device)
    tags = gates.tag(PAIR_KEY, b"n" * 10, b"a") + gates.tag(seeded("Bob/presence"), b"n" * 10, b"a")
    assert house.node.people.recognise(b"n" * 10, b"a", tags) is None


async def test_nothing_is_sent_to_him_and_what_was_said_stays() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await house.send("before")
    await block(house)
    with pytest.raises(Blocked) as caught:
        await house.send("after")
    assert (caught.value.code, caught.value.exit_status) == ("blocked", 8)
    found = await house.messaging().history(api.History(target="Bob"))
    assert [each["text"] for each in found if each["kind"] == "text"] == ["before"]


async def test_twice_is_once_and_it_lasts() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await block(house)
    await block(house)
    assert house.redrawn == 1 and house.node.people.me.presence_number == 2
    again = House(ANN, shelf=house.shelf).start()
    assert again.node.people.contacts[BOB.account].blocked and not again.node.presence.missing
    with pytest.raises(Blocked):
        await again.send("after")


async def test_unblocked_he_is_a_contact_without_a_key() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await block(house)
    shown = await relations(house).unblock(api.ContactUnblock(name="Bob"))
    assert shown["blocked"] is False
    assert await relations(house).unblock(api.ContactUnblock(name="Bob")) == shown
    assert house.node.people.contacts[BOB.account].pair_key is None
    assert (await house.send("after"))["state"] == "queued"
