"""The durable line of what changed."""

from __future__ import annotations

import pytest

from p2pmsg.config import limits
from p2pmsg.storage import feed
from p2pmsg.storage.feed import Change, ChangeType
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct

ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")


@pytest.fixture
def ann() -> Shelf:
    return Shelf(ANN)


def test_cursors_only_grow_and_a_line_is_read_on_from_any(ann: Shelf) -> None:
    events = [ann.say(BOB, text) for text in "abc"]
    first = feed.after(ann.db, 0, limit=2)
    rest = feed.after(ann.db, first.cursor, limit=2)
    assert [change.event for change in first.changes + rest.changes] == [event.id for event in events]
    assert (first.more, rest.more, rest.cursor) == (True, False, feed.last_cursor(ann.db))
    assert feed.after(ann.db, rest.cursor) == feed.Page((), rest.cursor, more=False)


def test_a_cursor_of_the_future_is_kept(ann: Shelf) -> None:
    assert feed.after(ann.db, 99) == feed.Page((), 99, more=False)


def test_one_conversation_alone(ann: Shelf) -> None:
    ann.say(BOB, "a")
    wanted = ann.say(CARL, "b")
    page = feed.after(ann.db, 0, direct(ANN, CARL).id)
    assert [change.event for change in page.changes] == [wanted.id] and page.cursor == 2 and not page.more
    assert feed.after(ann.db, 0, direct(ANN, Person("Dora")).id).changes == ()


def test_a_long_line_is_looked_through_in_parts(ann: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LOOKED_THROUGH", 3)
    for number in range(7):
        ann.say(BOB, str(number))
    wanted = ann.say(CARL, "found")
    cursor, pages, found = 0, 0, []
    while True:
        page = feed.after(ann.db, cursor, direct(ANN, CARL).id)
        cursor, pages, found = page.cursor, pages + 1, found + [change.event for change in page.changes]
        if not page.more:
            break
    assert (pages, found, cursor) == (3, [wanted.id], 8)


def test_objects_are_kept_as_they_were(ann: Shelf) -> None:
    ann.say(BOB, "a")
    cursor = feed.record(ann.db, ChangeType.CONTACT, '{"name":"Bob"}', NOW, direct(ANN, BOB).id)
    feed.record(ann.db, ChangeType.ALERT, "{}", NOW)
    assert feed.after(ann.db, cursor - 1).changes == (
        Change(cursor, NOW, ChangeType.CONTACT, conversation=direct(ANN, BOB).id, payload='{"name":"Bob"}'),
        Change(cursor + 1, NOW, ChangeType.ALERT, payload="{}"),
    )


def test_what_is_undone_is_not_fed(ann: Shelf) -> None:
    before = feed.last_cursor(ann.db)
    ann.db.execute("BEGIN")
    ann.say(BOB, "never")
    ann.db.execute("ROLLBACK")
    assert feed.last_cursor(ann.db) == before


# -- what is dropped


@pytest.fixture
def long(ann: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Ann, with changes 1 to 10, of which 1 to 6 are old, and small limits."""
    monkeypatch.setattr(limits, "FEED_LEAST", 2)
    monkeypatch.setattr(limits, "FEED_MOST", 100)
    for number in range(1, 11):
        feed.record(ann.db, ChangeType.ALERT, str(number), NOW if number <= 6 else NOW + 1000)
    return ann


def left(ann: Shelf) -> list[int]:
    return [change.cursor for change in feed.after(ann.db, 0).changes]


def test_what_is_old_is_dropped_and_the_first_cursor_says_so(long: Shelf) -> None:
    assert feed.first_cursor(long.db) == 0
    assert feed.prune(long.db, NOW) is False and left(long) == list(range(1, 11))
    assert feed.prune(long.db, NOW + 1) is False
    assert left(long) == [7, 8, 9, 10] and (feed.first_cursor(long.db), feed.last_cursor(long.db)) == (6, 10)
    assert feed.after(long.db, feed.first_cursor(long.db)).changes[0].cursor == 7


def test_some_stay_however_old_they_are(long: Shelf) -> None:
    assert feed.prune(long.db, NOW + 10_000) is False and left(long) == [9, 10]
    assert feed.record(long.db, ChangeType.ALERT, "next", NOW) == 11


def test_no_more_are_kept_than_that_however_new_they_are(long: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FEED_MOST", 3)
    assert feed.prune(long.db, 0) is False and left(long) == [8, 9, 10]


def test_many_are_dropped_in_parts(long: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_PRUNED_AT_ONCE", 4)
    assert feed.prune(long.db, NOW + 1) is True and left(long) == list(range(5, 11))
    assert feed.prune(long.db, NOW + 1) is False and left(long) == [7, 8, 9, 10]


def test_a_clock_that_was_ahead_keeps_what_came_meanwhile(long: Shelf) -> None:
    long.db.execute("UPDATE feed SET at_ms = ? WHERE cursor = 3", (NOW + 99_000,))
    assert feed.prune(long.db, NOW + 1) is False and left(long)[0] == 3
