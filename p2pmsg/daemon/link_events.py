"""What the node does when something happens on a link: proven, opened, a message, lost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pmsg.config import limits
from p2pmsg.crypto import chain
from p2pmsg.daemon import alerts
from p2pmsg.daemon.alerts import Noted
from p2pmsg.daemon.linkage import Link
from p2pmsg.daemon.peering import Committed, commit_peering, confirm_gate
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.gates import Ended, Purpose
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId, short
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol.comparing import ComparingResponder
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.links import Opened
from p2pmsg.protocol.messages import BYE, LIMIT, REFUSED, CompareStrings, Peering
from p2pmsg.protocol.proofs import ChainReader
from p2pmsg.protocol.wire import Ack, Check, Checked, Events, Have, Hello, Hint, Message, PresenceKey, Typing, Verify, Want
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node

_log = logging.getLogger(__name__)


class LinkEvents:
    """The node's ear at its links (`linkage.Sink`)."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def knowledge(self) -> Knowledge:
        """Return what a handshake may know: a view of the people, read at the moment of each check."""
        people = self._node.people
        return Knowledge(
            me=people.identity(),
            rows=lambda: people.rows(self._node.clock.now()),
            known=people.memberships.get,
            links_of=people.links_of,
            may_link=people.may_link,
            hello=self._hello,
            nick=people.mine.nickname,
            admit=self._node.visibility.admit,
        )

    def strings_ready(self, link: Link, compare: CompareStrings) -> None:
        """There is something to compare: with whom I asked, or with who asked me."""
        if link.joining is None or link.joining.compare is None:
            self._node.visibility.requested(link, compare)
        else:
            link.joining.compare(link, compare)

    def peering_proven(self, link: Link, peering: Peering) -> None:
        """Store what the link means before it is answered; where it means nothing new, go on at once."""
        if peering.gate.purpose is Purpose.PAIR and not peering.new_links and peering.went_back is None:
            self._node.clock.call_soon(partial(self._node.linkage.committed, link.number))
            return
        name = link.joining.name if link.joining else link.name
        job = partial(commit_peering, node=self._node, peering=peering, name=name, now_ms=self._node.clock.wall_ms())
        self._node.submit_write(job, partial(self._peering_stored, link, peering), room_bytes=limits.DISK_REFUSE_BYTES)

    def _peering_stored(self, link: Link, peering: Peering, result: Any) -> None:
        node = self._node
        if isinstance(result, BaseException):
            _log.error("a contact could not be stored: %s", result)
            if link.joining is not None:
                joining, link.joining = link.joining, None
                joining.failed(result if isinstance(result, Exception) else False)
            node.linkage.refuse(link.number)
            return
        if isinstance(result, Ended):
            node.linkage.committed(link.number, ended=result)
            return
        assert isinstance(result, Committed)
        if peering.new_links:
            node.people.learn_chain(peering.new_links)
        if result.noted is not None:
            alerts.take(node, result.noted)
        contact, node.people.gates = result.contact, result.gates
        if contact is not None:
            node.contact_is(contact)
            node.presence.contact_added(contact.account, node.clock.now())
            node.presence.met(contact.account, link.address, link.path, node.clock.now())
            node.contact_changed(contact.account)
        node.open_conversation(node.people.direct(peering.account), result.tips)
        alerts.part_from_removed(node, peering.account)
        node.linkage.committed(link.number)

    def link_opened(self, link: Link) -> None:
        node = self._node
        peering, hello = link.peering, link.hello
        assert peering is not None and hello is not None
        if peering.account not in node.people.contacts:  # removed while the handshake went on
            node.close(link.number, REFUSED)
            return
        confirm_gate(node, peering)
        now, wall = node.clock.now(), node.clock.wall_ms()
        ahead_ms = hello.clock_ms - wall
        opened = Opened(link.number, peering.account, peering.device_id, hello.instance, peering.dialled, ahead_ms, link.id)
        standing = next((o for o in node.links if o.device == peering.device_id), None)
        heard = node.linkage.get(standing.link) if standing else None
        loser = node.links.opened(opened, hello.over, heard.connection.last_heard if heard else None, now)
        if link.joining is not None:
            link.joining.opened()
        elif peering.gate.purpose is Purpose.SAS:
            node.visibility.succeeded(link)
        if loser is not None and loser.link == link.number:
            node.obey(loser)
            return
        node.obey(loser)
        _log.info("link %d with %s opened (%s)", link.number, short(peering.device_id), link.path.value)
        node.accepted(peering.account)
        node.presence.link_opened(peering.account, link.address, link.path, now)
        node.replication.link_opened(link.number, peering.account, peering.device_id, now)
        self._greeted(link, peering, hello, wall)
        if peering.dialled and peering.gate.purpose is Purpose.PAIR:
            node.presence.dial_ended(peering.account, link.address, now)
        for tell in node.peer_changed:
            tell(peering.device_id)
        node.wake()

    def _greeted(self, link: Link, peering: Peering, hello: Hello, wall: int) -> None:
        """Remember where the contact was and by which key its announcements are recognised."""
        node = self._node
        contact = node.people.contacts.get(peering.account)
        if contact is None:
            return
        if not set(hello.heads) <= node.people.memberships[peering.account].links:
            node.close(link.number, BYE)  # its chain grew while we shook hands: the next link brings it
            return
        known_key = contact.presence_key
        if hello.presence_number >= contact.presence_number:
            contact = replace(contact, presence_key=hello.presence_key, presence_number=hello.presence_number)
        node.people.contacts[peering.account] = replace(contact, last_seen_ms=wall)
        node.presence_keys.holds(contact, hello.holds)
        network = node.network(link.address)
        if contact.presence_key != known_key:
            node.clock.call_soon(node.recognises_more)

        def job(db: Db) -> None:
            people_store.set_presence(db, peering.account, hello.presence_key, hello.presence_number)
            people_store.saw(db, peering.account, wall)
            if network:
                people_store.remember_address(db, peering.account, network, link.address, wall)

        node.storage.submit(job, lambda result: None)

    def chain_received(self, link: Link, payload: bytes) -> None:
        """The peer's own chain has grown while the link is open."""
        node = self._node
        peering = link.peering
        assert peering is not None
        if link.chain is None:
            link.chain = ChainReader()
        if not link.chain.read(payload):
            return
        reader, link.chain = link.chain, None
        forms = {chain.wire_form(known): known.id for known in node.people.links_of(peering.account)}
        known = set(forms.values())
        links = [new for form in reader.forms if form not in forms and (new := chain.parse(form)).id not in known]
        if any(new.account != peering.account for new in links):
            raise PeerMisbehaved("a chain of another account")
        shown = [forms.get(form) or chain.parse(form).id for form in reader.forms]
        gone = authority.went_back(node.people.links_of(peering.account), shown, peering.device_key)
        if links or gone is not None:
            self._learn(link, peering.account, links, gone)

    def _learn(self, link: Link, account: AccountId, links: Sequence[ChainLink], gone: ChainLinkId | None) -> None:
        node = self._node
        # Taken on in memory at once, as events that name it follow on this stream; taken back if it cannot be stored.
        before, known = node.people.links_of(account), node.people.memberships[account]
        membership = node.people.learn_chain(links) if links else known
        seen = alerts.news(node, known, membership, gone)
        alerts.beware(node, account, seen)
        node.open_conversation(node.people.direct(account))
        alerts.part_from_removed(node, account)
        wall = node.clock.wall_ms()

        def job(db: Db) -> Noted | None:
            people_store.add_links(db, links, wall)
            people_store.set_nickname(db, account, membership.nickname)
            return alerts.note(db, node, account, seen, wall)

        def done(result: Any) -> None:
            if isinstance(result, BaseException):
                _log.error("a chain could not be stored: %s", result)
                node.people.unlearn_chain(before)
                alerts.calm(node, account)
                node.close(link.number, LIMIT)
            elif result is not None:
                alerts.take(node, result)

        node.submit_write(job, done, room_bytes=limits.DISK_REFUSE_OTHERS_BYTES)

    def message_received(self, link: Link, message: Message) -> None:
        replication, now = self._node.replication, self._node.clock.now()
        match message:
            case Have():
                replication.have_received(link.number, message, now)
            case Want():
                replication.want_received(link.number, message)
            case Events():
                replication.events_received(link.number, message)
            case Ack():
                replication.ack_received(link.number, message)
            case Hint() if self._node.hinted is not None:
                self._node.hinted(link.number, message)
            case Check():
                self._node.checks.asked(link.number, message)
            case Checked():
                self._node.checks.answered(link.number, message)
            case Verify():
                self._node.verifying.received(link.number, message)
            case PresenceKey():
                self._node.presence_keys.received(link.number, message)
            case Typing():
                self._node.typists.received(link.number)
            case Hello():
                raise PeerMisbehaved("a second HELLO")
        self._node.wake()

    def hold_changed(self, link: Link, holding: bool) -> None:
        self._node.replication.hold_changed(link.number, holding)
        self._node.wake()

    def link_lost(self, link: Link, code: int | None) -> None:
        node, now = self._node, self._node.clock.now()
        opened = node.links.closed(link.number)
        if opened is not None:
            node.verifying.link_lost(link.number)
            node.typists.link_lost(opened.account)
            node.replication.link_closed(link.number, now)
            node.presence.link_closed(opened.account, link.address, now, said_goodbye=code is not None, dialled=opened.dialled)
            if opened.account in node.people.contacts:  # of who was removed nothing is kept
                wall = node.clock.wall_ms()
                node.storage.submit(lambda db: people_store.saw(db, opened.account, wall), lambda result: None)
            for tell in node.peer_changed:
                tell(opened.device)
        elif link.joining is not None:
            joining, link.joining = link.joining, None
            joining.failed(code == REFUSED or link.broken)
        elif link.account is not None and link.gate is not None and link.gate.purpose is Purpose.PAIR:
            refused = code == REFUSED or link.broken
            if refused:
                node.refused(link.account, link.gate)
            node.presence.dial_ended(link.account, link.address, now, refused=refused)
        elif isinstance(link.handshake, ComparingResponder) and link.handshake.admitted:
            node.visibility.attempt_ended(link, code)
        node.wake()

    def _hello(self, device: DeviceId) -> bytes:
        node = self._node
        me = node.people.me
        hello = Hello(
            node.instance,
            node.clock.wall_ms(),
            limits.UNACKNOWLEDGED_BYTES,
            list(node.people.mine.heads),
            me.presence_key,
            me.presence_number,
            over=node.links.over(device),
            holds=node.presence_keys.held(account) if (account := node.people.account_of(device)) is not None else 0,
        )
        return wire.encode(hello)[1]
