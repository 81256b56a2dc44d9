"""Looking for a contact at every address: what comes of it, with a network that is a function of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon import finding
from p2pmsg.daemon.finding import Finding
from p2pmsg.errors import ContactNotFound, NoNetwork, PeerUnreachable
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.sweep import Ground
from p2pmsg.protocol.addresses import encode_announced
from p2pmsg.rpc import api
from tests.unit.nodes import NETWORK, PAIR_KEY, Endpoint, House, moved_in
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")


def announcement(house: House) -> Announcement:
    """Return how a node announces itself to who has the pair's key."""
    nonce, addresses = bytes(10), encode_announced([house.address.host], house.address.port)
    return Announcement(nonce, addresses, gates.tag(PAIR_KEY, nonce, addresses) * limits.TAGS)


class Street:
    """Ann, whom the tests let search, and who answers her."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.others: dict[Any, Endpoint] = {}
        self.ann = House(ANN, self.others, moved_in(ANN, BOB, CARL)).start()
        self.finding = Finding(self.ann.node, self.ann.announcer)
        self.answers: list[Announcement] = []
        self.asked: list[list[str]] = []
        self.running = 0
        monkeypatch.setattr(finding, "sweep", self.sweep)

    async def sweep(self, found: Sequence[Ground], heard: Callable[[Announcement], None], enough: asyncio.Event) -> int:
        self.running += 1
        assert self.running == 1, "one at a time"
        self.asked.append([ground.network for ground in found])
        for each in self.answers:
            await asyncio.sleep(0)
            heard(each)
        self.running -= 1
        return 254

    async def find(self, name: str) -> dict[str, Any]:
        return await self.finding.find(api.ContactFind(name))


@pytest_asyncio.fixture
async def street(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    there = Street(monkeypatch)
    yield there
    there.ann.node.stop()


@asynccontextmanager
async def living(street: Street, who: Person) -> AsyncIterator[House]:
    house = House(who, street.others, moved_in(who, ANN)).start()
    try:
        yield house
    finally:
        house.node.stop()


async def test_who_answers_is_dialled_and_online(street: Street) -> None:
    async with living(street, BOB) as bob:
        street.answers = [announcement(bob)]
        found = await street.find("bob")
        assert (found["account"], found["online"]) == (BOB.account.hex(), True)
        assert [link.path.value for link in street.ann.node.linkage] == ["sweep"]
        assert street.asked == [["10.0.0.0/24"]]


async def test_who_is_online_is_not_looked_for(street: Street) -> None:
    async with living(street, BOB) as bob:
        street.ann.sees(bob)
        await street.ann.until(lambda: street.ann.linked(bob))
        assert (await street.find("bob"))["online"] and street.asked == []


async def test_searches_wait_for_each_other_and_the_second_may_be_needless(street: Street) -> None:
    async def in_vain() -> None:
        with pytest.raises(PeerUnreachable):
            await street.find("carl")

    async with living(street, BOB) as bob:
        street.answers = [announcement(bob)]
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(street.find("bob")) for _ in range(2)]
            tasks.create_task(in_vain())
        assert all(each.result()["online"] for each in both) and len(street.asked) == 2


async def test_who_does_not_answer_is_not_there(street: Street) -> None:
    with pytest.raises(PeerUnreachable, match=r"Bob answered at none of 254 addresses of 10\.0\.0\.0/24") as caught:
        await street.find("bob")
    assert "discovery.paths" in caught.value.hint
    assert street.ann.node.peer_changed == []


async def test_an_answer_of_a_stranger_is_none(street: Street) -> None:
    street.answers = [Announcement(bytes(10), b"\x01\x0a\x00\x00\x09\x9c\x40", b"x" * 64)]
    with pytest.raises(PeerUnreachable, match="none"):
        await street.find("bob")
    assert street.ann.endpoint.dialled == []


async def test_who_answers_and_cannot_be_linked_with(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT_S", 0.05)
    async with living(street, BOB) as bob:
        street.answers = [announcement(bob)]
        del street.others[bob.address]
        with pytest.raises(PeerUnreachable, match="answered, but"):
            await street.find("bob")


@pytest.mark.parametrize("interfaces", [(), (Interface("eth0", 2, (), (("fe80::1", 64),)),)])
async def test_without_ipv4_nothing_is_searched(street: Street, interfaces: tuple[Interface, ...]) -> None:
    street.ann.announcer.interfaces = interfaces
    with pytest.raises(NoNetwork):
        await street.find("bob")
    assert street.asked == [] and NETWORK


async def test_a_network_that_went_while_it_was_searched(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(finding, "sweep", nothing)
    with pytest.raises(NoNetwork, match="gone"):
        await street.find("bob")


@pytest.mark.parametrize("name", ["nobody", "me"])
async def test_only_contacts_are_looked_for(street: Street, name: str) -> None:
    with pytest.raises(ContactNotFound):
        await street.find(name)


async def test_a_search_that_is_cancelled_leaves_the_next_one_free(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()

    async def endless(*_: object) -> int:
        await never.wait()
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(finding, "sweep", endless)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await street.find("bob")
    assert street.ann.node.peer_changed == []
    with pytest.raises(PeerUnreachable):
        await street.find("bob")
