"""Every decoder: a value, or the error that it promises, never anything else (DESIGN 12). Bytes at random, and good bytes gone bad."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import canonical, chain
from p2pmsg.crypto.channel import Channel
from p2pmsg.errors import InviteMalformed, PeerMisbehaved
from p2pmsg.model.ids import AccountId
from p2pmsg.network import admission, announcements
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol import log as rules
from p2pmsg.protocol.addresses import decode_announced, decode_hosts, decode_invite, encode_announced, encode_hosts, encode_invite
from p2pmsg.protocol.bodies import ContactBody, ReadBody, ReadEntry, SettingBody, TextBody, decode_body, encode_body
from p2pmsg.protocol.proofs import ChainReader, Proof, encode_chain
from p2pmsg.rpc import connection as rpc
from p2pmsg.rpc.api import METHODS
from tests.unit.people import Person

ANN = Person("Ann", nicknames=("Anna", "Annie"))
SALT = bytes(16)
A_WHILE = settings(max_examples=250, deadline=timedelta(seconds=1), suppress_health_check=list(HealthCheck))


def event_frame() -> bytes:
    body = encode_body(TextBody("hello"), SALT)
    event = rules.write(None, b"c" * 32, ANN.device, 1, body, hlc=1 << 40, account_heads=ANN.identity.heads, sign=ANN.sign)  # type: ignore[arg-type]
    return wire.encode(wire.Events([wire.sent_event(event)]))[1]


def header() -> bytes:
    return bytes(msgspec.msgpack.decode(event_frame())[0][0][0])


CLAIM = b"d" * 8 + (7).to_bytes(8, "big") + b"e" * 8
GOOD_FRAMES: dict[int, bytes] = {
    wire.FrameType.HELLO: wire.encode(wire.Hello(bytes(8), 1, 1, [bytes(32)], bytes(32), 1))[1],
    wire.FrameType.HAVE: wire.encode(wire.Have(True, [wire.LogClaims(bytes(32), CLAIM * 3)]))[1],
    wire.FrameType.WANT: wire.encode(wire.Want([wire.Range(bytes(32), CLAIM * 2, CLAIM)]))[1],
    wire.FrameType.EVENTS: event_frame(),
    wire.FrameType.ACK: wire.encode(wire.Ack([wire.LogClaims(bytes(32), CLAIM)]))[1],
    wire.FrameType.CHECK: wire.encode(wire.Check(7))[1],
    wire.FrameType.CHECKED: wire.encode(wire.Checked(7, 1, bytes(4), 1, [wire.Sighting(1, 2, 3)]))[1],
}
GOOD_BODIES = [
    encode_body(TextBody("hello"), SALT),
    encode_body(ReadBody(bytes(32), [ReadEntry(bytes(32), 1, bytes(8))]), SALT),
    encode_body(ContactBody(bytes(32), "a", "b", "invited", None, bytes(32), None), SALT),
    encode_body(SettingBody("k", [1, {"a": b"b"}]), SALT),
]
HOSTS = ["192.168.1.7", "fe80::1", "fd00::1"]


@st.composite
def spoilt(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Bytes at random, or a good value with parts changed, cut out, repeated or put in."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at : at + 1] = draw(
                    st.sampled_from([b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xcb\x7f\xf8" + bytes(6)])
                )
            case 4:
                data[at:at] = draw(st.sampled_from([b"\x91", b"\x81\xa1a", b"\x92\xc0", b"["])) * draw(st.integers(1, 3000))
    return bytes(data)


def holds(decode: Callable[[bytes], object], data: bytes, fault: type[Exception] = PeerMisbehaved) -> None:
    try:
        decode(data)
    except fault:
        return


def decoder_of(number: int) -> Callable[[bytes], object]:
    def decode(data: bytes) -> None:
        match wire.decode(number, data):
            case wire.Have(conversations=entries) | wire.Ack(conversations=entries):
                for entry in entries:
                    wire.unpack_claims(entry.vector)
            case wire.Want(ranges=ranges):
                for each in ranges:
                    wire.unpack_claims(each.head)
                    wire.unpack_claims(each.locator)
            case wire.Events(events=events):
                for event in events:
                    wire.decode_event(event.header, event.signature, event.body)

    return decode


@pytest.mark.parametrize("number", [*GOOD_FRAMES, 0, 5, 9, 15, 17, 255])
@A_WHILE
@given(data=st.data())
def test_frames(number: int, data: st.DataObject) -> None:
    good = [GOOD_FRAMES[number]] if number in GOOD_FRAMES else list(GOOD_FRAMES.values())
    holds(decoder_of(number), data.draw(spoilt(good)))


@A_WHILE
@given(st.lists(spoilt([wire.plain_frame(1, bytes(40)), b"\x0b\0\0\0\x05hello", b"\x0d\0\0\0\0"]), max_size=5), st.integers(1, 7))
def test_a_stream_of_frames(parts: list[bytes], step: int) -> None:
    """Whatever the pieces in which it comes, a stream gives the same frames, then the same fault."""
    stream = b"".join(parts)

    def read(pieces: list[bytes]) -> tuple[list[wire.Frame], bool]:
        reader, frames = wire.FrameReader(4096), []
        for piece in pieces:
            try:
                frames += reader.feed(piece)
            except PeerMisbehaved:
                return frames, True
        return frames, False

    slow, slow_fault = read([stream[at : at + step] for at in range(0, len(stream), step)])
    whole, whole_fault = read([stream])
    assert slow_fault == whole_fault and (slow == whole or whole_fault)


@A_WHILE
@given(spoilt([header()]), st.one_of(st.none(), spoilt(GOOD_BODIES)), st.one_of(st.just(bytes(64)), st.binary(max_size=70)))
def test_events(head: bytes, body: bytes | None, signature: bytes) -> None:
    holds(lambda data: wire.decode_event(data, signature, body), head)


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 5, 2**62])
@A_WHILE
@given(data=spoilt(GOOD_BODIES))
def test_bodies(kind: int, data: bytes) -> None:
    holds(lambda value: decode_body(kind, value), data)


@A_WHILE
@given(spoilt([header(), canonical.pack({"a": [1, None, "x", b"y", True], "b": {"c": -5}})]), st.integers(0, 4096))
def test_canonical_values(data: bytes, limit: int) -> None:
    def decode(value: bytes) -> None:
        assert canonical.pack(canonical.unpack(value, limit)) == value

    holds(decode, data)


@A_WHILE
@given(spoilt([chain.wire_form(link) for link in ANN.links]))
def test_links_of_chains(data: bytes) -> None:
    def decode(value: bytes) -> None:
        assert chain.wire_form(chain.parse(value)) == value

    holds(decode, data)


@A_WHILE
@given(st.lists(st.sampled_from([*ANN.links, *Person("Bob", nicknames=("Rob",)).links]), max_size=6))
def test_chains_of_any_links(links: list[object]) -> None:
    holds(lambda _: authority.resolve(links), b"")  # type: ignore[arg-type]


@A_WHILE
@given(st.lists(spoilt([*encode_chain(ANN.links), b"\x00" + encode_chain(ANN.links)[0][1:]]), max_size=6))
def test_frames_of_chains(pages: list[bytes]) -> None:
    reader = ChainReader()

    def read(_: bytes) -> None:
        for page in pages:
            if reader.read(page):
                for form in reader.forms:
                    chain.parse(form)

    holds(read, b"")


@A_WHILE
@given(spoilt([bytes(160)]))
def test_proofs(data: bytes) -> None:
    holds(Proof.unpack, data)


@A_WHILE
@given(spoilt([CLAIM * 3]))
def test_claims(data: bytes) -> None:
    holds(wire.unpack_claims, data)


@A_WHILE
@given(spoilt([encode_announced(HOSTS, 4711)]))
def test_announced_addresses(data: bytes) -> None:
    holds(decode_announced, data)
    holds(decode_hosts, data)


INVITE = encode_invite(AccountId(bytes(32)), bytes(16), 4711, HOSTS)
RAW_INVITE = base64.b32decode(INVITE[7:] + "=" * (-len(INVITE[7:]) % 8))


@A_WHILE
@given(st.one_of(st.text(max_size=200), spoilt([INVITE.encode()]).map(lambda data: data.decode("utf-8", "surrogateescape"))))
def test_invites(text: str) -> None:
    holds(lambda _: decode_invite(text), b"", InviteMalformed)


@A_WHILE
@given(spoilt([RAW_INVITE[:-2]]))
def test_invites_with_a_good_check_sum(raw: bytes) -> None:
    import binascii

    whole = raw + binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "big")
    holds(lambda _: decode_invite("P2PMSG:" + base64.b32encode(whole).decode().rstrip("=")), b"", InviteMalformed)


def announced() -> tuple[str, bytes]:
    made = announcements.Announcement(bytes(10), encode_hosts(HOSTS, 126) + b"\x12\x34", bytes(64))
    pairs = announcements.text_properties(made)
    strings = [key + b"=" + value for key, value in pairs.items()]
    return f"{announcements.instance_name(bytes(10))}.{announcements.SERVICE}", b"".join(bytes((len(s),)) + s for s in strings)


@A_WHILE
@given(st.one_of(st.just(announced()[0]), st.text(max_size=60)), spoilt([announced()[1]]))
def test_announcements(name: str, text: bytes) -> None:
    announcements.parse(name, text)  # None for what is none


@A_WHILE
@given(spoilt([b"\xc0\0\0\0\x01\x08" + bytes(8) + b"\x08" + bytes(8) + bytes(1180), b"\x40" + bytes(40)]))
def test_first_datagrams(data: bytes) -> None:
    header = admission.parse(data)
    if header is not None:
        admission.Admission().answer(header, len(data), ("127.0.0.1", 9), 0.0)


@A_WHILE
@given(st.integers(0, 255), spoilt([bytes(80)]))
def test_frames_on_a_channel(number: int, data: bytes) -> None:
    holds(lambda value: Channel(bytes(32), bytes(32), 0.0).receive(number, value, 0.0), data)


@A_WHILE
@given(st.sampled_from([15, 16, 11]), spoilt([bytes(1216), bytes(1168), b""]))
def test_what_a_key_holder_puts_into_a_channel(number: int, payload: bytes) -> None:
    peer, mine = Channel(b"a" * 32, b"b" * 32, 0.0), Channel(b"b" * 32, b"a" * 32, 0.0)
    sent = wire.FrameReader(limits.FRAME_BYTES).feed(peer.send(number, payload, 0.0))[0]
    holds(lambda value: mine.receive(sent.type, value, 0.0), sent.body)


GOOD_LINES = [
    json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"target": "bob", "text": "x", "name": "n"}}).encode()
    for method in ("send", "watch", "contact.add", "rpc.hello")
]


@A_WHILE
@given(spoilt(GOOD_LINES))
def test_lines_of_the_local_api(line: bytes) -> None:
    def decode(value: bytes) -> None:
        request = rpc._decode(value)
        kind = METHODS.get(request.method)
        if kind is not None:
            try:
                msgspec.json.decode(request.params, type=kind)
            except rpc.UNREADABLE:
                return

    holds(decode, line, rpc.Fault)
