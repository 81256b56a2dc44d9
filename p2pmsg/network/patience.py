"""For how long one link waits: for the handshake, for a sign of life, for the answer to a question. Times are the loop's; no timer."""

from __future__ import annotations

import math
from typing import Final

from p2pmsg.config import limits
from p2pmsg.network.listener import LinkSettings

ANSWER_S: Final = 1.5
"""Where the network may have changed under a link, silence for so long means that it leads nowhere: a new one is sooner there."""
WAKING_S: Final = 2.0
"""Sleep is noticed so long after its end at the latest: a younger link may have begun since."""


class Patience:
    """The deadlines of one link. `heard` is always when its peer was last heard; None before the first time."""

    def __init__(self, settings: LinkSettings, now: float) -> None:
        self.handshake_until = now + settings.handshake_timeout_s
        """When the peer must be proven."""
        self._settings = settings
        self._born = now
        self._pinged_at = 0.0
        self._nudged_at = -math.inf

    def compare(self, now: float) -> None:
        """People compare from now on: they have COMPARE_TIMEOUT_S, and the handshake its own time once more."""
        self.handshake_until = now + self._settings.handshake_timeout_s + limits.COMPARE_TIMEOUT_S

    def undisturbed(self, now: float) -> bool:
        """Say whether a handshake has had as long as one takes where nobody disturbs it."""
        return now - (self.handshake_until - self._settings.handshake_timeout_s) >= limits.HALF_OPEN_UNDISTURBED_S

    def slept_too_long(self, slept_s: float, now: float) -> bool:
        """Say whether the peer has given up the link while this machine slept: a time that the clock did not count."""
        return slept_s >= self._settings.idle_timeout_s and now - self._born > WAKING_S

    def pinged(self, now: float) -> None:
        """The peer was asked whether it is there."""
        self._pinged_at = now

    def nudged(self, now: float) -> None:
        """The peer was asked, and has ANSWER_S to answer."""
        self._pinged_at = self._nudged_at = now

    def ping_at(self, heard: float | None) -> float:
        """Return when the peer has been silent long enough to be asked; after a ping aioquic's own timers follow it up."""
        heard = heard or 0.0
        return heard + self._settings.ping_after_s if heard >= self._pinged_at else math.inf

    def answer_until(self, heard: float | None) -> float:
        """Return when the answer to a nudge must have come."""
        return self._nudged_at + ANSWER_S if (heard or 0.0) < self._nudged_at else math.inf
