from __future__ import annotations

import asyncio
import time

import pytest

from p2pmsg.daemon.clock import LoopClock, SetAhead

pytestmark = pytest.mark.asyncio


async def test_the_two_clocks() -> None:
    clock = LoopClock()
    assert clock.now() == pytest.approx(asyncio.get_running_loop().time(), abs=1)
    assert clock.wall_ms() == pytest.approx(time.time() * 1000, abs=5000)


async def test_how_far_the_wall_clock_was_set_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, hour_ms = LoopClock(), 3_600_000
    ahead = SetAhead(clock)
    assert abs(ahead.by_ms()) < 100
    was = clock.wall_ms
    monkeypatch.setattr(clock, "wall_ms", lambda: was() + hour_ms)
    assert ahead.by_ms() == pytest.approx(hour_ms, abs=100) and abs(ahead.by_ms()) < 100
    monkeypatch.setattr(clock, "wall_ms", was)
    assert ahead.by_ms() == pytest.approx(-hour_ms, abs=100)


async def test_what_is_called_soon_is_called_after_what_is_under_way() -> None:
    clock, called = LoopClock(), asyncio.Event()
    clock.call_soon(called.set)
    assert not called.is_set()
    await called.wait()


async def test_a_timer_fires_in_its_time_or_not_at_all() -> None:
    clock, called = LoopClock(), asyncio.Event()
    due = clock.now() + 0.005
    clock.call_at(due - 0.004, called.set).cancel()
    clock.call_at(due, called.set)
    await called.wait()
    assert clock.now() >= due - 0.001
