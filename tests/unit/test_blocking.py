"""Somebody is blocked: to him it is as if the cable were pulled; to all others nothing has happened."""

from __future__ import annotations

import asyncio

import pytest

from p2pmsg.crypto import gates
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.peering import commit_peering
from p2pmsg.daemon.relations import Relations
from p2pmsg.errors import Blocked
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.protocol.addresses import encode_invite
from p2pmsg.protocol.messages import Peering
from p2pmsg.rpc import api
from p2pmsg.storage import doors
from p2pmsg.storage import people as people_store
from tests.unit.nodes import PAIR_KEY, House, Wire, moved_in, neighbours, settle
from tests.unit.people import Person, seeded

pytestmark = pytest.mark.asyncio
ANN, BOB, CARL, EVE = Person("Ann"), Person("Bob"), Person("Carl"), Person("Eve")


def relations(house: House) -> Relations:
    return Relations(house.node, house.storage, house.announcer, house.endpoint)  # type: ignore[arg-type]


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


async def test_two_blocked_at_once_the_others_hold_the_key_that_counts() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        for other in (CARL, EVE):
            ann.shelf.meet(other)
            ann.node.people.contacts[other.account] = load_people(ann.shelf.db).contacts[other.account]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(block(ann, "Carl"))
            tasks.create_task(block(ann, "Eve"))
        await settle()
        me, held = ann.node.people.me, bob.node.people.contacts[ANN.account]
        assert (held.presence_key, held.presence_number) == (me.presence_key, me.presence_number) == (me.presence_key, 3)


async def test_what_is_announced_after_it_is_tagged_under_the_new_key() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        bobs, tags = ann.node.people.contacts[BOB.account].pair_key, list[bytes]()
        ann.node.hide = lambda: tags.append(ann.announcer._tags(b"n" * 10, b"a"))
        await block(ann)
        await settle()
        assert len(tags) == 1 and bob.node.people.recognise(b"n" * 10, b"a", tags[0]) is None
        assert bobs is not None and gates.tag(bobs, b"n" * 10, b"a") not in tags[0]
        assert gates.tag(ann.node.people.me.presence_key, b"n" * 10, b"a") in tags[0]
        assert bob.node.people.contacts[ANN.account].presence_number == 1


async def test_on_a_full_disk_somebody_can_be_blocked() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    house.storage.free_bytes = 0
    await block(house)
    assert house.node.people.contacts[BOB.account].blocked


async def test_on_every_network_another_port_is_drawn() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    people_store.set_network_port(house.storage.db, "home", 4000, 1)
    people_store.set_network_port(house.storage.db, "cafe", 4001, 1)
    await block(house)
    assert [people_store.network_port(house.storage.db, network) for network in ("home", "cafe")] == [None, None]


async def test_who_has_not_said_yet_who_he_is_hears_nothing_either() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    wire = Wire(house.address, house.node.linkage)
    house.node.linkage.connection_ready(wire, seeded("exporter"))  # type: ignore[arg-type]
    await block(house)
    assert (wire.abandoned, wire.closed, wire.refused, wire.written) == (True, None, False, b"")


async def test_whoever_gives_up_waiting_for_the_answer_has_blocked_him_all_the_same() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    async with asyncio.TaskGroup() as tasks:
        blocking = tasks.create_task(block(house))
        await asyncio.sleep(0)
        blocking.cancel()
    await settle()
    assert house.node.people.contacts[BOB.account].blocked and house.redrawn == 1


async def test_an_invite_that_he_uses_meanwhile_does_not_take_it_back() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await block(house)
    gate = GateRow(bytes(32), Purpose.SAS, None)
    membership = house.node.people.memberships[BOB.account]
    peering = Peering(BOB.account, BOB.key, BOB.device, membership, (), gate, bytes(32), False)
    with pytest.raises(Blocked), house.storage.db.atomic():
        commit_peering(house.storage.db, node=house.node, peering=peering, name=None, now_ms=1)


async def test_an_invite_of_his_is_not_used_before_he_is_unblocked() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    await block(house)
    invite = encode_invite(BOB.account, bytes(16), 4000, ["10.0.0.9"])
    with pytest.raises(Blocked, match="who made this invite"):
        await relations(house).add(api.ContactAdd(invite=invite))
    assert not house.endpoint.dialled
