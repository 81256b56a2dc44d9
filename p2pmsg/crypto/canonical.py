"""Canonical msgpack, for everything that is hashed or signed: one value, one encoding.

Plain values only: None, bool, int (64 bit), str, bytes, list, dict with str keys. Maps are sorted by key, all forms are the shortest.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from p2pmsg.errors import PeerMisbehaved

MAX_DEPTH: Final = 8
_ATOMS: Final = frozenset({type(None), bool, int, str, bytes})
_encoder: Final = msgspec.msgpack.Encoder(order="sorted")
_decoder: Final = msgspec.msgpack.Decoder()


def pack(value: Any) -> bytes:
    """Return the only encoding of a plain value."""
    return _encoder.encode(value)


def unpack(data: bytes, limit: int) -> Any:
    """Return the value whose encoding is exactly `data`.

    Raises:
        PeerMisbehaved: over `limit` bytes, no msgpack, not the canonical encoding, something besides plain values, or lists and
            maps more than 8 deep. Nothing else is ever raised.
    """
    if len(data) > limit:
        raise PeerMisbehaved(f"{len(data)} bytes where {limit} are allowed")
    try:
        value = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise PeerMisbehaved("this is no msgpack") from error
    if not _plain(value, MAX_DEPTH) or _encoder.encode(value) != data:
        raise PeerMisbehaved("this msgpack is not canonical")
    return value


def _plain(value: object, depth: int) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if depth == 0:
        return False
    if isinstance(value, list):
        children = value
    elif isinstance(value, dict) and all(type(key) is str for key in value):
        children = list(value.values())
    else:
        return False
    for child in children:
        if type(child) not in _ATOMS and not _plain(child, depth - 1):
            return False
    return True
