"""Whose announcements were heard lately: tells repetitions apart, counts who is there, and forgets. Pure; bounded."""

from __future__ import annotations

from collections.abc import Iterator

from p2pmsg.config import limits
from p2pmsg.network.announcements import Announcement

REPEAT_S = 2.0
"""The same announcement comes in once per family, interface and repetition; it counts once in this time."""
KEPT_S = 1200.0
"""Whoever was silent for longer no longer counts: everybody announces at least every 15 minutes + 25 %."""


class Heard:
    """The latest limits.STRANGERS_REMEMBERED announcements.

    Full, it forgets the one heard longest ago: a flood of false ones makes true ones be reported once more, never less often.
    """

    def __init__(self) -> None:
        self._counted_at: dict[Announcement, float] = {}

    def note(self, announcement: Announcement, now: float) -> bool:
        """Take in what was heard; say whether it counts as news, which it does once in REPEAT_S."""
        counted_at = self._counted_at.pop(announcement, None)
        news = counted_at is None or now - counted_at >= REPEAT_S
        self._counted_at[announcement] = now if counted_at is None or news else counted_at
        if len(self._counted_at) > limits.STRANGERS_REMEMBERED:
            del self._counted_at[next(iter(self._counted_at))]
        return news

    def lately(self, now: float) -> Iterator[Announcement]:
        """Iterate over those heard in the last KEPT_S, the one heard longest ago first."""
        return (announcement for announcement, at in list(self._counted_at.items()) if now - at < KEPT_S)

    def count(self, now: float) -> int:
        """Return how many nodes were heard lately: by nonce, since rotated and forged announcements may share one."""
        return len({announcement.nonce for announcement in self.lately(now)})
