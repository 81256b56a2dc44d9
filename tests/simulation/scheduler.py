"""Virtual time: one queue of callbacks, run in order; every node's clock is cut from it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

EPOCH_MS: Final = 1_800_000_000_000
"""What right clocks show when a world begins: January 2027."""

Callback = Callable[[], None]


@dataclass(order=True, slots=True)
class Entry:
    """A callback that waits, in the order of time and then of being given."""

    when: float
    number: int
    callback: Callback | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class Scheduler:
    """The world's time in seconds from 0; it passes only by running what is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        """Callbacks run so far."""
        self._numbers = itertools.count()
        self._entries: list[Entry] = []

    def call_at(self, when: float, callback: Callback) -> Entry:
        entry = Entry(max(when, self.now), next(self._numbers), callback)
        heapq.heappush(self._entries, entry)
        return entry

    def call_in(self, delay_s: float, callback: Callback) -> Entry:
        return self.call_at(self.now + delay_s, callback)

    def turn(self, until: float = float("inf")) -> bool:
        """Run the next callback that is due by then; say whether there was one."""
        while self._entries and self._entries[0].when <= until:
            entry = heapq.heappop(self._entries)
            if entry.callback is None:
                continue
            self.now = entry.when
            self.turns += 1
            entry.callback()
            return True
        return False

    def run_until(self, when: float) -> None:
        """Let time pass up to then."""
        while self.turn(when):
            pass
        self.now = max(self.now, when)


class NodeClock:
    """A process's time (`daemon.clock.Clock`): its monotonic clock starts anywhere, and with its crash nothing of it is called any more."""

    def __init__(self, scheduler: Scheduler, wall_ms: Callable[[], int], began: float) -> None:
        self.alive = True
        self._scheduler = scheduler
        self._wall_ms = wall_ms
        self._ahead = began - scheduler.now

    def now(self) -> float:
        return self._scheduler.now + self._ahead

    def of_world(self, when: float) -> float:
        """Return what this clock shows at a time of the world's."""
        return when + self._ahead

    def wall_ms(self) -> int:
        return self._wall_ms()

    def call_at(self, when: float, callback: Callback) -> Entry:
        return self._scheduler.call_at(when - self._ahead, lambda: callback() if self.alive else None)

    def call_in(self, delay_s: float, callback: Callback) -> Entry:
        return self.call_at(self.now() + delay_s, callback)

    def call_soon(self, callback: Callback) -> None:
        self.call_at(self.now(), callback)
