"""X-Wing (ML-KEM-768 + X25519, draft-connolly-cfrg-xwing-kem) in HPKE's single-shot base mode (RFC 9180), KEM id 0x647a.

One fixed suite: HKDF-SHA256 and ChaCha20-Poly1305. What must be bound to a sealed message goes into `info`.
"""

from __future__ import annotations

from hashlib import shake_256
from typing import Final

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from p2pmsg.errors import P2pmsgError, PeerMisbehaved

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 1216
OVERHEAD_BYTES: Final = 1136
_MLKEM_PUBLIC_BYTES: Final = 1184
_MLKEM_SEED_BYTES: Final = 64
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_FAULTS: Final = (ValueError, InvalidTag, InternalError, UnsupportedAlgorithm)


class PrivateKey:
    """One side's key; `public` is what the other side seals to. Forget it by dropping every reference."""

    __slots__ = ("_key", "public")

    def __init__(self, lattice: mlkem.MLKEM768PrivateKey, curve: x25519.X25519PrivateKey) -> None:
        self.public: Final = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        self._key = hpke.MLKEM768X25519PrivateKey(lattice, curve)

    @classmethod
    def from_seed(cls, seed: bytes | bytearray) -> PrivateKey:
        """Return the key of a 32-byte seed, expanded as the X-Wing draft does."""
        if len(seed) != SEED_BYTES:
            raise ValueError("an X-Wing seed has 32 bytes")
        expanded = shake_256(seed).digest(_MLKEM_SEED_BYTES + 32)
        return cls(
            mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
            x25519.X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
        )

    def open(self, ciphertext: bytes, info: bytes) -> bytes:
        """Return what was sealed to this key under the same `info`.

        Raises:
            PeerMisbehaved: it was not, or was changed on the way.
        """
        try:
            return _SUITE.decrypt(ciphertext, self._key, info=info)
        except _FAULTS as error:
            raise PeerMisbehaved("a sealed message does not open") from error


def seal(public: bytes, plaintext: bytes | bytearray, info: bytes) -> bytes:
    """Return `plaintext` sealed to a public key of 1216 bytes: 1136 bytes longer, and different each time.

    Raises:
        PeerMisbehaved: the key is none.
    """
    if len(public) != PUBLIC_BYTES:
        raise PeerMisbehaved("an X-Wing key has an impossible length")
    try:
        key = hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
            x25519.X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
        )
        return _SUITE.encrypt(plaintext, key, info=info)
    except _FAULTS as error:
        raise PeerMisbehaved("an X-Wing key is none") from error


def require_post_quantum() -> None:
    """Return if this machine's cryptography can do ML-KEM.

    Raises:
        P2pmsgError: it cannot; there is no weaker mode to fall back to.
    """
    if not backend.mlkem_supported():
        raise P2pmsgError(
            "The cryptography library on this machine lacks ML-KEM-768, and p2pmsg has no weaker mode.",
            hint="Install the wheel of cryptography 49 or later from PyPI; a build against OpenSSL before 3.5 does not do.",
        )
