"""Which visible nodes were heard, with the names that their users chose to show. Pure; bounded; all of it unproved."""

from __future__ import annotations

from p2pmsg.config import limits
from p2pmsg.network.announcements import Announcement


class Nearby:
    """The latest limits.VISIBLE_REMEMBERED visible nodes: full, it forgets the one heard longest ago."""

    def __init__(self) -> None:
        self._heard: dict[bytes, tuple[Announcement, float]] = {}

    def note(self, announcement: Announcement, now: float) -> None:
        """Take in a visible node's announcement; the newest of a nonce counts."""
        self._heard.pop(announcement.nonce, None)
        self._heard[announcement.nonce] = announcement, now
        if len(self._heard) > limits.VISIBLE_REMEMBERED:
            del self._heard[next(iter(self._heard))]

    def gone(self, nonce: bytes) -> None:
        """Forget a node that said goodbye."""
        self._heard.pop(nonce, None)

    def since(self, then: float) -> list[Announcement]:
        """Return those heard since a moment, the one heard longest ago first."""
        return [announcement for announcement, at in self._heard.values() if at >= then]
