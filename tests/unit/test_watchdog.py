"""Who holds up the event loop is named, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from p2pmsg.daemon.watchdog import watching, whereabouts

CANARY = "canary-4b1d"
PATIENCE_S = 10.0


class Lines(logging.Handler):
    """What was logged, and a wait for so many lines of it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self.texts.append(record.getMessage())
            self._more.notify()

    def wait_for(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.texts) >= count, PATIENCE_S)


@contextlib.contextmanager
def lines_of() -> Iterator[Lines]:
    lines, logger = Lines(), logging.getLogger("p2pmsg.daemon.watchdog")
    logger.addHandler(lines)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)


def decrypt_for_ever(lines: Lines, text: str) -> None:
    """Hold up the loop that calls this until the watchdog has said so, and for a few of its looks more."""
    lines.wait_for(1)
    threading.Event().wait(0.2)
    assert len(lines.texts) == 1, "said once"


async def blocked(lines: Lines, blocks: Callable[[Lines, str], None]) -> None:
    with watching(asyncio.get_running_loop(), blocked_s=0.04, every_s=0.01):
        blocks(lines, CANARY)
        await asyncio.to_thread(lines.wait_for, 2)


def test_the_blocker_is_named_once_and_nothing_else_told() -> None:
    with lines_of() as lines:
        asyncio.run(blocked(lines, decrypt_for_ever))
    said, over = lines.texts[:2]
    assert "has not turned for 0.04 s" in said and "decrypt_for_ever (test_watchdog.py:" in said and " < blocked (" in said
    assert "turns again after" in over and CANARY not in said + over


def test_each_blockage_is_named() -> None:
    async def twice(lines: Lines) -> None:
        with watching(asyncio.get_running_loop(), blocked_s=0.04, every_s=0.01):
            for count in (1, 3):
                lines.wait_for(count)
                await asyncio.to_thread(lines.wait_for, count + 1)

    with lines_of() as lines:
        asyncio.run(twice(lines))
    assert sum("has not turned" in text for text in lines.texts) >= 2


def test_a_loop_that_turns_is_left_alone() -> None:
    async def busy() -> None:
        with watching(asyncio.get_running_loop(), blocked_s=5, every_s=0.001):
            await asyncio.sleep(0.1)

    with lines_of() as lines:
        asyncio.run(busy())
    assert lines.texts == [] and "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_it_ends_though_the_loop_is_held_up() -> None:
    async def leave_blocked(lines: Lines) -> None:
        with watching(asyncio.get_running_loop(), blocked_s=0.04, every_s=0.01):
            lines.wait_for(1)

    with lines_of() as lines:
        asyncio.run(leave_blocked(lines))
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_a_closed_loop_ends_it() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with watching(loop, blocked_s=0.04, every_s=0.001):
        for thread in [thread for thread in threading.enumerate() if thread.name == "watchdog"]:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_a_thread_that_has_gone_is_nowhere() -> None:
    assert whereabouts(-1) == "nobody knows where"
    assert whereabouts(threading.get_ident()).startswith("whereabouts (watchdog.py:")
