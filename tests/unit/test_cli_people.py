from p2pmsg.cli.people import People, label
from tests.unit.scripted import BOB, contact


def test_who_is_not_verified_carries_a_suffix() -> None:
    assert label(BOB, "bob", "verified") == "bob"
    assert label(BOB, "bob", "invited") == "bob~b0b0b0b0"
    assert label(BOB, "bob", None) == "bob~b0b0b0b0"


def test_a_name_that_has_a_suffix_gets_no_second() -> None:
    assert label(BOB, "bob~b0b0b0b0", "invited") == "bob~b0b0b0b0"


def test_a_name_is_made_harmless() -> None:
    assert label(BOB, "b\x1b[2Job\u202e", "verified") == "b\\x1b[2Job"


def test_people_are_known_by_account_and_called_by_their_newest_name() -> None:
    people = People([contact(trust="invited")])
    assert people.label(BOB, "old") == "bob~b0b0b0b0"
    people.learn(contact(name="Robert"))
    assert people.label(BOB, "old") == "Robert"
    assert people.label("c" * 64, "carl") == "carl~cccccccc"
    assert people.label(None, "notes") == "notes"
