from hashlib import blake2b

from p2pmsg.crypto import agreement

G, X = b"g" * 32, b"x" * 32


def h(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def m(key: bytes, data: bytes) -> bytes:
    return blake2b(data, key=key, digest_size=32).digest()


def test_transcripts() -> None:
    assert agreement.t0(X, b"\x01", b"ek") == h(b"p2pmsg/1/hs/t0\0" + X + b"\x01ek")
    assert agreement.t1(b"t0", b"ek", b"sealed") == h(b"p2pmsg/1/hs/t1\0t0eksealed")
    assert agreement.t2(b"t1", b"prove") == h(b"p2pmsg/1/hs/t2\0t1prove")


def test_macs() -> None:
    assert agreement.gate_mac(G, b"t0") == m(G, b"p2pmsg/1/hs/gate\0t0")
    assert agreement.ready_mac(G, b"t1") == m(G, b"p2pmsg/1/hs/ready\0t1")


def test_what_is_signed_names_the_role() -> None:
    assert agreement.prove_text(b"t1", b"to", b"a", b"d", b"h") == b"p2pmsg/1/hs/prove\0t1toadh"
    assert agreement.welcome_text(b"t2", b"D", b"a", b"d", b"h") == b"p2pmsg/1/hs/welcome\0t2Dadh"


def test_keys() -> None:
    k = agreement.master_key(G, b"seedD", b"seedR", b"t2")
    assert isinstance(k, bytearray) and k == m(G, b"p2pmsg/1/hs/key\0seedDseedRt2")
    assert agreement.channel_keys(k) == (m(bytes(k), b"p2pmsg/1/ch/d\0"), m(bytes(k), b"p2pmsg/1/ch/r\0"))
