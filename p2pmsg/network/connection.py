"""One link as the node sees it: whole frames in order, an exporter, and a close that counts at once.

Drives aioquic's connection, which does no I/O of its own, with batches of datagrams and one timer.
Knows frames' lengths, not their meaning.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from aioquic.quic import events
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.addresses import Address
from p2pmsg.model.ids import LinkNumber
from p2pmsg.network.listener import Router
from p2pmsg.network.outlet import Outlet
from p2pmsg.network.patience import Patience
from p2pmsg.network.quic import CONTROL_STREAM, Quic
from p2pmsg.network.tls import exporter
from p2pmsg.network.udp import Datagram, UdpSocket
from p2pmsg.protocol.messages import BYE, LIMIT, MISBEHAVED, REFUSED
from p2pmsg.protocol.wire import FrameReader

_PING: Final = 0
_ANSWERED_S: Final = 0.5
"""Silent for longer after a ping was due, a peer may have another network card now: then the kernel looks for it."""


class Connection:
    """A QUIC connection to one peer, dialled or answered. Made by `Endpoint` alone."""

    def __init__(self, number: LinkNumber, quic: Quic, router: Router, socket: UdpSocket | None, remote: Address, *, dialled: bool) -> None:
        self.number = number
        self.dialled = dialled
        self.outlet = Outlet(quic, socket, dialled=dialled)
        self.half_open = not dialled
        self._quic, self._router, self._loop = quic, router, router.loop
        self._remote = remote
        self._reader = FrameReader(limits.UNPROVEN_BYTES)
        self._unproven_left = limits.UNPROVEN_BYTES
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._ready = False
        self._authenticated = False
        self._closed = False
        self._gone = False
        self._patience = Patience(router.settings, self._loop.time())
        self._quic_due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn_comes = False

    def __repr__(self) -> str:
        return f"<link {self.number} {'to' if self.dialled else 'from'} {self.remote}>"

    # -- what it tells

    @property
    def remote(self) -> Address:
        """The peer's address: the one its packets come from now."""
        peer = self._quic.get_peer_address()
        if peer is not None and (peer[0] != self._remote.host or peer[1] != self._remote.port):
            self._remote = Address(peer[0], peer[1], peer[3] if len(peer) == 4 else 0)
        return self._remote

    @property
    def interface(self) -> int:
        """Index of the interface that the peer's last packet came by; 0 where that is not known."""
        return self.outlet.local.interface if self.outlet.local is not None else 0

    @property
    def local(self) -> str | None:
        """The own address that the peer's last packet came to; None where that is not known."""
        return None if self.outlet.local is None else str(ip_address(self.outlet.local.address))

    @property
    def closed(self) -> bool:
        """Whether it is over for the listener: no callback comes any more and `write` does nothing."""
        return self._closed

    @property
    def rtt_ms(self) -> float | None:
        """The smoothed round trip in milliseconds; None before the first sample."""
        rtt_s = self._quic.rtt_s
        return None if rtt_s is None else rtt_s * 1000

    @property
    def last_heard(self) -> float | None:
        """Loop time of the peer's last genuine packet; None before the first."""
        return self._quic.last_heard

    @property
    def unsent(self) -> int:
        """Bytes written that the peer's QUIC has not acknowledged."""
        return self._output_bytes + self._quic.unacknowledged

    @property
    def frame_limit(self) -> int:
        """The greatest length that a frame's header may name."""
        return self._reader.limit

    @frame_limit.setter
    def frame_limit(self, size_bytes: int) -> None:
        """Raised above `limits.UNPROVEN_BYTES` it also lifts the limit on all bytes and opens the receive window.

        So it is to be raised as soon as the peer's MAC has verified.
        """
        self._reader.limit = size_bytes
        if size_bytes > limits.UNPROVEN_BYTES:
            self._unproven_left = -1
            self._quic.window = limits.RECEIVE_WINDOW_BYTES

    # -- what the listener does

    def write(self, data: bytes) -> None:
        """Send bytes after all written before; those of one turn of the loop leave together. Never calls the listener.

        A peer that leaves more than `output_bytes` unacknowledged is closed with LIMIT at the end of this turn.
        Does nothing once it is closed.
        """
        if self._closed:
            return
        self._output.append(data)
        self._output_bytes += len(data)
        self._turn_soon()

    def authenticated(self) -> None:
        """Say that the peer is proven: no longer half-open or under the handshake's timer, and worth full datagrams."""
        if self._closed or self._authenticated:
            return
        self._authenticated = True
        self._quic.datagram_bytes = limits.DATAGRAM_BYTES
        self._prove()

    def compare(self) -> None:
        """Say that from now on people compare what they see: they have COMPARE_TIMEOUT_S, and the handshake its own time once more."""
        self._patience.compare(self._loop.time())

    def close(self, code: int) -> None:
        """End the link for an application reason: over for us at once, no callback follows. What was written goes first."""
        if not self._closed:
            self._closed = True
            self._hang_up(code)

    def abandon(self) -> None:
        """Say nothing any more, and hear nothing: to its peer it is as if the cable were pulled. No callback follows."""
        self._closed = True
        self._output.clear()
        self._leave()

    def refuse(self) -> None:
        """End the link as every fault before WELCOME ends: 0x100 at the next tick, whatever it was. No callback follows."""
        if not self._closed:
            self._closed = True
            self._refuse()

    # -- what the endpoint does

    def received(self, socket: UdpSocket, batch: Sequence[Datagram]) -> None:
        """Take datagrams that carry one of this connection's ids."""
        if self.outlet.parted:
            self.outlet.repeat_farewell()
        elif not self._gone:
            self._turn(socket, batch)

    def start(self) -> None:
        """Begin in the next turn of the loop."""
        self._turn_soon()

    def nudge(self, slept_s: float) -> None:
        """Ask at once whether the peer is there, as the network may be another, or back; it ends without an answer in ANSWER_S.

        `slept_s` is time that the clock did not count. A link that was silent for too long with it is lost in the next turn of the loop,
        whatever waits in the socket: the peer has given it up.
        """
        self._quic.pass_over(slept_s)
        if self._patience.slept_too_long(slept_s, self._loop.time()):
            self._loop.call_soon(self._lose, None)
        elif self._ready and not self._closed:
            self._patience.nudged(self._loop.time())
            self._quic.send_ping(_PING)
        self._quic_due = self._quic.get_timer()
        self._turn_soon()

    def idles(self, now: float) -> bool:
        """Say whether it is half-open for longer than a handshake takes, and its peer has not shown that it holds a gate key."""
        return self.half_open and self._unproven_left >= 0 and self._patience.undisturbed(now)

    def give_way(self) -> None:
        """End as if its time were over, and leave its half-open place at once."""
        self._prove()
        if not self._closed:
            self._overdue()

    def part(self) -> None:
        """Say goodbye and stop at once: the endpoint closes. A peer that is not proven gets what all strangers get."""
        self.close(BYE if self._authenticated else REFUSED)
        self._leave()

    # -- one turn: datagrams, timers, events, output, the next deadline

    def _turn(self, socket: UdpSocket | None = None, batch: Sequence[Datagram] = ()) -> None:
        if self._gone or self.outlet.parted:
            return
        self._turn_comes = True  # what the listener writes meanwhile leaves at the end of this one
        try:
            self._take(socket, batch)
            self._see_events()
            self._keep_time()
            self._push()
        except Exception as error:  # a link has no task, but turns: a fault of aioquic's or the listener's ends this one alone
            self._loop.call_exception_handler({"message": f"{self!r} failed", "exception": error})
            self._output.clear()
            self._loop.call_soon(self._fail, MISBEHAVED)
            self._loop.call_later(self._router.settings.linger_s, self._leave)
        finally:
            self._turn_comes = False
        if not self._gone and not self.outlet.parted:
            self._arm()

    def _turn_soon(self) -> None:
        if not self._turn_comes:
            self._turn_comes = True
            self._loop.call_soon(self._turn)

    def _take(self, socket: UdpSocket | None, batch: Sequence[Datagram]) -> None:
        now, quic = self._loop.time(), self._quic
        heard = quic.last_heard
        for datagram in batch:
            quic.receive_datagram(datagram.data, datagram.sender, now)
        if quic.last_heard != heard and batch and batch[-1].sender == quic.get_peer_address():
            self.outlet.local = batch[-1].local
            if self._authenticated:
                self.outlet.answered_until = now + self._router.settings.ping_after_s + _ANSWERED_S
            if not self.dialled:
                self.outlet.socket = socket
        if self._quic_due is not None and now >= self._quic_due:
            due = quic.get_timer()  # fresh: what came now may have settled what was due
            if due is not None and now >= due:
                quic.handle_timer(now)
                if quic.unanswered_probes >= limits.BLACK_HOLE_PROBES:
                    quic.datagram_bytes = SMALLEST_MAX_DATAGRAM_SIZE

    def _see_events(self) -> None:
        data: list[bytes] = []
        ended = False
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, events.StreamDataReceived):
                data.append(event.data)
                ended = ended or event.end_stream
            elif isinstance(event, events.HandshakeCompleted):
                self._be_ready()
            elif isinstance(event, events.ConnectionIdIssued):
                self._router.route(event.connection_id, self)
            elif isinstance(event, events.ConnectionIdRetired):
                self._router.unroute(event.connection_id)
            elif isinstance(event, events.StreamReset | events.StopSendingReceived):
                ended = True
        if data and not self._closed:
            self._hand_over(b"".join(data))
        if self._quic.closing and not self.outlet.parted:
            self._lose(self._quic.peer_code)
        elif ended:
            self._fault()
        elif self._quic.last_heard is None and not self.dialled:
            self._lose(None)  # a first packet that nobody could read: it takes no half-open place

    def _be_ready(self) -> None:
        if not self._closed:
            self._ready = True
            self._router.listener.connection_ready(self, exporter(self._quic))

    def _hand_over(self, data: bytes) -> None:
        try:
            if self._unproven_left >= 0:
                self._unproven_left -= len(data)
                if self._unproven_left < 0:
                    raise PeerMisbehaved("more bytes than a peer may send before its MAC has verified")
            for frame in self._reader.feed(data):
                if self._closed:
                    return
                self._router.listener.frame_received(self, frame)
        except PeerMisbehaved:
            self._fault()

    def _keep_time(self) -> None:
        now = self._loop.time()
        if self._gone or self._closed:
            return
        if not self._authenticated and now >= self._patience.handshake_until:
            self._overdue()
        elif now >= self._patience.answer_until(self._quic.last_heard):
            self._lose(None)
        elif self._ready and now >= self._patience.ping_at(self._quic.last_heard):
            self._patience.pinged(now)
            self._quic.send_ping(_PING)

    def _push(self) -> None:
        if self._gone or self.outlet.parted:
            return
        if self._output and self._ready and (self.dialled or self._quic.has_stream):
            self._quic.send_stream_data(CONTROL_STREAM, b"".join(self._output))
            self._output.clear()
            self._output_bytes = 0
        if not self._closed and self.unsent > self._router.settings.output_bytes:
            self._fail(LIMIT)
            return
        self.outlet.transmit(self._loop.time())
        if self.outlet.error and self.dialled and not self._quic.established:
            self._lose(None)  # no way to there from here: no use to wait for the timer

    def _arm(self) -> None:
        self._quic_due = self._quic.get_timer()
        wake = math.inf if self._quic_due is None else self._quic_due
        if not self._closed:
            if not self._authenticated:
                wake = min(wake, self._patience.handshake_until)
            if self._ready:
                heard = self._quic.last_heard
                wake = min(wake, self._patience.ping_at(heard), self._patience.answer_until(heard))
        timer = self._timer
        if wake == math.inf or (timer is not None and timer.when() <= wake):
            return  # an earlier wake-up arms the next one
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(wake, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._turn()

    # -- ends

    def _overdue(self) -> None:
        """Give up a link whose peer is not proven in time: as any other fault if it speaks TLS, else without a word."""
        if self._quic.established:
            self._fault()
        else:
            self._lose(None)

    def _fault(self) -> None:
        """Close because of the peer's fault, and tell the listener."""
        if self._authenticated:
            self._fail(MISBEHAVED)
        elif not self._closed:
            self._tell_lost(None)
            self._refuse()

    def _fail(self, code: int) -> None:
        if not self._closed:
            self._tell_lost(None)
            self._hang_up(code)

    def _lose(self, code: int | None) -> None:
        """Note that the connection is over below us."""
        if not self._gone:
            self._tell_lost(code)
            self.outlet.transmit(self._loop.time())  # aioquic's own CONNECTION_CLOSE, where it was the one to object
            self._leave()

    def _tell_lost(self, code: int | None) -> None:
        known = not self._closed and (self.dialled or self._ready)
        self._closed = True
        if known:
            self._router.listener.connection_lost(self, code)

    def _refuse(self) -> None:
        tick = self._router.settings.failure_tick_s
        self._loop.call_at((math.floor(self._loop.time() / tick) + 1) * tick, self._hang_up, REFUSED)
        self._output.clear()

    def _hang_up(self, code: int) -> None:
        """Send what was written and the close, and repeat that for a while to a peer that goes on talking."""
        if self._gone or self.outlet.parted:
            return
        self._push()
        self._quic.close(code)
        self.outlet.part(self._loop.time())
        self._prove()
        self._cancel_timer()
        if self._ready:
            self._loop.call_later(self._router.settings.linger_s, self._leave)
        else:
            self._leave()

    def _prove(self) -> None:
        if self.half_open:
            self.half_open = False
            self._router.proven(self)

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            self._prove()
            self._cancel_timer()
            self._quic.let_go()
            self._router.left(self)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
