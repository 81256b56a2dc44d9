import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from dryoc.kem import xwing
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.crypto import kem
from p2pmsg.errors import P2pmsgError, PeerMisbehaved

SEED = bytes(range(32))
ENC_BYTES = 1120


def hkdf_extract(salt: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), material, "sha256")


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    out = block = b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes((len(out) // sha256().digest_size + 1,)), "sha256")
        out += block
    return out[:length]


def open_by_rfc_9180(shared: bytes, ciphertext: bytes, info: bytes) -> bytes:
    """HPKE's base mode written out: KEM 0x647a (X-Wing), KDF 1 (HKDF-SHA256), AEAD 3 (ChaCha20-Poly1305)."""
    suite = b"HPKE" + b"\x64\x7a" + b"\x00\x01" + b"\x00\x03"

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hkdf_extract(salt, b"HPKE-v1" + suite + label + material)

    def expand(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
        return hkdf_expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context, length)

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, b"")


def test_public_key_is_the_oracles() -> None:
    for seed in (SEED, bytes(32), b"\xff" * 32):
        assert kem.PrivateKey.from_seed(seed).public == bytes(xwing.KeyPair.from_seed(seed).public_key)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.binary(max_size=50))
def test_the_oracle_opens_what_we_seal(seed: bytes, message: bytes, info: bytes) -> None:
    theirs = xwing.KeyPair.from_seed(seed)
    sealed = kem.seal(bytes(theirs.public_key), message, info)
    shared = theirs.decapsulate(sealed[:ENC_BYTES])
    assert open_by_rfc_9180(shared, sealed[ENC_BYTES:], info) == message


def test_round_trip_and_sizes() -> None:
    key = kem.PrivateKey.from_seed(SEED)
    sealed = kem.seal(key.public, b"hello", b"info")
    assert len(key.public) == kem.PUBLIC_BYTES
    assert len(sealed) == 5 + kem.OVERHEAD_BYTES
    assert key.open(sealed, b"info") == b"hello"
    assert kem.seal(key.public, b"hello", b"info") != sealed


def test_other_info_key_or_bytes_do_not_open() -> None:
    key = kem.PrivateKey.from_seed(SEED)
    sealed = kem.seal(key.public, b"hello", b"info")
    changed = [bytes((*sealed[:i], sealed[i] ^ 1, *sealed[i + 1 :])) for i in (0, 1087, 1088, 1119, 1120, len(sealed) - 1)]
    for attempt, info in [(sealed, b"other"), (sealed[:-1], b"info"), (sealed + b"\0", b"info"), (b"", b"info")] + [
        (c, b"info") for c in changed
    ]:
        with pytest.raises(PeerMisbehaved):
            key.open(attempt, info)
    with pytest.raises(PeerMisbehaved):
        kem.PrivateKey.from_seed(bytes(32)).open(sealed, b"info")


def test_the_same_to_dryoc_implicitly_rejected() -> None:
    """A changed ML-KEM ciphertext decapsulates to another secret in both libraries: neither raises there, both fail to open."""
    theirs = xwing.KeyPair.from_seed(SEED)
    sealed = kem.seal(bytes(theirs.public_key), b"hello", b"")
    changed = bytes((sealed[0] ^ 1,)) + sealed[1:]
    assert theirs.decapsulate(changed[:ENC_BYTES]) != theirs.decapsulate(sealed[:ENC_BYTES])


@pytest.mark.parametrize("size", [0, 1184, kem.PUBLIC_BYTES - 1, kem.PUBLIC_BYTES + 1])
def test_keys_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(PeerMisbehaved):
        kem.seal(bytes(size), b"", b"")


def test_keys_that_are_none_are_refused() -> None:
    good = kem.PrivateKey.from_seed(SEED).public
    for bad in (b"\xff" * 1184 + good[1184:], good[:1184] + bytes(32)):  # coefficients over q; the all-zero point of X25519
        with pytest.raises(PeerMisbehaved):
            kem.seal(bad, b"", b"")


P = 2**255 - 19
SMALL_ORDER = [
    *(value.to_bytes(32, "little") for value in (0, 1, P - 1, P, P + 1)),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]
"""All points of X25519 whose order divides 8, canonical or not (RFC 7748; Wycheproof's x25519 tests); the result would be all zero."""


@pytest.mark.parametrize("high_bit", [0, 0x80])
@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point.hex()[:8])
def test_points_of_small_order_are_refused_on_either_side(point: bytes, high_bit: int) -> None:
    point = point[:31] + bytes((point[31] | high_bit,))
    key = kem.PrivateKey.from_seed(SEED)
    with pytest.raises(PeerMisbehaved):
        kem.seal(key.public[:1184] + point, b"", b"")
    sealed = kem.seal(key.public, b"hello", b"")
    with pytest.raises(PeerMisbehaved):
        key.open(sealed[: ENC_BYTES - 32] + point + sealed[ENC_BYTES:], b"")


@pytest.mark.parametrize("at", [0, 381, 384, 1149])
@pytest.mark.parametrize("coefficients", ["010d01", "ffffff", "0010d0"])
def test_one_coefficient_not_below_q_is_refused(at: int, coefficients: str) -> None:
    """FIPS 203, 7.2: the modulus check of an encapsulation key, 12 bits a coefficient; q = 3329 = 0xd01."""
    good = kem.PrivateKey.from_seed(SEED).public
    with pytest.raises(PeerMisbehaved):
        kem.seal(good[:at] + bytes.fromhex(coefficients) + good[at + 3 :], b"", b"")


def test_seeds_of_another_length_are_our_fault() -> None:
    with pytest.raises(ValueError, match="32"):
        kem.PrivateKey.from_seed(bytes(31))


def test_a_machine_without_ml_kem_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    kem.require_post_quantum()
    monkeypatch.setattr(type(backend), "mlkem_supported", lambda self: False)
    with pytest.raises(P2pmsgError, match="ML-KEM") as caught:
        kem.require_post_quantum()
    assert "OpenSSL" in caught.value.hint
