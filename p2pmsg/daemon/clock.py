"""Time as the node sees it: one monotonic clock, one wall clock, and timers; the simulation has its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the node knows of time."""

    def now(self) -> float:
        """Return seconds that only grow."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970, as this machine has them."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once `now()` has reached `when`."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call back after what is under way."""


class SetAhead:
    """Notices that the wall clock was set ahead, or that the machine slept: it does not tell the two apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock.now(), clock.wall_ms()

    def by_ms(self) -> int:
        """Return by how much more the wall clock has grown than time has passed, since the last call; negative where it was set back."""
        (now, wall_ms), self._seen = self._seen, (self._clock.now(), self._clock.wall_ms())
        return self._seen[1] - wall_ms - round((self._seen[0] - now) * 1000)


class LoopClock:
    """The running event loop's time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_at(when, callback)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)
