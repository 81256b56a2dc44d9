"""Whether a datagram that belongs to no connection may begin one: half-open limits, Retry, version negotiation.

Pure: no sockets, `now` is passed in.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Final

from aioquic._buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from p2pmsg.config import limits
from p2pmsg.network.udp import SocketAddress

CID_BYTES: Final = 8
"""Length of the connection ids that are given out here."""
_SUPPORTED: Final = [int(QuicProtocolVersion.VERSION_1)]
_SHORTEST_FIRST_CID: Final = 8  # RFC 9000 7.2


@dataclass(frozen=True, slots=True)
class Admitted:
    """A connection may begin, with what aioquic has to be told of the dialler's first packet."""

    first_cid: bytes
    """What the dialler addresses until it has heard of ours."""
    original_cid: bytes
    retry_cid: bytes | None


@dataclass(slots=True)
class Counters:
    """What was turned away since the start."""

    retries: int = 0
    turned_away: int = 0
    """Over the half-open limits, or with a token that is not mine, not theirs or too old."""
    strays: int = 0
    """Garbage, other versions, and packets of connections that are gone."""


def parse(data: bytes) -> QuicHeader | None:
    """Return the header of a datagram's first packet; None for anything that is no QUIC packet."""
    try:
        return pull_quic_header(Buffer(data=data), host_cid_length=CID_BYTES)
    except ValueError:
        return None


class Admission:
    """Counts half-open links and answers first packets."""

    def __init__(
        self,
        per_address: int = limits.HALF_OPEN_PER_ADDRESS,
        most: int = limits.HALF_OPEN,
        retry_above: int = limits.RETRY_ABOVE,
    ) -> None:
        self.counters = Counters()
        self._per_address, self._most, self._retry_above = per_address, most, retry_above
        self._half_open: Counter[str] = Counter()
        self._total = 0
        self._tokens = QuicRetryTokenHandler()

    @property
    def half_open(self) -> int:
        return self._total

    @property
    def full(self) -> bool:
        """Whether one more half-open link is one too many: then one has to give way first, or the newcomer is turned away."""
        return self._total >= self._most

    def entered(self, host: str) -> None:
        """Note that a half-open link with this address began."""
        self._half_open[host] += 1
        self._total += 1

    def left(self, host: str) -> None:
        """Note that it is proven now, or over."""
        self._total -= 1
        self._half_open[host] -= 1
        if not self._half_open[host]:
            del self._half_open[host]

    def answer(self, header: QuicHeader, size_bytes: int, sender: SocketAddress, now: float) -> Admitted | bytes | None:
        """Return leave to begin a connection, a datagram to send back (never longer than what came), or None: say nothing."""
        if header.packet_type is QuicPacketType.VERSION_NEGOTIATION or size_bytes < SMALLEST_MAX_DATAGRAM_SIZE:
            self.counters.strays += 1
            return None
        if header.version is not None and header.version not in _SUPPORTED:
            self.counters.strays += 1
            return encode_quic_version_negotiation(header.destination_cid, header.source_cid, _SUPPORTED)
        if header.packet_type is not QuicPacketType.INITIAL or len(header.destination_cid) < _SHORTEST_FIRST_CID:
            self.counters.strays += 1
            return None
        if self._half_open[sender[0]] >= self._per_address:
            self.counters.turned_away += 1
            return None
        if header.token:
            return self._returned(header, sender, now)
        if self._total >= self._retry_above:
            return self._retry(header, sender, now)
        return Admitted(header.destination_cid, header.destination_cid, None)

    def _retry(self, header: QuicHeader, sender: SocketAddress, now: float) -> bytes:
        """Make the dialler show that it receives at the address it claims, and keep nothing meanwhile."""
        self.counters.retries += 1
        retry_cid = os.urandom(CID_BYTES)
        token = self._tokens.create_token(
            address=sender,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=retry_cid,
            now=now,
        )
        return encode_quic_retry(
            version=_SUPPORTED[0],
            source_cid=retry_cid,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )

    def _returned(self, header: QuicHeader, sender: SocketAddress, now: float) -> Admitted | None:
        try:
            original = self._tokens.validate_token(address=sender, destination_cid=header.destination_cid, token=header.token, now=now)
        except ValueError:
            self.counters.turned_away += 1
            return None
        return Admitted(header.destination_cid, original, header.destination_cid)
