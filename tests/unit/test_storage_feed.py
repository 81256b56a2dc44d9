"""The durable line of what changed."""

from __future__ import annotations

import pytest

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
