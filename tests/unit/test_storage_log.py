"""Appending, and what is known of logs."""

from __future__ import annotations

import pytest

from p2pmsg.errors import NotInitialized
from p2pmsg.protocol.bodies import TextBody
from p2pmsg.storage import log, queries
from p2pmsg.storage.database import open_memory
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct, own, second_device

ANN, BOB = Person("Ann"), Person("Bob")


@pytest.fixture
def ann() -> Shelf:
    shelf = Shelf(ANN)
    shelf.meet(BOB)
    return shelf


def test_a_log_grows_by_one_and_names_what_came_before(ann: Shelf) -> None:
    first, second = ann.say(BOB, "one"), ann.say(BOB, "two")
    assert (first.header.seq, second.header.seq) == (1, 2)
    assert second.header.previous == first.id and second.header.hlc > first.header.hlc
    tips = log.tips(ann.db)[direct(ANN, BOB).id][ANN.device]
    assert [(tip.seq, tip.id, tip.hlc, tip.account_heads) for tip in tips] == [
        (2, second.id, second.header.hlc, second.header.account_heads)
    ]


def test_logs_of_other_conversations_count_for_themselves(ann: Shelf) -> None:
    assert ann.write(own(ANN), TextBody("note")).header.seq == 2  # after the CONTACT event
    assert ann.say(BOB, "hello").header.seq == 1


def test_what_make_raises_leaves_nothing_behind(ann: Shelf) -> None:
    def make(tip: object) -> object:
        raise ValueError("no")

    before = ann.db.execute("SELECT count(*) FROM event").fetchone()
    with pytest.raises(ValueError, match="no"):
        log.append(ann.db, direct(ANN, BOB), ANN.device, make, NOW)  # type: ignore[arg-type]
    assert ann.db.execute("SELECT count(*) FROM event").fetchone() == before
    assert not ann.db.conn.in_transaction


def test_nothing_is_written_before_there_is_an_identity() -> None:
    with pytest.raises(NotInitialized):
        log.append(open_memory(), own(ANN), ANN.device, lambda tip: pytest.fail("made"), NOW)


def test_an_old_copy_is_one_for_ever(ann: Shelf) -> None:
    event = ann.say(BOB, "from the newer copy")
    older = Shelf(ANN)
    older.meet(BOB)
    assert not log.is_old_copy(older.db)
    assert older.take([event], ANN, mine=True).old_copy
    assert log.is_old_copy(older.db) and older.texts(BOB) == ["You and Bob are contacts now. You used Bob's invite."]


def test_forked_devices_are_named(ann: Shelf) -> None:
    bob, copy = Shelf(BOB), Shelf(BOB)
    ann.take([bob.say(ANN, "one")], BOB)
    assert log.forked(ann.db) == set()
    ann.take([copy.say(ANN, "other")], BOB)
    assert log.forked(ann.db) == {BOB.device}


def test_my_other_device_writes_a_log_of_its_own(ann: Shelf) -> None:
    phone, both = second_device(ANN)
    event = Shelf(phone).say(BOB, "from the phone")
    received = ann.take([event], both)
    assert received.accepted == 1 and ann.row(event).mine
    assert queries.counts(ann.db).unread == 0
