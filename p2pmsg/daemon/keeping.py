"""What replication commands, performed: on links, and on storage, whose answers go back in."""

from __future__ import annotations

import json
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
from p2pmsg.protocol import wire
from p2pmsg.protocol.asking import Stored
from p2pmsg.protocol.messages import (
    LIMIT,
    LoadEvents,
    LookUpIds,
    MarkQueued,
    MarkSent,
    ReceiveEvents,
    ReplicationCommand,
    SendMessage,
    StoreAck,
)
from p2pmsg.storage import delivery, ranges, receiving
from p2pmsg.storage import feed as feed_store
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.feed import ChangeType
from p2pmsg.storage.receiving import Received

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node

_log = logging.getLogger(__name__)
_EVIDENCE_S = 2.0
"""A forked device keeps its link this long, so that it is shown the other branch and finds out, too."""
_MARKS_DELAY_S = 0.03
"""Notes that messages are on their way wait this long for the acknowledgement that mostly makes them needless on their own."""


class Keeping:
    """The node's hand at storage and links."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._marks: list[tuple[MarkSent | MarkQueued, str]] = []
        self._on_their_way: dict[tuple[AccountId, ConversationId], deque[tuple[MarkSent, int]]] = {}
        """What was handed over and not acknowledged yet, and when: as much as links have in flight."""

    def perform(self, command: ReplicationCommand) -> None:
        match command:
            case SendMessage(link, message):
                self._node.linkage.send(link, message)
            case LoadEvents():
                self._load(command)
            case LookUpIds():
                self._look_up(command)
            case ReceiveEvents():
                self._receive(command)
            case StoreAck():
                self._store_ack(command)
            case MarkSent():
                self._mark(command, "sent")
            case MarkQueued():
                self._mark(command, "queued")

    def sent_ms(self, account: AccountId, conversation: ConversationId, seq: int) -> int | None:
        """Return when my event with this number was first handed over to an account that has not acknowledged it."""
        marks = self._on_their_way.get((account, conversation), ())
        return next((at_ms for mark, at_ms in marks if mark.after < seq <= mark.upto), None)

    def _arrived(self, account: AccountId, conversation: ConversationId, seq: int) -> None:
        """Events up to a number are acknowledged: on their way no more."""
        marks = self._on_their_way.get((account, conversation), deque())
        while marks and marks[0][0].upto <= seq:
            marks.popleft()
        if not marks:
            self._on_their_way.pop((account, conversation), None)

    def _load(self, command: LoadEvents) -> None:
        job = partial(
            ranges.give,
            conversation=command.conversation,
            device=command.device,
            locator=command.locator,
            head=command.head,
            limit_bytes=command.limit_bytes,
            limit_count=limits.EVENTS_PER_FRAME * 4,
        )

        def done(result: Any) -> None:
            if isinstance(result, BaseException):
                _log.error("events could not be read: %s", result)
                self._node.close(command.link, LIMIT)  # else the peer would wait for them in vain
            else:
                self._node.replication.events_loaded(command, result)
            self._node.wake()

        self._node.storage.read(job, done)

    def _look_up(self, command: LookUpIds) -> None:
        asked = [(command.conversation, command.device, seq) for seq in command.seqs]

        def done(result: Any) -> None:
            if not isinstance(result, BaseException):
                found = {seq: event for (_, _, seq), event in result.items()}
                self._node.replication.ids_found(command, found, self._node.clock.now())
            self._node.wake()

        self._node.storage.read(partial(ranges.ids_at, asked=asked), done)

    def _receive(self, command: ReceiveEvents) -> None:
        size = sum(event.size for event in command.events)
        account = self._node.people.account_of(command.device)
        context = receiving.CheckContext(
            author=self._node.people.memberships[account] if account else self._node.people.mine,
            mine=command.device == self._node.people.me.device,
            skew_ms=self._node.links.skew_ms(command.device),
            last_resort=self._node.replication.is_last_resort(command.link, command.conversation, command.device),
        )
        job = partial(
            receiving.receive, conversation=command.conversation, events=command.events, context=context, now_ms=self._node.clock.wall_ms()
        )
        room = limits.DISK_REFUSE_BYTES if account == self._node.people.me.account else limits.DISK_REFUSE_OTHERS_BYTES
        self._node.storage.submit(job, partial(self._received, command, size), room_bytes=room)

    def _received(self, command: ReceiveEvents, size: int, result: Received | BaseException) -> None:
        now = self._node.clock.now()
        if isinstance(result, BaseException):
            _log.error("events could not be stored: %s", result)
            self._node.storage_error = result if isinstance(result, Exception) else None
            self._node.replication.events_failed(command.link, command.conversation, command.device, size, now)
            self._node.wake()
            return
        self._node.storage_error = None
        wall = self._node.clock.wall_ms()
        for hlc in result.clocks:
            self._node.adopt(hlc, wall)
        tips = tuple(wire.claim_of(command.device, tip.seq, tip.id) for tip in result.tips)
        stored = Stored(tips, result.accepted, result.gap, result.body_missing or result.heads_missing)
        self._node.replication.events_stored(command.link, command.conversation, command.device, size, stored, now)
        if result.old_copy and not self._node.old_copy:
            self._node.old_copy = True
            self._alert("old_copy", command.device, "This folder is an old copy of this device: it writes nothing more.")
        if result.forked and command.device not in self._node.people.forked:
            self._node.people.forked.add(command.device)
            self._alert("forked", command.device, "A device was copied, and both copies have written: it gets no link any more.")
            self._node.clock.call_at(now + _EVIDENCE_S, partial(self._close_forked, command.device))
        if result.refused is not None:
            self._node.linkage.fault(command.link, PeerMisbehaved(result.refused))
        self._node.wake(feed=bool(result.accepted))

    def _store_ack(self, command: StoreAck) -> None:
        self._flush_marks()
        job = partial(
            delivery.store_ack,
            conversation=command.conversation,
            by_account=command.account,
            by_device=command.device,
            vector={device: (claim.seq, claim.id) for device, claim in command.vector.items()},
            now_ms=self._node.clock.wall_ms(),
        )

        def done(result: Any) -> None:
            if isinstance(result, BaseException):
                _log.error("an acknowledgement could not be stored: %s", result)
                self._node.replication.ack_failed(command)
            elif (mine := command.vector.get(self._node.people.me.device)) is not None:
                self._arrived(command.account, command.conversation, mine.seq)
            self._node.wake(feed=True)

        self._node.storage.submit(job, done)

    def _mark(self, command: MarkSent | MarkQueued, state: str) -> None:
        if not self._marks:
            self._node.clock.call_at(self._node.clock.now() + _MARKS_DELAY_S, self._flush_marks)
        self._marks.append((command, state))
        sent = self._on_their_way.setdefault((command.account, command.conversation), deque())
        if isinstance(command, MarkSent):
            sent.append((command, self._node.clock.wall_ms()))
        else:
            sent = deque(each for each in sent if each[0].upto <= command.after)
            self._on_their_way[command.account, command.conversation] = sent
        for tell in self._node.changed:
            tell()

    def _flush_marks(self) -> None:
        marks, self._marks = self._marks, []
        if not marks or self._node.stopped:
            return
        me, wall = self._node.people.me.device, self._node.clock.wall_ms()

        def job(db: Db) -> None:
            for mark, state in marks:
                feed_store.mark(db, mark.conversation, me, mark.after, mark.upto, state, mark.account, wall)

        self._node.storage.submit(job, lambda result: self._node.wake(feed=True), room_bytes=limits.DISK_REFUSE_BYTES)

    def _alert(self, code: str, device: DeviceId, message: str) -> None:
        """Tell those who watch, and all who do later."""
        account = self._node.people.account_of(device)
        payload = json.dumps({"code": code, "message": message, "account": account.hex() if account else None, "device": device.hex()})
        job = partial(feed_store.record, change=ChangeType.ALERT, payload=payload, now_ms=self._node.clock.wall_ms())
        self._node.storage.submit(job, lambda result: self._node.wake(feed=True))

    def _close_forked(self, device: bytes) -> None:
        for opened in list(self._node.links):
            if opened.device == device:
                self._node.close(opened.link, LIMIT)
