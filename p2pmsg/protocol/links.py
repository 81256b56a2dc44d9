"""Open links: which of two to the same device stays, and what the peers' clocks say of mine (DESIGN 5 and 8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from statistics import median_high, median_low
from typing import Final

from p2pmsg.config import limits
from p2pmsg.model.ids import AccountId, DeviceId, LinkNumber
from p2pmsg.protocol.messages import NEWER_LINK_KEPT, CloseLink

_SILENT_S: Final = limits.PING_AFTER_S + 1.0


@dataclass(frozen=True, slots=True)
class Opened:
    """An authenticated link: who is at the other end, in which life of its process."""

    link: LinkNumber
    account: AccountId
    device: DeviceId
    instance: bytes
    """8 random bytes per process start."""
    dialled: bool
    """By this side."""
    clock_ahead_ms: int
    """The peer's clock less mine, when the link opened."""
    id: bytes
    """What both ends call the link."""


class Links:
    """All open links of this device: at most one a peer device once `opened` was obeyed."""

    def __init__(self, device: DeviceId) -> None:
        self._me = device
        self._open: dict[LinkNumber, Opened] = {}
        self._clocks: dict[DeviceId, int] = {}
        self._over: dict[DeviceId, deque[bytes]] = {}

    def __iter__(self) -> Iterator[Opened]:
        return iter(self._open.values())

    def get(self, link: LinkNumber) -> Opened | None:
        return self._open.get(link)

    def of_account(self, account: AccountId) -> list[Opened]:
        """Return the account's open links, one a device."""
        return [opened for opened in self._open.values() if opened.account == account]

    def over(self, device: DeviceId) -> list[bytes]:
        """Return the ids of the last links with a device that have ended on this side: what HELLO tells it."""
        return list(self._over.get(device, ()))

    def opened(self, new: Opened, over: Collection[bytes], standing_heard: float | None, now: float) -> CloseLink | None:
        """Take a link on; return which of the two to close where the device had one already, if it is the new one as if it had never been.

        What has ended at the other end (its id is in `over`) is replaced at once, by a restarted process (another instance) too, and so is
        a link that has been silent for longer than a ping takes. Between two links of the same two instances that both ends hold for
        alive the one stays that the lower device id dialled. `standing_heard` is when something was last heard on the standing link.
        """
        self._clocks[new.device] = new.clock_ahead_ms
        standing = next((opened for opened in self._open.values() if opened.device == new.device), None)
        self._open[new.link] = new
        if standing is None:
            return None
        gone = standing.id in over or standing.instance != new.instance
        silent = standing_heard is not None and now - standing_heard > _SILENT_S
        lower_dials = self._me < new.device
        loser = standing if gone or silent or (new.dialled == lower_dials and standing.dialled != lower_dials) else new
        if loser is new:
            del self._open[new.link]  # it was never told of; the standing one leaves by `closed`, as whoever knows of it must hear
        return CloseLink(loser.link, NEWER_LINK_KEPT)

    def closed(self, link: LinkNumber) -> Opened | None:
        """Forget a link; return it if it was open."""
        ended = self._open.pop(link, None)
        if ended is not None:
            self._over.setdefault(ended.device, deque(maxlen=limits.LINKS_OVER)).append(ended.id)
        return ended

    def clock_ahead_ms(self) -> int:
        """Return how far the median of all clocks met is ahead of mine: 0 unless that is over 10 minutes.

        Mine counts as one of them, and between two equally central clocks the nearer one decides, so that of two people neither yields.
        """
        clocks = [0, *self._clocks.values()]
        middle = min(median_low(clocks), median_high(clocks), key=abs)
        return middle if abs(middle) > limits.CLOCK_AHEAD_MS else 0

    def skew_ms(self, device: DeviceId) -> int | None:
        """Return how far a device's clock is ahead of mine, if it was met."""
        return self._clocks.get(device)
