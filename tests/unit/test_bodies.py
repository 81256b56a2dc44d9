"""What events say: in and out, and nothing that is not of its kind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Kind
from p2pmsg.protocol.bodies import (
    SALT_BYTES,
    Body,
    ContactBody,
    DeleteBody,
    ReadBody,
    ReadEntry,
    SettingBody,
    TextBody,
    decode_body,
    encode_body,
    kind_of,
)

SALT = b"s" * SALT_BYTES
ids = st.binary(min_size=32, max_size=32)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=50)
entries = st.builds(ReadEntry, ids, st.integers(0, 2**63 - 1), st.binary(min_size=8, max_size=8))
bodies = st.one_of(
    st.builds(TextBody, texts),
    st.builds(ReadBody, ids, st.lists(entries, max_size=5)),
    st.builds(
        ContactBody,
        account=ids,
        name=st.none() | texts,
        nickname=texts,
        trust=st.sampled_from(["unverified", "invited", "verified"]),
        verified_by=st.sampled_from([None, "invite", "sas", "number"]),
        pair_key=ids,
        via=st.sampled_from([None, "invite_mine", "invite_theirs"]),
        removed=st.booleans(),
    ),
    st.builds(DeleteBody, ids, st.lists(entries, max_size=5), st.lists(ids, max_size=5)),
    st.builds(SettingBody, st.text(max_size=20).filter(str.isprintable), st.integers(-(2**63), 2**64 - 1) | st.binary() | st.none()),
)


def raw(value: Any) -> bytes:
    return SALT + msgspec.msgpack.encode(value)


def refused(kind: int, data: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        decode_body(kind, data)


@given(bodies)
def test_a_body_comes_out_as_it_went_in(body: Body) -> None:
    assert decode_body(kind_of(body), encode_body(body, SALT)) == body


def test_the_same_words_have_another_body_each_time() -> None:
    assert encode_body(TextBody("yes"), b"a" * 16) != encode_body(TextBody("yes"), b"b" * 16)
    assert encode_body(TextBody("yes"), SALT)[:SALT_BYTES] == SALT


@pytest.mark.parametrize("size", [0, 15, 17])
def test_the_salt_has_16_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16"):
        encode_body(TextBody("x"), bytes(size))


def test_an_unknown_kind_says_nothing() -> None:
    assert decode_body(99, SALT + b"whatever") is None


@pytest.mark.parametrize("kind", list(Kind))
@given(st.binary(max_size=200))
def test_a_body_is_a_value_or_a_fault(kind: Kind, data: bytes) -> None:
    try:
        body = decode_body(kind, data)
    except PeerMisbehaved:
        return
    assert body is not None and kind_of(body) is kind


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("data", [b"", SALT, SALT[:5], raw([]), raw({}), raw(1), raw("x"), raw([[["x"]]]), SALT + b"\x91" * 100_000])
def test_what_is_no_body(kind: Kind, data: bytes) -> None:
    refused(kind, data)


@pytest.mark.parametrize("text", ["", "a\0b", "\0", "x" * (limits.TEXT_BYTES + 1), "é" * (limits.TEXT_BYTES // 2 + 1)])
def test_what_is_no_text(text: str) -> None:
    refused(Kind.TEXT, raw([text]))


@pytest.mark.parametrize("text", ["x" * limits.TEXT_BYTES, "é" * (limits.TEXT_BYTES // 2), "\n", " "])
def test_the_longest_text_passes(text: str) -> None:
    assert decode_body(Kind.TEXT, encode_body(TextBody(text), SALT)) == TextBody(text)


@pytest.mark.parametrize("data", [b"\x91\xa1\xff", b"\x91\xa3\xed\xa0\x80", b"\x91\xc4\x01x"])
def test_a_text_is_utf8(data: bytes) -> None:
    refused(Kind.TEXT, SALT + data)


def test_the_longest_text_fits_a_body() -> None:
    assert len(encode_body(TextBody("x" * limits.TEXT_BYTES), SALT)) <= limits.BODY_BYTES


def test_a_read_mark_names_a_limited_number_of_logs() -> None:
    entry = [bytes(32), 1, bytes(8)]
    assert decode_body(Kind.READ, raw([bytes(32), [entry] * limits.HAVE_LOGS])) is not None
    refused(Kind.READ, raw([bytes(32), [entry] * (limits.HAVE_LOGS + 1)]))


@pytest.mark.parametrize(
    "entry", [[bytes(31), 1, bytes(8)], [bytes(32), -1, bytes(8)], [bytes(32), 2**63, bytes(8)], [bytes(32), 1, bytes(9)]]
)
def test_what_is_no_read_mark(entry: list[object]) -> None:
    refused(Kind.READ, raw([bytes(32), [entry]]))


@pytest.mark.parametrize("trust,verified_by,via", [("sure", None, None), ("verified", "guess", None), ("verified", None, "mail")])
def test_what_is_no_contact(trust: str, verified_by: str | None, via: str | None) -> None:
    refused(Kind.CONTACT, raw([bytes(32), None, "Bob", trust, verified_by, bytes(32), via]))


def test_fields_of_later_versions_are_passed_over() -> None:
    assert decode_body(Kind.TEXT, raw(["hello", "reply to whom?"])) == TextBody("hello")


def test_the_key_of_a_setting_is_limited() -> None:
    assert decode_body(Kind.SETTING, raw(["k" * 64, 1])) == SettingBody("k" * 64, 1)
    refused(Kind.SETTING, raw(["k" * 65, 1]))


def test_a_deletion_is_bounded_and_its_longest_fits_an_event() -> None:
    entry, event = [b"d" * 32, 2**63 - 1, b"e" * 8], b"e" * 32
    longest = raw([b"c" * 32, [entry] * limits.HAVE_LOGS, [event] * limits.DELETED_EVENTS])
    assert decode_body(Kind.DELETE, longest) is not None and len(longest) <= limits.BODY_BYTES
    refused(Kind.DELETE, raw([b"c" * 32, [entry] * (limits.HAVE_LOGS + 1), []]))
    refused(Kind.DELETE, raw([b"c" * 32, [], [event] * (limits.DELETED_EVENTS + 1)]))
    refused(Kind.DELETE, raw([b"c" * 32, [], [b"e" * 31]]))
