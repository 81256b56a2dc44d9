"""Sending, listing and reading messages."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.alerts import check_looked_at
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.errors import Blocked, EmptyText, InvalidText, MessageNotFound, TextTooLong, UsageError
from p2pmsg.model.events import Conversation, Event
from p2pmsg.model.ids import DeviceId, EventId
from p2pmsg.protocol.bodies import ReadBody, ReadEntry, TextBody
from p2pmsg.rpc import api
from p2pmsg.storage import queries
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.queries import MessageRow
from p2pmsg.storage.worker import Worker

_KEY_CHARACTERS = 256


class Messaging:
    """The methods `send`, `inbox`, `history` and `read` of the local API."""

    def __init__(self, node: Node, worker: Worker, settings: Settings) -> None:
        self._node = node
        self._worker = worker
        self._settings = settings

    def settings_changed(self, settings: Settings) -> None:
        """These hold from now on."""
        self._settings = settings

    async def send(self, params: api.Send) -> Json:
        """Store a message durably and hand it on. Raises: what is wrong with text or target; StorageFull."""
        check_text(params.text)
        if params.key is not None and not 0 < len(params.key) <= _KEY_CHARACTERS:
            raise UsageError(f"A key has 1 to {_KEY_CHARACTERS} characters.", hint="p2pmsg send --key KEY NAME TEXT")
        conversation, contact = names.find_conversation(self._node.people, params.target)
        if contact is not None and contact.blocked:
            raise Blocked(f"You have blocked {contact.shown}: nothing is sent.")
        if contact is not None:
            check_looked_at(contact)
        row = await self._write(conversation, params.text, params.key)
        return await self._wait(row, params.wait, params.timeout_s)

    async def _write(self, conversation: Conversation, text: str, key: str | None) -> MessageRow:
        """Write the message, or find the one that was sent under this key; return it as stored."""
        node, wall = self._node, self._node.clock.wall_ms()

        def job(db: Db) -> tuple[Event | None, MessageRow]:
            if key is not None and (known := queries.sent_under(db, key, wall)) is not None:
                return None, _stored(db, known)
            event = node.write(db, conversation, TextBody(text))
            if key is not None:
                queries.keep_key(db, key, event.id, wall)
            return event, queries.as_written(event, conversation, node.people.me.account, text)

        row: MessageRow = (await node.run_write(job))[1]
        return row

    async def _wait(self, row: MessageRow, wanted: str | None, timeout_s: float) -> Json:
        """Return the message as soon as it has reached the state, else as it stands when the time is over."""
        message = objects.message(self._node, row)
        if wanted is None or _reached(message, wanted):
            return message
        changed = asyncio.Event()
        self._node.changed.append(changed.set)
        try:
            async with asyncio.timeout(timeout_s):
                while not _reached(message := await self._message(row.id), wanted):
                    await changed.wait()
                    changed.clear()
                return message
        except TimeoutError:
            return await self._message(row.id)
        finally:
            self._node.changed.remove(changed.set)

    async def _message(self, event: EventId) -> Json:
        return objects.message(self._node, await self._worker.ask(partial(_stored, event=event)))

    async def inbox(self, params: api.Inbox) -> list[Json]:
        rows = await self._worker.ask(partial(queries.conversations, only_unread=not params.all))
        return [objects.conversation(self._node, row) for row in rows[params.skip : params.skip + limits.RPC_LIST]]

    async def history(self, params: api.History) -> list[Json]:
        conversation, _ = names.find_conversation(self._node.people, params.target, past=True)
        since_ms = _since(params.since)

        def job(db: Db) -> list[MessageRow]:
            before = queries.find_message(db, params.before).id if params.before is not None else None
            after = queries.find_message(db, params.after).id if params.after is not None else None
            return queries.history(db, conversation.id, params.n, before=before, after=after, since_ms=since_ms)

        return [objects.message(self._node, row) for row in await self._worker.ask(job)]

    async def read(self, params: api.Read) -> list[Json]:
        """Return what is unread and mark exactly that as read; where receipts are on, its author hears of it."""
        conversation, contact = names.find_conversation(self._node.people, params.target, past=True)
        node, receipts = self._node, self._settings.receipts_read

        def job(db: Db) -> tuple[Any, ...]:
            rows = queries.unread(db, conversation.id)
            if not rows:
                return (rows,)
            mark = _mark(conversation, rows)
            events = [node.write(db, node.people.own(), mark)]
            if receipts and contact is not None:
                events.append(node.write(db, conversation, mark))
            return (rows, *events)

        rows = (await node.run_write(job, room_bytes=0))[0]
        return [objects.message(node, replace(row, unread=False)) for row in rows]


def _stored(db: Db, event: EventId) -> MessageRow:
    """Return a message of mine. Raises: MessageNotFound where it was deleted meanwhile."""
    row = queries.messages(db, [event]).get(event)
    if row is None:
        raise MessageNotFound("The message was stored, and deleted since.", hint="Use another key to send it again.")
    return row


def _reached(message: Json, wanted: str) -> bool:
    return objects.STATES.index(message["state"]) >= objects.STATES.index(wanted)


def check_text(text: str) -> None:
    """Raises: EmptyText, TextTooLong, InvalidText."""
    if not text:
        raise EmptyText("There is no text to send.")
    if "\0" in text:
        raise InvalidText("The text has a NUL character.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidText("The text is not valid Unicode.") from error
    if size > limits.TEXT_BYTES:
        raise TextTooLong(f"The text has {size:,} bytes; at most {limits.TEXT_BYTES:,} are sent at once.")


def _mark(conversation: Conversation, rows: list[MessageRow]) -> ReadBody:
    upto: dict[DeviceId, MessageRow] = {}
    for row in rows:
        if row.device not in upto or upto[row.device].seq < row.seq:
            upto[row.device] = row
    return ReadBody(conversation.id, [ReadEntry(device, row.seq, row.id[:8]) for device, row in sorted(upto.items())])


def _since(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return min(objects.parse_time_ms(text), limits.CLOCK_MAX_MS)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time.", hint="Write it like 2026-11-24T15:00:00Z.") from error
