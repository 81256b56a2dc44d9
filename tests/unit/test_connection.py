"""One link: frames, closes, silence, misbehaviour. Real QUIC on loopback."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest
from aioquic.quic.connection import QuicConnectionState

from p2pmsg.config import limits
from p2pmsg.network import patience
from p2pmsg.network.connection import Connection
from p2pmsg.network.listener import LinkSettings
from p2pmsg.network.patience import ANSWER_S
from p2pmsg.network.quic import PROBE_EVERY_S
from p2pmsg.protocol.wire import Frame
from tests.unit.ends import QUICK, Wire, frame, linked, nothing, person, refuse_frame

pytestmark = pytest.mark.asyncio


async def test_frames_go_both_ways_in_order() -> None:
    async with linked() as (ann, bob, mine, theirs):
        for number in range(3):
            mine.write(frame(b"to bob %d" % number))
        assert [(await bob.frames.get()).body for _ in range(3)] == [b"to bob 0", b"to bob 1", b"to bob 2"]
        theirs.write(frame(b"to ann", 13))
        assert await ann.frames.get() == Frame(13, b"to ann")


async def test_frames_are_cut_anywhere() -> None:
    async with linked() as (_, bob, mine, _):
        sent = frame(b"abc") + frame(b"") + frame(bytes(70_000))
        for byte in (sent[n : n + 1] for n in range(20)):
            mine.write(byte)
            await asyncio.sleep(0)
        mine.write(sent[20:])
        assert [len((await bob.frames.get()).body) for _ in range(3)] == [3, 0, 70_000]


async def test_much_data_passes_the_window() -> None:
    async with linked() as (_, bob, mine, _):
        sent = [bytes([n]) * 200_000 for n in range(20)]
        mine.write(b"".join(frame(body) for body in sent))
        assert [(await bob.frames.get()).body for _ in range(20)] == sent
        assert mine._quic.datagram_bytes == limits.DATAGRAM_BYTES


async def test_small_writes_leave_in_few_datagrams() -> None:
    async with linked() as (_, bob, mine, _):
        before = mine._quic._packet_number
        for _ in range(1000):
            mine.write(frame(b"0123456789"))
        assert mine.unsent == 15_000
        for _ in range(1000):
            await bob.frames.get()
        assert mine._quic._packet_number - before < 40


async def test_peer_is_known_by_its_listening_port() -> None:
    async with linked() as (ann, bob, mine, theirs):
        assert (mine.remote.port, theirs.remote.port) == (bob.endpoint.port, ann.endpoint.port)
        assert mine.dialled and not theirs.dialled
        assert mine.rtt_ms is not None and theirs.last_heard is not None


async def test_close_code_reaches_the_peer_alone_and_at_once() -> None:
    async with linked() as (ann, bob, mine, theirs):
        mine.close(0x102)
        assert mine.closed
        assert await bob.lost.get() == (theirs, 0x102)
        assert theirs.closed
        mine.write(b"nothing")
        mine.close(0x101)
        await nothing(ann.lost, 0.05)


async def test_what_was_written_goes_before_the_close() -> None:
    async with linked() as (_, bob, mine, _):
        mine.write(frame(b"last words"))
        mine.close(0x101)
        assert (await bob.frames.get()).body == b"last words"
        assert (await bob.lost.get())[1] == 0x101


async def test_closing_inside_a_callback_stops_the_frames() -> None:
    def close(connection: Connection, frame: Frame) -> None:
        connection.close(0x104)

    async with linked() as (ann, bob, mine, _):
        bob.on_frame = close
        mine.write(frame(b"a") + frame(b"b"))
        assert (await ann.lost.get())[1] == 0x104
        assert bob.frames.qsize() == 1 and bob.lost.empty()


async def test_missed_close_is_repeated_to_who_goes_on_talking() -> None:
    async with person() as ann, person() as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        theirs, _ = await bob.ready.get()
        await ann.ready.get()
        wire.cut = True
        theirs.close(0x102)
        await asyncio.sleep(0)
        wire.cut = False
        mine.write(frame(b"are you there"))
        assert await ann.lost.get() == (mine, 0x102)
        wire.close()


# -- silence


async def test_quiet_link_lives() -> None:
    async with linked(QUICK) as (ann, bob, mine, _):
        await nothing(bob.lost, 1.0)
        assert ann.lost.empty()
        assert mine.last_heard is not None and asyncio.get_running_loop().time() - mine.last_heard < 0.3


async def test_silent_peer_is_lost_without_a_code() -> None:
    async with person(QUICK) as ann, person(QUICK) as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        await bob.ready.get()
        wire.cut = True
        started = asyncio.get_running_loop().time()
        assert await ann.lost.get() == (mine, None)
        assert asyncio.get_running_loop().time() - started < 2 * (QUICK.idle_timeout_s + QUICK.ping_after_s)
        assert (await bob.lost.get())[1] is None
        wire.close()


async def test_link_survives_a_short_cut() -> None:
    settings = LinkSettings(idle_timeout_s=5, ping_after_s=0.1)
    async with person(settings) as ann, person(settings) as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        wire.cut = True
        mine.write(frame(b"lost at first"))
        await nothing(bob.frames, 0.3)
        wire.cut = False
        assert (await bob.frames.get()).body == b"lost at first"
        wire.close()


async def test_a_silent_peer_is_probed_every_second_at_least() -> None:
    """What was lost in a cut arrives soon after its end, however long it was: aioquic alone would wait for as long again."""
    settings = LinkSettings(idle_timeout_s=9, ping_after_s=9)
    async with person(settings) as ann, person(settings) as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        wire.cut = True
        mine.write(frame(b"lost at first"))
        await nothing(bob.frames, 2.5)
        passed = wire.passed
        await nothing(bob.frames, 1.5)
        assert 1 <= wire.passed - passed <= 20  # of both ends, two packets a probe
        wire.cut = False
        healed = asyncio.get_running_loop().time()
        assert (await bob.frames.get()).body == b"lost at first"
        assert asyncio.get_running_loop().time() - healed < PROBE_EVERY_S + 0.3
        wire.close()


async def test_the_kernel_need_not_look_for_a_proven_peer_that_was_heard_just_now() -> None:
    async with linked(LinkSettings(ping_after_s=60), trusting=False) as (_, bob, mine, theirs):
        mine.write(frame(b"before"))
        await bob.frames.get()
        assert theirs.outlet.answered_until == -math.inf
        theirs.authenticated()
        mine.write(frame(b"after"))
        await bob.frames.get()
        assert theirs.last_heard is not None
        assert theirs.outlet.answered_until == pytest.approx(theirs.last_heard + 60.5, abs=0.1)


# -- nudges


async def test_who_answers_a_nudge_stays() -> None:
    async with linked(LinkSettings(ping_after_s=60)) as (ann, bob, mine, theirs):
        heard = theirs.last_heard
        ann.endpoint.nudge()
        await nothing(ann.lost, ANSWER_S + 0.3)
        assert bob.lost.empty() and not mine.closed
        assert heard is not None and theirs.last_heard is not None and theirs.last_heard > heard


async def test_who_does_not_answer_a_nudge_is_lost_before_the_link_would_idle_out() -> None:
    settings = LinkSettings(idle_timeout_s=9, ping_after_s=60)
    async with person(settings) as ann, person(settings) as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        await nothing(ann.lost, 0.1)  # what is still on its way would be an answer
        wire.cut = True
        mine.nudge(0.0)
        async with asyncio.timeout(ANSWER_S + 0.5):
            assert await ann.lost.get() == (mine, None)
        wire.close()


@pytest.mark.parametrize(("slept_s", "lost"), [(3600.0, True), (2.0, False)])
async def test_sleep_counts_as_silence(monkeypatch: pytest.MonkeyPatch, slept_s: float, lost: bool) -> None:
    """A clock that stood still would keep a link for which the other side has long given up."""
    monkeypatch.setattr(patience, "WAKING_S", -1.0)
    async with linked(LinkSettings(idle_timeout_s=9, ping_after_s=60)) as (ann, _, mine, _theirs):
        ann.endpoint.nudge(slept_s)
        if lost:
            async with asyncio.timeout(0.2):
                assert await ann.lost.get() == (mine, None)
        else:
            await nothing(ann.lost, 0.2)


async def test_a_link_that_may_have_begun_after_the_sleep_is_asked() -> None:
    async with linked(LinkSettings(idle_timeout_s=9, ping_after_s=60)) as (ann, _, mine, _theirs):
        ann.endpoint.nudge(3600.0)
        await nothing(ann.lost, 0.2)
        assert not mine.closed


async def test_a_dial_under_way_ends_with_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAKING_S", -1.0)
    async with person() as ann, person() as bob:
        wire = Wire(bob)
        wire.cut = True
        mine = ann.endpoint.dial(wire.address)
        ann.endpoint.nudge(3600.0)
        async with asyncio.timeout(0.2):
            assert await ann.lost.get() == (mine, None)
        wire.close()


async def test_datagrams_shrink_where_large_ones_vanish() -> None:
    settings = LinkSettings(idle_timeout_s=5, ping_after_s=1)
    async with person(settings) as ann, person(settings) as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        let_through = wire._out.send
        wire._out.send = lambda datagrams, to, source=None: let_through([d for d in datagrams if len(d) <= 1300], to)  # type: ignore[method-assign]
        mine.write(frame(bytes(5000)))
        assert len((await bob.frames.get()).body) == 5000
        assert mine._quic.datagram_bytes == 1200
        wire.close()


# -- handshakes that do not come to an end


async def test_unproven_peer_is_refused_in_time() -> None:
    async with linked(QUICK, trusting=False) as (ann, bob, mine, theirs):
        lost = {await ann.lost.get(), await bob.lost.get()}
        assert {connection for connection, _ in lost} == {mine, theirs}
        assert bob.endpoint.half_open in (0, 1)


async def test_people_who_compare_have_longer() -> None:
    async with linked(QUICK, trusting=False) as (ann, bob, mine, theirs):
        for end in (mine, theirs):
            end.compare()
        await nothing(ann.lost, 2 * QUICK.handshake_timeout_s)
        assert bob.lost.empty() and bob.endpoint.half_open == 1


async def test_refusal_is_100_at_the_next_tick() -> None:
    settings = LinkSettings(failure_tick_s=0.05)
    async with linked(settings, trusting=False) as (ann, bob, mine, theirs):
        theirs.refuse()
        assert theirs.closed and bob.endpoint.half_open == 1
        assert await ann.lost.get() == (mine, 0x100)
        loop = asyncio.get_running_loop()
        assert loop.time() % 0.05 < 0.03
        assert bob.endpoint.half_open == 0 and bob.lost.empty()


async def test_bytes_before_proof_are_few() -> None:
    async with linked(QUICK, trusting=False) as (ann, bob, mine, theirs):
        mine.write(frame(bytes(1300)) * 4)
        assert await bob.lost.get() == (theirs, None)
        assert bob.frames.qsize() <= 3
        assert (await ann.lost.get())[1] == 0x100


@pytest.mark.parametrize(
    ("trusting", "size", "code"), [(False, 4097, 0x100), (True, limits.FRAME_BYTES + 1, 0x105), (True, 2**32 - 1, 0x105)]
)
async def test_giant_length_ends_the_link(trusting: bool, size: int, code: int) -> None:
    async with linked(replace(QUICK, handshake_timeout_s=5), trusting=trusting) as (ann, bob, mine, theirs):
        mine.write(b"\x14" + size.to_bytes(4, "big"))
        assert await bob.lost.get() == (theirs, None)
        assert await ann.lost.get() == (mine, code)


async def test_half_a_frame_is_nothing() -> None:
    async with linked() as (_, bob, mine, _):
        mine.write(frame(b"whole") + frame(b"half")[:-1])
        assert (await bob.frames.get()).body == b"whole"
        await nothing(bob.frames, 0.05)


# -- peers that misbehave, and faults of our own


async def test_listener_refuses_a_frame() -> None:
    async with linked() as (ann, bob, mine, theirs):
        bob.on_frame = refuse_frame
        mine.write(frame(b"a") + frame(b"b"))
        assert await bob.lost.get() == (theirs, None)
        assert await ann.lost.get() == (mine, 0x105)
        assert bob.frames.qsize() == 1


async def test_fault_of_our_own_ends_one_link_only() -> None:
    def break_down(connection: Connection, frame: Frame) -> None:
        raise RuntimeError("a bug")

    reported: list[dict[str, Any]] = []
    async with linked() as (ann, bob, mine, theirs):
        other = ann.dial(bob)
        await ann.ready.get()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        bob.on_frame = break_down
        mine.write(frame(b"a"))
        assert await bob.lost.get() == (theirs, None)
        bob.on_frame = None
        other.write(frame(b"b"))
        assert [(await bob.frames.get()).body for _ in range(2)] == [b"a", b"b"]
        assert isinstance(reported[0]["exception"], RuntimeError)


async def test_end_of_the_stream_is_misbehaviour() -> None:
    async with linked() as (_, bob, mine, theirs):
        mine._quic.send_stream_data(0, b"", end_stream=True)
        mine._turn_soon()
        assert await bob.lost.get() == (theirs, None)


@pytest.mark.parametrize("stream", [2, 4])
async def test_other_streams_end_the_link(stream: int) -> None:
    async with linked() as (ann, bob, mine, theirs):
        quic = mine._quic
        quic._remote_max_streams_bidi = quic._remote_max_streams_uni = 10
        quic._remote_max_stream_data_uni = 1000
        quic.send_stream_data(0, frame(b"as always"))
        quic.send_stream_data(stream, b"hello")
        mine._turn_soon()
        assert await bob.lost.get() == (theirs, None)
        assert await ann.lost.get() == (mine, None)


async def test_quic_datagrams_end_the_link() -> None:
    async with linked() as (_, bob, mine, theirs):
        mine._quic.send_datagram_frame(b"typing")
        mine._turn_soon()
        assert await bob.lost.get() == (theirs, None)


async def test_peer_that_takes_nothing_is_closed() -> None:
    settings = LinkSettings(output_bytes=100_000)
    async with person(settings) as ann, person() as bob:
        wire = Wire(bob)
        mine = ann.endpoint.dial(wire.address)
        await ann.ready.get()
        wire.cut = True
        mine.write(bytes(100_000))
        await asyncio.sleep(0)
        assert not mine.closed
        ann.busy = True  # nobody may be called from inside write()
        mine.write(bytes(1))
        ann.busy = False
        assert not mine.closed
        assert await ann.lost.get() == (mine, None)
        wire.close()


async def test_listener_is_never_called_from_inside_its_own_calls() -> None:
    async with linked() as (ann, bob, mine, theirs):
        for act in (lambda: mine.write(frame(b"a")), lambda: ann.dial(bob), lambda: theirs.close(0x101), theirs.refuse, mine.authenticated):
            ann.busy = bob.busy = True
            act()
            ann.busy = bob.busy = False
        assert (await ann.lost.get())[1] == 0x101


async def test_closed_connection_is_forgotten_after_a_while() -> None:
    async with linked(QUICK) as (ann, bob, mine, _):
        mine.close(0x101)
        await bob.lost.get()
        await nothing(ann.lost, 2 * QUICK.linger_s)
        assert mine not in ann.endpoint._cids and not ann.endpoint._by_cid
        assert mine._quic._state is not QuicConnectionState.CONNECTED
        assert not bob.endpoint._by_cid


async def test_numbers_are_never_used_again() -> None:
    async with person() as ann, person() as bob:
        numbers = []
        for _ in range(3):
            connection = ann.dial(bob)
            numbers.append(connection.number)
            connection.close(0x101)
        assert numbers == sorted(set(numbers))
