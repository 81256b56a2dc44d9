"""Which ways are in use, and that each begins and ends with its setting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from p2pmsg.config.settings import PATHS, Settings
from p2pmsg.daemon import ways as module
from p2pmsg.daemon.ways import Ways, paths_of
from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.network.beacon import Beacon
from tests.unit.nodes import House, Wire, moved_in, settle
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
BOBS = Address("10.0.0.9", 40_000)
NOTHING = Settings(discovery_paths=(), discovery_interfaces=("nosuch0",))


class Ear:
    """Hears of nothing: there is no such interface."""

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        raise AssertionError

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        assert interfaces == ()

    def network_returned(self, slept_s: float) -> None: ...

    def mdns_changed(self, problem: MdnsUnavailable | None) -> None: ...


def on(*paths: str) -> Settings:
    return Settings(discovery_paths=paths, discovery_interfaces=("nosuch0",))


@pytest.fixture
def beacons(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return when beacons began and ended."""
    told: list[str] = []

    class Quiet(Beacon):
        async def run(self) -> None:
            told.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                told.append("ended")

    monkeypatch.setattr(module, "Beacon", Quiet)
    return told


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[tuple[House, Ways]]:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    house.node.presence.switch(paths_of(settings))
    ways = Ways(house.node, house.announcer, Ear(), settings)
    async with asyncio.TaskGroup() as tasks:
        await ways.start(tasks)
        yield house, ways
        await ways.stop()
    house.node.stop()


async def test_paths_are_those_of_the_settings() -> None:
    assert paths_of(NOTHING) == frozenset() and paths_of(Settings()) == {Path(path) for path in PATHS}


async def test_a_beacon_is_sent_while_that_is_switched_on(beacons: list[str]) -> None:
    async with working(NOTHING) as (_, ways):
        for settings in (on("beacon"), on("beacon", "hint"), on("hint"), on("beacon")):
            ways.settings_changed(settings)
            await settle()
        assert beacons == ["begun", "ended", "begun"]
    assert beacons[-1] == "ended"


async def test_mdns_is_in_use_while_that_is_switched_on(beacons: list[str]) -> None:
    async with working(NOTHING) as (house, ways):
        assert not house.announcer.can_show
        ways.settings_changed(on("mdns"))
        assert house.announcer.can_show
        ways.settings_changed(NOTHING)
        assert not house.announcer.can_show


async def test_a_path_that_is_new_begins_a_new_epoch_and_other_settings_do_not(beacons: list[str]) -> None:
    async with working(NOTHING) as (house, ways):
        ways.settings_changed(Settings(discovery_paths=(), discovery_interfaces=("nosuch0",), receipts_read=False))
        assert house.endpoint.epochs == 0
        ways.settings_changed(on("hint"))
        assert house.endpoint.epochs == 1 and house.announcer.hints is not None


async def test_what_is_dialled_ends_with_its_path_and_begins_with_it(beacons: list[str]) -> None:
    async with working(on("mdns", "beacon")) as (house, ways):
        silent = Wire(BOBS, house.node.linkage, dialled=True)
        dialled: list[Wire] = []
        house.endpoint.dial = lambda address, redial=False: (dialled.append(silent), silent)[1]  # type: ignore[assignment,method-assign]
        house.node.presence.sighted(BOB.account, [BOBS], Path.MDNS, house.node.clock.now())
        house.node.wake()
        await settle()
        assert dialled == [silent] and silent.closed is None
        ways.settings_changed(on("beacon"))
        assert silent.over
        silent = Wire(BOBS, house.node.linkage, dialled=True)
        house.node.presence.network_changed([BOB.account], house.node.clock.now())
        house.node.wake()
        await settle()
        assert len(dialled) == 1
        ways.settings_changed(on("mdns"))
        house.node.presence.network_changed([BOB.account], house.node.clock.now())
        await settle()
        assert dialled[1:] == [silent]
