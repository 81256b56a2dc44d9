"""What a QUIC connection is configured with: a certificate that says nothing, one suite, no tickets; and the self-test.

Knows nothing of who talks: that is settled inside, bound to the exporter (notes of the handshake, protocol.md).
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cache
from typing import Final

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p2pmsg.config import limits
from p2pmsg.errors import P2pmsgError
from p2pmsg.network.quic import Quic

ALPN: Final = "p2pmsg/1"
EXPORTER_LABEL: Final = b"EXPORTER-p2pmsg-1-link"
_VALID = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
_NO_LIMIT = (1 << 62) - 1


def dialler_configuration(idle_timeout_s: float, initial_rtt_s: float | None = None) -> QuicConfiguration:
    """Return what a dialler uses: no name sent, no certificate of its own, the peer's unchecked but for its signature."""
    configuration = _configuration(idle_timeout_s, is_client=True)
    if initial_rtt_s is not None:
        configuration.initial_rtt = initial_rtt_s
    return configuration


def responder_configuration(idle_timeout_s: float) -> QuicConfiguration:
    """Return what a responder uses, with a fresh throw-away certificate: to be called once an epoch."""
    configuration = _configuration(idle_timeout_s, is_client=False)
    configuration.certificate, configuration.private_key = throwaway_certificate()
    return configuration


def throwaway_certificate() -> tuple[x509.Certificate, Ed25519PrivateKey]:
    """Return a self-signed certificate without names, with serial number 1 and the dates of every other one."""
    key = Ed25519PrivateKey.generate()
    nobody = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(nobody).issuer_name(nobody).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(_VALID[0]).not_valid_after(_VALID[1])
    return builder.sign(key, None), key


def exporter(quic: Quic) -> bytes:
    """Return the 32 bytes that both ends of this connection, and nobody between them, have."""
    return quic.export(EXPORTER_LABEL)


@cache
def self_test() -> None:
    """See once a process that two connections in memory agree on their exporter, and that another pair has another.

    Raises:
        P2pmsgError: they do not: links could be terminated in the middle unseen, so nothing may run.
    """
    (first, same), (second, _) = _pair(), _pair()
    if first != same or first == second:
        raise P2pmsgError("the TLS exporter of this installation of aioquic does not bind links to their ends")


def _pair() -> tuple[bytes, bytes]:
    dialler = Quic(dialler_configuration(limits.IDLE_TIMEOUT_S))
    dialler.connect(("ann", 1), now=0.0)
    first = dialler.datagrams_to_send(0.0)
    responder = Quic(responder_configuration(limits.IDLE_TIMEOUT_S), original_cid=dialler.original_destination_connection_id)
    for data, _ in first:
        responder.receive_datagram(data, ("ann", 1), 0.0)
    for _ in range(4):
        for data, _ in responder.datagrams_to_send(0.0):
            dialler.receive_datagram(data, ("ann", 1), 0.0)
        for data, _ in dialler.datagrams_to_send(0.0):
            responder.receive_datagram(data, ("ann", 1), 0.0)
    return exporter(dialler), exporter(responder)


def _configuration(idle_timeout_s: float, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[ALPN],
        cipher_suites=[CipherSuite.AES_128_GCM_SHA256, CipherSuite.CHACHA20_POLY1305_SHA256],
        idle_timeout=idle_timeout_s,
        max_data=_NO_LIMIT,
        max_stream_data=limits.UNPROVEN_WINDOW_BYTES,
        supported_versions=[QuicProtocolVersion.VERSION_1],
        verify_mode=ssl.CERT_NONE,
    )
