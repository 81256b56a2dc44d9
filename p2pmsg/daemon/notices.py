"""`notify.command`: a program that is told of each new message of somebody else, as one JSON object on its standard input.

Never a shell: the setting is split into words once, and nothing of a message is an argument. The program gets little of the
environment, 10 seconds, and no more messages than somebody can look at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings, program
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.watching import is_news
from p2pmsg.model import plain
from p2pmsg.model.ids import EventId
from p2pmsg.storage import feed, queries
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.feed import ChangeType
from p2pmsg.storage.queries import MessageRow

_log = logging.getLogger(__name__)
_PAGE: Final = 200
_PASSED_ON: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "P2PMSG_HOME", "P2PMSG_PROFILE"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
)
"""What a program needs to find itself, the desktop, and this profile."""


class Notices:
    """Follows the feed and runs the program; at most `limits.NOTICES_AT_ONCE` at a time."""

    def __init__(
        self, node: Node, settings: Settings, environ: Mapping[str, str] = os.environ, *, timeout_s: float = limits.NOTICE_S
    ) -> None:
        self.problem: str | None = None
        """Why the program failed when it was last run; None where it did not."""
        self.missed = 0
        """Messages of which nobody was told, as too many came at once, since the last notice."""
        self._node = node
        self._words: list[str] = []
        self._environ = {name: environ[name] for name in _PASSED_ON if name in environ}
        self._timeout_s = timeout_s
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(limits.NOTICES_WAITING)
        self._changed = asyncio.Event()
        self._allowed = float(limits.NOTICES_BURST)
        self._allowed_at = node.clock.now()
        self._late: EventId | None = None
        """The last message of which nobody was told, as too many came at once: that is made good once there is room for one more."""
        self._late_at = 0.0
        self.settings_changed(settings)

    def settings_changed(self, settings: Settings) -> None:
        """Run another program, or none, from now on."""
        words = program(settings.notify_command)
        words = [str(Path(words[0]).expanduser()), *words[1:]] if words else []
        if words != self._words:
            self._words, self.problem = words, None
            self._changed.set()

    def warnings(self) -> list[Json]:
        """Return what `status` says of the program."""
        if self.problem is None:
            return []
        message = f"The program for notices fails: {self.problem}."
        return [{"code": "notify_failed", "message": message, "hint": "p2pmsg config get notify.command"}]

    async def run(self) -> None:
        """Tell of each new message until cancelled; what came before this call is told by nobody."""
        self._node.changed.append(self._changed.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(limits.NOTICES_AT_ONCE):
                    tasks.create_task(self._tell_each(), name="notice")
                await self._follow()
        finally:
            self._node.changed.remove(self._changed.set)

    async def _follow(self) -> None:
        cursor = await self._node.storage.ask(feed.last_cursor)
        while True:
            self._changed.clear()
            if not self._words:
                cursor = await self._node.storage.ask(feed.last_cursor)
                self._late, self.missed = None, 0
            else:
                cursor, more, news = await self._node.storage.ask(lambda db, at=cursor: _news(db, at))  # type: ignore[misc]
                for row, unread in news:
                    self._offer(row, unread)
                if more:
                    continue
            await self._pause()

    async def _pause(self) -> None:
        """Wait for a change; where the last message was missed, no longer than until somebody can be told of it."""
        try:
            async with asyncio.timeout(None if self._late is None else max(0.0, self._late_at - self._node.clock.now())):
                await self._changed.wait()
        except TimeoutError:
            late, self._late = self._late, None
            for row, unread in await self._node.storage.ask(lambda db: _worth_telling(db, [late] if late else [])):
                self.missed -= 1
                self._offer(row, unread)

    def _offer(self, row: MessageRow, unread: int) -> None:
        """Take a notice on unless too many came lately: then it is counted, and the next one says how many were.

        The last of many is told of late, if none has come after it.
        """
        now = self._node.clock.now()
        self._allowed = min(limits.NOTICES_BURST, self._allowed + (now - self._allowed_at) * limits.NOTICES_PER_S)
        self._allowed_at = now
        if self._allowed < 1 or self._waiting.full():
            self.missed += 1
            self._late, self._late_at = row.id, now + max(1.0, 1.0 - self._allowed) / limits.NOTICES_PER_S
            return
        self._allowed -= 1
        self._late = None
        self._waiting.put_nowait(notice(self._node, row, unread) | {"missed": self.missed})
        self.missed = 0

    async def _tell_each(self) -> None:
        while True:
            told = await self._waiting.get()
            if self._words:
                problem = await self._run(self._words, json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
                self._ended(problem)

    def _ended(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            _log.warning("notify.command: %s; this is said once until it works again", problem)
        self.problem = problem

    async def _run(self, words: list[str], data: bytes) -> str | None:
        """Run the program with the data on its stdin; return what went wrong. Cancelled: it is killed."""
        nowhere = asyncio.subprocess.DEVNULL
        try:
            started = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=nowhere,
                stderr=nowhere,
                cwd="/",
                env=self._environ,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"{words[0]} cannot be run: {getattr(error, 'strerror', None) or error}"
        try:
            async with asyncio.timeout(self._timeout_s):
                await started.communicate(data)
        except TimeoutError:
            return f"it had not ended after {self._timeout_s:g} s and was killed"
        finally:
            if started.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
                await started.wait()
        return None if started.returncode == 0 else f"it ended with exit status {started.returncode}"


def notice(node: Node, row: MessageRow, unread: int) -> Json:
    """Return what the program is told of a message: its names and text are one line each, short, without control characters."""
    people = node.people
    name, known = objects.name_of(people, row.account), people.contacts.get(row.account)
    label = name if known is None else names.label(people, known)
    return {
        "type": "message",
        "id": row.id.hex(),
        "conversation": row.conversation.hex(),
        "account": row.account.hex(),
        "name": plain.summary(name, limits.NAME_CHARACTERS),
        "label": plain.summary(label, limits.NAME_CHARACTERS * 2),
        "text": plain.summary(row.text, limits.NOTICE_CHARACTERS),
        "sent_at": objects.time(row.sent_ms),
        "received_at": objects.time(row.received_ms),
        "unread": unread,
    }


def _news(db: Db, cursor: int) -> tuple[int, bool, list[tuple[MessageRow, int]]]:
    """Return the next cursor, whether more is there, and messages that are news, each with what is unread in its conversation."""
    page = feed.after(db, cursor, limit=_PAGE)
    events = [change.event for change in page.changes if change.type is ChangeType.MESSAGE and change.event is not None]
    return page.cursor, page.more, _worth_telling(db, events)


def _worth_telling(db: Db, events: Sequence[EventId]) -> list[tuple[MessageRow, int]]:
    return [(row, queries.unread_count(db, row.conversation)) for row in queries.messages(db, events).values() if is_news(row)]
