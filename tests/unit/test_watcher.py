from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from p2pmsg.model.addresses import Interface
from p2pmsg.network import interfaces, watcher
from p2pmsg.network.watcher import Reason, Watcher

ETH0 = Interface("eth0", 2, (("10.77.0.5", 24),), ())
PATIENCE_S = 5


class Calls:
    """Collects what a watcher says."""

    def __init__(self) -> None:
        self.reasons: asyncio.Queue[Reason] = asyncio.Queue()

    async def next(self) -> Reason:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reasons.get()


@asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch, *, polls: bool = False) -> AsyncIterator[tuple[Watcher, Calls]]:
    """Watch loopback, with periods short enough for a test."""
    monkeypatch.setattr(watcher, "TICK_S", 0.02)
    monkeypatch.setattr(watcher, "DEBOUNCE_S", 0.02)
    if polls:
        monkeypatch.setattr(watcher, "_link_watch", lambda: None)
    calls = Calls()
    watch = Watcher(["lo"], calls.reasons.put_nowait)
    watch.start()
    try:
        yield watch, calls
    finally:
        watch.stop()


@pytest.mark.asyncio
async def test_it_knows_the_interfaces_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        assert [interface.name for interface in watch.interfaces] == ["lo"]
        assert calls.reasons.empty()


@pytest.mark.asyncio
async def test_pokes_that_come_together_are_one_call_with_the_strongest_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        for reason in (Reason.REFRESHED, Reason.RETURNED, Reason.REFRESHED):
            watch.poke(reason)
        assert await calls.next() is Reason.RETURNED
        watch.poke(Reason.REFRESHED)
        assert await calls.next() is Reason.REFRESHED
        assert calls.reasons.empty()


@pytest.mark.asyncio
async def test_other_addresses_are_a_move_whatever_the_poke_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        monkeypatch.setattr(interfaces, "usable", lambda allowed: (ETH0,))
        watch.poke(Reason.REFRESHED)
        assert await calls.next() is Reason.MOVED
        assert watch.interfaces == (ETH0,)


@pytest.mark.asyncio
async def test_without_netlink_a_change_is_found_by_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch, polls=True) as (_, calls):
        monkeypatch.setattr(interfaces, "usable", lambda allowed: (ETH0,))
        assert await calls.next() is Reason.MOVED


@pytest.mark.asyncio
async def test_sleep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (_, calls):
        asleep_s = watcher.slept_s() + 3600
        monkeypatch.setattr(watcher, "slept_s", lambda: asleep_s)
        assert await calls.next() is Reason.WOKE
        assert calls.reasons.empty()


@pytest.mark.asyncio
async def test_how_long_it_slept_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        asleep_s = watcher.slept_s() + 3600
        monkeypatch.setattr(watcher, "slept_s", lambda: asleep_s)
        await calls.next()
        assert watch.take_sleep_s() == pytest.approx(3600, abs=1)
        assert watch.take_sleep_s() == 0


@pytest.mark.asyncio
async def test_a_clock_set_back_is_no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        back_s = watcher.slept_s() - 3600
        monkeypatch.setattr(watcher, "slept_s", lambda: back_s)
        assert await calls.next() is Reason.WOKE
        assert watch.take_sleep_s() == 0


@pytest.mark.asyncio
async def test_who_was_halted_has_missed_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "HALTED_S", 0.1)
    async with watching(monkeypatch) as (watch, calls):
        time.sleep(0.2)  # noqa: ASYNC251  # nothing else on this loop runs meanwhile: that is the point
        assert await calls.next() is Reason.RETURNED
        assert watch.take_sleep_s() == 0


@pytest.mark.asyncio
async def test_a_flapping_cable_is_looked_at_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        for _ in range(watcher.BURST):
            watch.poke(Reason.RETURNED)
            await calls.next()
        started = asyncio.get_running_loop().time()
        monkeypatch.setattr(watcher, "CALM_S", 0.3)
        watch.poke(Reason.RETURNED)
        await calls.next()
        assert asyncio.get_running_loop().time() - started > 0.2


@pytest.mark.asyncio
async def test_a_stopped_watcher_says_nothing_and_may_be_stopped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        watch.poke(Reason.RETURNED)
        watch.stop()
        watch.stop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await calls.reasons.get()


@pytest.mark.asyncio
async def test_a_watcher_that_was_never_started_may_be_stopped() -> None:
    Watcher([], lambda reason: None).stop()


def test_awake_time_does_not_count_as_sleep() -> None:
    assert abs(watcher.slept_s() - watcher.slept_s()) < watcher.WOKE_S


@pytest.mark.asyncio
async def test_other_interfaces_may_be_allowed_while_it_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (watch, calls):
        monkeypatch.setattr(interfaces, "usable", lambda allowed: (ETH0,) if allowed == ("eth0",) else ())
        watch.allow(["eth0"])
        assert await calls.next() is Reason.MOVED and watch.interfaces == (ETH0,)
