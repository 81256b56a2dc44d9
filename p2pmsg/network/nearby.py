"""Which visible nodes were heard, with the names that their users chose to show. Pure; bounded; all of it unproved."""

from __future__ import annotations

from p2pmsg.config import limits
from p2pmsg.network.announcements import Announcement


class Nearby:
    """The latest limits.VISIBLE_REMEMBERED visible nodes: full, it forgets the one heard longest ago."""

    def __init__(self) -> None:
        self._heard: dict[bytes, tuple[Announcement, float]] = {}
        self._numbers: dict[bytes, int] = {}
        """In which order nonces were first heard."""
        self._next = 0

    def note(self, announcement: Announcement, now: float) -> None:
        """Take in a visible node's announcement; the newest of a nonce counts."""
        self._heard.pop(announcement.nonce, None)
        self._heard[announcement.nonce] = announcement, now
        if announcement.nonce not in self._numbers:
            self._numbers[announcement.nonce] = self._next = self._next + 1
        if len(self._heard) > limits.VISIBLE_REMEMBERED:
            self.gone(next(iter(self._heard)))

    def gone(self, nonce: bytes) -> None:
        """Forget a node that said goodbye."""
        self._heard.pop(nonce, None)
        self._numbers.pop(nonce, None)

    def since(self, then: float) -> list[Announcement]:
        """Return those heard since a moment, the one heard longest ago first.

        Of one name at the same addresses only the nonce that was new last: one node that has begun anew, and whose goodbye is not here.
        """
        found = [announcement for announcement, at in self._heard.values() if at >= then]
        newest: dict[tuple[str | None, bytes], int] = {}
        for each in found:
            place = each.nickname, each.addresses
            newest[place] = max(newest.get(place, 0), self._numbers[each.nonce])
        return [each for each in found if self._numbers[each.nonce] == newest[each.nickname, each.addresses]]
