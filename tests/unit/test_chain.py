from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import canonical, chain, signing
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink, LinkKind
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceKey
from tests.unit.people import Person

ANN = Person("Ann", nicknames=("Ann B.",))
GENESIS, PROFILE = ANN.links


def signed(secret: bytes, fields: object) -> bytes:
    body = canonical.pack(fields)
    return signing.sign(secret, b"p2pmsg/1/chain\0" + body) + body


PHONE, PHONE_SECRET = signing.keypair(b"phone".ljust(32))
NEW_ROOT, _ = signing.keypair(b"root".ljust(32))
ADDING = chain.adding(ANN.key, ANN.account, [PROFILE.id], PHONE, "phone", admin=True)
JOINED = chain.agree(PHONE_SECRET, ADDING)
ADD = chain.parse(chain.complete(ANN.secret, ADDING, JOINED))
REVOKE = chain.parse(chain.revoke(ANN.secret, ANN.key, ANN.account, [ADD.id], PHONE))
REROOTING = chain.rerooting(ANN.root[0], ANN.account, [ADD.id], PHONE, NEW_ROOT, bytes(1216))
REROOT = chain.parse(chain.complete(ANN.root[1], REROOTING, chain.agree(PHONE_SECRET, REROOTING)))


def genesis_with(**changes: Any) -> bytes:
    return signed(ANN.root[1], {k: v for k, v in {**canonical.unpack(GENESIS.body, 4096), **changes}.items() if v is not ...})


def profile_with(**changes: Any) -> bytes:
    return signed(ANN.secret, {k: v for k, v in {**canonical.unpack(PROFILE.body, 4096), **changes}.items() if v is not ...})


def test_genesis_says_all_that_was_put_in() -> None:
    assert GENESIS.kind is LinkKind.GENESIS
    assert (GENESIS.nickname, GENESIS.device_name, GENESIS.device_key) == ("Ann", "Ann's laptop", ANN.key)
    assert GENESIS.previous == () and GENESIS.signer == ANN.root[0] and len(GENESIS.backup_key or b"") == 1216
    assert GENESIS.id == GENESIS.account == chain.digest(b"p2pmsg/1/chain\0", GENESIS.body)


def test_profile_says_all_that_was_put_in() -> None:
    assert (PROFILE.kind, PROFILE.nickname, PROFILE.account) == (LinkKind.PROFILE, "Ann B.", ANN.account)
    assert PROFILE.previous == (GENESIS.id,) and PROFILE.signer == ANN.key


def test_add_says_all_that_was_put_in() -> None:
    assert (ADD.kind, ADD.signer, ADD.previous, ADD.account) == (LinkKind.ADD, ANN.key, (PROFILE.id,), ANN.account)
    assert (ADD.device_key, ADD.device_name, ADD.admin) == (PHONE, "phone", True)
    assert not chain.parse(second_signed(chain.adding(ANN.key, ANN.account, [PROFILE.id], PHONE, "phone", admin=False))).admin


def test_revoke_and_reroot_say_all_that_was_put_in() -> None:
    assert (REVOKE.kind, REVOKE.signer, REVOKE.device_key, REVOKE.second) == (LinkKind.REVOKE, ANN.key, PHONE, b"")
    assert (REROOT.kind, REROOT.signer, REROOT.device_key) == (LinkKind.REROOT, ANN.root[0], PHONE)
    assert (REROOT.root_key, REROOT.backup_key) == (NEW_ROOT, bytes(1216))


def test_both_sign_an_add_the_new_device_first_and_each_for_its_own_purpose() -> None:
    signature, second, body = (wire := chain.wire_form(ADD))[:64], wire[64:128], wire[128:]
    assert (second, body) == (JOINED, ADDING)
    signing.verify(PHONE, second, b"p2pmsg/1/chain/join\0" + body)
    signing.verify(ANN.key, signature, b"p2pmsg/1/chain\0" + body + second)
    assert ADD.id == chain.digest(b"p2pmsg/1/chain\0", body)


def second_signed(body: bytes, secret: bytes = PHONE_SECRET, by: bytes = ANN.secret) -> bytes:
    """An `add` or `reroot` as `complete` makes it, but unchecked."""
    second = chain.agree(secret, body)
    return signing.sign(by, b"p2pmsg/1/chain\0" + body + second) + second + body


def test_a_link_that_only_one_of_two_signed_is_refused() -> None:
    other, secret = signing.keypair(b"other".ljust(32))
    replayed = chain.agree(PHONE_SECRET, chain.adding(ANN.key, ANN.account, [PROFILE.id], PHONE, "tablet", admin=True))
    for wire in (
        second_signed(ADDING, secret),
        second_signed(ADDING, by=secret),
        signing.sign(ANN.secret, b"p2pmsg/1/chain\0" + ADDING) + ADDING,
        signing.sign(ANN.secret, b"p2pmsg/1/chain\0" + ADDING + replayed) + replayed + ADDING,
        chain.wire_form(ADD)[:64] + replayed + ADDING,
        chain.wire_form(ADD)[:64] + signing.sign(PHONE_SECRET, b"p2pmsg/1/chain/reroot\0" + ADDING) + ADDING,
        chain.wire_form(REVOKE)[:64] + JOINED + REVOKE.body,
        second_signed(REROOTING, secret),
        signing.sign(ANN.root[1], b"p2pmsg/1/chain\0" + REROOTING) + REROOTING,
    ):
        with pytest.raises(PeerMisbehaved):
            chain.parse(wire)
    assert other != PHONE


def with_fields(link: ChainLink, **changes: Any) -> bytes:
    return canonical.pack({k: v for k, v in {**canonical.unpack(link.body, 4096), **changes}.items() if v is not ...})


@pytest.mark.parametrize(
    "changes",
    [
        {"dev": ...},
        {"dev": bytes(31)},
        {"name": ...},
        {"name": "a\nb"},
        {"name": "x" * 65},
        {"adm": ...},
        {"adm": 1},
        {"p": []},
        {"a": b""},
    ],
    ids=str,
)
def test_an_add_of_another_form_is_refused_though_well_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(second_signed(with_fields(ADD, **changes)))


@pytest.mark.parametrize("changes", [{"dev": ...}, {"dev": "x" * 32}, {"p": []}, {"a": ...}], ids=str)
def test_a_revoke_of_another_form_is_refused_though_well_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(signed(ANN.secret, canonical.unpack(with_fields(REVOKE, **changes), 4096)))


@pytest.mark.parametrize(
    "changes",
    [{"with": ...}, {"root": ...}, {"root": bytes(31)}, {"root": ANN.root[0]}, {"bk": ...}, {"bk": bytes(1215)}, {"p": {}}],
    ids=str,
)
def test_a_reroot_of_another_form_is_refused_though_well_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(second_signed(with_fields(REROOT, **changes), by=ANN.root[1]))


def test_the_second_signature_is_not_taken_for_a_body() -> None:
    """What follows the first signature is the body if it is a map in whole, whatever it is meant to be."""
    inner = canonical.pack({"k": "profile"})
    with pytest.raises(PeerMisbehaved):
        chain.parse(bytes(64) + inner)


def test_predecessors_are_sorted_whatever_order_they_come_in() -> None:
    ids = [ChainLinkId(bytes((n,)) * 32) for n in (3, 1, 2)]
    assert chain.parse(chain.profile(ANN.secret, ANN.key, ANN.account, ids, "A")).previous == tuple(sorted(ids))


def test_wire_form_is_what_was_parsed() -> None:
    for link in (*ANN.links, ADD, REVOKE, REROOT):
        wire = chain.wire_form(link)
        assert chain.parse(wire) == link
        assert chain.link_id(link.body) == link.id


def test_unknown_fields_are_kept_and_signed() -> None:
    wire = genesis_with(later={"x": [1, b"2"]})
    link = chain.parse(wire)
    assert chain.wire_form(link) == wire and link.id != GENESIS.id


def test_ids_of_devices_and_heads() -> None:
    assert chain.device_id(ANN.account, ANN.key) == chain.digest(b"p2pmsg/1/device\0", ANN.account, ANN.key)
    assert chain.device_id(AccountId(bytes(32)), ANN.key) != ANN.device
    assert chain.heads_digest([GENESIS.id, PROFILE.id]) == chain.heads_digest([PROFILE.id, GENESIS.id])
    assert chain.heads_digest([GENESIS.id]) == chain.digest(b"p2pmsg/1/heads\0", GENESIS.id)


@given(st.sampled_from((PROFILE, ADD, REVOKE)), st.integers(0), st.integers(0, 7))
def test_any_changed_bit_is_refused(link: ChainLink, place: int, bit: int) -> None:
    wire = bytearray(chain.wire_form(link))
    wire[place % len(wire)] ^= 1 << bit
    with pytest.raises(PeerMisbehaved):
        chain.parse(bytes(wire))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_link_or_peer_misbehaved(data: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(data)


def test_every_cut_is_refused() -> None:
    for wire in map(chain.wire_form, (PROFILE, ADD)):
        for end in range(len(wire)):
            with pytest.raises(PeerMisbehaved):
                chain.parse(wire[:end])


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"v": ...},
        {"k": "add"},
        {"k": "revoke"},
        {"k": "promote"},
        {"k": ["add"]},
        {"k": 1},
        {"k": ...},
        {"by": ...},
        {"by": b"\x01" + bytes(31)},
        {"by": bytes(31)},
        {"dev": ...},
        {"dev": bytes(33)},
        {"dev": "x" * 32},
        {"bk": ...},
        {"bk": bytes(1215)},
        {"salt": ...},
        {"salt": bytes(15)},
        {"nick": ...},
        {"nick": ""},
        {"nick": "x" * 65},
        {"nick": "me"},
        {"nick": "a~b"},
        {"nick": "\x1b[2J"},
        {"nick": "\u202eevil"},
        {"nick": b"Ann"},
        {"name": ...},
        {"name": "x" * 65},
        {"name": "a\nb"},
        {"name": 7},
    ],
    ids=str,
)
def test_a_genesis_of_another_form_is_refused_though_well_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(genesis_with(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"a": ...},
        {"a": bytes(31)},
        {"p": ...},
        {"p": []},
        {"p": {}},
        {"p": [bytes(31)]},
        {"p": ["x" * 32]},
        {"p": [b"b" * 32, b"a" * 32]},
        {"p": [b"a" * 32, b"a" * 32]},
        {"p": [bytes((n,)) * 32 for n in range(limits.CHAIN_PREDECESSORS + 1)]},
        {"nick": None},
        {"nick": "me"},
    ],
    ids=str,
)
def test_a_profile_of_another_form_is_refused_though_well_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(profile_with(**changes))


def test_predecessors_at_the_limit() -> None:
    ids = [bytes((n,)) * 32 for n in range(limits.CHAIN_PREDECESSORS)]
    assert len(chain.parse(profile_with(p=ids)).previous) == limits.CHAIN_PREDECESSORS


def test_a_profile_without_a_nickname_changes_none() -> None:
    assert chain.parse(profile_with(nick=...)).nickname is None


def test_length_at_the_limit_and_one_above() -> None:
    room = limits.CHAIN_LINK_BYTES - len(genesis_with(x=b""))
    assert len(genesis_with(x=bytes(room - 1))) == limits.CHAIN_LINK_BYTES
    chain.parse(genesis_with(x=bytes(room - 1)))
    with pytest.raises(PeerMisbehaved):
        chain.parse(genesis_with(x=bytes(room)))


@pytest.mark.parametrize("body", [b"\x90", b"\xc0", b"\x01", canonical.pack([1, 2]), canonical.pack("x")])
def test_a_body_that_is_no_map_is_refused(body: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(signing.sign(ANN.secret, b"p2pmsg/1/chain\0" + body) + body)


def test_a_signature_for_another_purpose_does_not_serve() -> None:
    with pytest.raises(PeerMisbehaved):
        chain.parse(signing.sign(ANN.secret, b"p2pmsg/1/event\0" + PROFILE.body) + PROFILE.body)


def test_we_never_make_what_others_would_refuse() -> None:
    with pytest.raises(PeerMisbehaved):
        chain.profile(ANN.secret, ANN.key, ANN.account, [GENESIS.id], "me")
    with pytest.raises(PeerMisbehaved):
        chain.profile(ANN.secret, DeviceKey(bytes(32)), ANN.account, [GENESIS.id], "Ann")
