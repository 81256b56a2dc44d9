"""What an event says: the content of bodies, kind by kind.

A body is 16 random bytes, so that an erased "yes" cannot be guessed from its hash (notes: W3), and a msgpack array.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Kind
from p2pmsg.protocol.wire import Bytes8, Count, Id32

SALT_BYTES: Final = 16


class TextBody(Struct, array_like=True, frozen=True):
    """A message as typed: UTF-8 without NUL, not empty, at most 65,536 bytes."""

    text: str


class ReadEntry(Struct, array_like=True, frozen=True):
    device: Id32
    seq: Count
    id: Bytes8


class ReadBody(Struct, array_like=True, frozen=True):
    """What was shown of a conversation, as a vector: a mark never covers what its reader did not hold."""

    conversation: Id32
    upto: Annotated[list[ReadEntry], Meta(max_length=limits.HAVE_LOGS)]


class ContactBody(Struct, array_like=True, frozen=True):
    """What I say of a contact, whole each time; only in `self`."""

    account: Id32
    name: str | None
    nickname: str
    trust: Literal["unverified", "invited", "verified"]
    verified_by: Literal["invite", "sas", "number"] | None
    pair_key: Id32 | None
    """None where there is no key any more: he was blocked, and nothing has been agreed on since."""
    via: Literal["invite_mine", "invite_theirs", "nearby"] | None
    """Set where this event makes the contact (again): whose invite it was, or that the two compared strings."""
    removed: bool = False
    blocked: bool = False


class SettingBody(Struct, array_like=True, frozen=True):
    """A setting that travels among my devices; only in `self`."""

    key: Annotated[str, Meta(max_length=64)]
    value: Any


class DeleteBody(Struct, array_like=True, frozen=True):
    """What is gone from all my devices: all of a conversation up to a vector, and single events; only in `self`."""

    conversation: Id32
    upto: Annotated[list[ReadEntry], Meta(max_length=limits.HAVE_LOGS)]
    events: Annotated[list[Id32], Meta(max_length=limits.DELETED_EVENTS)]


class SeenBody(Struct, array_like=True, frozen=True):
    """What I saw a contact's chain come to say; only in `self`, and shown in the conversation with him."""

    account: Id32
    what: Literal["added", "removed", "went_back", "side_by_side", "by_root"]
    subject: Id32
    """The device that was added or removed, else the link that says it: the same is seen once."""
    who: str
    """What he was called then."""
    device: str | None = None
    """What the device is called by its account."""
    by: str | None = None
    """What the device is called that signed it; None where the recovery root did."""


Body = TextBody | ReadBody | ContactBody | SettingBody | DeleteBody | SeenBody
_TYPES: Final[dict[int, type[Body]]] = {
    Kind.TEXT: TextBody,
    Kind.READ: ReadBody,
    Kind.CONTACT: ContactBody,
    Kind.SETTING: SettingBody,
    Kind.DELETE: DeleteBody,
    Kind.SEEN: SeenBody,
}
KNOWN: Final = frozenset(_TYPES)
"""Kinds that this version knows."""
SILENT: Final = 128
"""Kinds from here on show nothing where they are not known; one below it is shown as something that cannot be shown."""
_KINDS: Final = {body: Kind(kind) for kind, body in _TYPES.items()}
_DECODERS: Final[dict[int, msgspec.msgpack.Decoder[Any]]] = {kind: msgspec.msgpack.Decoder(body) for kind, body in _TYPES.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()


def kind_of(body: Body) -> Kind:
    return _KINDS[type(body)]


def encode_body(body: Body, salt: bytes) -> bytes:
    """Return the bytes of a body; `salt` is 16 fresh random bytes."""
    if len(salt) != SALT_BYTES:
        raise ValueError("a body starts with 16 random bytes")
    return salt + _ENCODER.encode(body)


def decode_body(kind: int, data: bytes) -> Body | None:
    """Return what a body says; None for a kind that this version does not know.

    Raises:
        PeerMisbehaved: the content is not of its kind.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        return None
    try:
        body: Body = decoder.decode(memoryview(data)[SALT_BYTES:])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise PeerMisbehaved(f"the body of an event of kind {kind} cannot be read: {error}") from error
    if isinstance(body, TextBody) and not _text_is_sound(body.text):
        raise PeerMisbehaved("a text is empty, too long, or has NUL")
    return body


def _text_is_sound(text: str) -> bool:
    return 0 < len(text) <= limits.TEXT_BYTES and "\0" not in text and len(text.encode("utf-8", "surrogatepass")) <= limits.TEXT_BYTES
