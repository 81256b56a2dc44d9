import hashlib

from p2pmsg.crypto.hashing import digest, mac, wipe


def test_digest_is_blake2b_256_of_all_joined() -> None:
    assert digest(b"d\0", b"ab", b"c") == hashlib.blake2b(b"d\0abc", digest_size=32).digest()


def test_mac_is_keyed() -> None:
    assert mac(b"k" * 32, b"d\0", b"abc") == hashlib.blake2b(b"d\0abc", key=b"k" * 32, digest_size=32).digest()
    assert mac(b"k" * 32, b"d\0", b"abc") != mac(b"l" * 32, b"d\0", b"abc")


def test_mac_takes_short_keys_and_bytearrays() -> None:
    assert mac(bytearray(b"k" * 16), b"d\0", bytearray(b"m")) == mac(b"k" * 16, b"d\0", b"m")


def test_wipe_leaves_zeros() -> None:
    a, b = bytearray(b"secret"), bytearray(b"key")
    wipe(a, b)
    assert (a, b) == (bytearray(6), bytearray(3))
