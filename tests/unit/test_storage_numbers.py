"""Small numbers for long ids."""

from __future__ import annotations

import pytest

from p2pmsg.errors import NotInitialized
from p2pmsg.model.events import ConversationKind
from p2pmsg.storage import numbers
from p2pmsg.storage.database import open_memory
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, own

ANN, BOB = Person("Ann"), Person("Bob")


def test_the_same_id_has_the_same_number() -> None:
    db = Shelf(ANN).db
    first = numbers.number_of_account(db, BOB.account)
    assert numbers.number_of_account(db, BOB.account) == numbers.find_account(db, BOB.account) == first != numbers.my_account(db)
    assert numbers.number_of_conversation(db, own(ANN)) == numbers.number_of_conversation(db, own(ANN))


def test_what_is_learnt_of_a_device_is_kept() -> None:
    db = Shelf(ANN).db
    number = numbers.number_of_device(db, BOB.device)
    account = numbers.number_of_account(db, BOB.account)
    assert numbers.number_of_device(db, BOB.device, account, BOB.key) == number == numbers.find_device(db, BOB.device)
    numbers.number_of_device(db, BOB.device, 999, b"other")
    assert db.execute("SELECT account, key FROM device WHERE number = ?", (number,)).fetchone() == (account, BOB.key)


def test_a_conversation_of_which_only_the_id_was_known_is_filled_in() -> None:
    db = Shelf(ANN).db
    talk = direct(ANN, BOB)
    assert numbers.find_conversation(db, talk.id) is None
    number = numbers.number_of_named_conversation(db, talk.id)
    assert numbers.number_of_conversation(db, talk) == numbers.find_conversation(db, talk.id) == number
    row = db.execute("SELECT kind, peer FROM conversation WHERE number = ?", (number,)).fetchone()
    assert row == (ConversationKind.DIRECT, numbers.find_account(db, BOB.account))


def test_without_an_identity_there_is_no_me() -> None:
    for ask in (numbers.my_account, numbers.my_id):
        with pytest.raises(NotInitialized):
            ask(open_memory())
