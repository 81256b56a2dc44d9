"""The ends of a log."""

from __future__ import annotations

from p2pmsg.model.ids import NO_EVENT
from p2pmsg.storage import numbers
from p2pmsg.storage.branches import Log, Segment
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, line, tip_of

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)


def log_of(shelf: Shelf) -> Log:
    return Log(shelf.db, numbers.number_of_conversation(shelf.db, TALK), numbers.number_of_device(shelf.db, BOB.device))


def test_a_log_that_is_not_there_has_no_end() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    log = log_of(ann)
    first, second = line(bob, TALK, ["a", "b"])
    assert log.tips() == () and first.header.previous == NO_EVENT
    branch, held = log.around(first)
    assert (branch, held.at_seq, held.predecessor) == (0, frozenset(), None)
    branch, held = log.around(second)
    assert branch is None and held.predecessor is None


def test_what_is_held_around_an_event() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    events = line(bob, TALK, list("abc"))
    ann.take(events[:2], BOB)
    log = log_of(ann)
    branch, held = log.around(events[2])
    assert (branch, held.predecessor) == (0, tip_of(events[1])) and not held.at_seq
    branch, held = log.around(events[1])
    assert branch is None and held.at_seq == {events[1].id}
    assert held.predecessor == tip_of(events[0])
    other = line(bob, TALK, ["B"], after=events[0])[0]
    branch, held = log.around(other)
    assert branch is None and held.at_seq == {events[1].id}


def test_a_line_is_followed_down_to_the_start() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    main = line(bob, TALK, list("abc"))
    side = line(bob, TALK, list("xy"), after=main[0])
    twig = line(bob, TALK, list("Z"), after=side[0])
    for part in (main, side, twig):
        ann.take(part, BOB)
    log = log_of(ann)
    assert list(log.segments(0, 3)) == [Segment(0, 0, 3)]
    assert list(log.segments(1, 3)) == [Segment(1, 1, 3), Segment(0, 0, 1)]
    assert list(log.segments(2, 3)) == [Segment(2, 2, 3), Segment(1, 1, 2), Segment(0, 0, 1)]
