"""Who is meant by what somebody typed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pmsg.daemon import names
from p2pmsg.daemon.contacts import Contacts
from p2pmsg.daemon.people import Me, People
from p2pmsg.errors import Ambiguous, ContactNotFound, InvalidName, NameTaken
from p2pmsg.model.accounts import Contact, Membership, Trust
from p2pmsg.model.ids import AccountId, DeviceId, DeviceKey
from p2pmsg.model.names import fold

ME = AccountId(bytes.fromhex("cafe" + "00" * 30))


def account(start: str) -> AccountId:
    return AccountId(bytes.fromhex(start.ljust(64, "0")))


def people(*contacts: Contact) -> People:
    found = People(Me(ME, DeviceId(b"d" * 32), DeviceKey(b"k" * 32), b"", b""))
    found.contacts = Contacts(contacts)
    return found


def contact(start: str, nickname: str, name: str | None = None) -> Contact:
    return Contact(account(start), name, nickname, Trust.VERIFIED, None, b"")


BOB = contact("b0b00001", "Bob")
CARL = contact("ca510001", "Carl", name="Charlie")


@pytest.mark.parametrize("typed", ["Bob", "bob", "BOB", "b0b0", "B0B00001", "bob~b0b0", "BOB~b0b00001", BOB.account.hex()])
def test_a_contact_by_name_or_id(typed: str) -> None:
    assert names.find_contact(people(BOB, CARL), typed) == BOB


@pytest.mark.parametrize(
    "typed", ["", "bo", "b0b", "bobby", "bob~b0b", "bob~b0b00002", "carl~b0b0", "~b0b0", "bob~", "dead", "me", "x" * 999]
)
def test_nobody(typed: str) -> None:
    with pytest.raises(ContactNotFound):
        names.find_contact(people(BOB, CARL), typed)


@pytest.mark.parametrize("typed", ["me", "ME", "cafe", ME.hex(), people().own().id.hex()])
def test_i_am_no_contact_of_mine(typed: str) -> None:
    with pytest.raises(ContactNotFound, match="is you") as raised:
        names.find_contact(people(BOB), typed)
    assert "p2pmsg whoami" in raised.value.hint


@pytest.mark.parametrize(
    ("typed", "near", "said"),
    [
        ("Bobb", ["Bob"], "Did you mean Bob?"),
        ("cha", ["Charlie"], "Did you mean Charlie?"),
        ("smith", ["Ann Smith"], "Did you mean Ann Smith?"),
        ("bo", ["Bob"], "Did you mean Bob?"),
        ("a", ["Ann Smith", "Anna"], "Did you mean one of these?"),
        ("zzz", [], "There is no contact 'zzz'."),
        ("", [], "There is no contact ''."),
    ],
)
def test_names_that_are_near(typed: str, near: list[str], said: str) -> None:
    here = people(BOB, CARL, contact("aa000001", "Ann Smith"), contact("aa000002", "Anna"))
    with pytest.raises(ContactNotFound) as raised:
        names.find_contact(here, typed)
    assert raised.value.candidates == near and raised.value.message.endswith(said)


def test_a_contact_by_the_id_of_the_conversation() -> None:
    here = people(BOB, CARL)
    talk = here.direct(BOB.account).id.hex()
    assert names.find_contact(here, talk) == BOB == names.find_contact(here, talk[:8].upper())


def test_a_contact_with_a_local_name_is_still_found_by_the_nickname() -> None:
    assert names.find_contact(people(BOB, CARL), "carl") == CARL == names.find_contact(people(BOB, CARL), "charlie")


def test_a_local_name_goes_before_a_nickname() -> None:
    other = contact("aaaa0001", "Bob")
    named = contact("bbbb0001", "Robert", name="bob")
    assert names.find_contact(people(other, named), "Bob") == named


def test_a_nickname_in_use_goes_before_one_that_a_local_name_hides() -> None:
    hidden = contact("aaaa0001", "Bob", name="Robert")
    assert names.find_contact(people(hidden, BOB), "bob") == BOB


def test_a_name_goes_before_an_id() -> None:
    named = contact("bbbb0001", "b0b0")
    assert names.find_contact(people(BOB, named), "b0b0") == named


def test_two_of_one_name_are_both_listed() -> None:
    twin = contact("b0b10001", "bob")
    with pytest.raises(Ambiguous) as caught:
        names.find_contact(people(BOB, twin), "Bob")
    assert caught.value.candidates == ["Bob~b0b00001", "bob~b0b10001"]
    for candidate, found in zip(caught.value.candidates, (BOB, twin), strict=True):
        assert names.find_contact(people(BOB, twin), candidate) == found


def test_an_id_that_two_begin_with_is_ambiguous() -> None:
    twin = contact("b0b00002", "Robert")
    with pytest.raises(Ambiguous):
        names.find_contact(people(BOB, twin), "b0b0")
    assert names.find_contact(people(BOB, twin), "b0b00002") == twin


@pytest.mark.parametrize("stored,typed", [("Zoë", "Zoe\u0308"), ("Zoe\u0308", "ZOË"), ("straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος")])
def test_names_are_compared_composed_and_without_case(stored: str, typed: str) -> None:
    assert fold(stored) == fold(typed)
    found = contact("b0b00001", stored)
    assert names.find_contact(people(found), typed) == found


def test_what_looks_alike_is_not_the_same() -> None:
    with pytest.raises(ContactNotFound):
        names.find_contact(people(BOB), "Воb")  # noqa: RUF001 - the first two letters are Cyrillic


# -- how they are shown


def test_a_name_has_a_suffix_only_where_two_share_it() -> None:
    twin = contact("b0b10001", "BOB")
    assert names.shown(people(BOB, CARL), BOB) == "Bob"
    assert names.shown(people(BOB, twin), BOB) == "Bob~b0b00001" and names.shown(people(BOB, twin), twin) == "BOB~b0b10001"
    assert names.shown(people(BOB, replace(twin, name="Bobby")), BOB) == "Bob"


def test_a_suffix_grows_until_it_is_unique() -> None:
    twin = contact("b0b00001ff", "Bob")
    assert names.with_suffix(people(BOB, twin), twin) == "Bob~b0b00001f"
    assert names.with_suffix(people(BOB, twin), BOB) == "Bob~b0b000010"
    for each in (BOB, twin):
        assert names.find_contact(people(BOB, twin), names.with_suffix(people(BOB, twin), each)) == each


# -- names that may be given


def test_a_name_is_kept_composed() -> None:
    assert names.check_name(people(), "Zoe\u0308") == "Zoë" == names.check_own_name("Zoe\u0308")


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "x" * 10_000, "a\nb", "a\u202eb", "me", "ME", "a~b", "a:b", "a/b", "\0"])
def test_what_is_no_name(name: str) -> None:
    for check in (names.check_own_name, lambda name: names.check_name(people(), name)):
        with pytest.raises(InvalidName):
            check(name)


def test_a_local_name_is_given_once() -> None:
    here = people(BOB, CARL)
    with pytest.raises(NameTaken, match="ca510001"):
        names.check_name(here, "CHARLIE", BOB.account)
    assert names.check_name(here, "CHARLIE", CARL.account) == "CHARLIE"
    assert names.check_name(here, "Bob", CARL.account) == "Bob"  # a nickname is nobody's own


# -- conversations


@pytest.mark.parametrize("typed", ["me", "Me", "cafe", ME.hex()])
def test_the_conversation_with_myself(typed: str) -> None:
    here = people(BOB)
    assert names.find_conversation(here, typed) == (here.own(), None)
    assert names.find_conversation(here, here.own().id.hex()[:6]) == (here.own(), None)


def test_the_conversation_with_a_contact() -> None:
    here = people(BOB)
    assert names.find_conversation(here, "bob") == (here.direct(BOB.account), BOB)


def test_a_contact_whose_name_looks_like_my_id_is_meant() -> None:
    named = contact("bbbb0001", "Cafe")
    here = people(named)
    assert names.find_conversation(here, "cafe") == (here.direct(named.account), named)


def test_an_id_that_i_and_a_contact_begin_with_is_ambiguous() -> None:
    near = contact("cafe1111", "Bob")
    with pytest.raises(Ambiguous):
        names.find_conversation(people(near), "cafe")
    assert names.find_conversation(people(near), "cafe1")[1] == near
    assert names.find_conversation(people(near), "cafe0")[1] is None


def test_no_conversation() -> None:
    with pytest.raises(ContactNotFound):
        names.find_conversation(people(BOB), "dead")


# -- those who were contacts


def parted(*starts: str) -> People:
    """Return people of whom some are known by their chains only."""
    found = people(BOB)
    for start in starts:
        found.memberships[account(start)] = Membership(account(start), (), frozenset(), {}, "Dora")
    return found


def test_who_was_a_contact_is_found_by_id_where_the_past_counts() -> None:
    known = parted("d0d00001")
    there = known.direct(account("d0d00001"))
    for typed in ("d0d0", "D0D00001", account("d0d00001").hex(), there.id.hex()[:12]):
        assert names.find_conversation(known, typed, past=True) == (there, None)
        with pytest.raises(ContactNotFound):
            names.find_conversation(known, typed)


def test_the_name_of_who_was_a_contact_leads_to_the_id() -> None:
    with pytest.raises(ContactNotFound) as raised:
        names.find_conversation(parted("d0d00001"), "dora", past=True)
    assert "p2pmsg history d0d00001" in raised.value.hint


def test_two_who_were_contacts_are_told_apart() -> None:
    known = parted("d0d00001", "d0d00002")
    with pytest.raises(Ambiguous) as raised:
        names.find_conversation(known, "d0d0", past=True)
    assert len(raised.value.candidates) == 2
    assert names.find_conversation(known, "d0d00002", past=True)[0] == known.direct(account("d0d00002"))


def test_the_past_hides_nobody_of_the_present() -> None:
    known = parted("b0b00001aa")
    assert names.find_conversation(known, "b0b00001", past=True) == (known.direct(BOB.account), BOB)
    assert names.find_conversation(known, "me", past=True) == (known.own(), None)
    with pytest.raises(ContactNotFound):
        names.find_conversation(known, "zed", past=True)


def test_people_see_who_is_not_verified_and_what_is_to_be_looked_at() -> None:
    here = people(BOB, CARL)
    assert names.label(here, BOB) == "Bob" and names.label(here, replace(BOB, alert="device_added")) == "Bob (new device!)"
    unknown = replace(BOB, trust=Trust.INVITED, alert="identity_changed")
    assert names.label(here, unknown) == "Bob~b0b00001 (identity changed!)"
