"""Where a node is: its networks, its port on each, whom it met there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from p2pmsg.config.settings import Settings
from p2pmsg.daemon import surroundings
from p2pmsg.daemon.linkage import Link
from p2pmsg.daemon.surroundings import Surroundings
from p2pmsg.errors import MdnsUnavailable, NotPermitted
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.network.endpoint import ANYWHERE, LOOPBACK
from p2pmsg.protocol.messages import BYE
from p2pmsg.storage import people as people_store
from tests.unit.nodes import House, Wire, moved_in, neighbours, settle
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
HOME = Interface("eth0", 2, (("10.0.0.1", 24),), (("fe80::1", 64),))
CAFE = Interface("wlan0", 3, (("192.168.7.1", 24),), ())
LO = Interface("lo", 1, (("127.0.0.1", 8),), (("::1", 128),), loopback=True)
BOBS = Address("10.0.0.9", 40_000)
MDNS_ALONE = ("mdns", "last_known", "static")


class Place:
    """A machine that is carried about: what `network.interfaces` would say, and the sockets."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *found: Interface, settings: Settings | None = None, house: House | None = None
    ) -> None:
        self.found: tuple[Interface, ...] = found
        self.bound: list[tuple[Sequence[str], int]] = []
        self.taken: set[int] = set()
        monkeypatch.setattr(surroundings.interfaces, "usable", lambda allowed: self.found)
        monkeypatch.setattr(surroundings.interfaces, "present", lambda: self.found)
        monkeypatch.setattr(surroundings.interfaces, "network_ids", lambda found, patience: {i.name: f"net of {i.name}" for i in found})
        self.house = house or House(ANN, shelf=moved_in(ANN, BOB)).start()
        self.house.endpoint.bind = self.bind  # type: ignore[attr-defined]
        settings = settings or Settings(discovery_paths=MDNS_ALONE)
        self.here = Surroundings(self.house.node, self.house.endpoint, self.house.announcer, self.house.storage, settings)  # type: ignore[arg-type]

    async def bind(self, hosts: Sequence[str], port: int) -> int:
        self.bound.append((hosts, port))
        if port in self.taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.house.endpoint.port = port or 50_000 + len(self.bound)
        return self.house.endpoint.port

    def meets(self, network: str, address: Address = BOBS) -> None:
        """Bob was reached there before."""
        people_store.remember_address(self.house.shelf.db, BOB.account, network, address, 1000)

    @contextlib.asynccontextmanager
    async def follows(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            self.here.start(tasks)
            try:
                yield
            finally:
                self.here.stop()

    async def until(self, holds: Any) -> None:
        """Let threads and loop go on until something holds."""
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.to_thread(lambda: None)

    @property
    def dialled(self) -> list[Address]:
        return self.house.endpoint.dialled


# -- the port


async def test_a_network_has_a_port_of_its_own_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    await place.here.bind()
    drawn = place.house.endpoint.port
    await place.here.bind()
    assert place.bound == [(ANYWHERE, 0), (ANYWHERE, drawn)]
    assert people_store.network_port(place.house.shelf.db, "net of eth0") == drawn
    place.found = (CAFE,)
    await place.here.bind()
    assert place.bound[-1] == (ANYWHERE, 0)
    place.found = (HOME,)
    await place.here.bind()
    assert place.bound[-1] == (ANYWHERE, drawn)


async def test_a_port_taken_by_another_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    await place.here.bind()
    place.taken.add(place.house.endpoint.port)
    await place.here.bind()
    assert place.bound[-1] == (ANYWHERE, 0)
    assert people_store.network_port(place.house.shelf.db, "net of eth0") == place.house.endpoint.port


async def test_a_port_that_the_user_chose_is_taken_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME, settings=Settings(listen_port=5555))
    await place.here.bind()
    assert place.bound == [(ANYWHERE, 5555)]
    place.taken.add(5555)
    with pytest.raises(NotPermitted, match="5555"):
        await place.here.bind()


async def test_where_there_is_only_loopback_nobody_else_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, LO)
    await place.here.bind()
    assert place.bound == [(LOOPBACK, 0)]
    place.found = ()
    await place.here.bind()
    assert place.bound[-1][0] == ANYWHERE  # a network may come any moment


# -- networks


async def test_the_network_and_the_interface_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME, CAFE)
    await place.here.bind()
    assert place.house.node.network(BOBS) == "net of eth0"
    assert place.house.node.network(Address("192.168.7.9", 1)) == "net of wlan0"
    assert place.house.node.network(Address("8.8.8.8", 1)) == ""
    link: Any = type("L", (), {"connection": Wire(interface=3), "address": BOBS})()
    assert place.house.node.interface_name(link) == "wlan0"
    link.connection.interface = socket.if_nametoindex("lo")  # not among those in use: its news is still on the way
    assert place.house.node.interface_name(link) == "lo"
    link.connection.interface = 0
    assert place.house.node.interface_name(link) == "eth0"
    link.address = Address("8.8.8.8", 1)
    assert place.house.node.interface_name(link) is None


# -- whom one met here


async def test_who_was_here_before_is_dialled_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    place.meets("net of eth0")
    await place.here.bind()
    async with place.follows():
        await place.until(lambda: place.dialled)
    assert place.dialled == [BOBS]


@pytest.mark.parametrize("network,address", [("net of wlan0", BOBS), ("net of eth0", Address("192.168.7.9", 40_000))])
async def test_nobody_is_dialled_for_what_was_learnt_elsewhere(monkeypatch: pytest.MonkeyPatch, network: str, address: Address) -> None:
    place = Place(monkeypatch, HOME)
    place.meets(network, address)
    await place.here.bind()
    async with place.follows():
        await place.until(lambda: not place.here._moved.is_set())
        await settle()
    assert place.dialled == []


async def test_on_another_network_there_is_another_port_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    place.meets("net of wlan0", Address("192.168.7.9", 40_000))
    await place.here.bind()
    async with place.follows():
        await place.until(lambda: not place.here._moved.is_set())
        place.found = (CAFE,)
        place.here.interfaces_changed(place.found)
        await place.until(lambda: place.dialled)
    assert place.dialled == [Address("192.168.7.9", 40_000)] and len(place.bound) == 2
    assert place.house.announcer.interfaces == (CAFE,) and place.house.endpoint.epochs >= 2


async def test_who_was_linked_before_the_network_was_known_is_remembered_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        place = Place(monkeypatch, Interface("eth0", 2, (("10.0.0.1", 8),), ()), house=ann)
        assert people_store.last_known(ann.shelf.db, "net of eth0") == {}
        await place.here.bind()
        async with place.follows():
            await place.until(lambda: people_store.last_known(ann.shelf.db, "net of eth0"))
        assert people_store.last_known(ann.shelf.db, "net of eth0") == {BOB.account: [bob.address]}


async def test_where_the_network_may_be_back_links_are_asked_and_who_is_away_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    place.meets("net of eth0")
    await place.here.bind()
    async with place.follows():
        await place.until(lambda: place.dialled)
        place.here.network_returned(3600.0)
        assert place.house.endpoint.nudges == [3600.0]
        await place.until(lambda: len(place.dialled) == 2)


@pytest.mark.parametrize(
    ("local", "remote", "dialled", "left"),
    [
        ("10.0.0.1", BOBS, False, False),
        ("10.0.0.5", BOBS, False, True),
        ("10.0.0.5", BOBS, True, False),
        ("10.9.0.5", Address("10.9.0.9", 40_000), True, True),
        ("fe80::1", Address("fe80::9", 40_000, 2), False, False),
        ("fe80::7", Address("fe80::9", 40_000, 2), False, True),
        (None, BOBS, False, False),
    ],
)
async def test_a_link_whose_own_address_is_gone_is_left_unless_it_can_move(
    monkeypatch: pytest.MonkeyPatch, local: str | None, remote: Address, dialled: bool, left: bool
) -> None:
    place = Place(monkeypatch, HOME)
    node = place.house.node
    wire = Wire(remote, node.linkage, dialled=dialled, local=local)
    node.linkage.dialled(Link(wire, Path.INCOMING, None))  # type: ignore[arg-type]
    place.here.network_returned(0.0)
    assert (wire.closed == BYE) == left and (node.linkage.get(wire.number) is None) == left


# -- settings that change


async def test_another_port_is_taken_at_once_with_a_new_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    await place.here.bind()
    drawn = place.house.endpoint.port
    async with place.follows():
        await place.until(lambda: not place.here._moved.is_set())
        epochs = place.house.endpoint.epochs
        place.here.settings_changed(Settings(discovery_paths=MDNS_ALONE, listen_port=5555))
        await place.until(lambda: place.house.endpoint.epochs == epochs + 1)
        assert place.bound[-1] == (ANYWHERE, 5555) and place.here.problem is None
        place.here.settings_changed(Settings(discovery_paths=MDNS_ALONE))
        await place.until(lambda: place.house.endpoint.epochs == epochs + 2)
        assert place.house.endpoint.port == drawn, "the network's own"


async def test_a_port_that_is_taken_leaves_the_old_one_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "AGAIN_S", 0.05)
    place = Place(monkeypatch, HOME)
    await place.here.bind()
    drawn = place.house.endpoint.port
    place.taken.add(5555)
    place.meets("net of eth0")
    async with place.follows():
        await place.until(lambda: place.dialled)
        place.here.settings_changed(Settings(discovery_paths=MDNS_ALONE, listen_port=5555))
        await place.until(lambda: place.here.problem is not None)
        assert "5555" in str(place.here.problem) and place.house.endpoint.port == drawn
        place.taken.clear()
        await place.until(lambda: place.house.endpoint.port == 5555)
        await place.until(lambda: place.here.problem is None)


async def test_the_sites_dns_is_asked_as_long_as_that_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def browse(found: object) -> list[Address]:
        asked.append(1)
        return []

    monkeypatch.setattr(surroundings.dnssd, "browse", browse)
    monkeypatch.setattr(surroundings.limits, "DNS_SD_AGAIN_S", 0.001)
    monkeypatch.setattr(surroundings.limits, "DNS_SD_EVERY_S", 0.001)
    place = Place(monkeypatch, HOME)
    await place.here.bind()
    async with place.follows():
        await settle()
        assert asked == []
        place.here.settings_changed(Settings(discovery_paths=("dns_sd",)))
        await place.until(lambda: len(asked) > 2)
        place.here.settings_changed(Settings(discovery_paths=MDNS_ALONE))
        await settle()
        count = len(asked)
        await asyncio.sleep(0.02)
        assert len(asked) == count


# -- static peers


async def test_static_peers_are_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    static = ("10.0.0.9:40000", "[fd00::9]:40001", "[fe80::9%nosuch]:1024")
    place = Place(monkeypatch, HOME, settings=Settings(discovery_static=static, discovery_paths=("static",)))
    await place.here.bind()
    async with place.follows():
        await place.until(lambda: len(place.dialled) >= 2)
    assert sorted(map(str, place.dialled)) == ["10.0.0.9:40000", "[fd00::9]:40001"]


async def test_static_peers_are_not_dialled_where_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME, settings=Settings(discovery_static=("10.0.0.9:40000",), discovery_paths=("mdns",)))
    await place.here.bind()
    async with place.follows():
        await place.until(lambda: not place.here._moved.is_set())
        await settle()
    assert place.dialled == []


# -- discovery's listener


async def test_what_discovery_hears_goes_to_the_announcer(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, HOME)
    place.here.mdns_changed(MdnsUnavailable("taken"))
    assert place.house.announcer.problem is not None
    heard: list[Any] = []
    monkeypatch.setattr(place.house.announcer, "announced", lambda *said: heard.append(said))
    place.here.announced(b"n", b"a", b"t", 1)
    assert heard == [(b"n", b"a", b"t", 1)]


async def test_to_stop_before_the_start_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    Place(monkeypatch, HOME).here.stop()
