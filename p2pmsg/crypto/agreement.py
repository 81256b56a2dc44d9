"""The handshake's arithmetic: transcripts, MACs, what is signed, and the keys that come out. No state, no checks of who is who.

Letters are those of the protocol's description: G gate key, X exporter of the TLS session, K the link's master key, ek an ephemeral
X-Wing key, t0 to t2 the transcript up to GATE, READY and PROVE. D dials, R responds.
"""

from __future__ import annotations

from p2pmsg.crypto import domains
from p2pmsg.crypto.hashing import digest, mac


def t0(x: bytes, version: bytes, ek_d: bytes) -> bytes:
    return digest(domains.T0, x, version, ek_d)


def t1(t0: bytes, ek_r: bytes, sealed_seed_r: bytes) -> bytes:
    return digest(domains.T1, t0, ek_r, sealed_seed_r)


def t2(t1: bytes, prove_body: bytes) -> bytes:
    return digest(domains.T2, t1, prove_body)


def gate_mac(g: bytes, t0: bytes) -> bytes:
    return mac(g, domains.GATE_MAC, t0)


def ready_mac(g: bytes, t1: bytes) -> bytes:
    return mac(g, domains.READY_MAC, t1)


def prove_text(t1: bytes, to: bytes, account: bytes, device: bytes, heads: bytes) -> bytes:
    """Return what D signs; `to` is the account it means to reach, 32 zero bytes where G names none."""
    return b"".join((domains.PROVE, t1, to, account, device, heads))


def welcome_text(t2: bytes, dialler: bytes, account: bytes, device: bytes, heads: bytes) -> bytes:
    """Return what R signs."""
    return b"".join((domains.WELCOME, t2, dialler, account, device, heads))


def master_key(g: bytes, seed_d: bytes | bytearray, seed_r: bytes | bytearray, t2: bytes) -> bytearray:
    """Return K, which the caller wipes."""
    return bytearray(mac(g, domains.KEY, seed_d, seed_r, t2))


def channel_keys(k: bytes | bytearray) -> tuple[bytes, bytes]:
    """Return the keys of D's and of R's direction of sending."""
    return mac(k, domains.CHANNEL_DIALLER), mac(k, domains.CHANNEL_RESPONDER)
