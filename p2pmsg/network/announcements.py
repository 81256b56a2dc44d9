"""An announcement as DNS-SD carries it: instance name and TXT record (RFC 6763). Everything in it is an unproved hint.

What addresses and tags mean is the business of whoever holds the keys; here they are bytes of a bounded length.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from p2pmsg.config import limits
from p2pmsg.model.names import fault_of_name

SERVICE = "_p2pmsg._udp.local."
VERSION = 1
NONCE_BYTES = 10
TAGS_BYTES = limits.TAGS * 8
HIGHEST_VERSION = 255

_NAME_CHARACTERS = 16
_TEXT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Announcement:
    """Somebody's announcement: the epoch's nonce, its addresses as they were tagged, and the tags."""

    nonce: bytes
    addresses: bytes
    tags: bytes
    version: int = VERSION
    nickname: str | None = None
    """Said only by who is visible to strangers."""


def instance_name(nonce: bytes) -> str:
    """Return the instance label, which is the host label too: base32 of the nonce, lower case, 16 characters."""
    return base64.b32encode(nonce).decode("ascii").lower()


def text_properties(announcement: Announcement) -> dict[bytes, bytes]:
    """Return the pairs of the TXT record, raw bytes all (RFC 6763 section 6.5)."""
    pairs = {b"v": b"%d" % announcement.version, b"a": announcement.addresses, b"t": announcement.tags}
    return pairs if announcement.nickname is None else pairs | {b"n": announcement.nickname.encode()}


def parse(name: str, text: bytes) -> Announcement | None:
    """Read an instance's full name and its TXT record's data; None for anything that is not an announcement.

    A higher version than VERSION passes, as long as lengths hold: its tags may tell that a contact needs another version.
    """
    nonce = nonce_of(name)
    pairs = _pairs(text) if len(text) <= _TEXT_BYTES else {}
    version, addresses, tags = _version(pairs.get(b"v", b"")), pairs.get(b"a", b""), pairs.get(b"t", b"")
    if nonce is None or version is None or len(tags) != TAGS_BYTES or not 0 < len(addresses) <= limits.ANNOUNCED_BYTES:
        return None
    return Announcement(nonce, addresses, tags, version, _nickname(pairs.get(b"n", b"")))


def _nickname(value: bytes) -> str | None:
    """Return a nickname; None where there is none, or what stands there is no name."""
    try:
        name = value.decode()
    except UnicodeDecodeError:
        return None
    return None if len(value) > limits.NICK_BYTES or fault_of_name(name, limits.NAME_CHARACTERS) else name


def nonce_of(name: str) -> bytes | None:
    """Return the nonce in an instance's full name; None where it is none of ours."""
    label, _, service = name.lower().partition(".")
    if service != SERVICE or len(label) != _NAME_CHARACTERS or "=" in label:
        return None
    try:
        return base64.b32decode(label.upper())
    except (binascii.Error, ValueError):
        return None


def _version(value: bytes) -> int | None:
    if not 1 <= len(value) <= 3 or not value.isdigit() or value.startswith(b"0"):
        return None
    return int(value) if int(value) <= HIGHEST_VERSION else None


def _pairs(text: bytes) -> dict[bytes, bytes]:
    """Split a TXT record's length-prefixed strings; of a key that comes twice the first counts (RFC 6763 section 6.4)."""
    pairs: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        end = at + 1 + text[at]
        key, _, value = text[at + 1 : end].partition(b"=")
        if end <= len(text):
            pairs.setdefault(key.lower(), value)
        at = end
    return pairs
