"""Events as rows."""

from __future__ import annotations

from p2pmsg.storage import numbers
from p2pmsg.storage.stored import Author, Placed, author_of, event_of_row, holds
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct, second_device

ANN, BOB = Person("Ann"), Person("Bob")


def test_who_wrote_it() -> None:
    ann = Shelf(ANN)
    phone, both = second_device(ANN)
    ann.take([Shelf(BOB).say(ANN, "hi")], BOB)
    ann.take([Shelf(phone).say(BOB, "hi")], both)
    me = numbers.my_account(ann.db)
    found = {}
    for who in (ANN, phone, BOB):
        number = numbers.number_of_device(ann.db, who.device)
        found[who.device] = author_of(ann.db, number, me=me)
        assert found[who.device] == Author(number, who.device[:8], who.account == ANN.account, who is ANN)


def test_a_row_gives_the_event_back() -> None:
    ann = Shelf(ANN)
    event = ann.say(BOB, "hi")
    assert event_of_row(ann.db.execute("SELECT header, signature, body FROM event").fetchone()) == event


def test_what_a_log_holds_at_a_number() -> None:
    ann = Shelf(ANN)
    event = ann.say(BOB, "hi")
    log = (numbers.number_of_conversation(ann.db, direct(ANN, BOB)), numbers.number_of_device(ann.db, ANN.device))
    assert holds(ann.db, *log, 1, event.id[:8]) is True
    assert holds(ann.db, *log, 1, b"another!") is False
    assert holds(ann.db, *log, 2, event.id[:8]) is None


def test_ties_are_decided_by_device_and_number() -> None:
    event = Shelf(ANN).say(BOB, "hi")
    placed = Placed(1, event.id, event.header, event.body, 5, NOW, Author(1, b"device!!", True, True))
    assert placed.tie == b"device!!" + (1).to_bytes(8, "big")
