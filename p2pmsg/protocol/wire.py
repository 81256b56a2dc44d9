"""Bytes to frames and back: every layout of the link protocol, with its limits.

Decoders give a value or raise `PeerMisbehaved`, nothing else. What is signed is canonical and decoded from
plain msgpack values (unknown trailing fields are kept in the exact bytes); frames are msgspec Structs.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Any, Final, NamedTuple, cast

import msgspec
from msgspec import Meta, Struct

from p2pmsg.config import limits
from p2pmsg.crypto import canonical, domains
from p2pmsg.crypto.hashing import digest
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Event, Header
from p2pmsg.model.ids import ID_BYTES, PREFIX_BYTES, ChainLinkId, ConversationId, DeviceId, EventId

Id32 = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Bytes8 = Annotated[bytes, Meta(min_length=8, max_length=8)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Heads = Annotated[list[Id32], Meta(max_length=limits.CHAIN_PREDECESSORS)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[int, Meta(ge=0, lt=2**32)]
_CLAIM = struct.Struct(">8sQ8s")
Vector = Annotated[bytes, Meta(max_length=limits.HAVE_LOGS * _CLAIM.size)]
Locator = Annotated[bytes, Meta(max_length=limits.LOCATOR_ENTRIES * _CLAIM.size)]
OneClaim = Annotated[bytes, Meta(min_length=_CLAIM.size, max_length=_CLAIM.size)]
CLAIM_BYTES: Final = _CLAIM.size


class FrameType(IntEnum):
    """Numbers of frames (handshake 2.2). Up to REVEAL without GONE and CHAIN: plain; all others: on the channel."""

    GATE = 1
    READY = 2
    PROVE = 3
    WELCOME = 4
    CHAIN = 5
    COMMIT = 6
    NONCE = 7
    REVEAL = 8
    GONE = 9
    HELLO = 10
    HAVE = 11
    WANT = 12
    EVENTS = 13
    ACK = 14
    KEY = 15
    NEXT = 16
    HINT = 20
    CHECK = 21
    CHECKED = 22
    VERIFY = 23
    PRESENCE = 24
    TYPING = 25


PLAIN: Final = frozenset({FrameType.GATE, FrameType.READY, FrameType.PROVE, FrameType.COMMIT, FrameType.NONCE, FrameType.REVEAL})


class Frame(NamedTuple):
    """A whole frame: its number, and the plain body or the ciphertext."""

    type: int
    body: bytes


class FrameReader:
    """Cuts a stream into frames. `limit` bounds the length that a header may announce, before anything is kept."""

    def __init__(self, limit: int = limits.UNPROVEN_BYTES) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream; return the frames that are whole now, in order.

        Raises:
            PeerMisbehaved: a header names a length over `limit`.
        """
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        start, end = 0, len(buffer)
        while end - start >= 3:
            head = 3 if buffer[start] in PLAIN else 5
            if end - start < head:
                break
            size = int.from_bytes(buffer[start + 1 : start + head], "big")
            if size > self.limit:
                raise PeerMisbehaved(f"a frame of {size} bytes where {self.limit} are allowed")
            if end - start < head + size:
                break
            frames.append(Frame(buffer[start], bytes(buffer[start + head : start + head + size])))
            start += head + size
        del buffer[:start]
        return frames


def plain_frame(frame_type: int, body: bytes) -> bytes:
    """Return `type(1) length(2) body`, the form of frames before the channel."""
    return bytes((frame_type,)) + len(body).to_bytes(2, "big") + body


# -- version vectors: device(8) seq(8) id(8), 24 bytes a log


def pack_claims(claims: Iterable[Claim]) -> bytes:
    """Return the 24-byte entries of a vector, joined in the order given."""
    return b"".join(_CLAIM.pack(c.device, c.seq, c.id) for c in claims)


def unpack_claims(data: bytes) -> list[Claim]:
    """Return the entries of a packed vector.

    Raises:
        PeerMisbehaved: the length is no multiple of 24, or a seq is 0 or 2**63 and above.
    """
    if len(data) % _CLAIM.size:
        raise PeerMisbehaved("a vector is cut")
    claims = [Claim(*entry) for entry in _CLAIM.iter_unpack(data)]
    if any(not 0 < c.seq < 2**63 for c in claims):
        raise PeerMisbehaved("a vector names a sequence number out of range")
    return claims


def claim_of(device: bytes, seq: int, event: bytes) -> Claim:
    """Return the claim "all of this device's log up to this event"."""
    return Claim(device[:PREFIX_BYTES], seq, event[:PREFIX_BYTES])


# -- frames on the channel


class Hello(Struct, array_like=True, frozen=True):
    """First frame of an open link."""

    instance: Bytes8
    clock_ms: Annotated[int, Meta(ge=0, lt=2**43)]
    """Before 2248: it may come to stamp my events (`Links.clock_ahead_ms`), whose clocks have 47 bits for milliseconds."""
    unacknowledged_bytes: Count
    heads: Heads
    presence_key: Id32
    presence_number: Count
    flags: Count = 0
    over: Annotated[list[Bytes8], Meta(max_length=limits.LINKS_OVER)] = []
    """Ids of the sender's last links with the receiving device that have ended for him, whatever the receiver has heard of that."""
    holds: Count = 0
    """The number of the receiver's presence key that the sender has stored; 0: none."""


class LogClaims(Struct, array_like=True, frozen=True):
    """What the sender holds of one conversation. An acknowledgement has the same form."""

    conversation: Id32
    vector: Vector


class Have(Struct, array_like=True, frozen=True):
    """Claims; `complete` on the last page of a comparison of all shared conversations."""

    complete: bool
    conversations: Annotated[list[LogClaims], Meta(max_length=limits.HAVE_CONVERSATIONS)]


class Range(Struct, array_like=True, frozen=True):
    """One log, or branch, that the asker lacks: all after the highest locator entry that the giver knows, up to `head`."""

    conversation: Id32
    locator: Locator
    head: OneClaim


class Want(Struct, array_like=True, frozen=True):
    ranges: Annotated[list[Range], Meta(max_length=limits.WANT_RANGES)]


class SentEvent(Struct, array_like=True, frozen=True):
    header: Annotated[bytes, Meta(max_length=limits.HEADER_BYTES)]
    signature: Signature
    body: Annotated[bytes, Meta(max_length=limits.BODY_BYTES)] | None


class Events(Struct, array_like=True, frozen=True):
    events: Annotated[list[SentEvent], Meta(max_length=limits.EVENTS_PER_FRAME)]


class Ack(Struct, array_like=True, frozen=True):
    """What the sender has committed: durable, only grows."""

    conversations: Annotated[list[LogClaims], Meta(max_length=limits.HAVE_CONVERSATIONS)]


class Announced(Struct, array_like=True, frozen=True):
    """An announcement, verbatim: only contacts of who made it recognise it."""

    nonce: Annotated[bytes, Meta(min_length=10, max_length=10)]
    addresses: Annotated[bytes, Meta(min_length=1, max_length=limits.ANNOUNCED_BYTES)]
    tags: Annotated[bytes, Meta(min_length=8 * limits.TAGS, max_length=8 * limits.TAGS)]


class Hint(Struct, array_like=True, frozen=True):
    """The sender's own announcement, and those of others that it has from themselves."""

    own: Announced | None
    others: Annotated[list[Announced], Meta(max_length=limits.HINTS)]


class Check(Struct, array_like=True, frozen=True):
    """Asks what the receiver knows of the way between us."""

    number: Annotated[int, Meta(ge=0, lt=2**32)]
    """Comes back in the answer."""


class Sighting(Struct, array_like=True, frozen=True):
    """An announcement of the asker's was heard: since when and when last, in seconds before now."""

    path: Annotated[int, Meta(ge=1, le=255)]
    """1 by mDNS, 2 by broadcast, 3 by a hint."""
    since_s: Seconds
    last_s: Seconds


class Checked(Struct, array_like=True, frozen=True):
    """The answer: numbers only, and only of the asker."""

    number: Annotated[int, Meta(ge=0, lt=2**32)]
    clock_ms: Annotated[int, Meta(ge=0, lt=2**43)]
    host: Annotated[bytes, Meta(max_length=16)]
    """The address that the asker's packets come from, 4 or 16 bytes; empty where that is not known."""
    port: Annotated[int, Meta(ge=0, le=65535)]
    sightings: Annotated[list[Sighting], Meta(max_length=limits.SIGHTINGS)]


class Verify(Struct, array_like=True, frozen=True):
    """A step of comparing on an open link (`verifying`): commitment and nonces are of 32 bytes, the answers of none."""

    step: Annotated[int, Meta(ge=1, le=5)]
    data: Annotated[bytes, Meta(max_length=32)]


class PresenceKey(Struct, array_like=True, frozen=True):
    """The sender's presence key is another one now; and which of the receiver's he has stored. The answer to a newer one is the same."""

    key: Id32
    number: Count
    holds: Count


class Typing(Struct, array_like=True, frozen=True):
    """The sender's user types what is for the receiver alone."""


Message = Hello | Have | Want | Events | Ack | Hint | Check | Checked | Verify | PresenceKey | Typing
_TYPES: Final[dict[int, type[Message]]] = {
    FrameType.HELLO: Hello,
    FrameType.HAVE: Have,
    FrameType.WANT: Want,
    FrameType.EVENTS: Events,
    FrameType.ACK: Ack,
    FrameType.HINT: Hint,
    FrameType.CHECK: Check,
    FrameType.CHECKED: Checked,
    FrameType.VERIFY: Verify,
    FrameType.PRESENCE: PresenceKey,
    FrameType.TYPING: Typing,
}
_NUMBERS: Final = {kind: number for number, kind in _TYPES.items()}
_DECODERS: Final[dict[int, msgspec.msgpack.Decoder[Any]]] = {number: msgspec.msgpack.Decoder(kind) for number, kind in _TYPES.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(message: Message) -> tuple[int, bytes]:
    """Return a message's frame number and payload."""
    return _NUMBERS[type(message)], _ENCODER.encode(message)


def decode(frame_type: int, payload: bytes) -> Message | None:
    """Return the message of an opened frame; None for numbers of later versions, which are passed over.

    Raises: PeerMisbehaved where it is not what its number promises, or over a limit.
    """
    decoder = _DECODERS.get(frame_type)
    if decoder is None:
        if frame_type < FrameType.HELLO or frame_type in (FrameType.KEY, FrameType.NEXT):
            raise PeerMisbehaved(f"frame {frame_type} on an open link")
        return None
    try:
        return cast(Message, decoder.decode(payload))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise PeerMisbehaved(f"frame {frame_type} cannot be read: {error}") from error


# -- events


def encode_header(header: Header) -> bytes:
    """Return the canonical bytes that are hashed and signed."""
    return canonical.pack(
        [
            header.version,
            header.conversation,
            header.device,
            header.seq,
            header.previous,
            header.hlc,
            list(header.parents),
            header.kind,
            list(header.heads),
            list(header.account_heads),
            header.lifetime_s,
            header.body_hash,
        ]
    )


def event_id(header_bytes: bytes) -> EventId:
    return EventId(digest(domains.EVENT, header_bytes))


def body_hash(body: bytes) -> bytes:
    return digest(domains.BODY, body)


def decode_event(header_bytes: bytes, signature: bytes, body: bytes | None) -> Event:
    """Return the event of exact bytes; its signature is checked by `log`, its body against its hash here.

    Raises:
        PeerMisbehaved: header not canonical, a field of another type, length or range, or a body of another hash.
    """
    header = _decode_header(header_bytes)
    if body is not None and (len(body) < 16 or len(body) > limits.BODY_BYTES or body_hash(body) != header.body_hash):
        raise PeerMisbehaved("an event's body is not the one its header names")
    if len(signature) != 64:
        raise PeerMisbehaved("a signature has another length than 64")
    return Event(event_id(header_bytes), header, header_bytes, signature, body)


def _decode_header(data: bytes) -> Header:
    fields = canonical.unpack(data, limits.HEADER_BYTES)
    if not isinstance(fields, list) or not 12 <= len(fields) <= 32:
        raise PeerMisbehaved("an event's header is no list of 12 fields")
    version, conversation, device, seq, previous, hlc, parents, kind, heads, account_heads, lifetime_s, hashed = fields[:12]
    for number, low in ((version, 1), (seq, 1), (hlc, 1), (kind, 1), (lifetime_s, 0)):
        if type(number) is not int or not low <= number < 2**63:
            raise PeerMisbehaved("a number in an event's header is out of range")
    ids = (conversation, device, previous, hashed)
    lists = ((parents, limits.PARENTS), (heads, limits.EVENT_HEADS), (account_heads, limits.EVENT_HEADS))
    if not all(_is_id(i) for i in ids) or not all(_is_sorted_ids(i, most) for i, most in lists):
        raise PeerMisbehaved("an id in an event's header is no id")
    return Header(
        version,
        ConversationId(conversation),
        DeviceId(device),
        seq,
        EventId(previous),
        hlc,
        tuple(EventId(i) for i in parents),
        kind,
        tuple(ChainLinkId(i) for i in heads),
        tuple(ChainLinkId(i) for i in account_heads),
        lifetime_s,
        hashed,
    )


def _is_id(value: object) -> bool:
    return type(value) is bytes and len(value) == ID_BYTES


def _is_sorted_ids(value: object, most: int) -> bool:
    return type(value) is list and len(value) <= most and all(map(_is_id, value)) and all(a < b for a, b in itertools.pairwise(value))


def sent_event(event: Event) -> SentEvent:
    """Return an event in the form it travels in."""
    return SentEvent(event.header_bytes, event.signature, event.body)


def frames_of_events(events: Sequence[Event]) -> list[tuple[Event, ...]]:
    """Cut events into frames of at most 64 KiB and 512 events; an event that is larger has a frame of its own."""
    frames: list[tuple[Event, ...]] = []
    current: list[Event] = []
    size = 0
    for event in events:
        if current and (size + event.size > limits.EVENTS_FRAME_BYTES or len(current) >= limits.EVENTS_PER_FRAME):
            frames.append(tuple(current))
            current, size = [], 0
        current.append(event)
        size += event.size
    return [*frames, tuple(current)] if current else frames
