import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.crypto import canonical
from p2pmsg.errors import PeerMisbehaved

ATOMS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5), max_leaves=12
)


@given(VALUES)
def test_plain_values_come_back(value: object) -> None:
    try:
        assert canonical.unpack(canonical.pack(value), 1 << 20) == value
    except PeerMisbehaved:
        assert _depth(value) > canonical.MAX_DEPTH


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_peer_misbehaved(data: bytes) -> None:
    try:
        value = canonical.unpack(data, 200)
    except PeerMisbehaved:
        return
    assert canonical.pack(value) == data


@given(VALUES, st.data())
def test_a_changed_encoding_is_refused_or_means_something_else(value: object, data: st.DataObject) -> None:
    packed = bytearray(canonical.pack(value))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert canonical.pack(canonical.unpack(bytes(packed), 1 << 20)) == packed
    except PeerMisbehaved:
        pass


def test_keys_are_sorted() -> None:
    assert canonical.pack({"b": 1, "aa": 2, "a": 3}) == canonical.pack({"a": 3, "aa": 2, "b": 1}) == b"\x83\xa1a\x03\xa2aa\x02\xa1b\x01"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc1", id="never used byte"),
        pytest.param(b"\x01\x02", id="trailing bytes"),
        pytest.param(b"\xcc\x05", id="long form of a small number"),
        pytest.param(b"\xd9\x01a", id="long form of a short string"),
        pytest.param(b"\xc5\x00\x01a", id="long form of short bytes"),
        pytest.param(b"\xdc\x00\x00", id="long form of a short list"),
        pytest.param(b"\x82\xa1b\x01\xa1a\x01", id="keys out of order"),
        pytest.param(b"\x82\xa1a\x01\xa1a\x01", id="key twice"),
        pytest.param(b"\x81\x01\x01", id="number as key"),
        pytest.param(b"\x81\xc4\x01a\x01", id="bytes as key"),
        pytest.param(b"\x81\x91\x01\x01", id="list as key"),
        pytest.param(b"\xcb\x7f\xf8\0\0\0\0\0\0", id="NaN"),
        pytest.param(b"\xcb\x3f\xf0\0\0\0\0\0\0", id="float"),
        pytest.param(b"\xca\x3f\x80\0\0", id="short float"),
        pytest.param(b"\xd4\x01\x00", id="extension"),
        pytest.param(b"\xd6\xff\0\0\0\0", id="timestamp"),
        pytest.param(b"\xa1\xff", id="no UTF-8"),
        pytest.param(b"\xa3\xed\xa0\x80", id="lone surrogate"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="giant list"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="giant map"),
        pytest.param(b"\xc6\xff\xff\xff\xff", id="giant bytes"),
        pytest.param(b"\x91" * 100_000 + b"\xc0", id="nested 100,000 times"),
        pytest.param(b"\x81\xa1a" * 50_000 + b"\xc0", id="maps nested 50,000 times"),
    ],
)
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        canonical.unpack(data, 1 << 20)


def test_length_at_the_limit_and_one_above() -> None:
    data = canonical.pack(b"x" * 98)
    assert len(data) == 100
    assert canonical.unpack(data, 100) == b"x" * 98
    with pytest.raises(PeerMisbehaved):
        canonical.unpack(data, 99)


def test_depth_at_the_limit_and_one_above() -> None:
    assert canonical.unpack(b"\x91" * canonical.MAX_DEPTH + b"\x01", 100) == [[[[[[[[1]]]]]]]]
    with pytest.raises(PeerMisbehaved):
        canonical.unpack(b"\x91" * (canonical.MAX_DEPTH + 1) + b"\x01", 100)


def test_pack_gives_the_shortest_forms() -> None:
    for value in (0, 127, 128, 65_535, 65_536, 2**32, -1, -33, "a" * 31, "a" * 32, b"a" * 256, [0] * 15, [0] * 16):
        assert canonical.pack(value) == msgspec.msgpack.encode(value)
        assert canonical.unpack(canonical.pack(value), 1000) == value


def _depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 0
