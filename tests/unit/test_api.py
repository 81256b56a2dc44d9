"""The local API's methods, from their names to their answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import chain
from p2pmsg.daemon.api import Api
from p2pmsg.daemon.entrance import Entrance
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.unlocking import Unlocking
from p2pmsg.errors import InvalidName, NotPermitted, StorageFull
from p2pmsg.model.ids import short
from p2pmsg.protocol import authority
from p2pmsg.rpc import api
from p2pmsg.storage import people as people_store
from tests.unit.nodes import House, moved_in, neighbours
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
PROFILE = Profile(Path("/nowhere/p2pmsg"), "default", home_was_named=True)


def of(house: House) -> Api:
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Api(PROFILE, Settings(), house.node, house.storage, house.announcer, house.endpoint, started, [])  # type: ignore[arg-type]


def alone() -> House:
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


async def ask(house: House, method: str, **params: Any) -> Any:
    return await of(house).call(method, api.METHODS[method](**params), None)  # type: ignore[arg-type]


async def test_every_method_of_the_table_is_there(tmp_path: Path) -> None:
    profile = Profile(tmp_path, "default", home_was_named=True)
    without_a_vault = Entrance(profile, Unlocking(profile, Settings()), datetime.now(UTC))._always
    assert set(of(alone())._methods) | set(without_a_vault) == set(api.METHODS) - {"rpc.hello"}
    assert not set(of(alone())._methods) & set(without_a_vault)


async def test_whoami() -> None:
    account = ANN.account.hex()
    assert await ask(alone(), "whoami") == {
        "account": account,
        "device": ANN.device.hex(),
        "name": "Ann",
        "device_name": "Ann's laptop",
        "fingerprint": " ".join(account[at : at + 4] for at in range(0, 32, 4)),
        "home": "/nowhere/p2pmsg",
    }


async def test_methods_lead_to_those_who_know() -> None:
    house = alone()
    assert (await ask(house, "send", target="Bob", text="hello"))["text"] == "hello"
    assert len(await ask(house, "history", target="Bob")) >= 1
    assert [contact["name"] for contact in await ask(house, "contact.list")] == ["Bob"]
    assert [peer["online"] for peer in await ask(house, "peers")] == [False]


# -- the name that others see


async def test_a_new_name_is_stored_and_remembered() -> None:
    house = alone()
    assert (await ask(house, "profile.set", name="Annie"))["name"] == "Annie"
    stored = load_people(house.shelf.db)
    assert stored.mine.nickname == "Annie" and stored.chains[ANN.account] == house.node.people.chains[ANN.account]


async def test_the_same_name_or_none_makes_no_link() -> None:
    house = alone()
    for params in ({"name": "Ann"}, {"name": None}, {}):
        assert (await ask(house, "profile.set", **params))["name"] == "Ann"
    assert len(house.node.people.chains[ANN.account]) == 1


async def test_a_contact_hears_of_the_new_name_at_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ask(ann, "profile.set", name="Annie")
        await bob.until(lambda: bob.node.people.contacts[ANN.account].nickname == "Annie")
        assert (await bob.storage.ask(lambda db: people_store.contact(db, ANN.account))).nickname == "Annie"
        await ann.send("under the new heads", wait="delivered")


@pytest.mark.parametrize("name", ["", "me", "a\nb", "x" * 65, "a~b"])
async def test_what_is_no_name(name: str) -> None:
    house = alone()
    with pytest.raises(InvalidName):
        await ask(house, "profile.set", name=name)
    assert len(house.node.people.chains[ANN.account]) == 1


async def test_names_set_at_the_same_time_make_one_line() -> None:
    house = alone()
    async with asyncio.TaskGroup() as tasks:
        for n in range(5):
            tasks.create_task(ask(house, "profile.set", name=f"Ann {n}"))
    stored = load_people(house.shelf.db)  # it would raise where two links stand side by side
    assert stored.mine == house.node.people.mine and len(stored.chains[ANN.account]) == 6


@pytest.mark.parametrize("limit,value", [("CHAIN_LINKS", 3), ("CHAIN_BYTES", 2200)])
async def test_a_chain_that_peers_would_refuse_is_not_made(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(limits, limit, value)
    house = alone()
    with pytest.raises(NotPermitted):
        for n in range(10):
            await ask(house, "profile.set", name=f"Ann {n}")
    links = people_store.chains(house.shelf.db)[ANN.account]
    assert links == house.node.people.chains[ANN.account] and 1 < len(links) < 10
    assert authority.resolve(links).nickname == (await ask(house, "whoami"))["name"]
    assert sum(len(chain.wire_form(link)) + 2 for link in links) <= limits.CHAIN_BYTES


async def test_an_old_copy_signs_nothing() -> None:
    house = alone()
    house.node.old_copy = True
    with pytest.raises(NotPermitted):
        await ask(house, "profile.set", name="Annie")


async def test_a_full_disk_keeps_the_old_name() -> None:
    house = alone()
    house.storage.free_bytes = 0
    with pytest.raises(StorageFull):
        await ask(house, "profile.set", name="Annie")
    assert (await ask(house, "whoami"))["name"] == "Ann"


async def test_no_secret_is_in_what_is_told() -> None:
    house = alone()
    told = repr([await ask(house, "status"), await ask(house, "whoami"), await ask(house, "contact.list"), short(ANN.device)])
    assert ANN.secret.hex() not in told and house.node.people.me.presence_key.hex() not in told
