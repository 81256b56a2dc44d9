"""The two hashes of the protocol, `H` and `M` of its description, and the wiping of secrets."""

from __future__ import annotations

from hashlib import blake2b

DIGEST_BYTES = 32


def digest(domain: bytes, *parts: bytes) -> bytes:
    """Return BLAKE2b-256 (RFC 7693) of the domain string and the parts, joined."""
    return blake2b(b"".join((domain, *parts)), digest_size=DIGEST_BYTES).digest()


def mac(key: bytes | bytearray, domain: bytes, *parts: bytes | bytearray) -> bytes:
    """Return BLAKE2b-256 keyed with 1 to 64 bytes, over the domain string and the parts, joined."""
    return blake2b(b"".join((domain, *parts)), key=key, digest_size=DIGEST_BYTES).digest()


def wipe(*secrets: bytearray) -> None:
    """Overwrite secrets with zeros. Copies that a library or CPython made of them as `bytes` stay until their memory is used again."""
    for secret in secrets:
        secret[:] = bytes(len(secret))
