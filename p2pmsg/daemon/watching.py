"""`watch`: what happens, as it happens, and from any cursor on; each client reads the feed at its own pace."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from functools import partial
from typing import Any

from p2pmsg.config import limits
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.errors import CursorTooOld, UsageError
from p2pmsg.model.ids import ConversationId, DeviceId
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call
from p2pmsg.storage import feed, queries
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.feed import Change, ChangeType, Page
from p2pmsg.storage.queries import MessageRow
from p2pmsg.storage.worker import Worker

_PAGE = 200


class Watching:
    """The method `watch` of the local API."""

    def __init__(self, node: Node, worker: Worker) -> None:
        self._node = node
        self._worker = worker

    async def watch(self, params: api.Watch, call: Call) -> None:
        """Notify what came after the cursor and goes on to come; ends after `n` events, or with the client.

        Raises: ContactNotFound, Ambiguous, UsageError; CursorTooOld where not all that came after the cursor is there any more.
        """
        conversation = names.find_conversation(self._node.people, params.within, past=True)[0].id if params.within is not None else None
        oldest, newest = await self._worker.ask(lambda db: (feed.first_cursor(db), feed.last_cursor(db)))
        cursor = newest if params.since is None else _cursor(params.since, newest)
        _check_kept(cursor, oldest)
        left = params.n
        changed = asyncio.Event()
        peers: deque[Json] = deque(maxlen=limits.WATCH_QUEUE)

        def peer_changed(device: DeviceId) -> None:
            if conversation is None:
                peers.extend(peer for peer in objects.peers(self._node) if peer["device"] == device.hex())
                changed.set()

        self._node.changed.append(changed.set)
        self._node.peer_changed.append(peer_changed)
        try:
            await call.reply({"cursor": str(cursor)})
            while left is None or left > 0:
                changed.clear()
                page, rows = await self._worker.ask(partial(_read, cursor=cursor, conversation=conversation))
                events = [event for change in page.changes if (event := self._event(change, rows, change.cursor > newest)) is not None]
                at = objects.time(self._node.clock.wall_ms())
                while peers and not page.more:
                    events.append({"cursor": str(page.cursor), "at": at, "type": "peer", "peer": peers.popleft()})
                for event in events[:left]:
                    await call.notify(event)
                left = None if left is None else max(0, left - len(events))
                cursor = page.cursor
                if not page.more and left != 0:
                    await changed.wait()
        finally:
            self._node.changed.remove(changed.set)
            self._node.peer_changed.remove(peer_changed)

    def _event(self, change: Change, rows: dict[Any, MessageRow], live: bool) -> Json | None:
        """Return a change as the contract's object; None for a message that was erased since. `live` where it came while this watched."""
        head: Json = {"cursor": str(change.cursor), "at": objects.time(change.at_ms), "type": change.type.value}
        if change.type is ChangeType.MESSAGE:
            row = rows.get(change.event)
            return None if row is None else head | {"message": objects.new_message(self._node, row), "notify": live and is_news(row)}
        if change.type is ChangeType.STATE:
            account = change.account.hex() if change.account else None
            return head | {"id": change.event.hex() if change.event else None, "state": change.state, "account": account}
        return head | {change.type.value: json.loads(change.payload or "null")}


def is_news(row: MessageRow) -> bool:
    """Say whether somebody should be told of a message that came just now: another wrote it, and none of my devices has shown it."""
    return row.kind == "text" and not row.mine and row.unread


def _read(db: Db, cursor: int, conversation: ConversationId | None) -> tuple[Page, dict[Any, MessageRow]]:
    _check_kept(cursor, feed.first_cursor(db))
    page = feed.after(db, cursor, conversation, _PAGE)
    shown = [change.event for change in page.changes if change.type is ChangeType.MESSAGE and change.event is not None]
    return page, queries.messages(db, shown)


def _check_kept(cursor: int, oldest: int) -> None:
    if cursor < oldest:
        raise CursorTooOld(
            f"What came after {cursor} is not all there any more: changes are kept for {limits.FEED_KEPT_S / 86_400:.0f} days.",
            hint=f"p2pmsg watch --since {oldest} shows what there is; p2pmsg history NAME has the messages from before.",
        )


def _cursor(since: str | int, newest: int) -> int:
    try:
        cursor = int(since)
    except ValueError:
        cursor = -1
    if not 0 <= cursor <= newest:
        raise UsageError(f"{since!r} is no cursor of this profile.", hint="Use one that watch has printed, or 0 for the beginning.")
    return cursor
