"""Frames and events as bytes: round trips, limits at the limit and one above, and what is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import canonical
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Header, Kind
from p2pmsg.model.ids import NO_EVENT, ChainLinkId, ConversationId, DeviceId
from p2pmsg.protocol import wire
from p2pmsg.protocol.wire import FrameReader, FrameType

BODY = bytes(16) + b"text"
ids = st.binary(min_size=32, max_size=32)
claims = st.builds(Claim, st.binary(min_size=8, max_size=8), st.integers(1, 2**63 - 1), st.binary(min_size=8, max_size=8))


def header(**changes: object) -> Header:
    fields: dict[str, object] = {
        "version": 1,
        "conversation": ConversationId(b"c" * 32),
        "device": DeviceId(b"d" * 32),
        "seq": 1,
        "previous": NO_EVENT,
        "hlc": 1 << 16,
        "parents": (),
        "kind": Kind.TEXT,
        "heads": (),
        "account_heads": (ChainLinkId(b"h" * 32),),
        "lifetime_s": 0,
        "body_hash": wire.body_hash(BODY),
    }
    return Header(**(fields | changes))  # type: ignore[arg-type]


def test_an_event_comes_back_as_it_was() -> None:
    data = wire.encode_header(header())
    event = wire.decode_event(data, bytes(64), BODY)
    assert event.header == header() and event.header_bytes == data and event.body == BODY


def test_unknown_fields_at_the_end_of_a_header_stay_in_its_bytes() -> None:
    fields = canonical.unpack(wire.encode_header(header()), limits.HEADER_BYTES)
    assert isinstance(fields, list)
    data = canonical.pack([*fields, "later"])
    event = wire.decode_event(data, bytes(64), BODY)
    assert event.header == header() and event.id == wire.event_id(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"seq": 2**63},
        {"hlc": 0},
        {"hlc": -1},
        {"kind": 0},
        {"version": True},
        {"lifetime_s": -1},
        {"device": b"short"},
        {"body_hash": b"x" * 31},
        {"parents": (b"b" * 32, b"a" * 32)},
        {"parents": (b"a" * 32, b"a" * 32)},
        {"account_heads": tuple(bytes([n]) * 32 for n in range(limits.EVENT_HEADS + 1))},
        {"parents": tuple(bytes([n]) * 32 for n in range(limits.PARENTS + 1))},
    ],
)
def test_headers_that_no_honest_device_makes_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.decode_event(wire.encode_header(header(**changes)), bytes(64), BODY)


@pytest.mark.parametrize("body", [b"", bytes(15), BODY + b"x", bytes(limits.BODY_BYTES + 1)])
def test_a_body_of_another_hash_is_refused(body: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.decode_event(wire.encode_header(header()), bytes(64), body)


def test_a_header_in_another_encoding_is_refused() -> None:
    data = wire.encode_header(header())
    widened = data.replace(b"\xc4\x20" + b"c" * 32, b"\xc5\x00\x20" + b"c" * 32)
    assert widened != data
    with pytest.raises(PeerMisbehaved):
        wire.decode_event(widened, bytes(64), BODY)


# -- frames


@given(st.lists(st.tuples(st.sampled_from([1, 3, 5, 10, 13, 200]), st.binary(max_size=300)), max_size=8), st.data())
def test_frames_come_out_whole_however_the_stream_is_cut(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(
        wire.plain_frame(kind, body) if kind in wire.PLAIN else bytes((kind,)) + len(body).to_bytes(4, "big") + body
        for kind, body in frames
    )
    reader, out, at = FrameReader(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream) - at))
        out += reader.feed(stream[at : at + step])
        at += step
    assert [tuple(frame) for frame in out] == frames


def test_a_length_over_the_limit_is_refused_at_the_header() -> None:
    reader = FrameReader(limit=100)
    assert reader.feed(b"\x0a" + (100).to_bytes(4, "big")) == []
    with pytest.raises(PeerMisbehaved):
        FrameReader(limit=100).feed(b"\x0a" + (101).to_bytes(4, "big"))
    with pytest.raises(PeerMisbehaved):
        FrameReader(limit=100).feed(b"\x01\xff\xff")


def test_messages_come_back_as_they_were() -> None:
    vector = wire.pack_claims([Claim(b"d" * 8, 5, b"e" * 8)])
    for message in (
        wire.Hello(b"i" * 8, 1, 1 << 20, [b"h" * 32], b"p" * 32, 1),
        wire.Have(True, [wire.LogClaims(b"c" * 32, vector)]),
        wire.Want([wire.Range(b"c" * 32, vector, vector)]),
        wire.Events([wire.SentEvent(b"header", bytes(64), None)]),
        wire.Ack([wire.LogClaims(b"c" * 32, vector)]),
        wire.Check(7),
        wire.Checked(7, 1 << 40, bytes(4), 45_454, [wire.Sighting(1, 60, 2)]),
        wire.Typing(),
    ):
        assert wire.decode(*wire.encode(message)) == message


def test_fields_and_frames_of_later_versions_are_passed_over() -> None:
    kind, payload = wire.encode(wire.Have(True, []))
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(payload), "later"])
    assert wire.decode(kind, longer) == wire.Have(True, [])
    assert wire.decode(FrameType.TYPING, msgspec.msgpack.encode(["later"])) == wire.Typing()
    assert wire.decode(19, b"anything") is None


@pytest.mark.parametrize("kind", [FrameType.GATE, FrameType.WELCOME, FrameType.CHAIN, FrameType.GONE, FrameType.KEY, FrameType.NEXT])
def test_frames_of_the_handshake_have_no_place_on_an_open_link(kind: int) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.decode(kind, b"")


def test_counts_are_bounded_at_the_limit_and_not_one_above() -> None:
    event = wire.SentEvent(b"", bytes(64), None)
    kind, payload = wire.encode(wire.Events([event] * limits.EVENTS_PER_FRAME))
    assert wire.decode(kind, payload) is not None
    kind, payload = wire.encode(wire.Events([event] * (limits.EVENTS_PER_FRAME + 1)))
    with pytest.raises(PeerMisbehaved):
        wire.decode(kind, payload)


@pytest.mark.parametrize("host", [bytes(4), bytes(16), b""])
def test_an_answer_to_check_at_its_limits(host: bytes) -> None:
    def payload(sightings: int, host: bytes = host) -> bytes:
        return wire.encode(wire.Checked(1, 1, host, 65_535, [wire.Sighting(1, 0, 0)] * sightings))[1]

    assert isinstance(wire.decode(FrameType.CHECKED, payload(limits.SIGHTINGS)), wire.Checked)
    for wrong in (payload(limits.SIGHTINGS + 1), payload(0, bytes(17))):
        with pytest.raises(PeerMisbehaved):
            wire.decode(FrameType.CHECKED, wrong)


@given(st.lists(claims, max_size=20))
def test_vectors_come_back_as_they_were(vector: list[Claim]) -> None:
    packed = wire.pack_claims(vector)
    assert len(packed) == wire.CLAIM_BYTES * len(vector) and wire.unpack_claims(packed) == vector


@pytest.mark.parametrize("data", [b"x", bytes(24), b"\xff" * 24])
def test_vectors_that_are_cut_or_out_of_range_are_refused(data: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.unpack_claims(data)


def test_events_are_cut_into_frames_of_64_kib_and_a_large_one_travels_alone() -> None:
    small = wire.decode_event(wire.encode_header(header()), bytes(64), BODY)
    text = bytes(16) + b"x" * limits.TEXT_BYTES
    large = wire.decode_event(wire.encode_header(header(body_hash=wire.body_hash(text))), bytes(64), text)
    frames = wire.frames_of_events([small] * 600 + [large] + [small])
    assert [event for frame in frames for event in frame] == [small] * 600 + [large] + [small]
    for frame in frames:
        assert len(frame) == 1 or sum(event.size for event in frame) <= limits.EVENTS_FRAME_BYTES
        assert len(frame) <= limits.EVENTS_PER_FRAME
        assert len(wire.encode(wire.Events([wire.sent_event(e) for e in frame]))[1]) + 16 <= limits.FRAME_BYTES


def test_hello_of_who_does_not_know_over_and_too_much_of_it() -> None:
    hello = wire.Hello(bytes(8), 0, 0, [], bytes(32), 1, over=[bytes(8)] * limits.LINKS_OVER)
    frame_type, payload = wire.encode(hello)
    assert wire.decode(frame_type, payload) == hello
    fields = msgspec.msgpack.decode(payload)
    elder = wire.decode(frame_type, msgspec.msgpack.encode(fields[:-2]))
    assert isinstance(elder, wire.Hello) and elder.over == [] and elder.holds == 0
    for bad in ([bytes(8)] * (limits.LINKS_OVER + 1), [bytes(7)]):
        with pytest.raises(PeerMisbehaved):
            wire.decode(frame_type, msgspec.msgpack.encode([*fields[:-2], bad, 0]))
