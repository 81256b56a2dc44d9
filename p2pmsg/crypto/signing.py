"""Ed25519 (RFC 8032), by libsodium alone: two verifiers that differ in corner cases would be two histories."""

from __future__ import annotations

from typing import Final

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.ids import DeviceKey

SEED_BYTES: Final = 32
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


def keypair(seed: bytes) -> tuple[DeviceKey, bytes]:
    """Return (public key, 64-byte secret) of a 32-byte seed."""
    public, secret = crypto_sign_seed_keypair(seed)
    return DeviceKey(public), secret


def sign(secret: bytes, message: bytes) -> bytes:
    """Return the 64-byte signature; `message` starts with a domain string."""
    return crypto_sign(message, secret)[:SIGNATURE_BYTES]


def verify(key: bytes, signature: bytes, message: bytes) -> None:
    """Return if the signature is good.

    Raises:
        PeerMisbehaved: it is not, or has another length; the key is of small order or not canonical; S is not canonical.
    """
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise PeerMisbehaved("a key or signature has an impossible length")
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError as error:
        raise PeerMisbehaved("a signature is not good") from error
