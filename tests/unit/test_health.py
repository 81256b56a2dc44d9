"""The daemon's rows of `doctor`: each as it is well, and as it is not."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon import with_peer
from p2pmsg.daemon.checks import Checks
from p2pmsg.daemon.health import Health
from p2pmsg.errors import ContactNotFound, MdnsUnavailable
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.rpc import api
from tests.unit.nodes import House, moved_in, neighbours
from tests.unit.people import Person

ANN, BOB = Person("Ann"), Person("Bob")
HOUR_MS = 3_600_000
COUNTERS = SimpleNamespace(retries=1, turned_away=2, strays=3)
LOOPBACK = Interface("lo", 1, (("127.0.0.1", 8),), (), loopback=True)
Rows = dict[str, dict[str, Any]]


def health(house: House, settings: Settings | None = None, port: int = 45_454) -> Health:
    endpoint = SimpleNamespace(port=port, half_open=4, counters=COUNTERS)
    return Health(house.node, house.storage, house.announcer, endpoint, settings or Settings(), listen_s=0.0)  # type: ignore[arg-type]


async def look(house: House, settings: Settings | None = None, who: str | None = None, port: int = 45_454) -> Rows:
    rows = await health(house, settings, port).doctor(api.Doctor(who=who))
    assert all(set(row) == {"check", "ok", "detail", "hint"} for row in rows)
    return {row["check"]: row for row in rows}


def hear(house: House, who: Person, path: Path = Path.MDNS) -> None:
    """Let the house hear somebody."""
    house.node.checks.sighted(who.account, path)


def skewed(house: House, *skews_ms: int) -> None:
    """Let the links say these clocks."""
    opened = list(house.node.links)
    for each, skew_ms in zip(opened, skews_ms, strict=True):
        house.node.links._open[each.link] = dataclasses.replace(each, clock_ahead_ms=skew_ms)


def alone() -> House:
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


@pytest.mark.asyncio
async def test_two_who_are_linked_and_hear_each_other() -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        hear(ann, BOB)
        rows = await look(ann)
    told = {check: row["ok"] for check, row in rows.items()}
    well = ("database", "mdns", "multicast", "port", "clock", "isolation")
    assert told == dict.fromkeys(well, True) | {"links": None}
    assert all(row["hint"] is None for row in rows.values())
    assert "UDP 45454 is open (drawn for this network" in rows["port"]["detail"]
    assert "1 link open, 4 half open" in rows["links"]["detail"] and "3 stray packets" in rows["links"]["detail"]


@pytest.mark.asyncio
async def test_linked_and_never_heard_the_network_drops_multicast() -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        hear(ann, BOB, Path.BEACON)
        row = (await look(ann))["multicast"]
        assert row["ok"] is False and "drops multicast" in row["detail"] and "beacon" in row["hint"]
        assert "multicast" not in await look(ann, Settings(discovery_paths=("beacon",)))
        ann.announcer.problem = MdnsUnavailable("taken")
        assert "multicast" not in await look(ann)


@pytest.mark.asyncio
async def test_mdns_that_does_not_work_or_is_off() -> None:
    house = alone()
    house.announcer.problem = MdnsUnavailable("UDP port 5353 is taken.")
    row = (await look(house))["mdns"]
    assert row["ok"] is False and "5353" in row["detail"] and "avahi" in row["hint"]
    assert (await look(house, Settings(discovery_paths=("beacon",))))["mdns"]["ok"] is None
    house.announcer.problem, house.announcer.interfaces = None, ()
    assert (await look(house))["mdns"]["ok"] is None


@pytest.mark.asyncio
async def test_the_port() -> None:
    house = alone()
    assert "fixed by listen.port" in (await look(house, Settings(listen_port=40_000), port=40_000))["port"]["detail"]
    other = (await look(house, Settings(listen_port=45_454), port=40_000))["port"]
    assert other["ok"] is False and "45454" in other["detail"] and "40000" in other["detail"] and "unset" in other["hint"]
    assert (await look(house, port=0))["port"]["ok"] is False


@pytest.mark.asyncio
async def test_a_database_that_takes_nothing() -> None:
    house = alone()
    house.shelf.db.execute("PRAGMA query_only = ON")
    row = (await look(house))["database"]
    assert row["ok"] is False and "read" in row["detail"] and row["hint"]


@pytest.mark.asyncio
async def test_nobody_to_compare_the_clock_with() -> None:
    assert (await look(alone()))["clock"]["ok"] is None


@pytest.mark.asyncio
@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
async def test_a_clock_an_hour_off(ahead_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        monkeypatch.setattr(Checks, "ask_all", _nobody)
        skewed(ann, ahead_ms)
        row = (await look(ann))["clock"]
    side = "ahead of" if ahead_ms > 0 else "behind"
    assert row["ok"] is False and f"Bob's clock is 60 min {side} this one" in row["detail"] and "timedatectl" in row["hint"]


@pytest.mark.asyncio
async def test_a_clock_that_was_set_meanwhile_is_asked_anew() -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        skewed(ann, HOUR_MS)
        assert (await look(ann))["clock"]["ok"] is True


async def _nobody(checks: Checks) -> dict[Any, Any]:
    return {}


@pytest.mark.asyncio
async def test_who_is_heard_but_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_peer, "DIAL_S", 0.01)
    house = alone()
    hear(house, BOB)
    row = (await look(house))["isolation"]
    assert row["ok"] is False and "keeps devices apart: 1 contact announced here" in row["detail"] and "isolation" in row["hint"]


@pytest.mark.asyncio
async def test_who_refuses_can_be_reached_and_so_can_who_is_just_dialled() -> None:
    others: dict[Address, Any] = {}
    ann, bob = House(ANN, others, moved_in(ANN, BOB)).start(), House(BOB, others, moved_in(BOB, ANN)).start()
    hear(ann, BOB)
    ann.node.presence.sighted(BOB.account, [bob.address], Path.MDNS, ann.node.clock.now())
    assert (await look(ann))["isolation"]["ok"] is True
    lonely = alone()
    hear(lonely, BOB)
    now, presence = lonely.node.clock.now(), lonely.node.presence
    presence.sighted(BOB.account, [Address("10.0.0.9", 9)], Path.MDNS, now)
    assert presence.poll(now)
    presence.dial_ended(BOB.account, Address("10.0.0.9", 9), now, refused=True)
    assert (await look(lonely))["isolation"]["ok"] is None
    for house in (ann, bob):
        house.node.stop()


@pytest.mark.asyncio
async def test_in_silence_it_is_said_in_words() -> None:
    house = alone()
    row = (await look(house))["isolation"]
    assert row["ok"] is None and "If one is here, this network keeps devices apart." in row["detail"]
    house.announcer.interfaces = (LOOPBACK,)
    assert "No network is in use" in (await look(house))["isolation"]["detail"]
    stranger = House(ANN, shelf=moved_in(ANN)).start()
    assert "no contact yet" in (await look(stranger))["isolation"]["detail"]


@pytest.mark.asyncio
async def test_who_is_not_known_cannot_be_asked() -> None:
    with pytest.raises(ContactNotFound):
        await look(alone(), who="carl")


@pytest.mark.asyncio
async def test_with_somebody_adds_rows() -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        hear(ann, BOB)
        assert {"with", "with_i_hear", "with_hears_me", "with_sees_me", "with_clock"} <= set(await look(ann, who="bob"))


@pytest.mark.asyncio
async def test_changed_settings_count_at_once() -> None:
    house = alone()
    found = health(house)
    found.settings_changed(Settings(listen_port=1))
    async with asyncio.timeout(5):
        rows = await found.doctor(api.Doctor())
    assert any("(listen.port)" in row["detail"] for row in rows)
    assert limits.CLOCK_AHEAD_MS < HOUR_MS
