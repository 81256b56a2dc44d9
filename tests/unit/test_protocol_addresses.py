"""Addresses in announcements and invites: what goes in comes out, and nothing else is taken."""

from __future__ import annotations

import base64
import binascii
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.errors import InviteMalformed, PeerMisbehaved
from p2pmsg.model.addresses import Address
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import addresses

ACCOUNT = AccountId(bytes(range(32)))
SECRET = bytes(range(100, 116))
HOST = "192.168.7.9"
INVITE = addresses.encode_invite(ACCOUNT, SECRET, 40_000, [HOST])
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

link_local = st.binary(min_size=8, max_size=8).map(lambda raw: str(ipaddress.ip_address(b"\xfe\x80" + bytes(6) + raw)))
hosts = st.ip_addresses(v=4).map(str) | link_local | st.ip_addresses(v=6).map(str)
ports = st.integers(1, 65535)


def coded(raw: bytes) -> str:
    """Return the text of an invite's bytes, with a good check sum."""
    raw += binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "big")
    return "P2PMSG:" + base64.b32encode(raw).decode().rstrip("=")


def raw_invite(version: int = 1, port: int = 40_000, packed: bytes = b"\x01\x0a\x00\x00\x01") -> bytes:
    return bytes((version,)) + ACCOUNT + SECRET + port.to_bytes(2, "big") + packed


# -- packed hosts


@given(st.lists(hosts, max_size=8))
def test_hosts_come_out_as_they_went_in(given: list[str]) -> None:
    assert addresses.decode_hosts(addresses.encode_hosts(given, 1000)) == given


def test_sizes_of_the_three_kinds() -> None:
    assert addresses.encode_hosts(["10.0.0.1"], 99) == b"\x01\x0a\x00\x00\x01"
    assert addresses.encode_hosts(["fe80::1%eth0"], 99) == b"\x02" + bytes(7) + b"\x01"
    assert addresses.encode_hosts(["fd00::1"], 99) == b"\x03\xfd" + bytes(14) + b"\x01"


def test_what_no_longer_fits_is_left_out() -> None:
    assert addresses.encode_hosts(["fd00::1", "10.0.0.1"], 16) == b"\x01\x0a\x00\x00\x01"
    assert addresses.encode_hosts(["10.0.0.1"], 4) == b""


@pytest.mark.parametrize(
    "packed", [b"\x00", b"\x04\x00\x00\x00\x00", b"\x01\x0a\x00\x00", b"\x01", b"\x02" + bytes(7), b"\x03" + bytes(15)]
)
def test_unknown_kinds_and_cut_entries_are_refused(packed: bytes) -> None:
    for data in (packed, b"\x01\x0a\x00\x00\x01" + packed):
        with pytest.raises(PeerMisbehaved):
            addresses.decode_hosts(data)


# -- announcements


@given(st.lists(hosts, min_size=1, max_size=7), ports)
def test_announced_addresses_come_out_as_they_went_in(given: list[str], port: int) -> None:
    assert addresses.decode_announced(addresses.encode_announced(given, port)) == [Address(host, port) for host in given]


@given(st.lists(hosts, max_size=20), ports)
def test_announcements_keep_their_limits(given: list[str], port: int) -> None:
    data = addresses.encode_announced(given, port)
    assert len(data) <= limits.ANNOUNCED_BYTES
    if len(data) > 2:
        assert len(addresses.decode_announced(data)) <= limits.ANNOUNCED_ADDRESSES


@given(st.binary(max_size=limits.ANNOUNCED_BYTES + 1))
def test_an_announcement_is_addresses_or_a_fault(data: bytes) -> None:
    try:
        found = addresses.decode_announced(data)
    except PeerMisbehaved:
        return
    assert len(data) <= limits.ANNOUNCED_BYTES and len(found) <= limits.ANNOUNCED_ADDRESSES


def test_limits_of_announcements() -> None:
    four = b"\x01\x0a\x00\x00\x01"
    assert len(addresses.decode_announced(four * 8 + b"\x9c\x40")) == 8
    for data in (four * 9 + b"\x9c\x40", b"", b"\x9c", b"\x9c\x40", b"\x03" + bytes(126) + b"\x9c\x40"):
        with pytest.raises(PeerMisbehaved):
            addresses.decode_announced(data)


# -- invites


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), ports, st.lists(hosts, min_size=1, max_size=6))
def test_an_invite_says_what_went_in(account: bytes, secret: bytes, port: int, given: list[str]) -> None:
    text = addresses.encode_invite(AccountId(account), secret, port, given)
    invite = addresses.decode_invite(text)
    assert (invite.account, invite.secret) == (account, secret)
    expected = addresses.decode_hosts(addresses.encode_hosts(given, addresses.INVITE_ADDRESS_BYTES))
    assert invite.addresses == tuple(Address(host, port) for host in expected)


@given(ports, st.lists(hosts, min_size=1, max_size=6))
def test_an_invite_fits_a_small_qr_code(port: int, given: list[str]) -> None:
    text = addresses.encode_invite(ACCOUNT, SECRET, port, given)
    assert len(text) <= 119 < limits.INVITE_CHARACTERS
    assert set(text) <= set(ALPHABET + ":")


def test_the_longest_invite_has_119_characters() -> None:
    assert len(addresses.encode_invite(ACCOUNT, SECRET, 1, ["fd00::1"])) == 119


@given(st.data())
def test_case_does_not_matter_nor_do_blanks_around(data: st.DataObject) -> None:
    lower = data.draw(st.lists(st.booleans(), min_size=len(INVITE), max_size=len(INVITE)))
    mixed = "".join(c.lower() if low else c for c, low in zip(INVITE, lower, strict=True))
    assert addresses.decode_invite(f"  {mixed}\n") == addresses.decode_invite(INVITE)


@pytest.mark.parametrize("text", [INVITE, addresses.encode_invite(ACCOUNT, SECRET, 9, ["fd00::1"])])
def test_any_single_character_changed_is_refused(text: str) -> None:
    for at in range(len(text)):
        for other in set(ALPHABET + ":018 -=") - {text[at]}:
            with pytest.raises(InviteMalformed):
                addresses.decode_invite(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize("letter,double", [("S", "\u017f"), ("K", "\u212a"), ("I", "\u0131"), ("SS", "\u00df")])
def test_letters_that_only_look_alike_in_capitals_are_refused(letter: str, double: str) -> None:
    texts = (addresses.encode_invite(ACCOUNT, bytes((n, *SECRET[1:])), 40_000, [HOST]) for n in range(256))
    text = next(text for text in texts if letter in text[7:])
    with pytest.raises(InviteMalformed):
        addresses.decode_invite(text[:7] + text[7:].replace(letter, double, 1))


def test_two_neighbours_swapped_are_refused() -> None:
    for at in range(7, len(INVITE) - 1):
        swapped = INVITE[:at] + INVITE[at + 1] + INVITE[at] + INVITE[at + 2 :]
        if swapped != INVITE:
            with pytest.raises(InviteMalformed):
                addresses.decode_invite(swapped)


def test_a_cut_or_a_longer_invite_is_refused() -> None:
    for text in [INVITE[:size] for size in range(len(INVITE))] + [INVITE + c for c in "A7=" if c] + [INVITE + INVITE[7:]]:
        with pytest.raises(InviteMalformed):
            addresses.decode_invite(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P2PMSG:",
        "p2pmsg",
        INVITE[7:],
        "HTTPS:" + INVITE[7:],
        INVITE[:30] + " " + INVITE[30:],
        INVITE[:30] + "\n" + INVITE[30:],
        INVITE[:30] + "\0" + INVITE[31:],
        "P2PMSG:" + "A" * 200,
        "P2PMSG:" + "=" * 50,
        "\ud800",
        coded(raw_invite(version=0)),
        coded(raw_invite(version=2)),
        coded(raw_invite(port=0)),
        coded(raw_invite(packed=b"")),
        coded(raw_invite(packed=b"\x07\x00\x00\x00\x00")),
        coded(raw_invite(packed=b"\x01\x0a\x00\x00")),
        coded(raw_invite()[:40]),
    ],
)
def test_what_is_no_invite(text: str) -> None:
    with pytest.raises(InviteMalformed):
        addresses.decode_invite(text)


def test_another_version_says_so() -> None:
    with pytest.raises(InviteMalformed, match="another version"):
        addresses.decode_invite(coded(raw_invite(version=2)))


def test_the_length_is_limited() -> None:
    packed = b"\x01\x0a\x00\x00\x01" * 3 + bytes(2)
    assert len(coded(raw_invite(packed=packed))) == limits.INVITE_CHARACTERS - 1
    assert len(addresses.decode_invite(coded(raw_invite(packed=packed[:15]))).addresses) == 3
    with pytest.raises(InviteMalformed, match="longer"):
        addresses.decode_invite(coded(raw_invite(packed=b"\x01\x0a\x00\x00\x01" * 4)))


@given(st.text(max_size=130) | st.binary(max_size=75).map(coded))
def test_a_text_is_an_invite_or_a_fault(text: str) -> None:
    try:
        invite = addresses.decode_invite(text)
    except InviteMalformed:
        return
    assert invite.addresses


def test_the_secret_is_not_shown() -> None:
    assert "secret" not in repr(addresses.decode_invite(INVITE))
