"""Becoming contacts, naming them, parting from them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon import relations
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.relations import Relations
from p2pmsg.errors import (
    Ambiguous,
    ContactNotFound,
    InvalidName,
    InviteExpired,
    InviteMalformed,
    InviteNotFound,
    InviteOwn,
    InviteRefused,
    InviteUsed,
    InviteWithdrawn,
    NameTaken,
    NoNetwork,
    P2pmsgError,
    PeerUnreachable,
    StorageFull,
    UsageError,
)
from p2pmsg.model.addresses import Address, Interface
from p2pmsg.protocol.addresses import decode_invite, encode_invite
from p2pmsg.rpc import api
from tests.unit.nodes import NETWORK, Endpoint, House, moved_in, neighbours, settle
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB, EVE = Person("Ann"), Person("Bob"), Person("Eve")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations, "_AGAIN_S", 0.001)


@contextlib.asynccontextmanager
async def strangers(*names: Person) -> AsyncIterator[list[House]]:
    """People on one network who do not know each other."""
    others: dict[Address, Endpoint] = {}
    houses = [House(who, others, moved_in(who)).start() for who in names]
    for house in houses:
        house.announcer.interfaces = (interface_of(house),)
    try:
        yield houses
    finally:
        for house in houses:
            house.node.stop()
        await settle()


def interface_of(house: House) -> Interface:
    return replace(NETWORK, ipv4=((house.address.host, 24),))


def of(house: House) -> Relations:
    return Relations(house.node, house.storage, house.announcer, house.endpoint)  # type: ignore[arg-type]


async def invite(house: House, **params: Any) -> dict[str, Any]:
    return await of(house).invite(api.ContactInvite(**params))


async def add(house: House, text: str, **params: Any) -> dict[str, Any]:
    return await of(house).add(api.ContactAdd(invite=text, **{"timeout_s": 2.0, **params}))


async def listed(house: House) -> list[dict[str, Any]]:
    return await of(house).list(api.ContactList())


def stored(house: House) -> Any:
    return load_people(house.shelf.db)


# -- invites


async def test_an_invite_says_where_its_maker_is() -> None:
    async with strangers(ANN) as (ann,):
        made = await invite(ann)
        said = decode_invite(made["invite"])
        assert (said.account, said.addresses) == (ANN.account, (ann.address,)) and made["id"] == gates.invite_id(said.secret)
        assert set(made) == {"id", "invite", "expires_at"}
        (shown,) = await of(ann).invites(api.ContactInvites())
        assert shown == {**made, "invite": None}


@pytest.mark.parametrize("valid_s", [0, 0.5, limits.INVITE_VALID_MAX_S + 1])
async def test_for_how_long_no_invite_is_valid(valid_s: float) -> None:
    async with strangers(ANN) as (ann,):
        with pytest.raises(UsageError):
            await invite(ann, valid_s=valid_s)
        assert stored(ann).gates == ()


async def test_without_a_network_nobody_could_use_an_invite() -> None:
    async with strangers(ANN) as (ann,):
        ann.announcer.interfaces = ()
        with pytest.raises(NoNetwork):
            await invite(ann)
        with pytest.raises(NoNetwork):
            await add(ann, encode_invite(BOB.account, bytes(16), 40_000, ["10.0.0.9"]))


async def test_a_full_disk_makes_no_invite() -> None:
    async with strangers(ANN) as (ann,):
        ann.storage.free_bytes = 0
        with pytest.raises(StorageFull):
            await invite(ann)


async def test_an_invite_is_withdrawn_by_the_start_of_its_id() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        made, kept = await invite(ann), await invite(ann)
        assert (await of(ann).uninvite(api.ContactUninvite(id=made["id"][:8].upper())))["id"] == made["id"]
        assert [each["id"] for each in await of(ann).invites(api.ContactInvites())] == [kept["id"]]
        with pytest.raises(InviteWithdrawn):
            await add(bob, made["invite"])
        assert stored(bob).contacts == {} == stored(ann).contacts


@pytest.mark.parametrize("named", ["", "a", "dead" * 4])
async def test_an_invite_that_is_not_there(named: str) -> None:
    async with strangers(ANN) as (ann,):
        made = await invite(ann)
        with pytest.raises((InviteNotFound, Ambiguous)):
            await of(ann).uninvite(api.ContactUninvite(id=named))
        assert [each["id"] for each in await of(ann).invites(api.ContactInvites())] == [made["id"]]


# -- becoming contacts


async def test_two_become_contacts() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        found = await add(bob, (await invite(ann))["invite"], name="Annie")
        assert (found["account"], found["name"], found["nickname"], found["online"]) == (ANN.account.hex(), "Annie", "Ann", True)
        assert (found["trust"], found["verified_by"]) == ("verified", "invite")
        (other,) = await listed(ann)
        assert (other["account"], other["name"], other["trust"], other["verified_by"]) == (BOB.account.hex(), "Bob", "invited", None)
        assert stored(bob).contacts[ANN.account].pair_key == stored(ann).contacts[BOB.account].pair_key
        assert (await bob.send("hello", wait="delivered"))["state"] == "delivered"
        assert await of(ann).invites(api.ContactInvites()) == []


async def test_an_invite_is_used_once() -> None:
    async with strangers(ANN, BOB, EVE) as (ann, bob, eve):
        text = (await invite(ann))["invite"]
        await add(bob, text)
        with pytest.raises(InviteUsed):
            await add(eve, text)
        assert [contact["name"] for contact in await listed(ann)] == ["Bob"] and await listed(eve) == []


async def test_of_two_at_once_one_gets_in() -> None:
    async with strangers(ANN, BOB, EVE) as (ann, bob, eve):
        text = (await invite(ann))["invite"]
        outcomes = []

        async def attempt(house: House) -> None:
            try:
                outcomes.append((await add(house, text))["name"])
            except InviteUsed:
                outcomes.append("used")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(attempt(bob))
            tasks.create_task(attempt(eve))
        assert sorted(outcomes) == ["Ann", "used"] and len(await listed(ann)) == 1


async def test_an_invite_made_in_the_commit_of_a_new_contact_leaves_the_contact_a_door() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        text = (await invite(ann))["invite"]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(add(bob, text))
            for _ in range(20):
                tasks.create_task(invite(ann))
                await settle()
        assert set(ann.node.people.gates) == set(stored(ann).gates)
        assert ann.node.people.gate_to(BOB.account, 0) is not None


async def test_of_removing_and_renaming_at_once_the_removal_stands() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        await add(bob, (await invite(ann))["invite"])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(of(bob).remove(api.ContactRemove(name="Ann")))
            renaming = tasks.create_task(quietly(of(bob).rename(api.ContactRename(name="Ann", new="Annie"))))
        assert isinstance(renaming.result(), ContactNotFound)
        assert await listed(bob) == [] and stored(bob).contacts == {}


async def quietly(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except P2pmsgError as error:
        return error


async def test_who_used_an_invite_may_come_with_it_again() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        text = (await invite(ann))["invite"]
        await add(bob, text)
        assert (await add(bob, text))["name"] == "Ann"
        assert len(await listed(ann)) == len(await listed(bob)) == 1
        assert (await bob.send("hello", wait="delivered"))["state"] == "delivered"


async def test_an_invite_over_its_time_opens_nothing() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        made = await invite(ann)
        ann.node.people.invite_ends[made["id"]] = ann.node.clock.now() - 1
        with pytest.raises(InviteExpired):
            await add(bob, made["invite"])
        assert await of(ann).invites(api.ContactInvites()) == [] and stored(bob).contacts == {}


async def test_my_own_invite() -> None:
    async with strangers(ANN) as (ann,):
        with pytest.raises(InviteOwn):
            await add(ann, (await invite(ann))["invite"])


async def test_an_invite_of_somebody_else_than_is_there() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        with pytest.raises(InviteRefused):
            await add(bob, encode_invite(EVE.account, bytes(16), ann.address.port, [ann.address.host]))
        assert stored(bob).contacts == {}


async def test_nobody_there() -> None:
    async with strangers(BOB) as (bob,):
        with pytest.raises(PeerUnreachable, match=r"10\.0\.0\.77"):
            await add(bob, encode_invite(EVE.account, bytes(16), 40_000, ["10.0.0.77"]), timeout_s=0.05)
        assert bob.endpoint.dialled.count(Address("10.0.0.77", 40_000)) > 1 and list(bob.node.linkage) == []
        assert stored(bob).contacts == {} == bob.node.people.contacts


@pytest.mark.parametrize("host", ["224.0.0.251", "255.255.255.255", "10.0.0.255", "8.8.8.8", "127.0.0.1", "0.0.0.0", "::1", "ff02::fb"])
async def test_packets_are_not_sent_where_an_invite_must_not_lead(host: str) -> None:
    async with strangers(BOB) as (bob,):
        with pytest.raises(InviteMalformed):
            await add(bob, encode_invite(EVE.account, bytes(16), 40_000, [host]))
        assert bob.endpoint.dialled == []


@pytest.mark.parametrize("port", [1, 53, 1023])
async def test_nor_to_ports_that_others_own(port: int) -> None:
    async with strangers(BOB) as (bob,):
        with pytest.raises(InviteMalformed):
            await add(bob, encode_invite(EVE.account, bytes(16), port, ["10.0.0.77"]))


async def test_the_reachable_one_of_several_addresses_is_used() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        said = decode_invite((await invite(ann))["invite"])
        text = encode_invite(ANN.account, said.secret, ann.address.port, ["10.0.0.77", ann.address.host, "8.8.8.8"])
        assert (await add(bob, text))["name"] == "Ann"
        await settle()
        assert len(list(bob.node.linkage)) == len(list(bob.node.links)) == 1


async def test_a_name_is_checked_before_anything_is_tried() -> None:
    async with strangers(ANN, BOB, EVE) as (ann, bob, eve):
        await add(bob, (await invite(eve))["invite"], name="Annie")
        text = (await invite(ann))["invite"]
        dialled = len(bob.endpoint.dialled)
        for name, error in (("me", InvalidName), ("", InvalidName), ("ANNIE", NameTaken)):
            with pytest.raises(error):
                await add(bob, text, name=name)
        assert len(bob.endpoint.dialled) == dialled and len(await of(ann).invites(api.ContactInvites())) == 1


@pytest.mark.parametrize("text", ["", "P2PMSG:", "hello", "P2PMSG:" + "A" * 90])
async def test_what_is_no_invite(text: str) -> None:
    async with strangers(BOB) as (bob,):
        with pytest.raises(InviteMalformed):
            await add(bob, text)


async def test_a_full_disk_here_stores_nothing() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        text = (await invite(ann))["invite"]
        bob.storage.free_bytes = 0
        with pytest.raises(StorageFull):
            await add(bob, text, timeout_s=0.2)
        assert stored(bob).contacts == {}


async def test_who_gives_up_leaves_no_link_behind() -> None:
    async with strangers(BOB) as (bob,):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(add(bob, encode_invite(EVE.account, bytes(16), 40_000, ["10.0.0.77"])))
            await settle(3)
            task.cancel()
        assert list(bob.node.linkage) == []


# -- contacts


async def test_contacts_are_listed_by_name() -> None:
    house = House(ANN, shelf=moved_in(ANN, EVE, BOB)).start()
    assert [contact["name"] for contact in await listed(house)] == ["Bob", "Eve"]
    await of(house).rename(api.ContactRename(name="Bob", new="zoe"))
    assert [contact["name"] for contact in await listed(house)] == ["Eve", "zoe"]
    assert (await of(house).show(api.ContactShow(name="bob")))["name"] == "zoe"


async def test_a_new_name_is_stored() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB, EVE)).start()
    shown = await of(house).rename(api.ContactRename(name="Bob", new="Robert"))
    assert (shown["name"], shown["nickname"]) == ("Robert", "Bob") and stored(house).contacts[BOB.account].name == "Robert"
    for new, error in (("me", InvalidName), ("a~b", InvalidName)):
        with pytest.raises(error):
            await of(house).rename(api.ContactRename(name="Robert", new=new))
    with pytest.raises(NameTaken):
        await of(house).rename(api.ContactRename(name="Eve", new="robert"))
    with pytest.raises(ContactNotFound):
        await of(house).rename(api.ContactRename(name="Nobody", new="Somebody"))


async def test_who_is_removed_is_gone_at_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("hello", wait="delivered")
        shown = await of(ann).remove(api.ContactRemove(name="Bob"))
        assert (shown["name"], shown["online"]) == ("Bob", False) and await listed(ann) == []
        assert not ann.linked(bob) and stored(ann).contacts == {} and stored(ann).gates == () == ann.node.people.gates
        await settle()
        bob.sees(ann)
        await settle()
        assert not bob.linked(ann) and not ann.linked(bob)
        with pytest.raises(ContactNotFound):
            await ann.send("hello?", target="Bob")


async def test_who_is_removed_with_the_history_leaves_nothing() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("hello", wait="delivered")
        await of(ann).remove(api.ContactRemove(name="Bob", history=True))
        gone = await ann.messaging().history(api.History(target=BOB.account.hex()))
        assert gone == [] and len(await bob.history()) == 2


async def test_who_was_removed_can_come_back_by_an_invite() -> None:
    async with strangers(ANN, BOB) as (ann, bob):
        await add(bob, (await invite(ann))["invite"])
        await bob.send("before", wait="delivered")
        await of(ann).remove(api.ContactRemove(name="Bob"))
        await bob.send("meanwhile")
        await add(bob, (await invite(ann))["invite"])
        await ann.until(lambda: ann.shelf.unread_all() >= 2)
        assert [message["text"] for message in await ann.history() if message["kind"] == "text"] == ["before", "meanwhile"]
