"""Delivered and read: vectors that only grow."""

from __future__ import annotations

import pytest

from p2pmsg.model.events import Event
from p2pmsg.protocol.bodies import ReadBody, ReadEntry
from p2pmsg.storage import feed, log, queries
from p2pmsg.storage.feed import ChangeType
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct, line, second_device

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)


@pytest.fixture
def ann() -> Shelf:
    shelf = Shelf(ANN)
    shelf.meet(BOB)
    return shelf


def states(shelf: Shelf) -> list[tuple[object, ...]]:
    changes = feed.after(shelf.db, 0).changes
    return [(change.event, change.state, change.account) for change in changes if change.type is ChangeType.STATE]


def receipt(shelf: Shelf, upto: Event) -> None:
    """Bob's device writes that he was shown all up to this."""
    bob = Shelf(BOB)
    tips = log.tips(shelf.db)[TALK.id].get(BOB.device)
    body = ReadBody(TALK.id, [ReadEntry(upto.header.device, upto.header.seq, upto.id[:8])])
    assert shelf.take([bob.make(tips[0] if tips else None, TALK, body)], BOB).accepted == 1


def reached(shelf: Shelf, event: Event) -> tuple[bool, bool]:
    each = shelf.row(event).deliveries[0]
    assert each.account == BOB.account
    return each.delivered_ms is not None, each.read_ms is not None


def test_an_acknowledgement_covers_all_before_it(ann: Shelf) -> None:
    one, two, three = (ann.say(BOB, text) for text in "abc")
    assert ann.ack(BOB, [two]) == [one.id, two.id]
    assert [reached(ann, event)[0] for event in (one, two, three)] == [True, True, False]
    assert states(ann) == [(one.id, "delivered", BOB.account), (two.id, "delivered", BOB.account)]


def test_acknowledgements_only_grow(ann: Shelf) -> None:
    one, two = ann.say(BOB, "a"), ann.say(BOB, "b")
    assert len(ann.ack(BOB, [two])) == 2
    first = ann.row(one).deliveries[0].delivered_ms
    assert ann.ack(BOB, [one]) == [] and ann.ack(BOB, [two]) == []
    assert ann.row(one).deliveries[0].delivered_ms == first


def test_a_second_device_of_the_recipient_delivers_nothing_twice(ann: Shelf) -> None:
    one, two = ann.say(BOB, "a"), ann.say(BOB, "b")
    ann.ack(BOB, [one])
    assert ann.ack(second_device(BOB)[0], [two]) == [two.id]


def test_an_acknowledgement_of_what_i_do_not_hold_says_nothing(ann: Shelf) -> None:
    event = ann.say(BOB, "a")
    for seq, prefix in ((1, b"another!"), (2, event.id[:8]), (2**62, event.id[:8])):
        log.store_ack(ann.db, TALK.id, BOB.account, BOB.device, {ANN.device: (seq, prefix)}, NOW)
    assert reached(ann, event) == (False, False)


def test_my_own_other_device_delivers_nothing(ann: Shelf) -> None:
    event = ann.say(BOB, "a")
    assert ann.ack(second_device(ANN)[0], [event]) == [] and reached(ann, event) == (False, False)


def test_what_others_hold_of_others_is_kept_quietly(ann: Shelf) -> None:
    events = line(Shelf(BOB), TALK, ["theirs"])
    ann.take(events, BOB)
    assert ann.ack(BOB, events) == []


def test_an_acknowledgement_in_a_conversation_that_is_not_there(ann: Shelf) -> None:
    event = ann.say(BOB, "a")
    log.store_ack(ann.db, direct(ANN, Person("Carl")).id, BOB.account, BOB.device, {ANN.device: (1, event.id[:8])}, NOW)
    assert reached(ann, event) == (False, False)


def test_an_acknowledgement_costs_what_it_newly_covers(ann: Shelf) -> None:
    events = [ann.say(BOB, str(number)) for number in range(300)]
    ann.ack(BOB, [events[-2]])
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    ann.db.conn.set_progress_handler(count, 10)
    log.store_ack(ann.db, TALK.id, BOB.account, BOB.device, {ANN.device: (300, events[-1].id[:8])}, NOW)
    ann.db.conn.set_progress_handler(None, 10)
    assert steps < 60


def test_a_receipt_says_read_and_so_delivered(ann: Shelf) -> None:
    one, two = ann.say(BOB, "a"), ann.say(BOB, "b")
    ann.ack(BOB, [one])
    receipt(ann, two)
    assert reached(ann, one) == reached(ann, two) == (True, True)
    assert [state for _, state, _ in states(ann)] == ["delivered", "read", "read"]


def test_a_receipt_of_what_is_not_there_says_nothing(ann: Shelf) -> None:
    event = ann.say(BOB, "a")
    beyond = ann.make(None, TALK, ReadBody(TALK.id, []))
    receipt(ann, beyond)
    assert reached(ann, event) == (False, False)
    later = ann.say(BOB, "b")
    assert reached(ann, later) == (False, False)


def test_a_receipt_for_another_conversation_is_none(ann: Shelf) -> None:
    event = ann.say(BOB, "a")
    body = ReadBody(direct(ANN, Person("Carl")).id, [ReadEntry(ANN.device, 1, event.id[:8])])
    ann.take([Shelf(BOB).make(None, TALK, body)], BOB)
    assert reached(ann, event) == (False, False)


def test_my_own_receipt_marks_nothing_of_mine(ann: Shelf) -> None:
    event = ann.say(BOB, "a")
    ann.mark_read(TALK.id, [event], within=TALK)
    assert reached(ann, event) == (False, False)


def test_a_receipt_ahead_of_my_phones_message_is_applied_when_it_comes(ann: Shelf) -> None:
    phone, both = second_device(ANN)
    events = line(Shelf(phone), TALK, ["one", "two"])
    ann.take(events[:1], both)
    receipt(ann, events[1])
    assert reached(ann, events[0]) == (True, True)
    ann.take(events[1:], both)
    assert reached(ann, events[1]) == (True, True)


def test_sent_and_queued_are_fed_for_what_is_not_delivered_yet(ann: Shelf) -> None:
    one, two, three = (ann.say(BOB, text) for text in "abc")
    ann.ack(BOB, [one])
    feed.mark(ann.db, TALK.id, ANN.device, 0, 2, "sent", BOB.account, ann.now_ms)
    feed.mark(ann.db, TALK.id, ANN.device, 1, 3, "queued", BOB.account, ann.now_ms)
    assert states(ann)[1:] == [(two.id, "sent", BOB.account), (two.id, "queued", BOB.account), (three.id, "queued", BOB.account)]


def test_undelivered_messages_are_counted(ann: Shelf) -> None:
    events = [ann.say(BOB, str(number)) for number in range(5)]
    assert queries.counts(ann.db).undelivered == 5
    ann.ack(BOB, [events[2]])
    assert queries.counts(ann.db).undelivered == 2
    receipt(ann, events[4])
    assert queries.counts(ann.db).undelivered == 0
