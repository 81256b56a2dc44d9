"""Deleting on all of my devices: what the user names, and what is older than `history.keep`. Also drops old changes, here alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings, kept_s
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.clock import SetAhead
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.peering import change_doors
from p2pmsg.errors import ConfirmationNeeded, MessageNotFound, P2pmsgError, UsageError
from p2pmsg.model.ids import ConversationId
from p2pmsg.protocol.bodies import DeleteBody
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call
from p2pmsg.storage import doors, erasing, feed, queries
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.queries import MessageRow

_log = logging.getLogger(__name__)
_EVERY_S: Final = 86_400.0
_AGAIN_S: Final = 3_600.0
_AWAY_MS: Final = 30 * 86_400_000
"""A machine that nothing was stored on for longer was switched off, or has the wrong time."""
_AT_MOST_EVERY_S: Final = 60.0
Make = Callable[[Db], Iterable[DeleteBody]]


class Deleting:
    """The method `delete` of the local API, and the daily round of retention."""

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._kept_s = kept_s(settings.history_keep)
        self._changed = asyncio.Event()
        self._ahead = SetAhead(node.clock)
        self._first = True
        self._put_off = False

    # -- what the user names

    async def delete(self, params: api.Delete, call: Call) -> Json:
        """Delete one message, or a conversation.

        Asks before it deletes a message of mine that is still to be delivered: `{"type":"confirm","name"}`, answered by `yes`.

        Raises:
            UsageError: neither or both are named. MessageNotFound, Ambiguous, ContactNotFound: nothing was deleted.
            ConfirmationNeeded: the answer was no.
        """
        if (params.id is None) == (params.within is None):
            raise UsageError("Say the ID of one message, or --in TARGET for all of a conversation.", hint="p2pmsg delete --help")
        if params.within is not None:
            conversation = names.find_conversation(self._node.people, params.within, past=True)[0].id
            return await self._delete(conversation, partial(erasing.everything, conversation=conversation))
        row = await self._message(params.id or "")
        if (waiting := self._still_to_reach(row)) and await call.ask({"type": "confirm", "name": waiting}) != "yes":
            raise ConfirmationNeeded("Not confirmed, so nothing was deleted.")
        return await self._delete(row.conversation, lambda db: [DeleteBody(row.conversation, [], [row.id])], lines=True)

    async def _message(self, prefix: str) -> MessageRow:
        if len(prefix) < limits.ID_CHARACTERS_MIN:
            raise MessageNotFound(f"There is no message {prefix!r}: say {limits.ID_CHARACTERS_MIN} characters of its id or more.")
        return await self._node.storage.ask(partial(queries.find_message, prefix=prefix))

    def _still_to_reach(self, row: MessageRow) -> str | None:
        """Return the name of a contact who does not have the message yet."""
        people = self._node.people
        missing = (each.account for each in row.deliveries if each.delivered_ms is None and each.account in people.contacts)
        return next((objects.name_of(people, account) for account in missing), None)

    async def _delete(self, conversation: ConversationId, make: Make, *, lines: bool = False) -> Json:
        """Write what `make` returns; the bodies have left the disk when this returns. `lines`: system lines are counted, too."""
        node = self._node

        def job(db: Db) -> tuple[Any, ...]:
            shown, waiting = erasing.shown_count(db, conversation, lines=lines), erasing.waiting_count(db, conversation)
            events = [node.write(db, node.people.own(), body) for body in make(db)]
            gone = shown - erasing.shown_count(db, conversation, lines=lines)
            return gone, erasing.waiting_count(db, conversation) - waiting, *events

        gone, waiting, *_ = await node.run_write(job, room_bytes=0)
        return {"conversation": conversation.hex(), "deleted": gone, "still_to_deliver": waiting}

    # -- what is older than is kept

    def settings_changed(self, settings: Settings) -> None:
        """Keep messages for another time, from now on."""
        if (kept := kept_s(settings.history_keep)) != self._kept_s:
            self._kept_s = kept
            self._changed.set()

    async def keep_clean(self) -> None:
        """Delete what is older than `history.keep`, what `watch` need not tell any more, and gate keys that open nothing more.

        At once, once a day, and when the setting changes; until cancelled.

        More often, at most every minute, where messages are kept for less than a day: none lives for more than twice its time.
        """
        while True:
            self._changed.clear()
            await self.sweep()
            await self.forget_changes()
            change_doors(self._node, partial(doors.purge, now_ms=self._node.clock.wall_ms()))
            every_s = _AGAIN_S if self._put_off else _EVERY_S
            try:
                async with asyncio.timeout(min(every_s, max(self._kept_s or _EVERY_S, _AT_MOST_EVERY_S))):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> int:
        """Delete what was first held here longer ago than messages are kept; return how many conversations it concerned.

        Not where the clock may be wrong: it is looked at again then after an hour.
        """
        node = self._node
        try:
            self._put_off = await self._in_doubt()
        except P2pmsgError as error:
            _log.warning("old messages could not be looked for: %s", error)
            return 0
        if self._kept_s is None or node.old_copy or self._put_off:
            return 0
        before_ms = node.clock.wall_ms() + node.links.clock_ahead_ms() - self._kept_s * 1000

        def job(db: Db) -> list[Any]:
            return [node.write(db, node.people.own(), body) for body in erasing.older_than(db, before_ms)]

        try:
            found = len(await node.run_write(job, room_bytes=0))
        except P2pmsgError as error:
            _log.warning("old messages could not be deleted: %s", error)
            return 0
        if found:
            _log.info("messages older than history.keep were deleted in %d conversations", found)
        return found

    async def _in_doubt(self) -> bool:
        """Say whether the clock has leapt ahead since the last call, or before the first: if that was a mistake, all would be gone."""
        ahead_ms, slack_ms = self._ahead.by_ms(), limits.CLOCK_AHEAD_MS
        if self._first and self._kept_s is not None:
            newest_ms = await self._node.storage.ask(erasing.newest_ms)
            ahead_ms, slack_ms = self._node.clock.wall_ms() - (newest_ms or self._node.clock.wall_ms()), _AWAY_MS
            self._first = False
        if ahead_ms <= slack_ms:
            return False
        if self._kept_s is not None:
            _log.warning("the clock is %d min ahead of what it was: old messages are deleted later", ahead_ms // 60_000)
        return True

    async def forget_changes(self) -> None:
        """Drop the changes that are older than they are kept, some at a time: others need the database, too."""
        before_ms = self._node.clock.wall_ms() - int(limits.FEED_KEPT_S * 1000)
        try:
            while await self._node.storage.run(partial(feed.prune, before_ms=before_ms)):
                continue
        except P2pmsgError as error:
            _log.warning("old changes could not be dropped: %s", error)
