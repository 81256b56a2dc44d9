"""The network as one replaceable part: connections as QUIC gives them, announcements as datagrams, and all that may befall both.

A connection is two ordered streams of bytes and 32 bytes that both ends share. It may be slow, be cut at any byte without a word,
or lose its end to a crash; each end learns of silence by its own timeout. An announcement may be lost, doubled, late, out of order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.addresses import Address
from p2pmsg.model.ids import LinkNumber
from p2pmsg.protocol.messages import MISBEHAVED, REFUSED
from p2pmsg.protocol.wire import Frame, FrameReader
from tests.simulation.scheduler import NodeClock, Scheduler

PORT = 40_000
_RETRY_S = 0.4
"""QUIC's repetitions of what a broken path swallowed."""


class Listener(Protocol):
    """`network.listener.Listener`, with these connections."""

    def connection_ready(self, connection: Connection, exporter: bytes) -> None: ...
    def frame_received(self, connection: Connection, frame: Frame) -> None: ...
    def connection_lost(self, connection: Connection, code: int | None) -> None: ...


@dataclass(slots=True)
class Weather:
    """How bad the network is."""

    latency_s: float = 0.02
    announcement_loss: float = 0.2
    announcement_twice: float = 0.1
    announcement_late: float = 0.05
    split: float = 0.3
    """How often bytes come in pieces."""


class Network:
    """Who is where, whose packets reach whom, and what befalls them."""

    def __init__(self, scheduler: Scheduler, rng: Random) -> None:
        self.scheduler = scheduler
        self.rng = rng
        self.weather = Weather()
        self.endpoints: dict[str, Endpoint] = {}
        """By address; of processes that run."""
        self.lines: list[Line] = []
        self.blocked: set[tuple[str, str]] = set()
        """(from, to): packets of that direction are lost."""
        self.carried: Callable[[str, str, bytes], None] = lambda source, target, data: None

    def reaches(self, source: str, target: str) -> bool:
        return (source, target) not in self.blocked

    def announce(self, source: str, hear: Callable[[str], None], hosts: list[str]) -> None:
        """Have hosts hear something, each by chance: lost, twice, late."""
        for host in hosts:
            for _ in range(1 + (self.rng.random() < self.weather.announcement_twice)):
                if self.rng.random() < self.weather.announcement_loss:
                    continue
                late = self.rng.random() < self.weather.announcement_late
                self.scheduler.call_in(self.rng.uniform(0, 60.0 if late else 0.3), lambda host=host: self._hear(source, host, hear))  # type: ignore[misc]

    def _hear(self, source: str, host: str, hear: Callable[[str], None]) -> None:
        if self.reaches(source, host):
            hear(host)

    def delay(self) -> float:
        return self.rng.uniform(0.1, 1.0) * self.weather.latency_s


class Endpoint:
    """The connections of one process (`network.endpoint.Endpoint` as the node sees it)."""

    def __init__(self, network: Network, clock: NodeClock, host: str) -> None:
        self.network, self.clock, self.host = network, clock, host
        self.port = PORT
        self.listener: Listener
        self.connections: list[Connection] = []
        self._numbers = itertools.count(1)
        network.endpoints[host] = self

    def dial(self, address: Address, *, redial: bool = False) -> Connection:
        line = Line(self.network)
        connection = line.dialler = Connection(self, line, address.host, dialled=True)
        connection.begin()
        line.attempt(tries=1 if redial else 3)
        return connection

    def new_epoch(self) -> None:
        pass  # certificates play no part here

    def number(self) -> LinkNumber:
        return LinkNumber(next(self._numbers))

    def crash(self) -> None:
        """Fall silent in the midst of everything: what was handed to the network may still arrive, in part."""
        for connection in self.connections:
            connection.crash()
        if self.network.endpoints.get(self.host) is self:
            del self.network.endpoints[self.host]


class Line:
    """A connection: its two ends and the way between them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.exporter = network.rng.randbytes(32)
        self.dialler: Connection
        self.responder: Connection | None = None
        self.dead = False
        """Nothing passes any more, and nobody is told."""
        network.lines.append(self)

    def passes(self, source: Connection, target: Connection) -> bool:
        return not self.dead and self.network.reaches(source.host, target.host)

    def attempt(self, tries: int) -> None:
        """Send the first packet, and again where nobody answers."""
        self.network.scheduler.call_in(self.network.delay(), lambda: self._arrive(tries))

    def _arrive(self, tries: int) -> None:
        source, target = self.dialler.host, self.dialler.remote.host
        endpoint = self.network.endpoints.get(target)
        if self.dialler.gone:
            return
        reached = endpoint is not None and self.network.reaches(source, target) and self.network.reaches(target, source)
        if endpoint is None or not reached:
            if tries > 1:
                self.network.scheduler.call_in(1.0, lambda: self._arrive(tries - 1))
            return
        responder = self.responder = Connection(endpoint, self, source, dialled=False)
        responder.begin()
        for end in (self.dialler, responder):
            end.clock.call_in(self.network.delay(), end.be_ready)


class Connection:
    """One end (`network.connection.Connection` as the node sees it)."""

    def __init__(self, endpoint: Endpoint, line: Line, remote: str, *, dialled: bool) -> None:
        self.number = endpoint.number()
        self.dialled = dialled
        self.remote = Address(remote, PORT)
        self.interface = 0
        self.rtt_ms = 1.0
        self.unsent = 0
        self.gone = False
        """Takes no packets any more."""
        self.closed = False
        """Over for the listener."""
        self.ready = False
        self.host = endpoint.host
        self.clock = endpoint.clock
        self._endpoint, self._line = endpoint, line
        self._network, self._rng = endpoint.network, endpoint.network.rng
        self._authenticated = False
        self._output: list[bytes] = []
        self._reader = FrameReader(limits.UNPROVEN_BYTES)
        self._heard = self._network.scheduler.now
        self._began = self._heard
        self.pipe = Pipe(self)
        endpoint.connections.append(self)

    # -- as the node sees it

    @property
    def last_heard(self) -> float:
        return self.clock.of_world(self._heard)

    @property
    def frame_limit(self) -> int:
        return self._reader.limit

    @frame_limit.setter
    def frame_limit(self, size_bytes: int) -> None:
        self._reader.limit = size_bytes

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        if not self._output:
            self.clock.call_soon(self._flush)
        self._output.append(data)

    def authenticated(self) -> None:
        self._authenticated = True

    def close(self, code: int) -> None:
        if not self.closed:
            self.closed = True
            self._hang_up(code)

    def abandon(self) -> None:
        """Fall silent: the peer finds out by itself."""
        self.closed = self.gone = True
        self._output.clear()
        self.pipe.cut_off(whole=True)

    def refuse(self) -> None:
        if not self.closed:
            self.closed = True
            self._output.clear()
            self.clock.call_in(limits.FAILURE_TICK_S, lambda: self._hang_up(REFUSED))

    # -- as the network sees it

    @property
    def peer(self) -> Connection | None:
        return self._line.responder if self.dialled else self._line.dialler

    def begin(self) -> None:
        self._tend()

    def be_ready(self) -> None:
        if not self.gone:
            self.ready = True
            self.hear()
            self._endpoint.listener.connection_ready(self, self._line.exporter)

    def hear(self) -> None:
        """A packet of the peer's came, whatever is in it."""
        if self.clock.alive and not self.gone:
            self._heard = self._network.scheduler.now

    def take(self, data: bytes) -> None:
        """Bytes of the stream arrived, in order."""
        self.hear()
        self._network.carried(self.peer.host if self.peer else "", self.host, data)
        try:
            for frame in self._reader.feed(data):
                if self.closed:
                    return
                self._endpoint.listener.frame_received(self, frame)
        except PeerMisbehaved:
            self._fault()

    def peer_closed(self, code: int) -> None:
        self._lose(code)

    def crash(self) -> None:
        self.gone = self.closed = True
        self.pipe.cut_off()

    def _flush(self) -> None:
        data, self._output = b"".join(self._output), []
        if not self.gone:
            self.pipe.push(data)

    def _hang_up(self, code: int) -> None:
        if not self.gone:
            self._flush()
            self.gone = True
            self.pipe.end(code)

    def _lose(self, code: int | None) -> None:
        if self.gone:
            return
        self.gone = True
        self.pipe.cut_off(whole=True)
        known = not self.closed and (self.dialled or self.ready)
        self.closed = True
        if known:
            self._endpoint.listener.connection_lost(self, code)

    def _fault(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._endpoint.listener.connection_lost(self, None)
        self._hang_up(MISBEHAVED if self._authenticated else REFUSED)

    # -- time

    def _tend(self) -> None:
        """Ask a silent peer for a sign of life; give up one that gives none, or does not prove itself in time."""
        if self.gone:
            return
        now = self._network.scheduler.now
        if not self._authenticated and not self.closed and now >= self._began + limits.HANDSHAKE_TIMEOUT_S:
            self._fault() if self.ready else self._lose(None)
            return
        if now >= self._heard + limits.IDLE_TIMEOUT_S:
            self._lose(None)
            return
        due = self._heard + limits.PING_AFTER_S
        if now >= due:
            if self.ready:
                self._ping()
            due = now + 1.0
        if not self._authenticated:
            due = min(due, self._began + limits.HANDSHAKE_TIMEOUT_S)
        self.clock.call_in(max(due - now, 0.001), self._tend)

    def _ping(self) -> None:
        peer = self.peer
        if peer is not None and not peer.gone and peer.clock.alive and self._line.passes(self, peer):
            peer.hear()
            if self._line.passes(peer, self):
                self._network.scheduler.call_in(self._network.delay(), self.hear)


class Pipe:
    """What one end wrote and the other has not got yet."""

    def __init__(self, source: Connection) -> None:
        self.left: int | None = None
        """After so many more bytes the line falls silent for ever."""
        self._source = source
        self._bytes = bytearray()
        self._code: int | None = None
        self._abandoned = False
        """Nobody sends again what is lost now."""
        self._under_way = False

    def push(self, data: bytes) -> None:
        self._bytes += data
        self._go()

    def end(self, code: int) -> None:
        """The source has closed: what is lost now is not sent again, and the close itself may be lost."""
        rng = self._source._rng
        self._abandoned = True
        if rng.random() < 0.1:
            del self._bytes[rng.randrange(len(self._bytes) + 1) :]
        if rng.random() < 0.9:
            self._code = code
        self._go()

    def cut_off(self, *, whole: bool = False) -> None:
        """The source is no more: some of what is on its way still arrives."""
        self._abandoned = True
        self._code = None
        del self._bytes[0 if whole else self._source._rng.randrange(len(self._bytes) + 1) :]

    def _go(self, delay_s: float | None = None) -> None:
        if not self._under_way:
            self._under_way = True
            network = self._source._network
            network.scheduler.call_in(network.delay() if delay_s is None else delay_s, self._arrive)

    def _arrive(self) -> None:
        self._under_way = False
        source, line = self._source, self._source._line
        target = source.peer
        if line.dead or target is None or target.gone or not target.clock.alive:
            self._bytes.clear()
            return
        if not target.ready or not line.passes(source, target):
            if not self._abandoned or not target.ready:
                self._go(_RETRY_S if target.ready else 0.005)
            return
        data = self._next_piece()
        if self.left == 0:
            line.dead = True
        if data:
            target.take(data)
            if line.passes(target, source):
                source.hear()
        if self._bytes:
            self._go()
        elif self._code is not None and not line.dead:
            code, self._code = self._code, None
            target.peer_closed(code)

    def _next_piece(self) -> bytes:
        rng = self._source._rng
        size = len(self._bytes)
        if size > 1 and rng.random() < self._source._network.weather.split:
            size = rng.randrange(1, size)
        if self.left is not None:
            size = min(size, self.left)
            self.left -= size
        data = bytes(self._bytes[:size])
        del self._bytes[:size]
        return data
