"""Notices that the machine's network changed: addresses came or went, a cable was plugged in, the machine woke up.

zeroconf watches nothing by itself (notes of the design, section Discovery), so everything that heals hangs on this.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from p2pmsg.model.addresses import Interface
from p2pmsg.network import interfaces

if TYPE_CHECKING:
    from p2pmsg.network.netlink import LinkWatch

DEBOUNCE_S = 0.5
TICK_S = 1.0
"""A machine that wakes is to be there again within seconds."""
WOKE_S = 2.0
"""Clocks that drifted further apart than this between two ticks slept."""
HALTED_S = 5.0
"""Who was late for a tick by this did not run, and has missed what was said meanwhile."""
BURST = 4
CALM_S = 5.0
"""After BURST changes within BURST * CALM_S the next one waits this long: a flapping cable must not rotate names for ever."""


class Reason(IntEnum):
    """Why a watcher calls; the strongest of those that came together."""

    REFRESHED = 1
    """Something happened that left interfaces and addresses as they were, such as the end of address detection."""
    RETURNED = 2
    """A carrier is back, the addresses are the same."""
    MOVED = 3
    """Interfaces or addresses differ."""
    WOKE = 4
    """The machine slept; addresses may differ too."""


class Watcher:
    """Calls `on_change(reason)` on the event loop, DEBOUNCE_S after something changed; `interfaces` is then up to date."""

    def __init__(self, allowed: Sequence[str], on_change: Callable[[Reason], None]) -> None:
        self.interfaces: tuple[Interface, ...] = ()
        self._allowed = tuple(allowed)
        self._on_change = on_change
        self._reason = Reason.REFRESHED
        self._links: LinkWatch | None = None
        self._due: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._slept_s = 0.0
        self._asleep_s = 0.0
        self._tick_at = 0.0
        self._recent: deque[float] = deque(maxlen=BURST)

    def start(self) -> None:
        """Look once and watch from now on. To be called on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._links = _link_watch()
        if self._links is not None:
            self._loop.add_reader(self._links.fileno(), self._links_changed)
        self.interfaces = interfaces.usable(self._allowed)
        self._slept_s = slept_s()
        self._next_tick()

    def stop(self) -> None:
        """Call no more. Harmless when not started or stopped before."""
        for timer in (self._due, self._tick):
            if timer is not None:
                timer.cancel()
        if self._links is not None:
            self._loop.remove_reader(self._links.fileno())
            self._links.close()
            self._links = None

    def allow(self, allowed: Sequence[str]) -> None:
        """Use these interfaces from now on; look soon."""
        self._allowed = tuple(allowed)
        self.poke(Reason.REFRESHED)

    def poke(self, reason: Reason) -> None:
        """Look at the interfaces soon, and call at least for this reason."""
        self._reason = max(self._reason, reason)
        if self._due is None:
            self._due = self._loop.call_later(self._delay_s(), self._look)

    def take_sleep_s(self) -> float:
        """Return for how long the machine has slept since this was last asked."""
        asleep_s, self._asleep_s = self._asleep_s, 0.0
        return asleep_s

    def _links_changed(self) -> None:
        if self._links is not None:
            self.poke(Reason.RETURNED if self._links.carrier_returned() else Reason.REFRESHED)

    def _on_tick(self) -> None:
        late_s = self._loop.time() - self._tick_at
        self._next_tick()
        before, self._slept_s = self._slept_s, slept_s()
        if abs(self._slept_s - before) > WOKE_S:
            self._asleep_s += max(0.0, self._slept_s - before)
            self.poke(Reason.WOKE)
        elif late_s > HALTED_S:
            self.poke(Reason.RETURNED)
        elif self._links is None and interfaces.usable(self._allowed) != self.interfaces:
            self.poke(Reason.MOVED)

    def _next_tick(self) -> None:
        self._tick_at = self._loop.time() + TICK_S
        self._tick = self._loop.call_at(self._tick_at, self._on_tick)

    def _delay_s(self) -> float:
        flapping = len(self._recent) == BURST and self._loop.time() - self._recent[0] < BURST * CALM_S
        return CALM_S if flapping else DEBOUNCE_S

    def _look(self) -> None:
        self._due = None
        reason, self._reason = self._reason, Reason.REFRESHED
        before, self.interfaces = self.interfaces, interfaces.usable(self._allowed)
        if before != self.interfaces:
            reason = max(reason, Reason.MOVED)
        if reason is not Reason.REFRESHED:
            self._recent.append(self._loop.time())
        self._on_change(reason)


def slept_s() -> float:
    """Return a number that grows by the time the machine sleeps and by little else.

    Where there is no clock that counts sleep the wall clock serves: setting it looks like waking, which costs one announcement.
    """
    counting = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()
    return counting - time.monotonic()


def _link_watch() -> LinkWatch | None:
    if sys.platform != "linux":
        return None
    from p2pmsg.network.netlink import LinkWatch

    try:
        return LinkWatch(interfaces.without_carrier())
    except OSError:
        return None
