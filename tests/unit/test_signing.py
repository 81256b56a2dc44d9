import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.crypto import signing
from p2pmsg.errors import PeerMisbehaved

KEY, SECRET = signing.keypair(b"\x07" * 32)
MESSAGE = b"p2pmsg/1/test\0hello"
SIGNATURE = signing.sign(SECRET, MESSAGE)
ORDER = 2**252 + 27742317777372353535851937790883648493

SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("0100000000000000000000000000000000000000000000000000000000000080"),
]
NOT_CANONICAL = [
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    b"\xff" * 32,
]


def test_vector_of_rfc_8032() -> None:
    key, secret = signing.keypair(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = signing.sign(secret, b"\x72")
    assert signature.hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")
    signing.verify(key, signature, b"\x72")


def test_good_signature() -> None:
    signing.verify(KEY, SIGNATURE, MESSAGE)


@given(st.integers(0, 64 * 8 - 1))
def test_any_changed_bit_of_the_signature_is_refused(bit: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PeerMisbehaved):
        signing.verify(KEY, bytes(changed), MESSAGE)


def test_another_message_or_key_is_refused() -> None:
    other, _ = signing.keypair(b"\x08" * 32)
    for key, message in ((KEY, MESSAGE + b"!"), (other, MESSAGE), (KEY, b"")):
        with pytest.raises(PeerMisbehaved):
            signing.verify(key, SIGNATURE, message)


@pytest.mark.parametrize("key", SMALL_ORDER + NOT_CANONICAL, ids=lambda key: key.hex()[:8])
def test_keys_that_verify_everything_are_refused(key: bytes) -> None:
    for r in SMALL_ORDER:
        with pytest.raises(PeerMisbehaved):
            signing.verify(key, r + bytes(32), MESSAGE)


def test_s_above_the_order_is_refused() -> None:
    s = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    with pytest.raises(PeerMisbehaved):
        signing.verify(KEY, SIGNATURE[:32] + s.to_bytes(32, "little"), MESSAGE)


SIGN_SET = [key[:31] + bytes((key[31] | 0x80,)) for key in SMALL_ORDER + NOT_CANONICAL]


@pytest.mark.parametrize("key", SIGN_SET, ids=lambda key: key.hex()[:8])
def test_such_keys_with_their_sign_bit_set_are_refused(key: bytes) -> None:
    for r in [*SMALL_ORDER, *NOT_CANONICAL]:
        for s in (bytes(32), SIGNATURE[32:]):
            with pytest.raises(PeerMisbehaved):
                signing.verify(key, r + s, MESSAGE)


@pytest.mark.parametrize("r", [*SMALL_ORDER, *NOT_CANONICAL, *SIGN_SET], ids=lambda r: r.hex()[:8])
def test_such_points_as_r_are_refused_under_a_good_key(r: bytes) -> None:
    for s in (bytes(32), SIGNATURE[32:], ORDER.to_bytes(32, "little"), (ORDER - 1).to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(PeerMisbehaved):
            signing.verify(KEY, r + s, MESSAGE)


@pytest.mark.parametrize(
    ("key", "signature"), [(KEY[:31], SIGNATURE), (KEY + b"\0", SIGNATURE), (KEY, SIGNATURE[:63]), (KEY, b""), (b"", b"")]
)
def test_impossible_lengths_are_refused(key: bytes, signature: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        signing.verify(key, signature, MESSAGE)
