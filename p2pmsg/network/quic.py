"""aioquic's connection with what it lacks: exporter, bounded windows, no pacer, 1200 bytes until told otherwise.

The only file that knows aioquic's private names; aioquic is pinned for its sake.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from aioquic.quic import connection as aioquic_connection
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import (
    MAX_STREAM_DATA_FRAME_CAPACITY,
    QuicConnection,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import CipherSuite, Direction, Epoch, Group, hkdf_expand_label

from p2pmsg.config import limits
from p2pmsg.errors import P2pmsgError

CONTROL_STREAM: Final = 0
"""The dialler's first bidirectional stream carries all frames of a link."""
PROBE_EVERY_S: Final = 1.0
"""A peer that owes an answer is asked at least so often."""

# aioquic logs peers' reason texts and addresses, and formats debug lines in its hottest loops.
logging.getLogger("quic").setLevel(logging.CRITICAL + 1)

# 512 KiB for each half-open link that never finishes would be a stranger's to take.
aioquic_connection.MAX_PENDING_CRYPTO = limits.CRYPTO_PENDING_BYTES


def _nothing(*_: object) -> None:
    """Take the place of what aioquic calls back."""


class Unpaced(QuicPacketPacer):
    """Never holds a packet back: asyncio's timers are coarser than a LAN's round trip (measured: half the throughput)."""

    def next_send_time(self, now: float) -> Any:
        return None

    def update_after_send(self, now: float) -> None:
        return

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        return


class Quic(QuicConnection):
    """One QUIC connection with one bidirectional stream, opened by the dialler."""

    def __init__(self, configuration: QuicConfiguration, *, original_cid: bytes | None = None, retry_cid: bytes | None = None) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_cid,
            retry_source_connection_id=retry_cid,
        )
        self.window = limits.UNPROVEN_WINDOW_BYTES
        """What the peer may send beyond what was read; may be raised."""
        self.last_heard: float | None = None
        """When the last packet that only the peer could have made arrived; None before the first."""
        self._exporter_master: bytes | None = None
        self._keys_since = 0
        self._over = False
        self._loss._pacer = Unpaced(max_datagram_size=SMALLEST_MAX_DATAGRAM_SIZE)
        for limit, streams in ((self._local_max_streams_bidi, 0 if self._is_client else 1), (self._local_max_streams_uni, 0)):
            limit.value = limit.sent = streams

    # -- what it tells

    @property
    def established(self) -> bool:
        """Whether the TLS handshake is complete on this side."""
        return self._handshake_complete

    @property
    def closing(self) -> bool:
        """Whether either side has closed it, or it timed out; aioquic's own event comes only after draining."""
        return self._close_event is not None

    @property
    def peer_code(self) -> int | None:
        """The application code with which the peer closed; None for all other ends."""
        event = self._close_event
        if event is None or event.frame_type is not None or self._state is not QuicConnectionState.DRAINING:
            return None
        return event.error_code

    @property
    def has_stream(self) -> bool:
        return CONTROL_STREAM in self._streams

    @property
    def unacknowledged(self) -> int:
        """Bytes of the stream that the peer's QUIC has not acknowledged yet."""
        stream = self._streams.get(CONTROL_STREAM)
        return len(stream.sender._buffer) if stream is not None else 0

    @property
    def rtt_s(self) -> float | None:
        """The smoothed round trip; None before the first sample."""
        return self._loss._rtt_smoothed if self._loss._rtt_initialized else None

    @property
    def unanswered_probes(self) -> int:
        return self._loss._pto_count

    @property
    def datagram_bytes(self) -> int:
        return self._max_datagram_size

    @datagram_bytes.setter
    def datagram_bytes(self, size: int) -> None:
        self._max_datagram_size = size
        self._loss._cc._max_datagram_size = size  # type: ignore[attr-defined]  # reno's and cubic's, not their parent's

    def export(self, label: bytes, size: int = 32) -> bytes:
        """Return keying material of this TLS session for `label` with empty context (RFC 8446 7.5).

        Raises:
            P2pmsgError: the handshake is not complete, or the session was resumed.
        """
        schedule = self.tls.key_schedule if self._handshake_complete else None
        if self._exporter_master is None or schedule is None or self.tls.session_resumed:
            raise P2pmsgError("there is no fresh TLS session to export from")
        hash_bytes: int = schedule.algorithm.digest_size
        empty = schedule.hash_empty_value
        secret = hkdf_expand_label(schedule.algorithm, self._exporter_master, label, empty, hash_bytes)
        return hkdf_expand_label(schedule.algorithm, secret, b"exporter", empty, size)

    # -- what it does otherwise than aioquic

    def close(self, error_code: int = QuicErrorCode.NO_ERROR, frame_type: int | None = None, reason_phrase: str = "") -> None:
        """Close with a number alone: texts would tell strangers what runs here."""
        super().close(error_code, frame_type)

    def let_go(self) -> None:
        """Forget all that points back here, once nothing more is sent or received: it is freed at once, and not by the collector some day.

        What strangers leave behind who dial all the time was 27 MB otherwise.
        """
        self._over = True
        self._QuicConnection__frame_handlers: dict[int, Any] = {}
        self._loss._send_probe = _nothing
        for space in self._loss.spaces:
            space.sent_packets.clear()
        for cryptos in (self._cryptos, self._cryptos_initial):
            for pair in cryptos.values():
                for context in (pair.recv, pair.send):
                    context._setup_cb = context._teardown_cb = _nothing
        if hasattr(self, "tls"):  # a dialler that never dialled has none
            self.tls.alpn_cb = self.tls.update_traffic_key_cb = None  # type: ignore[assignment]

    def handle_timer(self, now: float) -> None:
        """Probe a silent peer every second at least: waiting twice as long each time would tell of a healed network only late.

        The idle timeout bounds their number, and so what they may cost a crowded network.
        """
        super().handle_timer(now)
        loss = self._loss
        if loss._pto_count > limits.BLACK_HOLE_PROBES and loss.get_probe_timeout() * (1 << loss._pto_count) > PROBE_EVERY_S:
            loss._pto_count -= 1

    def pass_over(self, seconds: float) -> None:
        """Count time that the clock did not as silence of the peer, and probe without delay from now on."""
        self._loss._pto_count = 0
        if self.last_heard is not None:
            self.last_heard -= seconds

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        if self._over or not self._network_paths:
            return []
        if self._packet_number - self._keys_since >= limits.KEY_UPDATE_PACKETS:
            self._keys_since = self._packet_number
            self.request_key_update()
        stream = self._streams.get(CONTROL_STREAM)
        space = self._spaces.get(Epoch.ONE_RTT)
        if stream is not None and space is not None and space.ack_at is not None and not stream.sender.buffer_is_empty:
            space.ack_at = min(space.ack_at, now)  # an acknowledgement travels with data instead of 1 ms behind it
        return super().datagrams_to_send(now)

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls._supported_groups = [Group.X25519]

    def _update_traffic_key(self, direction: Direction, epoch: Epoch, cipher_suite: CipherSuite, secret: bytes) -> None:
        # The one moment at which the transcript ends with the server's Finished, as RFC 8446 7.1 defines "exp master".
        if epoch is Epoch.ONE_RTT and direction is (Direction.DECRYPT if self._is_client else Direction.ENCRYPT):
            assert self.tls.key_schedule is not None
            self._exporter_master = self.tls.key_schedule.derive_secret(b"exp master")
        super()._update_traffic_key(direction, epoch, cipher_suite, secret)

    def _payload_received(self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False) -> tuple[bool, bool]:
        self.last_heard = context.time
        return super()._payload_received(context, plain, crypto_frame_required)

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        """Grant no more streams, and nothing for the connection: its only stream has a window of its own."""

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:
        """Grant `window` bytes beyond what was read. aioquic would double the grant whenever half of it has *arrived*, gaps included."""
        read = stream.receiver.starting_offset()
        if read + self.window // 2 > stream.max_stream_data_local:
            stream.max_stream_data_local = read + self.window
        if stream.max_stream_data_local_sent != stream.max_stream_data_local:
            frame = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
                handler=self._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            frame.push_uint_var(CONTROL_STREAM)
            frame.push_uint_var(stream.max_stream_data_local)
            stream.max_stream_data_local_sent = stream.max_stream_data_local
