"""`watch`: what happens, as it happens, and from any cursor on; each client reads the feed at its own pace."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from p2pmsg.config import limits
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.errors import CursorTooOld, UsageError
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
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
        with _Passing(self._node, conversation, changed, typing=params.typing) as passing:
            await call.reply({"cursor": str(cursor)})
            while left is None or left > 0:
                changed.clear()
                page, rows = await self._worker.ask(partial(_read, cursor=cursor, conversation=conversation))
                events = passing.typists(cursor)  # first, as a message ends it
                events += [event for change in page.changes if (event := self._event(change, rows, change.cursor > newest)) is not None]
                events += [] if page.more else passing.peers(page.cursor)
                for event in events[:left]:
                    await call.notify(event)
                left = None if left is None else max(0, left - len(events))
                cursor = page.cursor
                if not page.more and left != 0:
                    await changed.wait()

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


class _Passing:
    """What one who watches is told and is stored nowhere: devices that come and go, and who types. Listens within a block."""

    def __init__(self, node: Node, conversation: ConversationId | None, changed: asyncio.Event, *, typing: bool) -> None:
        self._node = node
        self._conversation = conversation
        self._changed = changed
        self._peers: deque[Json] = deque(maxlen=limits.WATCH_QUEUE)
        self._typists: dict[AccountId, bool] = {}
        self._ears: list[tuple[list[Any], Callable[..., None]]] = [(node.changed, changed.set), (node.peer_changed, self._peer_changed)]
        if typing:
            self._ears.append((node.typists.changed, self._typist_changed))

    def __enter__(self) -> Self:
        for ears, ear in self._ears:
            ears.append(ear)
        return self

    def __exit__(self, *_: object) -> None:
        for ears, ear in self._ears:
            ears.remove(ear)

    def peers(self, cursor: int) -> list[Json]:
        """Return the events of devices that came or went since the last call."""
        taken = [self._event(cursor, "peer", peer) for peer in self._peers]
        self._peers.clear()
        return taken

    def typists(self, cursor: int) -> list[Json]:
        """Return the events of those who began to type, went on or ceased since the last call."""
        taken, self._typists = self._typists, {}
        return [self._event(cursor, "typing", self._typist(account, types)) for account, types in taken.items()]

    def _typist(self, account: AccountId, types: bool) -> Json:
        seconds = limits.TYPING_SHOWN_S if types else 0
        return {"account": account.hex(), "name": objects.name_of(self._node.people, account), "for_s": seconds}

    def _event(self, cursor: int, kind: str, what: Json) -> Json:
        return {"cursor": str(cursor), "at": objects.time(self._node.clock.wall_ms()), "type": kind, kind: what}

    def _peer_changed(self, device: DeviceId) -> None:
        if self._conversation is None:
            self._peers.extend(peer for peer in objects.peers(self._node) if peer["device"] == device.hex())
            self._changed.set()

    def _typist_changed(self, account: AccountId, types: bool) -> None:
        if self._conversation in (None, self._node.people.direct(account).id):
            self._typists[account] = types
            self._changed.set()


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
