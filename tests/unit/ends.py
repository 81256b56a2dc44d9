"""Two ends of links in one process: endpoints on loopback with listeners that remember, and a wire that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.addresses import Address
from p2pmsg.network.connection import Connection
from p2pmsg.network.endpoint import LOOPBACK, Endpoint
from p2pmsg.network.listener import LinkSettings
from p2pmsg.network.quic import Quic
from p2pmsg.network.tls import dialler_configuration, responder_configuration
from p2pmsg.network.udp import Datagram, SocketAddress, UdpSocket
from p2pmsg.protocol.wire import Frame

QUICK = LinkSettings(idle_timeout_s=0.4, ping_after_s=0.1, handshake_timeout_s=0.3, failure_tick_s=0.05, linger_s=0.2)


def frame(body: bytes, number: int = 20) -> bytes:
    """A frame in the form they have on the channel."""
    return bytes((number,)) + len(body).to_bytes(4, "big") + body


class Person:
    """A listener that remembers, trusts every peer as soon as TLS is complete, and notices calls from inside its own."""

    def __init__(self, *, trusting: bool = True) -> None:
        self.trusting = trusting
        self.ready: asyncio.Queue[tuple[Connection, bytes]] = asyncio.Queue()
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.lost: asyncio.Queue[tuple[Connection, int | None]] = asyncio.Queue()
        self.on_frame: Callable[[Connection, Frame], None] | None = None
        self.endpoint: Endpoint
        self.busy = False
        self.surprised = False

    def connection_ready(self, connection: Connection, exporter: bytes) -> None:
        self.surprised |= self.busy
        if self.trusting:
            connection.frame_limit = limits.FRAME_BYTES
            connection.authenticated()
        self.ready.put_nowait((connection, exporter))

    def frame_received(self, connection: Connection, frame: Frame) -> None:
        self.surprised |= self.busy
        self.frames.put_nowait(frame)
        if self.on_frame is not None:
            self.on_frame(connection, frame)

    def connection_lost(self, connection: Connection, code: int | None) -> None:
        self.surprised |= self.busy
        self.lost.put_nowait((connection, code))

    def dial(self, other: Person, host: str = "127.0.0.1") -> Connection:
        return self.endpoint.dial(Address(host, other.endpoint.port))


def refuse_frame(connection: Connection, frame: Frame) -> None:
    raise PeerMisbehaved("a frame nobody asked for")


@asynccontextmanager
async def person(
    settings: LinkSettings | None = None, *, trusting: bool = True, hosts: tuple[str, ...] = LOOPBACK
) -> AsyncIterator[Person]:
    """Somebody with an endpoint on loopback; faults that links report to the event loop fail the test."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    somebody = Person(trusting=trusting)
    somebody.endpoint = Endpoint(somebody, settings)
    await somebody.endpoint.bind(hosts)
    try:
        async with asyncio.timeout(20):
            yield somebody
    finally:
        await somebody.endpoint.close()
    assert not faults
    assert not somebody.surprised, "a callback came from inside a call"


@asynccontextmanager
async def linked(
    settings: LinkSettings | None = None, *, trusting: bool = True
) -> AsyncIterator[tuple[Person, Person, Connection, Connection]]:
    """Ann and Bob, and Ann's link to Bob: (ann, bob, ann's end, bob's end)."""
    async with person(settings, trusting=trusting) as ann, person(settings, trusting=trusting) as bob:
        mine = ann.dial(bob)
        await ann.ready.get()
        theirs, _ = await bob.ready.get()
        yield ann, bob, mine, theirs


async def nothing(queue: asyncio.Queue[Any], for_s: float) -> None:
    """See that nothing comes for a while."""
    try:
        async with asyncio.timeout(for_s):
            raise AssertionError(f"{await queue.get()} came")
    except TimeoutError:
        return


class Wire:
    """A relay that a dialler takes for the peer; `cut` swallows what passes, `passed` counts it."""

    def __init__(self, to: Person) -> None:
        self.cut = False
        self.passed = 0
        self._far: SocketAddress = ("127.0.0.1", to.endpoint.port)
        self._near: SocketAddress = self._far
        self._out = UdpSocket("127.0.0.1", 0, self._from_far)
        self._in = UdpSocket("127.0.0.1", 0, self._from_near)
        self.address = Address("127.0.0.1", self._in.port)

    def _from_near(self, own: UdpSocket, batch: list[Datagram]) -> None:
        for datagram in batch:
            self._near = datagram.sender
            self._pass(self._out, datagram.data, self._far)

    def _from_far(self, own: UdpSocket, batch: list[Datagram]) -> None:
        for datagram in batch:
            self._pass(self._in, datagram.data, self._near)

    def _pass(self, by: UdpSocket, data: bytes, to: SocketAddress) -> None:
        self.passed += 1
        if not self.cut:
            by.send([data], to)

    def close(self) -> None:
        self._in.close()
        self._out.close()


class Memory:
    """Two aioquic connections and the datagrams between them, with no socket and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.dialler = Quic(dialler_configuration(9.0))
        self.dialler.connect(("peer", 1), now=0.0)
        self.responder = Quic(responder_configuration(9.0), original_cid=self.dialler.original_destination_connection_id)

    def exchange(self, rounds: int = 4) -> int:
        """Carry datagrams to and fro; return how many."""
        carried = 0
        for _ in range(rounds):
            self.now += 0.002
            for sender, receiver in ((self.dialler, self.responder), (self.responder, self.dialler)):
                for data, _ in sender.datagrams_to_send(self.now):
                    receiver.receive_datagram(data, ("peer", 1), self.now)
                    carried += 1
        return carried
