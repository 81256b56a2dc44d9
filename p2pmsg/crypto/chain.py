"""Links of account chains: their bytes, ids and signatures. What a whole chain means is for `protocol.authority` to say.

On the wire a link is `signature(64) || body`; the body is a canonical map with short keys, and the id is a hash of the body alone.
Fields that this version does not know stay in the body, unread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from p2pmsg.config import limits
from p2pmsg.crypto import canonical, domains, kem, signing
from p2pmsg.crypto.hashing import digest
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink, LinkKind
from p2pmsg.model.ids import ID_BYTES, AccountId, ChainLinkId, DeviceId, DeviceKey
from p2pmsg.model.names import fault_of_name, fault_of_text

SALT_BYTES: Final = 16
_VERSION: Final = 1


def genesis(
    root_secret: bytes, root_public: bytes, device_key: DeviceKey, device_name: str, nickname: str, backup_key: bytes, salt: bytes
) -> bytes:
    """Return the wire form of an account's first link: the recovery root names the first device, an admin. `salt` is 16 random bytes."""
    return _signed(
        root_secret,
        {
            "v": _VERSION,
            "k": LinkKind.GENESIS.value,
            "by": root_public,
            "dev": device_key,
            "name": device_name,
            "nick": nickname,
            "bk": backup_key,
            "salt": salt,
        },
    )


def profile(secret: bytes, device_key: DeviceKey, account: AccountId, previous: Iterable[ChainLinkId], nickname: str) -> bytes:
    """Return the wire form of a link by which a device gives its account a nickname; `previous` are the heads known to it."""
    return _signed(
        secret,
        {
            "v": _VERSION,
            "k": LinkKind.PROFILE.value,
            "a": account,
            "p": sorted(previous),
            "by": device_key,
            "nick": nickname,
        },
    )


def wire_form(link: ChainLink) -> bytes:
    """Return the exact bytes that `parse` was given."""
    return link.signature + link.body


def link_id(wire: bytes) -> ChainLinkId:
    """Return the id of a link's wire form, whatever is in it."""
    return ChainLinkId(digest(domains.CHAIN, wire[signing.SIGNATURE_BYTES :]))


def parse(wire: bytes) -> ChainLink:
    """Return a link whose form, limits and signature are good; whether its signer may sign is not looked at.

    Raises:
        PeerMisbehaved: they are not, or the link is of a kind or version that this version does not know.
    """
    if len(wire) > limits.CHAIN_LINK_BYTES:
        raise PeerMisbehaved("a link of a chain is too long")
    signature, body = wire[: signing.SIGNATURE_BYTES], wire[signing.SIGNATURE_BYTES :]
    fields = canonical.unpack(body, limits.CHAIN_LINK_BYTES)
    if not isinstance(fields, dict) or fields.get("v") is True or fields.get("v") != _VERSION:
        raise PeerMisbehaved("a link of a chain is of another version")
    signer = _bytes(fields, "by", signing.KEY_BYTES)
    match fields.get("k"):
        case LinkKind.GENESIS.value:
            link = _genesis(link_id(wire), signature, body, signer, fields)
        case LinkKind.PROFILE.value:
            link = _profile(link_id(wire), signature, body, signer, fields)
        case _:
            raise PeerMisbehaved("a link of a chain is of a kind unknown here")
    signing.verify(signer, signature, domains.CHAIN + body)
    return link


def device_id(account: AccountId, key: DeviceKey) -> DeviceId:
    """Return the id of a device: the same key under another account is another device."""
    return DeviceId(digest(domains.DEVICE, account, key))


def heads_digest(heads: Iterable[ChainLinkId]) -> bytes:
    """Return the 32 bytes that stand for a chain's heads in a handshake, whatever their order."""
    return digest(domains.HEADS, *sorted(heads))


def _signed(secret: bytes, fields: Mapping[str, Any]) -> bytes:
    body = canonical.pack(fields)
    wire = signing.sign(secret, domains.CHAIN + body) + body
    parse(wire)  # what others would refuse must never be stored, let alone sent
    return wire


def _genesis(link: ChainLinkId, signature: bytes, body: bytes, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    _bytes(fields, "salt", SALT_BYTES)
    return ChainLink(
        id=link,
        kind=LinkKind.GENESIS,
        signature=signature,
        body=body,
        account=AccountId(link),
        previous=(),
        signer=signer,
        nickname=_nickname(fields.get("nick")),
        device_key=DeviceKey(_bytes(fields, "dev", signing.KEY_BYTES)),
        device_name=_device_name(fields.get("name")),
        backup_key=_bytes(fields, "bk", kem.PUBLIC_BYTES),
    )


def _profile(link: ChainLinkId, signature: bytes, body: bytes, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    return ChainLink(
        id=link,
        kind=LinkKind.PROFILE,
        signature=signature,
        body=body,
        account=AccountId(_bytes(fields, "a", ID_BYTES)),
        previous=_previous(fields.get("p")),
        signer=signer,
        nickname=_nickname(fields["nick"]) if "nick" in fields else None,
    )


def _bytes(fields: Mapping[str, Any], key: str, size: int) -> bytes:
    value = fields.get(key)
    if type(value) is not bytes or len(value) != size:
        raise PeerMisbehaved(f"a link of a chain lacks {key!r}, or has it in another form")
    return value


def _previous(value: object) -> tuple[ChainLinkId, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= limits.CHAIN_PREDECESSORS:
        raise PeerMisbehaved("a link of a chain names no predecessors, or too many")
    if any(type(i) is not bytes or len(i) != ID_BYTES for i in value) or not _ascending(value):
        raise PeerMisbehaved("the predecessors of a link are no sorted ids")
    return tuple(ChainLinkId(i) for i in value)


def _ascending(ids: Sequence[bytes]) -> bool:
    return all(a < b for a, b in pairwise(ids))


def _nickname(value: object) -> str:
    if not isinstance(value, str) or fault_of_name(value, limits.NAME_CHARACTERS):
        raise PeerMisbehaved("a nickname is none")
    return value


def _device_name(value: object) -> str:
    if not isinstance(value, str) or fault_of_text(value, limits.NAME_CHARACTERS):
        raise PeerMisbehaved("a device's name is none")
    return value
