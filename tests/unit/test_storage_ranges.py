"""Giving parts of logs: from where the asker stands, up to the head it named, within limits, soundly cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pmsg.config import limits
from p2pmsg.model.events import Claim, Event
from p2pmsg.protocol import wire
from p2pmsg.protocol.log import verify_run
from p2pmsg.storage import log, numbers
from tests.unit.people import Person
from tests.unit.shelves import Shelf, claim, direct, line

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)


@pytest.fixture
def ann() -> Shelf:
    return Shelf(ANN)


@pytest.fixture
def bob() -> Shelf:
    return Shelf(BOB)


def give(shelf: Shelf, locator: list[Claim], head: Event, limit_bytes: int = 10**9, limit_count: int = 10**9) -> list[Event]:
    return log.give(shelf.db, TALK.id, BOB.device, locator, claim(head), limit_bytes, limit_count)


def test_an_empty_locator_means_from_the_start(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, list("abcd"))
    ann.take(events, BOB)
    assert give(ann, [], events[-1]) == events
    assert give(ann, [], events[1]) == events[:2]


def test_the_highest_entry_that_lies_on_the_log_counts(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, list("abcdef"))
    ann.take(events, BOB)
    foreign = replace(claim(events[4]), id=b"elsewher")
    assert give(ann, [claim(events[0]), foreign, claim(events[2])], events[-1]) == events[3:]


def test_what_is_not_held_is_given_to_nobody(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, list("abc"))
    assert give(ann, [], events[-1]) == []
    ann.take(events[:2], BOB)
    assert give(ann, [], events[2]) == []
    assert give(ann, [claim(events[1])], events[1]) == []


def test_at_least_one_and_never_more_than_the_limits(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["x" * 500] * 10)
    ann.take(events, BOB)
    size = events[0].size
    assert give(ann, [], events[-1], limit_bytes=1) == events[:1]
    assert give(ann, [], events[-1], limit_bytes=3 * size) == events[:3]
    assert give(ann, [], events[-1], limit_bytes=3 * size - 1) == events[:2]
    assert give(ann, [], events[-1], limit_count=4) == events[:4]


def test_each_branch_of_a_forked_log_is_one_line(ann: Shelf, bob: Shelf) -> None:
    shared = line(bob, TALK, list("ab"))
    main = line(bob, TALK, list("cd"), after=shared[-1])
    other = line(bob, TALK, list("xyz"), after=shared[-1])
    twig = line(bob, TALK, list("Z"), after=other[1])
    for part in (shared + main, other, twig):
        ann.take(part, BOB)
    assert give(ann, [], main[-1]) == shared + main
    assert give(ann, [], other[-1]) == shared + other
    assert give(ann, [], twig[0]) == shared + other[:2] + twig
    assert give(ann, [claim(main[-1]), claim(shared[0])], other[-1]) == [shared[1], *other]
    assert give(ann, [claim(other[0])], twig[0]) == [other[1], *twig]


def test_ids_at_numbers(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, list("abc"))
    ann.take(events, BOB)
    asked = [(TALK.id, BOB.device, seq) for seq in (1, 3, 4)] + [(TALK.id, ANN.device, 1)]
    assert log.ids_at(ann.db, asked) == {
        (TALK.id, BOB.device, 1): events[0].id[:8],
        (TALK.id, BOB.device, 3): events[2].id[:8],
    }


def test_every_frame_of_what_is_given_ends_in_a_good_signature(ann: Shelf, bob: Shelf) -> None:
    """A run is covered by its last signature alone: an author may leave bad ones inside, for which others would be blamed."""
    texts = ["x" * 1500] * (3 * limits.EVENTS_FRAME_BYTES // 1900)
    events = [replace(event, signature=bytes(64)) if at % 30 != 29 else event for at, event in enumerate(line(bob, TALK, texts))]
    events = events[: len(events) // 30 * 30]
    for at in range(0, len(events), 30):
        assert ann.take(events[at : at + 30], BOB).accepted == 30
    given: list[Event] = []
    while len(given) < len(events):
        part = give(ann, [claim(given[-1])] if given else [], events[-1])
        assert part == events[len(given) : len(given) + len(part)] and part
        for frame in wire.frames_of_events(part):
            verify_run(frame, BOB.key)
        given += part


def test_nothing_is_known_of_strangers(ann: Shelf, bob: Shelf) -> None:
    head = claim(line(bob, TALK, ["a"])[0])
    assert log.give(ann.db, TALK.id, BOB.device, [], head, 1, 1) == []
    numbers.number_of_conversation(ann.db, TALK)
    assert log.give(ann.db, TALK.id, BOB.device, [], head, 1, 1) == []
    assert log.tips(ann.db) == {}
