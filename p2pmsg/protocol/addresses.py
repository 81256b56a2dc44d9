"""Addresses as announced and in invites: `kind(1) || 4, 8 or 16 bytes` each; the invite's text form.

Kinds: 1 IPv4, 2 the interface id of an fe80::/64 address (tried on every own interface), 3 other IPv6.
Whether an address may be dialled is for `network.interfaces` to say.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pmsg.config import limits
from p2pmsg.errors import InviteMalformed, PeerMisbehaved
from p2pmsg.model.addresses import Address
from p2pmsg.model.ids import ID_BYTES, AccountId

_SIZES: Final = {1: 4, 2: 8, 3: 16}
_LINK_LOCAL: Final = b"\xfe\x80" + bytes(6)
_PREFIX: Final = "P2PMSG:"
_VERSION: Final = 1
_SECRET_BYTES: Final = 16
INVITE_ADDRESS_BYTES: Final = 17


def encode_hosts(hosts: Iterable[str], limit: int) -> bytes:
    """Return hosts (IP literals, best first) packed; those that no longer fit into `limit` bytes are left out."""
    out = b""
    for host in hosts:
        raw = ipaddress.ip_address(host.partition("%")[0]).packed
        if len(raw) == 4:
            entry = b"\x01" + raw
        elif raw.startswith(_LINK_LOCAL):
            entry = b"\x02" + raw[8:]
        else:
            entry = b"\x03" + raw
        if len(out) + len(entry) <= limit:
            out += entry
    return out


def decode_hosts(data: bytes) -> list[str]:
    """Return the IP literals of packed hosts.

    Raises:
        PeerMisbehaved: an unknown kind, or a cut entry.
    """
    hosts: list[str] = []
    at = 0
    while at < len(data):
        size = _SIZES.get(data[at])
        raw = data[at + 1 : at + 1 + (size or 0)]
        if size is None or len(raw) != size:
            raise PeerMisbehaved("an address is of no known kind, or cut")
        hosts.append(str(ipaddress.ip_address(_LINK_LOCAL + raw if size == 8 else raw)))
        at += 1 + size
    return hosts


def encode_announced(hosts: Sequence[str], port: int) -> bytes:
    """Return the `a=` value: at most 8 packed hosts, then the port (2 bytes), at most 128 bytes in all."""
    return encode_hosts(hosts[: limits.ANNOUNCED_ADDRESSES], limits.ANNOUNCED_BYTES - 2) + port.to_bytes(2, "big")


def decode_announced(data: bytes) -> list[Address]:
    """Return the addresses of an `a=` value.

    Raises:
        PeerMisbehaved: over 8 addresses or 128 bytes, or not of that form.
    """
    if not 2 < len(data) <= limits.ANNOUNCED_BYTES:
        raise PeerMisbehaved("announced addresses have an impossible length")
    hosts = decode_hosts(data[:-2])
    if len(hosts) > limits.ANNOUNCED_ADDRESSES:
        raise PeerMisbehaved("too many addresses announced")
    port = int.from_bytes(data[-2:], "big")
    return [Address(host, port) for host in hosts]


@dataclass(frozen=True, slots=True)
class Invite:
    """What an invite says: whom to reach, where, and the secret that opens the door once."""

    account: AccountId
    secret: bytes = field(repr=False)
    addresses: tuple[Address, ...]


def encode_invite(account: AccountId, secret: bytes, port: int, hosts: Sequence[str]) -> str:
    """Return `P2PMSG:` and base32 (RFC 4648, no padding) of the invite, at most 119 characters, all of them alphanumeric for a QR code."""
    raw = bytes((_VERSION,)) + account + secret + port.to_bytes(2, "big") + encode_hosts(hosts, INVITE_ADDRESS_BYTES)
    raw += binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "big")
    return _PREFIX + _base32(raw)


def decode_invite(text: str) -> Invite:
    """Return what an invite says; case and surrounding blanks do not matter.

    Raises:
        InviteMalformed: it is none, was cut or mistyped, is of another version, or names no address.
    """
    typed = text.strip()
    text = typed.upper()
    if not typed.isascii() or not text.startswith(_PREFIX) or len(text) > limits.INVITE_CHARACTERS:
        raise InviteMalformed(
            f"This is no invite: it does not start with {_PREFIX} or is longer than {limits.INVITE_CHARACTERS} characters."
        )
    coded = text[len(_PREFIX) :]
    try:
        raw = base64.b32decode(coded + "=" * (-len(coded) % 8))
    except binascii.Error as error:
        raise InviteMalformed("The invite has characters that none can have, or was cut.") from error
    head = 1 + ID_BYTES + _SECRET_BYTES
    if len(raw) < head + 4 or _base32(raw) != coded or binascii.crc_hqx(raw[:-2], 0xFFFF) != int.from_bytes(raw[-2:], "big"):
        raise InviteMalformed("The invite was cut or mistyped: its check sum is wrong.")
    if raw[0] != _VERSION:
        raise InviteMalformed("The invite was made by another version of p2pmsg.", hint="Install the same version on both machines.")
    port = int.from_bytes(raw[head : head + 2], "big")
    try:
        hosts = decode_hosts(raw[head + 2 : -2])
    except PeerMisbehaved as error:
        raise InviteMalformed("The invite names an address that is none.") from error
    if not hosts or port == 0:
        raise InviteMalformed("The invite names no address to reach its maker at.")
    return Invite(AccountId(raw[1 : 1 + ID_BYTES]), raw[1 + ID_BYTES : head], tuple(Address(host, port) for host in hosts))


def _base32(raw: bytes) -> str:
    """Return the one text form of bytes: without padding, and with zeros in what bits are left over."""
    return base64.b32encode(raw).decode().rstrip("=")
