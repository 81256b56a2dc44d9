"""The node: performs what the protocol's machines command, and tells them what happened.

Synchronous glue on the event loop (or on the simulation's clock): network and storage call in, nothing here waits. Durable before visible:
state in memory follows the commit, and acknowledgements, notices and sends follow that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from p2pmsg.config import limits
from p2pmsg.daemon import objects
from p2pmsg.daemon.clock import Clock, Timer
from p2pmsg.daemon.link_events import LinkEvents
from p2pmsg.daemon.linkage import Joining, Link, Linkage
from p2pmsg.daemon.people import People
from p2pmsg.errors import NotPermitted, PeerMisbehaved
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.events import Conversation, Event, Tip
from p2pmsg.model.gates import GateRow
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import log, wire
from p2pmsg.protocol.bodies import Body, encode_body, kind_of
from p2pmsg.protocol.links import Links
from p2pmsg.protocol.messages import (
    CloseLink,
    Dial,
    LoadEvents,
    LookUpIds,
    MarkQueued,
    MarkSent,
    ReceiveEvents,
    ReplicationCommand,
    SendMessage,
    StoreAck,
)
from p2pmsg.protocol.presence import Presence
from p2pmsg.protocol.replication import Replication, Stored
from p2pmsg.storage import delivery, ranges, receiving
from p2pmsg.storage import feed as feed_store
from p2pmsg.storage import log as log_store
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.feed import ChangeType
from p2pmsg.storage.receiving import Received
from p2pmsg.storage.worker import Storage

_log = logging.getLogger(__name__)
_EVIDENCE_S = 2.0
"""A forked device keeps its link this long, so that it is shown the other branch and finds out, too."""
_MARKS_DELAY_S = 0.03
"""Notes that messages are on their way wait this long for the acknowledgement that mostly makes them needless on their own."""


class Endpoint(Protocol):
    """What dials."""

    def dial(self, address: Address, *, redial: bool = False) -> Any: ...


class Node:
    """One device on its network."""

    def __init__(self, people: People, storage: Storage, endpoint: Endpoint, clock: Clock, paths: frozenset[Path]) -> None:
        self.people = people
        self.instance = os.urandom(8)
        self.storage = storage
        self.clock = clock
        self.links = Links(people.me.device)
        self.presence = Presence(paths)
        self.replication = Replication(people.me.account, people.me.device)
        self.linkage = Linkage(clock, LinkEvents(self))
        self.old_copy = False
        self.changed: list[Callable[[], None]] = []
        """Called after a commit that may have added to the feed, and when messages are on their way."""
        self.peer_changed: list[Callable[[DeviceId], None]] = []
        """Called when a link to a device has opened or ended."""
        self.network: Callable[[Address], str] = lambda address: ""
        """Names the network an address is on, for last known addresses."""
        self.interface_name: Callable[[Link], str | None] = lambda link: None
        self._endpoint = endpoint
        self._adopted = 0
        self._appended: dict[ConversationId, list[Event]] = {}
        self._marks: list[tuple[MarkSent | MarkQueued, str]] = []
        self._refusals: dict[AccountId, int] = {}
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._polling = False
        self._stopped = False

    # -- life

    def start(self, tips: Mapping[ConversationId, Mapping[DeviceId, Sequence[Tip]]]) -> None:
        """Take up what storage holds; from now on links may open."""
        now = self.clock.now()
        wall = self.clock.wall_ms()
        for conversation in self.people.conversations():
            self.open_conversation(conversation, tips.get(conversation.id, {}))
        for logs in tips.values():
            for tip in (tip for ends in logs.values() for tip in ends):
                self._adopt(tip.hlc, wall)
        for account in self.people.contacts:
            self.presence.contact_added(account, now)
        self.wake()

    def stop(self) -> None:
        """Say goodbye on all links and do nothing more."""
        self._stopped = True
        for link in self.linkage:
            self.linkage.close(link.number, 0x101)
        if self._timer is not None:
            self._timer.cancel()

    def open_conversation(self, conversation: Conversation, tips: Mapping[DeviceId, Sequence[Tip]] | None = None) -> None:
        claims = {device: [wire.claim_of(device, tip.seq, tip.id) for tip in ends] for device, ends in (tips or {}).items()}
        self.replication.conversation_opened(conversation, self.people.devices(conversation), claims)

    def open_conversation_of(self, account: AccountId) -> None:
        """A contact is new, or has new devices: share the conversation with them."""
        conversation = self.people.direct(account)

        def done(tips: Any) -> None:
            if not isinstance(tips, BaseException):
                self.open_conversation(conversation, tips.get(conversation.id, {}))
                self.wake()

        self.open_conversation(conversation)
        self.storage.read(ranges.tips, done)

    # -- writing

    def append(self, conversation: Conversation, body: Body, done: Callable[[Any], None], *, growing: bool = False) -> None:
        """Write an event into my log of a conversation and hand it on; `done` gets the Event once it is durable, or the error.

        Events of one conversation are written in the order of the calls.
        """
        self.submit_write(partial(self.write, conversation=conversation, body=body), done, growing=growing)

    def write(self, db: Db, conversation: Conversation, body: Body) -> Event:
        """Write an event inside a storage job of mine; the job's result must be given to `written` after the commit."""
        self.check_may_write()
        me = self.people.me
        encoded = encode_body(body, os.urandom(16))
        wall = self.clock.wall_ms() + self.links.clock_ahead_ms()

        def make(tip: Tip | None) -> Event:
            hlc = log.next_hlc(wall, self._adopted, tip.hlc if tip else 0)
            return log.write(
                tip,
                conversation.id,
                me.device,
                kind_of(body),
                encoded,
                hlc=hlc,
                account_heads=self.people.mine.heads,
                sign=me.sign,
            )

        return log_store.append(db, conversation, me.device, make, self.clock.wall_ms())

    def check_may_write(self) -> None:
        """Raises: NotPermitted where another copy of this folder has written since."""
        if self.old_copy:
            raise NotPermitted(
                "This folder is an old copy of this device: another copy has written since. It writes nothing more.",
                hint="Use the newer copy.",
            )

    def submit_write(self, job: Callable[[Db], Any], done: Callable[[Any], None], *, growing: bool = False) -> None:
        """Run a job that writes events (it returns an Event, or a tuple or list that holds Events), and hand them on once committed."""

        def finished(result: Any) -> None:
            for item in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(item, Event):
                    self._appended.setdefault(item.header.conversation, []).append(item)
            done(result)
            self.wake(feed=True)

        self.storage.submit(job, finished, growing=growing)

    def handed(self, account: AccountId, conversation: ConversationId, seq: int) -> bool:
        """Say whether my message is on its way to the account on a live link."""
        return self.replication.handed(account, conversation, seq)

    # -- dialling

    def dial(
        self,
        account: AccountId,
        address: Address,
        path: Path,
        *,
        redial: bool = False,
        gate: GateRow | None = None,
        joining: Joining | None = None,
    ) -> Link | None:
        """Open a link to an address, under the contact's gate or the one given; None where there is no gate."""
        gate = gate or self.people.gate_to(account, self._refusals.get(account, 0))
        if gate is None or self._stopped:
            return None
        link = Link(self._endpoint.dial(address, redial=redial), path, account, gate, joining)
        self.linkage.dialled(link)
        return link

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, hosts: Sequence[Address], path: Path) -> None:
        """Somebody announced addresses; if a tag covers them, its contact is dialled there."""
        account = self.people.recognise(nonce, addresses, tags)
        if account is not None:
            self.presence.sighted(account, hosts, path, self.clock.now())
            self.wake()

    def refused(self, account: AccountId) -> None:
        """A dial under this account's newest gate was refused: the next one uses the row before."""
        self._refusals[account] = self._refusals.get(account, 0) + 1

    def accepted(self, account: AccountId) -> None:
        self._refusals.pop(account, None)

    # -- the turn

    def wake(self, *, feed: bool = False) -> None:
        """Have everything that is due done after what is under way."""
        if feed:
            for tell in self.changed:
                tell()
        if not self._polling and not self._stopped:
            self._polling = True
            self.clock.call_soon(self._poll)

    def _poll(self) -> None:
        self._polling = False
        if self._stopped:
            return
        now = self.clock.now()
        for conversation, events in self._appended.items():
            self.replication.events_appended(conversation, events, now)
        self._appended = {}
        for command in self.replication.poll(now):
            self._perform(command)
        for dial in self.presence.poll(now):
            self._dial(dial)
        self._arm(self.linkage.poll(now))

    def _arm(self, links_due: float | None) -> None:
        due = min((at for at in (links_due, self.replication.deadline, self.presence.deadline) if at is not None), default=None)
        if due is None or (self._timer is not None and self._timer_at == due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.clock.call_at(max(due, self.clock.now() + 0.001), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self.wake()

    def _dial(self, dial: Dial) -> None:
        if self.dial(dial.account, dial.address, dial.path, redial=dial.redial) is None:
            self.presence.dial_ended(dial.account, dial.address, self.clock.now())

    def _perform(self, command: ReplicationCommand) -> None:
        match command:
            case SendMessage(link, message):
                self.linkage.send(link, message)
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

    # -- storage's part

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
            self.replication.events_loaded(command, [] if isinstance(result, BaseException) else result)
            self.wake()

        self.storage.read(job, done)

    def _look_up(self, command: LookUpIds) -> None:
        asked = [(command.conversation, command.device, seq) for seq in command.seqs]

        def done(result: Any) -> None:
            if not isinstance(result, BaseException):
                found = {seq: event for (_, _, seq), event in result.items()}
                self.replication.ids_found(command, found, self.clock.now())
            self.wake()

        self.storage.read(partial(ranges.ids_at, asked=asked), done)

    def _receive(self, command: ReceiveEvents) -> None:
        size = sum(event.size for event in command.events)
        account = self.people.account_of(command.device)
        context = receiving.CheckContext(
            author=self.people.memberships[account] if account else self.people.mine,
            mine=command.device == self.people.me.device,
            skew_ms=self.links.skew_ms(command.device),
        )
        job = partial(
            receiving.receive, conversation=command.conversation, events=command.events, context=context, now_ms=self.clock.wall_ms()
        )
        self.storage.submit(job, partial(self._received, command, size), growing=True)

    def _received(self, command: ReceiveEvents, size: int, result: Received | BaseException) -> None:
        now = self.clock.now()
        if isinstance(result, BaseException):
            _log.error("events could not be stored: %s", result)
            self.replication.events_failed(command.link, size)
            self._close(command.link, 0x104)
            return
        wall = self.clock.wall_ms()
        for hlc in result.clocks:
            self._adopt(hlc, wall)
        tips = tuple(wire.claim_of(command.device, tip.seq, tip.id) for tip in result.tips)
        stored = Stored(tips, result.accepted, result.gap, result.body_missing)
        self.replication.events_stored(command.link, command.conversation, command.device, size, stored, now)
        if result.old_copy and not self.old_copy:
            self.old_copy = True
            self._alert("old_copy", command.device, "This folder is an old copy of this device: it writes nothing more.")
        if result.fork and command.device not in self.people.forked:
            self.people.forked.add(command.device)
            self._alert("forked", command.device, "A device was copied, and both copies have written: it gets no link any more.")
            self.clock.call_at(now + _EVIDENCE_S, partial(self._close_forked, command.device))
        if result.refused is not None:
            self.linkage.fault(command.link, PeerMisbehaved(result.refused))
        self.wake(feed=bool(result.accepted))

    def _store_ack(self, command: StoreAck) -> None:
        self._flush_marks()
        job = partial(
            delivery.store_ack,
            conversation=command.conversation,
            by_account=command.account,
            by_device=command.device,
            vector={device: (claim.seq, claim.id) for device, claim in command.vector.items()},
            now_ms=self.clock.wall_ms(),
        )
        self.storage.submit(job, lambda result: self.wake(feed=True))

    def _mark(self, command: MarkSent | MarkQueued, state: str) -> None:
        if not self._marks:
            self.clock.call_at(self.clock.now() + _MARKS_DELAY_S, self._flush_marks)
        self._marks.append((command, state))
        for tell in self.changed:
            tell()

    def _flush_marks(self) -> None:
        marks, self._marks = self._marks, []
        if not marks or self._stopped:
            return
        me, wall = self.people.me.device, self.clock.wall_ms()

        def job(db: Db) -> None:
            for mark, state in marks:
                feed_store.mark(db, mark.conversation, me, mark.after, mark.upto, state, mark.account, wall)

        self.storage.submit(job, lambda result: self.wake(feed=True))

    # -- inside

    def _adopt(self, hlc: int, wall_ms: int) -> None:
        if log.may_adopt(hlc, wall_ms):
            self._adopted = max(self._adopted, hlc)

    def _alert(self, code: str, device: DeviceId, message: str) -> None:
        """Tell those who watch, and all who do later."""
        account = self.people.account_of(device)
        payload = json.dumps({"code": code, "message": message, "account": account.hex() if account else None, "device": device.hex()})
        job = partial(feed_store.record, change=ChangeType.ALERT, payload=payload, now_ms=self.clock.wall_ms())
        self.storage.submit(job, lambda result: self.wake(feed=True))

    def _close_forked(self, device: bytes) -> None:
        for opened in list(self.links):
            if opened.device == device:
                self._close(opened.link, 0x104)

    def _close(self, link: LinkNumber, code: int) -> None:
        self.linkage.close(link, code)

    def obey(self, command: CloseLink | None) -> None:
        if command is not None:
            self._close(command.link, command.code)

    async def run_write(self, job: Callable[[Db], Any], *, growing: bool = True) -> Any:
        """Like `submit_write`, awaited. Cancelled: what was written stays, and is handed on. Raises: what the job raised."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(result: Any) -> None:
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit_write(job, done, growing=growing)
        return await future

    # -- contacts

    def contact_changed(self, account: AccountId) -> None:
        """A contact is new or changed: tell those who watch."""
        contact = self.people.contacts.get(account)
        if contact is not None:
            payload = json.dumps(objects.contact(self, contact), ensure_ascii=False)
            wall = self.clock.wall_ms()
            job = partial(feed_store.record, change=ChangeType.CONTACT, payload=payload, now_ms=wall)
            self.storage.submit(job, lambda result: self.wake(feed=True))

    def forget_contact(self, account: AccountId) -> None:
        """A contact was removed in storage: links end, nobody of that account is dialled or recognised any more."""
        self.people.contacts.pop(account, None)
        self.presence.contact_removed(account)
        for opened in self.links.of_account(account):
            self._close(opened.link, 0x101)

    def rename(self, account: AccountId, name: str | None) -> None:
        """A contact's local name has changed in storage."""
        if (contact := self.people.contacts.get(account)) is not None:
            self.people.contacts[account] = replace(contact, name=name)
