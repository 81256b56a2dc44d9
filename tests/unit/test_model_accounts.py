from dataclasses import replace

import pytest

from p2pmsg.model.accounts import Contact, Device, Membership, Trust
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId, DeviceKey

A, B, C, D = (ChainLinkId(bytes((n,)) * 32) for n in range(4))
ANN = AccountId(A)
DEVICE = DeviceId(b"d" * 32)
BEFORE = {A: (), B: (A,), C: (A,), D: (B, C)}


def member(*, active: bool = True) -> Membership:
    device = Device(DEVICE, DeviceKey(b"k" * 32), "laptop", admin=True, active=active)
    return Membership(ANN, (D,), frozenset(BEFORE), {DEVICE: device}, "Ann", BEFORE)


def test_only_an_active_device_speaks_for_its_account() -> None:
    assert member().active(DEVICE)
    assert not member(active=False).active(DEVICE) and not member().active(DeviceId(b"x" * 32))


@pytest.mark.parametrize("heads,older", [((D,), (A,)), ((D,), (B, C)), ((D,), (D,)), ((B, C), (A,)), ((B,), ()), ((B, C), (C,))])
def test_heads_cover_themselves_and_their_ancestors(heads: tuple[ChainLinkId, ...], older: tuple[ChainLinkId, ...]) -> None:
    assert member().cover(heads, older)


@pytest.mark.parametrize("heads,older", [((A,), (B,)), ((B,), (C,)), ((B, C), (D,)), ((), (A,)), ((B,), (A, C))])
def test_heads_do_not_cover_what_is_newer_or_beside_them(heads: tuple[ChainLinkId, ...], older: tuple[ChainLinkId, ...]) -> None:
    assert not member().cover(heads, older)


def test_a_contact_shows_under_the_local_name_else_the_nickname() -> None:
    bob = Contact(ANN, None, "Bobby", Trust.INVITED, None, b"secret key")
    assert bob.shown == "Bobby" and replace(bob, name="Bob").shown == "Bob"


def test_the_keys_of_a_contact_are_not_shown() -> None:
    assert "secret" not in repr(Contact(ANN, None, "Bobby", Trust.INVITED, None, b"secret key", b"secret presence"))
