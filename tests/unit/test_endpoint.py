"""Sockets and strangers: dialling, answering, binding again, floods. Real QUIC on loopback."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aioquic.quic.configuration import QuicConfiguration

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address
from p2pmsg.network.endpoint import ANYWHERE, LOOPBACK, Endpoint
from p2pmsg.network.listener import LinkSettings
from p2pmsg.network.quic import Quic
from p2pmsg.network.tls import dialler_configuration
from p2pmsg.network.udp import Datagram, UdpSocket
from p2pmsg.protocol.messages import REFUSED
from tests.unit.ends import QUICK, Person, Wire, frame, linked, nothing, person

pytestmark = pytest.mark.asyncio


def open_sockets() -> int:
    gc.collect()
    return sum(1 for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink() and "socket" in str(entry.readlink()))


def first_flight(configuration: QuicConfiguration | None = None) -> bytes:
    quic = Quic(configuration or dialler_configuration(9.0))
    quic.connect(("peer", 1), now=0.0)
    return quic.datagrams_to_send(0.0)[0][0]


OTHER_VERSION = b"\xc0\x6b\x33\x43\xcf\x08" + bytes(1194)


@asynccontextmanager
async def stranger(host: str = "127.0.0.1") -> AsyncIterator[tuple[UdpSocket, asyncio.Queue[bytes]]]:
    """A bare socket and what comes back to it."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    def received(own: UdpSocket, batch: list[Datagram]) -> None:
        for datagram in batch:
            answers.put_nowait(datagram.data)

    own = UdpSocket(host, 0, received)
    try:
        yield own, answers
    finally:
        own.close()


async def handled(somebody: Person) -> None:
    """Wait until somebody has handled all datagrams sent before: the answer to one more shows it."""
    async with stranger() as (own, answers):
        own.send([OTHER_VERSION], ("127.0.0.1", somebody.endpoint.port))
        await answers.get()


# -- links


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_ends_have_one_exporter_and_every_link_another(host: str) -> None:
    async with person() as ann, person() as bob:
        exporters = []
        for _ in range(2):
            mine = ann.dial(bob, host)
            ready, exporter = await ann.ready.get()
            assert ready is mine and (await bob.ready.get())[1] == exporter
            exporters.append(exporter)
        assert exporters[0] != exporters[1] and len(exporters[0]) == 32


async def test_own_port_can_be_dialled() -> None:
    async with person() as ann:
        ann.dial(ann)
        (_, first), (_, second) = await ann.ready.get(), await ann.ready.get()
        assert first == second


async def test_both_dial_at_once() -> None:
    async with person() as ann, person() as bob:
        ann.dial(bob)
        bob.dial(ann)
        assert {(await ann.ready.get())[1] for _ in range(2)} == {(await bob.ready.get())[1] for _ in range(2)}


async def test_answer_comes_from_the_address_dialled() -> None:
    async with person() as ann, person(hosts=ANYWHERE) as bob:
        mine = ann.dial(bob, "127.0.0.2")
        await ann.ready.get()
        theirs, _ = await bob.ready.get()
        assert mine.remote.host == "127.0.0.2"
        mine.write(frame(b"hello"))
        await bob.frames.get()
        assert theirs.interface == socket.if_nametoindex("lo") and theirs.local == "127.0.0.2"


async def test_new_epoch_shows_another_certificate() -> None:
    async with person() as ann, person() as bob:
        certificates = []
        for _ in range(2):
            mine = ann.dial(bob)
            await ann.ready.get()
            certificates.append(mine._quic.tls._peer_certificate)
            bob.endpoint.new_epoch()
        assert certificates[0] != certificates[1]


# -- dials that come to nothing


@pytest.mark.parametrize("redial", [False, True])
async def test_nobody_there(redial: bool) -> None:
    async with person(QUICK) as ann, stranger() as (silent, heard):
        mine = ann.endpoint.dial(Address("127.0.0.1", silent.port), redial=redial)
        assert await ann.lost.get() == (mine, None)
        assert ann.ready.empty()
        assert heard.qsize() == 1 if redial else heard.qsize() >= 1


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "fe80::1", "224.0.0.251", "ff02::fb", "0.0.0.0", "::"])
async def test_no_way_to_there(host: str) -> None:
    async with person() as ann:
        ann.busy = True
        mine = ann.endpoint.dial(Address(host, 5353, scope=1))
        ann.busy = False
        async with asyncio.timeout(1):
            assert await ann.lost.get() == (mine, None)


async def test_dial_before_bind_is_lost() -> None:
    ann = Person()
    ann.endpoint = Endpoint(ann)
    mine = ann.endpoint.dial(Address("127.0.0.1", 9))
    async with asyncio.timeout(1):
        assert await ann.lost.get() == (mine, None)


async def test_dial_given_up_calls_nobody() -> None:
    async with person() as ann, person() as bob:
        ann.dial(bob).close(0x101)
        ann.dial(bob)
        (first, _) = await bob.ready.get()
        assert ann.lost.empty() and bob.lost.empty() and not first.closed


async def test_link_local_address_is_dialled_with_its_scope() -> None:
    async with person(hosts=ANYWHERE) as ann:
        target, own = ann.endpoint._target(Address("fe80::1", 7, scope=3))
        assert target == ("fe80::1", 7, 0, 3) and own is not None and own.family == socket.AF_INET6
        assert ann.endpoint._target(Address("fd00::1", 7, scope=3))[0] == ("fd00::1", 7, 0, 0)


@pytest.mark.parametrize("alpn", [["h3"], None])
async def test_other_protocols_are_not_served(alpn: list[str] | None) -> None:
    async with person() as ann, stranger() as (own, answers):
        configuration = dialler_configuration(9.0)
        configuration.alpn_protocols = alpn
        quic = Quic(configuration)
        quic.connect(("127.0.0.1", ann.endpoint.port), now=0.0)
        own.send([quic.datagrams_to_send(0.0)[0][0]], ("127.0.0.1", ann.endpoint.port))
        quic.receive_datagram(await answers.get(), ("127.0.0.1", ann.endpoint.port), 0.0)
        assert quic.closing and not quic.established
        assert ann.endpoint.half_open == 0 and ann.ready.empty()


async def test_other_version_is_told_ours() -> None:
    async with person() as ann, stranger() as (own, answers):
        own.send([OTHER_VERSION], ("127.0.0.1", ann.endpoint.port))
        assert (await answers.get()).endswith(b"\0\0\0\1")
        assert ann.endpoint.half_open == 0


# -- strangers


async def test_garbage_is_ignored_and_counted() -> None:
    async with person() as ann, person() as bob, stranger() as (own, _):
        rubbish = [os.urandom(size) for size in (1, 5, 20, 60, 1199, 1200, 1452) for _ in range(20)]
        rubbish += [b"\xc0\0\0\0\1\x08" + os.urandom(1194) for _ in range(20)]
        rubbish += [b"\xc0\0\0\0\0" + os.urandom(1195), b"\x40" + bytes(30)]
        for data in rubbish:
            own.send([data], ("127.0.0.1", bob.endpoint.port))
        mine = ann.dial(bob)
        await bob.ready.get()
        assert bob.endpoint.half_open == 0 and not mine.closed
        assert bob.endpoint.counters.strays > 100


async def test_first_packet_that_cannot_be_read_takes_no_place() -> None:
    async with person() as ann, stranger() as (own, _):
        hello = bytearray(first_flight())
        hello[100] ^= 1
        own.send([bytes(hello)], ("127.0.0.1", ann.endpoint.port))
        async with person() as bob:
            bob.dial(ann)
            await ann.ready.get()
        assert ann.endpoint.half_open == 0


async def test_one_address_takes_eight_places_and_gives_them_back() -> None:
    async with person(QUICK, trusting=False) as ann, stranger("127.0.0.9") as (own, _):
        for _ in range(12):
            own.send([first_flight()], ("127.0.0.1", ann.endpoint.port))
        await handled(ann)
        assert ann.endpoint.half_open == limits.HALF_OPEN_PER_ADDRESS
        assert ann.endpoint.counters.turned_away == 4
        await nothing(ann.lost, 2 * QUICK.handshake_timeout_s)
        assert ann.endpoint.half_open == 0 and not ann.endpoint._by_cid


async def test_honest_peer_gets_through_a_crowd_by_retry() -> None:
    async with person() as ann, person() as bob:
        with ExitStack() as crowd:
            for n in range(20):
                own = UdpSocket(f"127.0.1.{n + 1}", 0, lambda own, batch: None)
                crowd.callback(own.close)
                own.send([first_flight()], ("127.0.0.1", bob.endpoint.port))
            await handled(bob)
            assert bob.endpoint.half_open == limits.RETRY_ABOVE
            assert bob.endpoint.counters.retries == 4
            mine = ann.dial(bob)
            assert (await ann.ready.get())[0] is mine
            assert bob.endpoint.counters.retries == 5
            assert (await bob.ready.get())[0].remote.port == ann.endpoint.port


async def test_nobody_more_is_let_in_when_all_places_are_taken() -> None:
    settings = LinkSettings(half_open=3, handshake_timeout_s=0.3)
    async with person(settings) as bob, person(replace(QUICK, handshake_timeout_s=0.1)) as ann:
        with ExitStack() as crowd:
            for n in range(3):
                own = UdpSocket(f"127.0.1.{n + 1}", 0, lambda own, batch: None)
                crowd.callback(own.close)
                own.send([first_flight()], ("127.0.0.1", bob.endpoint.port))
            await handled(bob)
            assert bob.endpoint.half_open == 3
            ann.dial(bob)
            assert (await ann.lost.get())[1] is None
        await nothing(bob.lost, 2 * settings.handshake_timeout_s)
        ann.dial(bob)
        await bob.ready.get()


async def test_who_only_waits_gives_way_to_a_newcomer_when_all_places_are_taken() -> None:
    settings = LinkSettings(half_open=3, failure_tick_s=0.05)
    async with person(settings, trusting=False) as bob, person() as ann:
        idlers = [ann.dial(bob) for _ in range(3)]
        for _ in idlers:
            await bob.ready.get()
        await nothing(bob.lost, limits.HALF_OPEN_UNDISTURBED_S)
        newcomer = ann.dial(bob)
        assert (await ann.lost.get()) == (idlers[0], REFUSED)
        assert (await bob.ready.get())[0].remote.port == ann.endpoint.port
        assert bob.endpoint.half_open == 3 and not newcomer.closed


async def test_who_has_shown_a_key_does_not_give_way() -> None:
    settings = LinkSettings(half_open=1)
    async with person(settings, trusting=False) as bob, person(replace(QUICK, handshake_timeout_s=0.2)) as ann:
        ann.dial(bob)
        busy, _ = await bob.ready.get()
        busy.frame_limit = limits.FRAME_BYTES  # its MAC has verified
        await nothing(bob.lost, limits.HALF_OPEN_UNDISTURBED_S)
        late = ann.dial(bob)
        assert (await ann.lost.get()) == (late, None)
        assert not busy.closed and bob.endpoint.counters.turned_away >= 1


# -- sockets


async def test_all_hosts_have_the_port_drawn() -> None:
    async with person(hosts=ANYWHERE) as ann:
        assert ann.endpoint.port >= 1024
        assert {own.port for own in ann.endpoint._sockets} == {ann.endpoint.port}
        assert len(ann.endpoint._sockets) == 2


async def test_machine_without_the_address_does_with_the_others() -> None:
    ann = Person()
    ann.endpoint = Endpoint(ann)
    assert await ann.endpoint.bind(("127.0.0.1", "2001:db8::7")) == ann.endpoint.port
    assert len(ann.endpoint._sockets) == 1
    await ann.endpoint.close()
    with pytest.raises(OSError):
        await ann.endpoint.bind(("2001:db8::7",))


async def test_taken_port_leaves_all_as_it_was() -> None:
    async with person() as ann, person() as bob:
        before = ann.endpoint.port
        with pytest.raises(OSError) as caught:
            await ann.endpoint.bind(LOOPBACK, bob.endpoint.port)
        assert caught.value.errno == errno.EADDRINUSE
        assert ann.endpoint.port == before
        bob.dial(ann)
        await ann.ready.get()


async def test_binding_the_same_again_changes_nothing() -> None:
    async with linked() as (_, bob, mine, _):
        port = bob.endpoint.port
        assert await bob.endpoint.bind(LOOPBACK, port) == port
        assert not bob.endpoint._retired
        mine.write(frame(b"still here"))
        await bob.frames.get()


async def test_old_port_serves_its_links_and_answers_nobody_new() -> None:
    async with linked(QUICK) as (ann, bob, mine, _):
        old = bob.endpoint.port
        assert await bob.endpoint.bind(LOOPBACK) != old
        mine.write(frame(b"by the old port"))
        assert (await bob.frames.get()).body == b"by the old port"
        ann.endpoint.dial(Address("127.0.0.1", old))
        assert (await ann.lost.get())[1] is None
        ann.dial(bob)
        await bob.ready.get()
        retired = [own for own in bob.endpoint._retired]
        assert [own.port for own in retired] == [old]
        mine.close(0x101)
        await bob.lost.get()
        assert all(own.closed for own in retired) and not bob.endpoint._retired


async def test_a_port_that_was_left_stays_silent_also_without_links() -> None:
    async with linked(QUICK) as (ann, bob, mine, theirs):
        old = bob.endpoint.port
        assert bob.endpoint.redraw(LOOPBACK) != old
        mine.write(frame(b"by the old port"))
        assert (await bob.frames.get()).body == b"by the old port"
        theirs.abandon()
        mine.write(frame(b"to nobody"))
        ann.endpoint.dial(Address("127.0.0.1", old))
        for _ in range(2):
            assert (await ann.lost.get())[1] is None
        assert [(own.port, own.closed) for own in bob.endpoint._retired][:1] == [(old, False)]
        ann.dial(bob)
        await bob.ready.get()


async def test_links_go_on_where_the_same_port_is_bound_wider() -> None:
    async with linked() as (ann, bob, mine, theirs):
        port = bob.endpoint.port
        mine.write(frame(b"hello"))
        await bob.frames.get()
        assert await bob.endpoint.bind(ANYWHERE, port) == port
        theirs.write(frame(b"by the new socket"))
        assert (await ann.frames.get()).body == b"by the new socket"
        mine.write(frame(b"and back"))
        assert (await bob.frames.get()).body == b"and back"


async def test_link_follows_a_dialler_whose_address_changed() -> None:
    async with linked() as (ann, bob, mine, theirs):
        moved = UdpSocket("127.0.0.1", 0, ann.endpoint._received)
        mine.outlet.socket = moved
        mine.write(frame(b"from elsewhere"))
        assert (await bob.frames.get()).body == b"from elsewhere"
        theirs.write(frame(b"found you"))
        assert (await ann.frames.get()).body == b"found you"
        assert theirs.remote.port == moved.port
        moved.close()


async def test_closing_says_goodbye_and_frees_everything() -> None:
    before = open_sockets()
    async with person() as ann:
        async with person() as bob:
            mine = ann.dial(bob)
            await ann.ready.get()
            await bob.ready.get()
            port = bob.endpoint.port
        assert await ann.lost.get() == (mine, 0x101)
        assert bob.lost.empty() and not bob.endpoint._cids
        assert await bob.endpoint.bind(LOOPBACK, port) == port
        await bob.endpoint.close()
        await bob.endpoint.close()
    assert open_sockets() == before


async def test_strangers_get_no_goodbye() -> None:
    async with person() as ann:
        async with person(trusting=False) as bob:
            ann.dial(bob)
            await bob.ready.get()
        assert (await ann.lost.get())[1] == 0x100


async def test_killed_peer_is_noticed_and_met_again() -> None:
    async with person(QUICK) as ann:
        async with person(QUICK) as bob:
            ann.dial(bob)
            await ann.ready.get()
            port = bob.endpoint.port
            for own in bob.endpoint._sockets:
                own.close()
            assert (await ann.lost.get())[1] is None
        async with person(QUICK) as bob:
            await bob.endpoint.bind(LOOPBACK, port)
            ann.dial(bob)
            await bob.ready.get()


async def test_wire_that_repeats_every_datagram_harms_nothing() -> None:
    async with person() as ann, person() as bob:
        wire = Wire(bob)
        wire_send = wire._out.send
        wire._out.send = lambda datagrams, to, source=None: wire_send([*datagrams, *datagrams], to)  # type: ignore[method-assign]
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        for number in range(50):
            mine.write(frame(b"%d" % number))
            await asyncio.sleep(0)
        assert [int((await bob.frames.get()).body) for _ in range(50)] == list(range(50))
        assert bob.frames.empty() and bob.ready.qsize() == 1
        wire.close()
