from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo

from p2pmsg.config import limits
from p2pmsg.network.announcements import SERVICE, TAGS_BYTES, Announcement, instance_name, parse, text_properties

NONCE = bytes(range(10))
TAGS = bytes(range(64))
ADDRESSES = b"\x01\x0a\x4d\x00\x01\x11\x51"


def name(nonce: bytes = NONCE) -> str:
    return f"{instance_name(nonce)}.{SERVICE}"


def text(**pairs: bytes) -> bytes:
    strings = [key.encode() + b"=" + value for key, value in pairs.items()]
    return b"".join(bytes([len(string)]) + string for string in strings)


def good(**changed: bytes) -> bytes:
    return text(**{"v": b"1", "a": ADDRESSES, "t": TAGS} | changed)


def test_the_instance_name_is_16_lower_case_characters() -> None:
    assert instance_name(bytes(10)) == "a" * 16
    assert instance_name(b"\xff" * 10) == "7" * 16


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=1, max_size=limits.ANNOUNCED_BYTES), st.binary(min_size=64, max_size=64))
def test_what_is_published_through_zeroconf_is_read_back(nonce: bytes, addresses: bytes, tags: bytes) -> None:
    announcement = Announcement(nonce, addresses, tags)
    info = ServiceInfo(SERVICE, name(nonce), properties=text_properties(announcement))
    assert parse(info.name, info.text) == announcement


def test_upper_case_names_are_the_same_name() -> None:
    assert parse(name().upper(), good()) == Announcement(NONCE, ADDRESSES, TAGS)


def test_unknown_pairs_and_strings_without_a_value_are_left_out() -> None:
    assert parse(name(), text(x=b"nick") + b"\x04flag\x00" + good()) == Announcement(NONCE, ADDRESSES, TAGS)


def test_of_a_key_that_comes_twice_the_first_counts() -> None:
    assert parse(name(), good() + text(a=b"other", t=bytes(64))) == Announcement(NONCE, ADDRESSES, TAGS)


@pytest.mark.parametrize("version", [2, 99, 255])
def test_a_higher_version_is_passed_on(version: int) -> None:
    assert parse(name(), good(v=b"%d" % version)) == Announcement(NONCE, ADDRESSES, TAGS, version)


@pytest.mark.parametrize("version", [b"", b"0", b"01", b"256", b"1000", b"-1", b"1.0", b"one", b"\xb2"])
def test_what_is_no_version_is_refused(version: bytes) -> None:
    assert parse(name(), good(v=version)) is None


@pytest.mark.parametrize("key", ["v", "a", "t"])
def test_a_missing_pair_is_refused(key: str) -> None:
    pairs = {"v": b"1", "a": ADDRESSES, "t": TAGS}
    del pairs[key]
    assert parse(name(), text(**pairs)) is None


def test_addresses_are_taken_up_to_the_limit() -> None:
    assert parse(name(), good(a=bytes(limits.ANNOUNCED_BYTES)))
    assert parse(name(), good(a=bytes(limits.ANNOUNCED_BYTES + 1))) is None
    assert parse(name(), good(a=b"")) is None


@pytest.mark.parametrize("size", [0, 8, TAGS_BYTES - 1, TAGS_BYTES + 1, 128])
def test_tags_have_one_length(size: int) -> None:
    assert parse(name(), good(t=bytes(size))) is None


@pytest.mark.parametrize(
    "wrong",
    ["", ".", SERVICE, "a" * 16, f"{'a' * 15}.{SERVICE}", f"{'a' * 17}.{SERVICE}", f"{'1' * 16}.{SERVICE}",
     f"{'a' * 16}._other._udp.local.", f"sub.{'a' * 16}.{SERVICE}", f"{'ä' * 16}.{SERVICE}", f"{'a' * 15}=.{SERVICE}"],
)  # fmt: skip
def test_names_that_are_no_nonce_are_refused(wrong: str) -> None:
    assert parse(wrong, good()) is None


def test_a_string_that_is_cut_off_is_left_out() -> None:
    assert parse(name(), good()[:-1]) is None


@given(st.text(), st.binary(max_size=2000))
def test_rubbish_is_no_announcement_and_never_an_error(label: str, data: bytes) -> None:
    assert parse(label, data) is None
    parse(name(), data)


@given(st.integers(0, 210), st.integers(0, 255))
def test_one_changed_byte_is_another_announcement_or_none(at: int, value: int) -> None:
    data = bytearray(good())
    data[at % len(data)] = value
    found = parse(name(), bytes(data))
    assert found is None or (found.nonce == NONCE and len(found.tags) == 64 and 0 < len(found.addresses) <= 128)


@pytest.mark.parametrize("nickname", ["Ann", "Ännchen", "x" * 64, "日本"])
def test_a_visible_node_says_a_name(nickname: str) -> None:
    announcement = Announcement(NONCE, ADDRESSES, TAGS, nickname=nickname)
    info = ServiceInfo(SERVICE, name(), properties=text_properties(announcement))
    assert parse(info.name, info.text) == announcement


@pytest.mark.parametrize("value", [b"", b"x" * 65, "é".encode() * 33, b"me", b"\xff", b"a\0", b"\x1b[2J", b"a/b", "\u202ea".encode()])
def test_a_name_that_is_none_is_passed_over(value: bytes) -> None:
    assert parse(name(), good(n=value)) == Announcement(NONCE, ADDRESSES, TAGS)


def test_a_text_is_read_up_to_1024_bytes() -> None:
    filled = good() + (b"\xff" + b"x" * 255) * 3
    filled += b"\0" * (1024 - len(filled))
    assert parse(name(), filled) == Announcement(NONCE, ADDRESSES, TAGS)
    assert parse(name(), filled + b"\0") is None
