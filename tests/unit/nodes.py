"""Nodes without a network: connections that are a list of bytes, or lead to another node of the same process, and storage inline."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import gates
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.clock import LoopClock
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.messaging import Messaging
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.presence_keys import PRESENCE_KEY
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.model.ids import LinkNumber
from p2pmsg.protocol.bodies import SettingBody
from p2pmsg.protocol.wire import Frame, FrameReader
from p2pmsg.rpc import api
from p2pmsg.storage import doors, people, ranges
from p2pmsg.storage.worker import Inline
from tests.unit.people import Person, seeded
from tests.unit.shelves import Shelf, own

PAIR_KEY = seeded("pair")
NETWORK = Interface("eth0", 2, (("10.0.0.1", 8),), ())
_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class Wire:
    """A connection as the node sees it. What is written stays in `written`, or goes to `peer`."""

    remote: Address = field(default_factory=lambda: Address("10.0.0.9", 40_000))
    listener: Any = None
    peer: Wire | None = None
    dialled: bool = False
    number: LinkNumber = field(default_factory=lambda: LinkNumber(next(_numbers)))
    interface: int = 2
    local: str | None = None
    rtt_ms: float | None = 1.0
    last_heard: float = 0.0
    written: bytes = b""
    now: Callable[[], float] = lambda: 0.0
    closed: int | None = None
    refused: bool = False
    abandoned: bool = False
    proven: bool = False
    compares: bool = False
    reader: FrameReader = field(default_factory=FrameReader)

    @property
    def frame_limit(self) -> int:
        return self.reader.limit

    @frame_limit.setter
    def frame_limit(self, size_bytes: int) -> None:
        self.reader.limit = size_bytes

    @property
    def over(self) -> bool:
        return self.closed is not None or self.refused or self.abandoned

    def write(self, data: bytes) -> None:
        if self.over:
            return
        self.written += data
        if self.peer is not None:
            asyncio.get_running_loop().call_soon(self.peer.take, data)

    def take(self, data: bytes) -> None:
        """Bytes came from the peer."""
        if self.over:
            return
        self.last_heard = self.now()
        try:
            for frame in self.reader.feed(data):
                self.listener.frame_received(self, frame)
        except PeerMisbehaved:
            self.lose(None)

    def authenticated(self) -> None:
        self.proven = True

    def compare(self) -> None:
        self.compares = True

    def close(self, code: int) -> None:
        self.closed = code
        if self.peer is not None:
            asyncio.get_running_loop().call_soon(self.peer.lose, code)

    def abandon(self) -> None:
        self.abandoned = True

    def refuse(self) -> None:
        self.refused = True
        if self.peer is not None:
            asyncio.get_running_loop().call_soon(self.peer.lose, 0x100)

    def lose(self, code: int | None) -> None:
        """The connection ended by itself."""
        if not self.over:
            self.closed = -1
            self.listener.connection_lost(self, code)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        data, self.written = self.written, b""
        return data

    def frames(self) -> list[Frame]:
        return FrameReader(limits.FRAME_BYTES).feed(self.taken())


class Endpoint:
    """Dials other nodes of the same process, by their addresses."""

    def __init__(self, address: Address, others: dict[Address, Endpoint]) -> None:
        self.address, self.others = address, others
        self.port = address.port
        self.listener: Any = None
        self.dialled: list[Address] = []
        self.epochs = 0
        self.nudges: list[float] = []
        others[address] = self

    def dial(self, address: Address, *, redial: bool = False) -> Wire:
        self.dialled.append(address)
        loop = asyncio.get_running_loop()
        wire = Wire(address, self.listener, dialled=True, now=loop.time)
        there = self.others.get(address)
        if there is None:
            loop.call_soon(wire.lose, None)
            return wire
        wire.peer = Wire(self.address, there.listener, wire, now=loop.time)
        exporter = seeded(f"exporter {wire.number}")
        loop.call_soon(self.listener.connection_ready, wire, exporter)
        loop.call_soon(there.listener.connection_ready, wire.peer, exporter)
        return wire

    def nudge(self, slept_s: float = 0.0) -> None:
        self.nudges.append(slept_s)

    def new_epoch(self) -> None:
        self.epochs += 1


class House:
    """One device: its database, node, and what the faces use of them."""

    def __init__(self, who: Person, others: dict[Address, Endpoint] | None = None, shelf: Shelf | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.who = who
        self.shelf = shelf or moved_in(who)
        self.storage = Inline(self.shelf.db, loop.call_soon)
        others = {} if others is None else others
        self.endpoint = Endpoint(Address(f"10.0.0.{len(others) + 1}", 40_000), others)
        self.node = Node(load_people(self.shelf.db), self.storage, self.endpoint, LoopClock(), frozenset(Path))
        self.endpoint.listener = self.node.linkage
        self.node.network = lambda address: "home"
        self.announcer = Announcer(self.node, self.endpoint)  # type: ignore[arg-type]
        self.announcer.interfaces = (NETWORK,)
        self.redrawn = 0
        self.node.hide = self._hide

    def start(self) -> House:
        self.node.start(ranges.tips(self.shelf.db))
        return self

    def messaging(self, *, receipts: bool = True) -> Messaging:
        return Messaging(self.node, self.storage, Settings(receipts_read=receipts))  # type: ignore[arg-type]

    @property
    def only_contact(self) -> str:
        return next(iter(self.node.people.contacts)).hex()

    async def send(self, text: str, target: str | None = None, **more: Any) -> dict[str, Any]:
        """Send to the only contact, or whom the test names."""
        return await self.messaging().send(api.Send(target=target or self.only_contact, text=text, **more))

    async def history(self, **more: Any) -> list[dict[str, Any]]:
        return await self.messaging().history(api.History(target=self.only_contact, **more))

    async def read(self, *, receipts: bool = True) -> list[dict[str, Any]]:
        return await self.messaging(receipts=receipts).read(api.Read(target=self.only_contact))

    @property
    def address(self) -> Address:
        return self.endpoint.address

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; looks whenever the node tells of a change."""
        changed = asyncio.Event()
        self.node.changed.append(changed.set)
        self.node.peer_changed.append(lambda device: changed.set())
        async with asyncio.timeout(5):
            while not holds():
                await changed.wait()
                changed.clear()

    def _hide(self) -> None:
        """Counts: there are no ports here."""
        self.redrawn += 1

    def linked(self, other: House) -> bool:
        return bool(self.node.links.of_account(other.who.account))

    def sees(self, other: House) -> None:
        """Learn where another is, and dial."""
        self.node.presence.sighted(other.who.account, [other.address], Path.MDNS, self.node.clock.now())
        self.node.wake()


def moved_in(who: Person, *contacts: Person) -> Shelf:
    """Return the database of a device as `init` leaves it, with contacts."""
    shelf = Shelf(who)
    shelf.write(own(who), SettingBody(PRESENCE_KEY, [seeded(f"{who.name}/presence"), 1]))
    for other in contacts:
        shelf.meet(other)
        people.add_links(shelf.db, other.links, shelf.now_ms)
        doors.add_pair(shelf.db, gates.pair_gate(PAIR_KEY, who.account, other.account), other.account, shelf.now_ms)
    return shelf


async def settle(turns: int = 200) -> None:
    """Let everything that follows without waiting happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def neighbours(a: Person, b: Person) -> AsyncIterator[tuple[House, House]]:
    """Two contacts on one network, linked."""
    others: dict[Address, Endpoint] = {}
    one = House(a, others, moved_in(a, b)).start()
    two = House(b, others, moved_in(b, a)).start()
    one.sees(two)
    try:
        for house, other in ((one, two), (two, one)):
            await house.until(lambda house=house, other=other: house.linked(other))  # type: ignore[misc]
        yield one, two
    finally:
        for house in (one, two):
            house.node.stop()
        await settle()
