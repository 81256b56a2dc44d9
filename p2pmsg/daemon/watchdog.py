"""Notices when the event loop is held up, and names who does it; it mends nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType
from typing import Final

_log = logging.getLogger(__name__)
BLOCKED_S: Final = 2.0
_EVERY_S: Final = 1.0
_LOOKS: Final = 4
"""A wait is made of so many: a process that was stopped for an hour finds one of them over, not all."""
_FRAMES: Final = 8


@contextlib.contextmanager
def watching(loop: asyncio.AbstractEventLoop, *, blocked_s: float = BLOCKED_S, every_s: float = _EVERY_S) -> Iterator[None]:
    """Log a warning, once a blockage, when the loop of the calling thread does not turn for `blocked_s` within the block.

    The line names functions, files and line numbers, innermost first: no values. Whoever holds the interpreter itself (one long
    call into C) holds up this too, and is named only when he lets go before the loop turns.
    """
    watchdog = _Watchdog(loop, threading.get_ident(), blocked_s, every_s)
    thread = threading.Thread(target=watchdog.run, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watchdog.stop()
        thread.join()


class _Watchdog:
    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int, blocked_s: float, every_s: float) -> None:
        self._loop, self._thread = loop, thread
        self._blocked_s, self._every_s = blocked_s, every_s
        self._turned = threading.Event()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._turned.set()

    def run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._turned.clear()
            asked_at = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._turned.set)
            except RuntimeError:
                return  # the loop is closed
            if not self._turns() and not self._stopping.is_set():
                _log.warning("the event loop has not turned for %g s, it is in %s", self._blocked_s, whereabouts(self._thread))
                self._wait_for_the_end(asked_at)

    def _turns(self) -> bool:
        return any(self._turned.wait(self._blocked_s / _LOOKS) for _ in range(_LOOKS))

    def _wait_for_the_end(self, asked_at: float) -> None:
        while not self._turned.wait(self._every_s) and not self._stopping.is_set():
            pass
        _log.warning("the event loop turns again after %.1f s", time.monotonic() - asked_at)


def whereabouts(thread: int) -> str:
    """Return where a thread is, as `function (file:line) < caller (file:line) < …`, with the innermost few."""
    frame: FrameType | None = sys._current_frames().get(thread)
    names: list[str] = []
    while frame is not None and len(names) < _FRAMES:
        names.append(f"{frame.f_code.co_qualname} ({PurePath(frame.f_code.co_filename).name}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(names) or "nobody knows where"
