"""What a conversation shows that nobody wrote."""

from __future__ import annotations

import pytest

from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.bodies import SeenBody
from p2pmsg.storage import lines
from tests.unit.people import Person
from tests.unit.shelves import contact_body

BOB = Person("Bob")


def seen(what: str, device: str | None = None, by: str | None = None) -> str:
    return lines.of_chain(SeenBody(AccountId(BOB.account), what, BOB.device, "Bob", device, by))  # type: ignore[arg-type]


def test_whose_invite_was_used() -> None:
    assert lines.of_contact(contact_body(BOB, via="invite_mine")) == "You and Bob are contacts now. Bob used your invite."
    assert lines.of_contact(contact_body(BOB, name="Robert", via="invite_theirs")).endswith("You used Robert's invite.")
    assert lines.of_contact(contact_body(BOB, via="nearby")).endswith("You compared what your screens showed.")


def test_who_added_and_removed_a_device() -> None:
    assert seen("added", "phone", "laptop") == 'Bob added "phone", signed by "laptop".'
    assert seen("added", "phone") == 'Bob added "phone", signed by the recovery words.'
    assert seen("removed", "phone") == 'Bob removed "phone".'


@pytest.mark.parametrize("what", list(lines.ALARMS))
def test_each_alarm_has_its_words(what: str) -> None:
    assert seen(what).startswith("Warning: ") and "Bob" in seen(what) and "{" not in seen(what)


def test_a_name_ends_where_its_quotation_marks_end() -> None:
    assert lines.quoted('phone", signed by "laptop') == "\"phone', signed by 'laptop\"" and lines.quoted(None) == '"?"'
