"""Links of account chains: their bytes, ids and signatures. What a whole chain means is for `protocol.authority` to say.

On the wire a link is `signature(64) || body`, with a second signature(64) between them in `add` (the new device's) and `reroot` (an
admin's); the body is a canonical map with short keys, and the id is a hash of the body alone. Fields that this version does not know
stay in the body, unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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
_SECOND: Final = {LinkKind.ADD.value: domains.CHAIN_JOIN, LinkKind.REROOT.value: domains.CHAIN_REROOT}
"""Kinds with a second signature, and the purpose of it."""


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


def adding(
    signer: bytes, account: AccountId, previous: Iterable[ChainLinkId], device_key: DeviceKey, device_name: str, *, admin: bool
) -> bytes:
    """Return the body of a link by which `signer`, a device or the root, takes a new device into the account."""
    return canonical.pack(
        {
            "v": _VERSION,
            "k": LinkKind.ADD.value,
            "a": account,
            "p": sorted(previous),
            "by": signer,
            "dev": device_key,
            "name": device_name,
            "adm": admin,
        }
    )


def rerooting(
    root_public: bytes, account: AccountId, previous: Iterable[ChainLinkId], admin: DeviceKey, new_root: bytes, backup_key: bytes
) -> bytes:
    """Return the body of a link by which the root, and an admin, put another root in its place."""
    return canonical.pack(
        {
            "v": _VERSION,
            "k": LinkKind.REROOT.value,
            "a": account,
            "p": sorted(previous),
            "by": root_public,
            "with": admin,
            "root": new_root,
            "bk": backup_key,
        }
    )


def agree(secret: bytes, body: bytes) -> bytes:
    """Return the second signature of a link, which is made first: the new device's of its `add`, an admin's of a `reroot`."""
    return signing.sign(secret, _SECOND[canonical.unpack(body, limits.CHAIN_LINK_BYTES)["k"]] + body)


def complete(secret: bytes, body: bytes, second: bytes) -> bytes:
    """Return the wire form of an `add` or `reroot`: its signer signs what the other has signed, and that signature."""
    wire = signing.sign(secret, domains.CHAIN + body + second) + second + body
    parse(wire)
    return wire


def revoke(secret: bytes, signer: bytes, account: AccountId, previous: Iterable[ChainLinkId], device_key: DeviceKey) -> bytes:
    """Return the wire form of a link by which `signer`, a device or the root, puts a device out, or itself."""
    return _signed(
        secret,
        {
            "v": _VERSION,
            "k": LinkKind.REVOKE.value,
            "a": account,
            "p": sorted(previous),
            "by": signer,
            "dev": device_key,
        },
    )


def wire_form(link: ChainLink) -> bytes:
    """Return the exact bytes that `parse` was given."""
    return link.signature + link.second + link.body


def link_id(body: bytes) -> ChainLinkId:
    """Return the id of a link's body: neither its signatures nor its outer form are in it."""
    return ChainLinkId(digest(domains.CHAIN, body))


def parse(wire: bytes) -> ChainLink:
    """Return a link whose form, limits and signatures are good; whether its signer may sign is not looked at.

    Raises:
        PeerMisbehaved: they are not, or the link is of a kind or version that this version does not know.
    """
    if len(wire) > limits.CHAIN_LINK_BYTES:
        raise PeerMisbehaved("a link of a chain is too long")
    body, fields = _body(wire)
    if fields.get("v") is True or fields.get("v") != _VERSION:
        raise PeerMisbehaved("a link of a chain is of another version")
    kind = fields.get("k")
    if type(kind) is not str or (read := _READERS.get(kind)) is None:
        raise PeerMisbehaved("a link of a chain is of a kind unknown here")
    signature, second = wire[: signing.SIGNATURE_BYTES], wire[signing.SIGNATURE_BYTES : len(wire) - len(body)]
    if bool(second) != (kind in _SECOND):
        raise PeerMisbehaved("a link of a chain has a signature too few or too many")
    link = replace(read(link_id(body), _bytes(fields, "by", signing.KEY_BYTES), fields), signature=signature, second=second, body=body)
    if second:
        assert link.device_key is not None
        signing.verify(link.device_key, second, _SECOND[kind] + body)
    signing.verify(link.signer, signature, domains.CHAIN + body + second)
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


def _body(wire: bytes) -> tuple[bytes, Mapping[str, Any]]:
    """Return the body and its fields: what follows the first signature if that is a map, else what follows the second."""
    for at in (signing.SIGNATURE_BYTES, 2 * signing.SIGNATURE_BYTES):
        try:
            fields = canonical.unpack(wire[at:], limits.CHAIN_LINK_BYTES)
        except PeerMisbehaved:
            continue
        if isinstance(fields, dict):
            return wire[at:], fields
    raise PeerMisbehaved("a link of a chain has no body")


def _genesis(link: ChainLinkId, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    _bytes(fields, "salt", SALT_BYTES)
    return ChainLink(
        id=link,
        kind=LinkKind.GENESIS,
        signature=b"",
        body=b"",
        account=AccountId(link),
        previous=(),
        signer=signer,
        nickname=_nickname(fields.get("nick")),
        device_key=DeviceKey(_bytes(fields, "dev", signing.KEY_BYTES)),
        device_name=_device_name(fields.get("name")),
        backup_key=_bytes(fields, "bk", kem.PUBLIC_BYTES),
        admin=True,
    )


def _later(kind: LinkKind, link: ChainLinkId, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    account, previous = AccountId(_bytes(fields, "a", ID_BYTES)), _previous(fields.get("p"))
    return ChainLink(link, kind, b"", b"", account, previous, signer)


def _profile(link: ChainLinkId, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    nickname = _nickname(fields["nick"]) if "nick" in fields else None
    return replace(_later(LinkKind.PROFILE, link, signer, fields), nickname=nickname)


def _add(link: ChainLinkId, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    if type(admin := fields.get("adm")) is not bool:
        raise PeerMisbehaved("an added device is neither an admin nor none")
    key, name = DeviceKey(_bytes(fields, "dev", signing.KEY_BYTES)), _device_name(fields.get("name"))
    return replace(_later(LinkKind.ADD, link, signer, fields), device_key=key, device_name=name, admin=admin)


def _revoke(link: ChainLinkId, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    return replace(_later(LinkKind.REVOKE, link, signer, fields), device_key=DeviceKey(_bytes(fields, "dev", signing.KEY_BYTES)))


def _reroot(link: ChainLinkId, signer: bytes, fields: Mapping[str, Any]) -> ChainLink:
    if fields.get("root") == signer:
        raise PeerMisbehaved("a root is put in its own place")
    return replace(
        _later(LinkKind.REROOT, link, signer, fields),
        device_key=DeviceKey(_bytes(fields, "with", signing.KEY_BYTES)),
        root_key=_bytes(fields, "root", signing.KEY_BYTES),
        backup_key=_bytes(fields, "bk", kem.PUBLIC_BYTES),
    )


_READERS: Final[Mapping[str, Callable[[ChainLinkId, bytes, Mapping[str, Any]], ChainLink]]] = {
    LinkKind.GENESIS.value: _genesis,
    LinkKind.PROFILE.value: _profile,
    LinkKind.ADD.value: _add,
    LinkKind.REVOKE.value: _revoke,
    LinkKind.REROOT.value: _reroot,
}


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
