"""What our connection does otherwise than aioquic: windows, suites, closes, key updates."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import CipherSuite, Epoch
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.network.quic import CONTROL_STREAM
from tests.unit.ends import Memory


@pytest.fixture
def pair() -> Memory:
    memory = Memory()
    memory.exchange()
    return memory


def test_both_ends_are_established_on_the_one_suite(pair: Memory) -> None:
    assert pair.dialler.established and pair.responder.established
    assert pair.dialler.tls.key_schedule is not None
    assert pair.dialler.tls.key_schedule.cipher_suite is CipherSuite.AES_128_GCM_SHA256
    assert pair.dialler.tls._x25519_private_key is not None and not pair.dialler.tls._ec_private_keys


def test_no_ticket_and_no_client_certificate(pair: Memory) -> None:
    assert pair.dialler.tls.session_ticket is None
    assert pair.responder.tls._peer_certificate is None


def test_close_code_arrives_before_draining_ends(pair: Memory) -> None:
    pair.dialler.close(0x102)
    pair.exchange(1)
    assert pair.responder.closing and pair.responder.peer_code == 0x102
    assert pair.dialler.peer_code is None


def test_close_carries_no_text(pair: Memory) -> None:
    pair.dialler.close(0x100, reason_phrase="because of Bob")
    pair.exchange(1)
    assert pair.responder._close_event is not None and pair.responder._close_event.reason_phrase == ""


def test_transport_close_is_no_code_of_the_peer(pair: Memory) -> None:
    pair.dialler.close(QuicErrorCode.PROTOCOL_VIOLATION, frame_type=0)
    pair.exchange(1)
    assert pair.responder.closing and pair.responder.peer_code is None


@pytest.mark.parametrize("stream", [4, 2, 6])
def test_peer_may_open_one_stream_only(pair: Memory, stream: int) -> None:
    pair.dialler._remote_max_streams_bidi = pair.dialler._remote_max_streams_uni = 10
    pair.dialler._remote_max_stream_data_uni = pair.dialler._remote_max_stream_data_bidi_remote
    pair.dialler.send_stream_data(stream, b"hello")
    pair.exchange(1)
    assert pair.responder.closing
    assert pair.responder._close_event is not None and pair.responder._close_event.error_code == QuicErrorCode.STREAM_LIMIT_ERROR


def test_responder_may_open_no_stream(pair: Memory) -> None:
    pair.responder._remote_max_streams_bidi = 10
    pair.responder.send_stream_data(1, b"hello")
    pair.exchange(1)
    assert pair.dialler.closing


def test_window_stays_until_data_was_read(pair: Memory) -> None:
    sent = limits.UNPROVEN_WINDOW_BYTES
    pair.dialler.send_stream_data(CONTROL_STREAM, bytes(4 * sent))
    pair.dialler._streams[CONTROL_STREAM].sender._pending.subtract(0, 1)  # the first byte is missing, so nothing can be read
    pair.exchange(40)
    assert pair.responder._streams[CONTROL_STREAM].receiver.highest_offset == sent
    assert pair.responder._streams[CONTROL_STREAM].max_stream_data_local == sent


def test_window_moves_with_what_was_read(pair: Memory) -> None:
    pair.responder.window = 20_000
    pair.dialler.send_stream_data(CONTROL_STREAM, bytes(100_000))
    pair.exchange(60)
    stream = pair.responder._streams[CONTROL_STREAM]
    assert stream.receiver.starting_offset() == 100_000
    assert stream.max_stream_data_local <= 120_000


def test_peer_over_its_window_is_closed(pair: Memory) -> None:
    pair.dialler.send_stream_data(CONTROL_STREAM, bytes(limits.UNPROVEN_WINDOW_BYTES + 1))
    pair.dialler._streams[CONTROL_STREAM].max_stream_data_remote = 1 << 20
    pair.exchange(6)
    assert pair.responder.closing and pair.responder.peer_code is None


def test_nothing_much_is_kept_of_a_handshake_with_a_gap() -> None:
    pair = Memory()
    sender = pair.dialler._crypto_streams[Epoch.INITIAL].sender
    sender.write(bytes(limits.CRYPTO_PENDING_BYTES))
    sender._pending.subtract(0, limits.CRYPTO_PENDING_BYTES)
    pair.exchange(1)
    assert pair.responder.closing


def test_acknowledgement_travels_with_an_answer(pair: Memory) -> None:
    pair.dialler.send_stream_data(CONTROL_STREAM, b"question")
    [(question, _)] = pair.dialler.datagrams_to_send(pair.now)
    pair.responder.receive_datagram(question, ("peer", 1), pair.now)
    pair.responder.send_stream_data(CONTROL_STREAM, b"answer")
    assert len(pair.responder.datagrams_to_send(pair.now)) == 1
    assert pair.responder._spaces[Epoch.ONE_RTT].ack_at is None


def test_keys_are_updated_in_time(pair: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEY_UPDATE_PACKETS", 20)
    phase = pair.dialler._cryptos[Epoch.ONE_RTT].key_phase
    for _ in range(21 - pair.dialler._packet_number):
        pair.dialler.send_ping(0)
        pair.exchange(2)
    assert pair.dialler._cryptos[Epoch.ONE_RTT].key_phase != phase
    assert pair.responder._cryptos[Epoch.ONE_RTT].key_phase == pair.dialler._cryptos[Epoch.ONE_RTT].key_phase
    assert not pair.responder.closing


def test_what_was_heard_and_when(pair: Memory) -> None:
    before = pair.responder.last_heard
    pair.responder.receive_datagram(b"\x40" + pair.responder.host_cid + bytes(40), ("peer", 1), pair.now + 1)
    assert pair.responder.last_heard == before
    pair.dialler.send_ping(0)
    pair.exchange(1)
    assert pair.responder.last_heard == pair.now


def test_unacknowledged_bytes_fall_to_nothing(pair: Memory) -> None:
    assert pair.dialler.unacknowledged == 0
    pair.dialler.send_stream_data(CONTROL_STREAM, bytes(5000))
    assert pair.dialler.unacknowledged == 5000
    pair.exchange(10)
    assert pair.dialler.unacknowledged == 0


@pytest.mark.parametrize("size", [1200, limits.DATAGRAM_BYTES])
def test_datagrams_keep_to_their_size(pair: Memory, size: int) -> None:
    pair.dialler.datagram_bytes = size
    pair.dialler.send_stream_data(CONTROL_STREAM, bytes(4000))
    assert max(len(data) for data, _ in pair.dialler.datagrams_to_send(pair.now)) == size


def test_aioquic_says_nothing(pair: Memory, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        pair.dialler.close(0x101)
        pair.exchange(1)
    assert not caplog.records


def sealed(pair: Memory, payload: bytes) -> bytes:
    """A packet that only the dialler could have made, with any content."""
    quic = pair.dialler
    crypto = quic._cryptos[Epoch.ONE_RTT]
    number = quic._packet_number
    quic._packet_number += 1
    head = bytes([0x41 | crypto.key_phase << 2]) + quic._peer_cid.cid + (number & 0xFFFF).to_bytes(2, "big")
    return crypto.encrypt_packet(head, payload.ljust(20, b"\0"), number)


NUMBERS = st.sampled_from([0, 1, 2, 4, 8, 63]).map(lambda n: bytes([n])) | st.integers(0, 2**62 - 1).map(
    lambda n: (n | 3 << 62).to_bytes(8, "big")
)
FRAMES = st.tuples(st.integers(0, 0x31).map(lambda n: bytes([n])), st.lists(NUMBERS, max_size=5).map(b"".join), st.binary(max_size=20)).map(
    b"".join
)


@given(st.lists(st.lists(FRAMES, max_size=3).map(b"".join), min_size=1, max_size=4))
def test_frames_of_a_hostile_peer_end_the_connection_or_nothing(payloads: list[bytes]) -> None:
    pair = Memory()
    pair.exchange()
    for payload in payloads:
        pair.responder.receive_datagram(sealed(pair, payload), ("peer", 1), pair.now)
        pair.responder.datagrams_to_send(pair.now)
        assert sum(len(stream.receiver._buffer) for stream in pair.responder._streams.values()) <= limits.UNPROVEN_WINDOW_BYTES
    assert pair.responder.established


@pytest.mark.parametrize("rounds", [0, 1, 4])
@pytest.mark.parametrize("side", ["dialler", "responder"])
def test_what_is_over_is_freed_without_the_collector(side: str, rounds: int) -> None:
    memory = Memory()
    memory.exchange(rounds)
    quic = weakref.ref(getattr(memory, side))
    gc.collect()
    gc.disable()
    try:
        getattr(memory, side).let_go()
        assert getattr(memory, side).datagrams_to_send(0.0) == []
        del memory
        assert quic() is None
    finally:
        gc.enable()
