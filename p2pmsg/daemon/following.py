"""The settings file while the daemon runs: it is read again when it changes, and whom that concerns is told.

A file that cannot be read or is bad changes nothing: the settings from before hold, and `problem` says what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from p2pmsg.config import settings as settings_file
from p2pmsg.config.settings import NO_EFFECT_YET, Settings
from p2pmsg.errors import SettingsInvalid

LOOK_EVERY_S = 2.0

_log = logging.getLogger(__name__)


class Following:
    """Looks at the file every LOOK_EVERY_S, by one stat(2), from `start` to `stop`."""

    def __init__(self, path: Path, settings: Settings, followers: Sequence[Callable[[Settings], None]]) -> None:
        """`settings` are those that hold; each follower is called on the event loop with what holds from now on.

        Others come and go by `tell` and `spare`.
        """
        self.settings = settings
        self.problem: SettingsInvalid | None = None
        """Why the file as it is now does not count; None where it does."""
        self._path = path
        self._followers = list(followers)
        self._seen = _identity(path)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on. To be called on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._tick)

    def tell(self, followers: Sequence[Callable[[Settings], None]], known: Settings) -> None:
        """Tell these, too, from now on; at once where what holds is not what they know."""
        self._followers += followers
        if self.settings != known:
            for follower in followers:
                follower(self.settings)

    def spare(self, followers: Sequence[Callable[[Settings], None]]) -> None:
        """Tell these nothing more."""
        for follower in followers:
            self._followers.remove(follower)

    def stop(self) -> None:
        """Look no more. Harmless when not started."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Take in the file if it is another one than last time."""
        identity = _identity(self._path)
        if identity == self._seen:
            return
        self._seen = identity
        try:
            fresh = settings_file.load(self._path)
        except SettingsInvalid as problem:
            self.problem = problem
            _log.warning("the settings from before hold on: %s", problem)
            return
        self.problem = None
        self._take(fresh)

    def _take(self, fresh: Settings) -> None:
        changed = settings_file.differing(self.settings, fresh)
        self.settings = fresh
        for key in changed:
            when = "has no effect yet" if key in NO_EFFECT_YET else "counts from now on"
            _log.warning("the setting %s has changed and %s", key, when)
        if changed:
            for follower in list(self._followers):
                follower(fresh)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._tick)
        self.look()


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells one state of a file from another; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
