"""The node: performs what the protocol's machines command, and tells them what happened.

Synchronous glue on the event loop (or on the simulation's clock): network and storage call in, nothing here waits. Durable before visible:
state in memory follows the commit, and acknowledgements, notices and sends follow that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from p2pmsg.config import limits
from p2pmsg.daemon import objects
from p2pmsg.daemon.alerts import Noted
from p2pmsg.daemon.checks import Checks
from p2pmsg.daemon.clock import Clock, Timer
from p2pmsg.daemon.keeping import Keeping
from p2pmsg.daemon.link_events import LinkEvents
from p2pmsg.daemon.linkage import Joining, Link, Linkage
from p2pmsg.daemon.people import People
from p2pmsg.daemon.presence_keys import PresenceKeys
from p2pmsg.daemon.typists import Typists
from p2pmsg.daemon.verifying import Verifying
from p2pmsg.daemon.visibility import Visibility
from p2pmsg.errors import NotPermitted
from p2pmsg.model.accounts import Contact
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.events import Conversation, Event, Tip
from p2pmsg.model.gates import GateRow
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import log, wire
from p2pmsg.protocol.bodies import Body, encode_body, kind_of
from p2pmsg.protocol.links import Links
from p2pmsg.protocol.messages import BYE, CloseLink, Dial
from p2pmsg.protocol.presence import Presence
from p2pmsg.protocol.replication import Replication
from p2pmsg.protocol.wire import Hint
from p2pmsg.storage import feed as feed_store
from p2pmsg.storage import log as log_store
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.feed import ChangeType
from p2pmsg.storage.worker import Storage

OLD_COPY_HINT = "Use the newer copy. p2pmsg init --as-new, which makes a device of its own of such a folder, comes with own devices."
_log = logging.getLogger(__name__)


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
        self.visibility = Visibility(self)
        self.checks = Checks(self)
        self.verifying = Verifying(self)
        self.presence_keys = PresenceKeys(self)
        self.typists = Typists(self)
        self.old_copy = False
        self.storage_error: Exception | None = None
        """Why what a peer gave could not be stored last time; None once it could."""
        self.changed: list[Callable[[], None]] = []
        """Called after a commit that may have added to the feed, and when messages are on their way."""
        self.peer_changed: list[Callable[[DeviceId], None]] = []
        """Called when a link to a device has opened or ended."""
        self.hinted: Callable[[LinkNumber, Hint], None] | None = None
        """Told of hints; None where they are switched off."""
        self.recognises_more: Callable[[], None] = lambda: None
        """Called when announcements heard before may tell more than they did: a contact's presence key is new."""
        self.network: Callable[[Address], str] = lambda address: ""
        """Names the network an address is on, for last known addresses."""
        self.interface_name: Callable[[Link], str | None] = lambda link: None
        self.announce_anew: Callable[[], None] = lambda: None
        """Has this node be announced under another name, with tags of my present keys."""
        self.hide: Callable[[], None] = lambda: None
        """Has this node be found elsewhere, by those who recognise it: at another port, under another name."""
        self._endpoint = endpoint
        self._adopted = 0
        self._appended: dict[ConversationId, list[Event]] = {}
        self._keeping = Keeping(self)
        self._refusals: dict[AccountId, int] = {}
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._polling = False
        self.stopped = False

    # -- life

    def start(self, tips: Mapping[ConversationId, Mapping[DeviceId, Sequence[Tip]]]) -> None:
        """Take up what storage holds; from now on links may open."""
        now = self.clock.now()
        wall = self.clock.wall_ms()
        for conversation in self.people.conversations():
            self.open_conversation(conversation, tips.get(conversation.id, {}))
        for logs in tips.values():
            for tip in (tip for ends in logs.values() for tip in ends):
                self.adopt(tip.hlc, wall)
        for account, contact in self.people.contacts.items():
            self.replication.kept_back(account, contact.alert is not None)
            if not contact.blocked:
                self.presence.contact_added(account, now)
        self.wake()

    def stop(self) -> None:
        """Say goodbye on all links and do nothing more."""
        self.stopped = True
        for link in self.linkage:
            self.linkage.close(link.number, 0x101)
        if self._timer is not None:
            self._timer.cancel()

    def open_conversation(self, conversation: Conversation, tips: Mapping[DeviceId, Sequence[Tip]] | None = None) -> None:
        """Share a conversation with its members' devices as they are now; without `tips` what is known of its logs stays."""
        claims = None
        if tips is not None:
            claims = {device: [wire.claim_of(device, tip.seq, tip.id) for tip in ends] for device, ends in tips.items()}
        self.replication.conversation_opened(conversation, self.people.devices(conversation), claims)

    # -- writing

    def append(self, conversation: Conversation, body: Body, done: Callable[[Any], None], *, room_bytes: int = 0) -> None:
        """Write an event into my log of a conversation and hand it on; `done` gets the Event once it is durable, or the error.

        Events of one conversation are written in the order of the calls.
        """
        self.submit_write(partial(self.write, conversation=conversation, body=body), done, room_bytes=room_bytes)

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
                hint=OLD_COPY_HINT,
            )

    def submit_write(self, job: Callable[[Db], Any], done: Callable[[Any], None], *, room_bytes: int = 0) -> None:
        """Run a job that writes events (it returns them, in tuples or lists or what `Noted` holds), and hand them on once committed."""

        def finished(result: Any) -> None:
            for item in _events_in(result):
                self._appended.setdefault(item.header.conversation, []).append(item)
            self.wake(feed=True)  # first: who waits for the result finds the message on its way
            done(result)

        self.storage.submit(job, finished, room_bytes=room_bytes)

    def handed(self, account: AccountId, conversation: ConversationId, seq: int) -> bool:
        """Say whether my message is on its way to the account on a live link."""
        return self.replication.handed(account, conversation, seq)

    def sent_ms(self, account: AccountId, conversation: ConversationId, seq: int) -> int | None:
        """Return since when it is; None where it is not, or was acknowledged."""
        return self._keeping.sent_ms(account, conversation, seq)

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
        if gate is None or self.stopped:
            return None
        link = Link(self._endpoint.dial(address, redial=redial), path, account, gate, joining)
        self.linkage.dialled(link)
        return link

    def dial_nearby(self, address: Address, joining: Joining) -> Link:
        """Open a link to a visible stranger, to compare strings."""
        link = Link(self._endpoint.dial(address), Path.MDNS, None, joining=joining)
        self.linkage.dialled(link)
        return link

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, hosts: Sequence[Address], path: Path) -> None:
        """Somebody announced addresses; if a tag covers them, its contact is dialled there."""
        account = self.people.recognise(nonce, addresses, tags)
        if account is not None:
            self.checks.sighted(account, path)
            self.presence.sighted(account, hosts, path, self.clock.now())
            self.wake()

    def leave(self, link: Link) -> None:
        """End a link by an address of mine that is gone: its other end may not hear of it, and the contact is sought anew at once."""
        self.close(link.number, BYE)
        if link.account is not None:
            self.presence.moved(link.account, self.clock.now())

    def network_returned(self) -> None:
        """The network may be there again, or be another one: who is away is dialled now, also where a dial is under way unheard."""
        for link in self.linkage:
            if link.account is not None and link.joining is None and link.handshake is None and link.channel is None:
                self.close(link.number, BYE)
        self.presence.network_changed(list(self.people.contacts), self.clock.now())
        self.wake()

    def seeking(self) -> bool:
        """Say whether a contact has fallen silent who may still be on this network."""
        return self.presence.seeking(self.clock.now())

    def refused(self, account: AccountId, gate: GateRow) -> None:
        """A dial under this gate was refused: the next one uses another row. Further refusals of the same row change nothing more."""
        turn = self._refusals.get(account, 0)
        if (tried := self.people.gate_to(account, turn)) is not None and tried.key == gate.key:
            self._refusals[account] = turn + 1

    def accepted(self, account: AccountId) -> None:
        self._refusals.pop(account, None)

    # -- the turn

    def wake(self, *, feed: bool = False) -> None:
        """Have everything that is due done after what is under way."""
        if feed:
            for tell in self.changed:
                tell()
        if not self._polling and not self.stopped:
            self._polling = True
            self.clock.call_soon(self._poll)

    def _poll(self) -> None:
        self._polling = False
        if self.stopped:
            return
        now = self.clock.now()
        for conversation, events in self._appended.items():
            self.replication.events_appended(conversation, events, now)
        self._appended = {}
        for command in self.replication.poll(now):
            self._keeping.perform(command)
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

    # -- inside

    def adopt(self, hlc: int, wall_ms: int) -> None:
        """Follow a clock that was seen, unless it is too far ahead."""
        if log.may_adopt(hlc, wall_ms):
            self._adopted = max(self._adopted, hlc)

    def close(self, link: LinkNumber, code: int) -> None:
        """End a link."""
        self.linkage.close(link, code)

    def obey(self, command: CloseLink | None) -> None:
        if command is not None:
            self.close(command.link, command.code)

    async def run_write(
        self, job: Callable[[Db], Any], *, room_bytes: int = limits.DISK_REFUSE_BYTES, then: Callable[[Any], None] | None = None
    ) -> Any:
        """Like `submit_write`, awaited. `then` is given the result in the order of the commits, before any later one's.

        Cancelled: what was written stays, and is handed on. Raises: what the job raised.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(result: Any) -> None:
            if then is not None and not isinstance(result, BaseException):
                then(result)
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit_write(job, done, room_bytes=room_bytes)
        return await future

    # -- contacts

    def contact_is(self, contact: Contact) -> None:
        """Take on in memory what is stored of a contact; whether anything may be handed to him follows."""
        self.people.contacts[contact.account] = contact
        self.replication.kept_back(contact.account, contact.alert is not None)

    def contact_changed(self, account: AccountId) -> None:
        """A contact is new or changed: tell those who watch."""
        contact = self.people.contacts.get(account)
        if contact is not None:
            payload = json.dumps(objects.contact(self, contact), ensure_ascii=False)
            wall = self.clock.wall_ms()
            job = partial(feed_store.record, change=ChangeType.CONTACT, payload=payload, now_ms=wall)
            self.storage.submit(job, lambda result: self.wake(feed=True))

    def shut_out(self, account: AccountId) -> None:
        """A contact was blocked in storage: for him it is as if my cable were pulled. Nobody of that account is dialled any more."""
        self.presence.contact_removed(account)
        for link in self.linkage:
            if account in (link.account, link.peering.account if link.peering is not None else None) or link.nobodys:
                self.linkage.abandon(link.number)  # who has not said yet who he is may be he: any other dials again

    def forget_contact(self, account: AccountId) -> None:
        """A contact was removed in storage: links end, nobody of that account is dialled or recognised any more."""
        self.people.contacts.pop(account, None)
        self.presence.contact_removed(account)
        for opened in self.links.of_account(account):
            self.close(opened.link, 0x101)


def _events_in(result: object) -> Iterator[Event]:
    if isinstance(result, Event):
        yield result
    elif isinstance(result, Noted):
        yield from result.events
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from _events_in(item)
