"""Batches of datagrams through real sockets on loopback."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.network.udp import Datagram, Local, SocketAddress, UdpSocket


class Inbox:
    def __init__(self, host: str) -> None:
        self.datagrams: asyncio.Queue[Datagram] = asyncio.Queue()
        self.batches = 0
        self.socket = UdpSocket(host, 0, self._received)
        self.address: SocketAddress = (host, self.socket.port) if ":" not in host else (host, self.socket.port, 0, 0)

    def _received(self, own: UdpSocket, batch: list[Datagram]) -> None:
        self.batches += 1
        for datagram in batch:
            self.datagrams.put_nowait(datagram)

    async def get(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            return [(await self.datagrams.get()).data for _ in range(count)]


@pytest_asyncio.fixture(params=["127.0.0.1", "::1"])
async def boxes(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Inbox, Inbox]]:
    ann, bob = Inbox(request.param), Inbox(request.param)
    yield ann, bob
    ann.socket.close()
    bob.socket.close()


@pytest.mark.asyncio
async def test_sender_is_the_bound_address(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    assert ann.socket.send([b"hello"], bob.address) == 0
    async with asyncio.timeout(5):
        got = await bob.datagrams.get()
    assert (got.data, got.sender) == (b"hello", ann.address)


@pytest.mark.asyncio
async def test_runs_arrive_whole_and_in_order(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    sent = [bytes([n]) * size for n, size in enumerate([1200] * 70 + [300, 1200, 1452, 1452, 10, 10, 11])]
    ann.socket.send(sent, bob.address)
    assert await bob.get(len(sent)) == sent
    assert bob.batches < len(sent)


@pytest.mark.asyncio
async def test_one_at_a_time_where_the_kernel_does_not_segment(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    ann.socket._segments = False
    ann.socket.send([b"a" * 100] * 10, bob.address)
    assert await bob.get(10) == [b"a" * 100] * 10


@pytest.mark.asyncio
async def test_whoever_answered_gets_what_is_sent(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    sent = [b"a" * 100] * 10
    assert ann.socket.send(sent, bob.address, answered=True) == 0
    assert await bob.get(10) == sent


@pytest.mark.asyncio
async def test_empty_datagrams_are_harmless(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    ann.socket.send([b"", b"after"], bob.address)
    assert b"after" in await bob.get(1)


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells to which address a datagram came")
async def test_wildcard_answers_from_the_address_asked() -> None:
    ann, anywhere = Inbox("127.0.0.1"), Inbox("0.0.0.0")
    ann.socket.send([b"question"], ("127.0.0.3", anywhere.socket.port))
    async with asyncio.timeout(5):
        question = await anywhere.datagrams.get()
        assert question.local == Local(socket.inet_aton("127.0.0.3"), socket.if_nametoindex("lo"))
        anywhere.socket.send([b"answer"], question.sender, question.local)
        assert (await ann.datagrams.get()).sender == ("127.0.0.3", anywhere.socket.port)
    ann.socket.close()
    anywhere.socket.close()


@pytest.mark.asyncio
async def test_refused_destination_is_told_and_harms_no_other(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    nowhere: SocketAddress = ("127.0.0.1", 0) if ann.socket.family == socket.AF_INET else ("::1", 0, 0, 0)
    assert ann.socket.send([b"a"] * 3, nowhere) != 0
    assert ann.socket.send([b"b"], bob.address) == 0
    assert await bob.get(1) == [b"b"]


@pytest.mark.asyncio
async def test_datagram_too_long_is_told(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    assert ann.socket.send([bytes(70_000)], bob.address) == errno.EMSGSIZE


@pytest.mark.asyncio
async def test_closed_socket_frees_its_port_and_takes_nothing() -> None:
    ann = Inbox("127.0.0.1")
    port = ann.socket.port
    ann.socket.close()
    ann.socket.close()
    assert ann.socket.closed and ann.socket.send([b"a"], ("127.0.0.1", port)) == errno.EBADF
    UdpSocket("127.0.0.1", port, lambda own, batch: None).close()


@pytest.mark.asyncio
async def test_taken_port_is_an_error() -> None:
    ann = Inbox("127.0.0.1")
    with pytest.raises(OSError) as caught:
        UdpSocket("127.0.0.1", ann.socket.port, lambda own, batch: None)
    assert caught.value.errno == errno.EADDRINUSE
    ann.socket.close()


class FullKernel:
    """Stands in for a socket whose send buffer is full `refusals` times, which loopback never is."""

    def __init__(self, real: socket.socket, refusals: int) -> None:
        self._real, self.refusals = real, refusals

    def sendmsg(self, *args: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError(errno.EAGAIN, "full")
        return self._real.sendmsg(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.asyncio
async def test_what_the_kernel_has_no_room_for_waits_in_order(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    ann.socket._socket = FullKernel(ann.socket._socket, 2)  # type: ignore[assignment]
    for number in range(5):
        assert ann.socket.send([bytes([number])] * 2, bob.address) == 0
    assert await bob.get(10) == [bytes([number]) for number in range(5) for _ in range(2)]


@pytest.mark.asyncio
async def test_waiting_datagrams_are_bounded(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    ann.socket._socket = FullKernel(ann.socket._socket, 1)  # type: ignore[assignment]
    for _ in range(limits.SOCKET_QUEUE // 16 + 4):
        ann.socket.send([b"x"] * 16, bob.address)
    assert ann.socket._queued == limits.SOCKET_QUEUE
    await bob.get(limits.SOCKET_QUEUE)


class NoSegments(FullKernel):
    """Stands in for a device that cannot segment."""

    def sendmsg(self, buffers: Sequence[bytes], control: Any = (), *rest: Any) -> int:
        if len(buffers) > 1:
            raise OSError(errno.EIO, "no checksum offload")
        return self._real.sendmsg(buffers, control, *rest)


@pytest.mark.asyncio
async def test_device_that_cannot_segment_is_remembered(boxes: tuple[Inbox, Inbox]) -> None:
    ann, bob = boxes
    ann.socket._socket = NoSegments(ann.socket._socket, 0)  # type: ignore[assignment]
    assert ann.socket.send([b"a" * 50] * 4, bob.address) == 0
    assert await bob.get(4) == [b"a" * 50] * 4
    assert not ann.socket._segments


@given(st.lists(st.integers(0, 1500), max_size=200))
def test_runs_cover_all_and_suit_one_call_each(sizes: list[int]) -> None:
    own = object.__new__(UdpSocket)
    own._segments = True
    runs = list(own._runs([bytes(size) for size in sizes]))
    assert [n for start, stop in runs for n in range(start, stop)] == list(range(len(sizes)))
    for start, stop in runs:
        run = sizes[start:stop]
        assert len(run) <= 64 and sum(run) <= 65_000
        assert all(size == run[0] for size in run[:-1]) and run[-1] <= run[0]
