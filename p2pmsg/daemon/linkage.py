"""Connections become links here: the handshake is driven, the channel opened and renewed, faults answered.

Synchronous, on the event loop, with no await between reading and writing state. What open links carry is for the node.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.crypto.channel import Channel
from p2pmsg.daemon.clock import Clock, Timer
from p2pmsg.errors import P2pmsgError, PeerMisbehaved
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.gates import Ended, GateRow
from p2pmsg.model.ids import AccountId, LinkNumber, short
from p2pmsg.protocol import comparing, wire
from p2pmsg.protocol.comparing import ComparingDialler, ComparingResponder
from p2pmsg.protocol.handshake import ENTROPY_BYTES, Dialler, Responder
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import BYE, MISBEHAVED, CommitPeering, CompareStrings, HandshakeCommand, OpenLink, Peering, SendBytes
from p2pmsg.protocol.proofs import ChainReader
from p2pmsg.protocol.wire import Frame, FrameType, Hello, Message

if TYPE_CHECKING:
    from p2pmsg.network.connection import Connection

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Joining:
    """What the dials for an invite are to become, and who hears of them."""

    name: str | None
    """The local name to give."""
    opened: Callable[[], None]
    failed: Callable[[Exception | bool], None]
    """Called with an error that ends the attempt, else with whether somebody refused."""
    compare: Callable[[Link, CompareStrings], None] | None = None
    """Set where a stranger is dialled: shows the strings to be compared."""
    proven: LinkNumber | None = None
    """The link whose other end proved first to hold the invite: the others go no further, or its maker would store two keys of one pair."""


@dataclass(slots=True)
class Link:
    """A connection and what has become of it: dialled or answered, proven, open."""

    connection: Connection
    path: Path
    account: AccountId | None
    """Whom I dialled; of an answered connection it is known once proven."""
    gate: GateRow | None = None
    joining: Joining | None = None
    id: bytes = b""
    """What both ends call it, once TLS is done."""
    handshake: Dialler | Responder | None = None
    channel: Channel | None = None
    peering: Peering | None = None
    name: str | None = None
    """The local name to give to who asked to become a contact."""
    hello: Hello | None = None
    opened_ms: int = 0
    broken: bool = False
    """It ended by a fault before it was open."""
    deadline: float | None = None
    timeout: Timer | None = None
    chain: ChainReader | None = None
    """CHAIN frames on the open link, until the last of them."""

    @property
    def number(self) -> LinkNumber:
        return self.connection.number

    @property
    def nobodys(self) -> bool:
        """Whether somebody has come in who was not let in so far, not even to compare."""
        answered = self.path is Path.INCOMING and self.channel is None and self.peering is None
        return answered and not (isinstance(self.handshake, ComparingResponder) and self.handshake.admitted)

    @property
    def address(self) -> Address:
        return self.connection.remote


class Sink(Protocol):
    """What the node does with links."""

    def knowledge(self) -> Knowledge: ...
    def strings_ready(self, link: Link, compare: CompareStrings) -> None: ...
    def peering_proven(self, link: Link, peering: Peering) -> None: ...
    def link_opened(self, link: Link) -> None: ...
    def chain_received(self, link: Link, payload: bytes) -> None: ...
    def message_received(self, link: Link, message: Message) -> None: ...
    def hold_changed(self, link: Link, holding: bool) -> None: ...
    def link_lost(self, link: Link, code: int | None) -> None: ...


class Linkage:
    """All connections of this process, from the dial or the first packet to the end."""

    def __init__(self, clock: Clock, sink: Sink) -> None:
        self._clock = clock
        self._sink = sink
        self._links: dict[LinkNumber, Link] = {}
        self.not_understood: set[AccountId] = set()
        """Whose devices sent frames that this version does not know."""
        self.misbehaved = 0
        self.refused = 0

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    def get(self, number: LinkNumber) -> Link | None:
        return self._links.get(number)

    def dialled(self, link: Link) -> None:
        """Take on a connection that was just dialled."""
        self._links[link.number] = link

    # -- the endpoint's listener

    def connection_ready(self, connection: Connection, exporter: bytes) -> None:
        """TLS is done: the handshake inside begins."""
        link = self._links.get(connection.number)
        now = self._clock.now()
        knowledge = self._sink.knowledge()
        if link is None:
            link = self._links[connection.number] = Link(connection, Path.INCOMING, None)
            link.handshake = ComparingResponder(knowledge, exporter, os.urandom(comparing.ENTROPY_BYTES), now)
        elif link.joining is not None and link.joining.compare is not None:
            link.handshake = ComparingDialler(knowledge, exporter, os.urandom(comparing.ENTROPY_BYTES), now)
        else:
            assert link.gate is not None and link.account is not None
            link.handshake = Dialler(knowledge, exporter, link.gate, link.account, os.urandom(ENTROPY_BYTES), now)
        link.id = gates.link_id(exporter)
        self._guarded(link, link.handshake.start)

    def frame_received(self, connection: Connection, frame: Frame) -> None:
        """A whole frame of the control stream."""
        link = self._links.get(connection.number)
        if link is None or link.broken:
            return
        if link.channel is not None:
            self._guarded(link, lambda: self._frame_on_channel(link, frame))
        elif link.joining is not None and link.joining.proven not in (None, link.number):
            self.close(link.number, BYE)
        elif link.handshake is not None:
            handshake = link.handshake
            self._guarded(link, lambda: handshake.receive(frame, self._clock.now()))

    def connection_lost(self, connection: Connection, code: int | None) -> None:
        """The connection ended; `code` is what the peer said, None for silence or a fault of the transport."""
        link = self._links.pop(connection.number, None)
        if link is not None:
            self._ended(link, code)

    # -- the node's orders

    def committed(self, number: LinkNumber, ended: Ended | None = None) -> None:
        """What the link means is stored, or the invite had ended when that was tried: go on with the handshake."""
        link = self._links.get(number)
        if link is None or link.handshake is None or link.broken:
            return
        handshake, now = link.handshake, self._clock.now()
        if ended is not None and isinstance(handshake, Responder):
            self._guarded(link, lambda: handshake.gone(ended, now))
        else:
            self._guarded(link, lambda: handshake.committed(now))

    def consent(self, number: LinkNumber) -> None:
        """My user said that the strings are the same; on a link that has ended it changes nothing."""
        link = self._links.get(number)
        handshake = link.handshake if link is not None else None
        if link is not None and isinstance(handshake, ComparingDialler | ComparingResponder):
            self._guarded(link, lambda: handshake.consent(self._clock.now()))

    def refuse(self, number: LinkNumber) -> None:
        """End a link that is not open, as a fault would."""
        link = self._links.get(number)
        if link is not None and link.channel is None:
            self._fault(link, PeerMisbehaved("my user said no"))

    def send(self, number: LinkNumber, message: Message) -> None:
        """Seal and write a message on an open link; one that has ended takes nothing."""
        link = self._links.get(number)
        if link is not None:
            self.send_frame(link, *wire.encode(message))

    def send_frame(self, link: Link, frame_type: int, payload: bytes) -> None:
        channel = link.channel
        if channel is not None and not link.broken:
            self._guarded(link, lambda: self._seal(link, channel, frame_type, payload))

    def close(self, number: LinkNumber, code: int) -> None:
        """Close now; the node hears of it at once."""
        link = self._links.pop(number, None)
        if link is not None:
            link.connection.close(code)
            self._ended(link, code)

    def abandon(self, number: LinkNumber) -> None:
        """Leave a link without a word, as if the cable were pulled; the node hears of it at once."""
        link = self._links.pop(number, None)
        if link is not None:
            link.connection.abandon()
            self._ended(link, None)

    def fault(self, number: LinkNumber, fault: PeerMisbehaved) -> None:
        """A peer broke the rules on an open link: this link ends, nothing else is harmed."""
        link = self._links.get(number)
        if link is not None:
            self._fault(link, fault)

    def poll(self, now: float) -> float | None:
        """Renew channels that are due; return when to be called again."""
        earliest: float | None = None
        for link in self:
            if link.channel is None or link.broken:
                continue
            if link.channel.deadline <= now:
                self._guarded(link, lambda link=link: self._tick(link, now))  # type: ignore[misc]
            if link.channel is not None and not link.broken:
                earliest = link.channel.deadline if earliest is None else min(earliest, link.channel.deadline)
        return earliest

    # -- inside

    def _guarded(self, link: Link, step: Callable[[], list[HandshakeCommand] | None]) -> None:
        """Run one step of a link: a peer's fault, or even one of ours, ends this link alone."""
        try:
            for command in step() or ():
                self._perform(link, command)
        except PeerMisbehaved as fault:
            self._fault(link, fault)
        except P2pmsgError as error:
            self._tell_failure(link, error)
            self.close(link.number, BYE)
        except Exception:
            _log.exception("link %d failed", link.number)
            self._fault(link, PeerMisbehaved("a fault of our own"))
        self._keep_time(link)

    def _keep_time(self, link: Link) -> None:
        """A proven peer may send longer frames; a slow one is told so by the clock."""
        handshake = link.handshake
        if handshake is not None and handshake.proven:
            link.connection.frame_limit = limits.FRAME_BYTES
            if link.joining is not None:
                link.joining.proven = link.number
        deadline = handshake.deadline if handshake is not None and not link.broken else None
        if deadline == link.deadline:
            return
        self._stop_timer(link)
        link.deadline = deadline
        if deadline is not None and deadline < float("inf"):
            link.timeout = self._clock.call_at(deadline, lambda: self._timed_out(link.number))

    def _perform(self, link: Link, command: HandshakeCommand) -> None:
        match command:
            case SendBytes(data):
                link.connection.write(data)
            case CompareStrings():
                link.connection.compare()
                self._sink.strings_ready(link, command)
            case CommitPeering(peering):
                link.peering = peering
                self._sink.peering_proven(link, peering)
            case OpenLink(peering, channel, hello):
                link.peering, link.channel, link.hello = peering, channel, hello
                link.account = peering.account
                link.handshake = None
                link.opened_ms = self._clock.wall_ms()
                link.connection.authenticated()
                self._sink.link_opened(link)

    def _seal(self, link: Link, channel: Channel, frame_type: int, payload: bytes) -> None:
        was_holding = channel.holding
        link.connection.write(channel.send(frame_type, payload, self._clock.now()))
        if channel.holding and not was_holding:
            self._sink.hold_changed(link, True)

    def _frame_on_channel(self, link: Link, frame: Frame) -> None:
        channel = link.channel
        assert channel is not None
        was_holding = channel.holding
        payload, out = channel.receive(frame.type, frame.body, self._clock.now())
        if out:
            link.connection.write(out)
        if was_holding and not channel.holding:
            self._sink.hold_changed(link, False)
        if payload is None:
            return
        if frame.type == FrameType.CHAIN:
            self._sink.chain_received(link, payload)
        elif (message := wire.decode(frame.type, payload)) is not None:
            self._sink.message_received(link, message)
        else:
            self._not_understood(link, frame.type)

    def _not_understood(self, link: Link, frame_type: int) -> None:
        if link.account is not None and link.account not in self.not_understood:
            self.not_understood.add(link.account)
            _log.info("link %d: a frame of type %d, which this version does not know", link.number, frame_type)

    def _tick(self, link: Link, now: float) -> None:
        assert link.channel is not None
        link.connection.write(link.channel.tick(now))

    def _timed_out(self, number: LinkNumber) -> None:
        link = self._links.get(number)
        if link is not None and link.handshake is not None and not link.broken:
            handshake = link.handshake
            self._guarded(link, lambda: handshake.tick(self._clock.now()))

    def _fault(self, link: Link, fault: PeerMisbehaved) -> None:
        """End a link by a fault: before it is open all faults look the same from outside."""
        if link.broken:
            return
        if link.channel is not None:
            self.misbehaved += 1
            _log.warning("link %d: %s", link.number, fault)
            self.close(link.number, MISBEHAVED)
            return
        self.refused += 1
        link.broken = True
        _log.info("link %d refused: %s", link.number, fault)
        self._links.pop(link.number, None)
        link.connection.refuse()
        self._ended(link, None)

    def _ended(self, link: Link, code: int | None) -> None:
        self._stop_timer(link)
        who = short(link.peering.device_id) if link.peering else "?"
        _log.info("link %d with %s ended (%s)", link.number, who, "silence" if code is None else hex(code))
        self._sink.link_lost(link, code)

    def _tell_failure(self, link: Link, error: Exception) -> None:
        if link.joining is not None:
            joining, link.joining = link.joining, None
            joining.failed(error)

    def _stop_timer(self, link: Link) -> None:
        if link.timeout is not None:
            link.timeout.cancel()
            link.timeout = None
