"""What faces ask for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.errors import Ambiguous, MessageNotFound
from p2pmsg.model.events import Conversation, Event
from p2pmsg.protocol.bodies import TextBody
from p2pmsg.storage import log, queries
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct, line, own

ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")
TALK = direct(ANN, BOB)


@pytest.fixture
def ann() -> Shelf:
    return Shelf(ANN)


def texts(rows: list[queries.MessageRow]) -> list[str]:
    return [row.text for row in rows]


def test_history_is_the_last_ones_oldest_first(ann: Shelf) -> None:
    events = [ann.say(BOB, text) for text in "abcdef"]
    assert texts(queries.history(ann.db, TALK.id, 3)) == ["d", "e", "f"]
    assert texts(queries.history(ann.db, TALK.id, 2, before=events[3].id)) == ["b", "c"]
    assert texts(queries.history(ann.db, TALK.id, 2, after=events[1].id)) == ["c", "d"]
    assert texts(queries.history(ann.db, TALK.id, 9, after=events[1].id, before=events[4].id)) == ["c", "d"]
    assert queries.history(ann.db, TALK.id, 0) == []


def test_history_since_a_time(ann: Shelf) -> None:
    events = [ann.say(BOB, text) for text in "abc"]
    assert texts(queries.history(ann.db, TALK.id, since_ms=events[1].header.hlc >> 16)) == ["b", "c"]
    assert queries.history(ann.db, TALK.id, since_ms=ann.now_ms + 1000) == []


def test_history_of_nothing(ann: Shelf) -> None:
    assert queries.history(ann.db, TALK.id) == [] and queries.unread(ann.db, TALK.id) == [] and queries.unread_count(ann.db, TALK.id) == 0


def test_history_around_a_message_of_elsewhere_is_an_error(ann: Shelf) -> None:
    ann.say(BOB, "a")
    note = ann.write(own(ANN), TextBody("note"))
    with pytest.raises(MessageNotFound):
        queries.history(ann.db, TALK.id, before=note.id)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-2, 2)), max_size=20), st.integers(1, 4))
def test_pages_meet_without_gap_or_overlap(turns: list[tuple[bool, int]], size: int) -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    ann.meet(BOB)
    for number, (mine, step) in enumerate(turns):
        bob.now_ms = ann.now_ms + step
        if mine:
            ann.say(BOB, str(number))
        else:
            ann.take([bob.say(ANN, str(number))], BOB)
    whole = queries.history(ann.db, TALK.id, 100)
    pages = queries.history(ann.db, TALK.id, size)
    while page := queries.history(ann.db, TALK.id, size, before=pages[0].id):
        pages = page + pages
    forth = queries.history(ann.db, TALK.id, size, before=whole[1].id) if len(whole) > 1 else whole
    while page := queries.history(ann.db, TALK.id, size, after=forth[-1].id):
        forth += page
    assert pages == whole and forth == whole


def test_a_message_of_mine_has_all_that_its_object_needs(ann: Shelf) -> None:
    event = ann.say(BOB, "hello")
    row = ann.row(event)
    assert row == queries.MessageRow(
        id=event.id,
        conversation=TALK.id,
        kind="text",
        account=ANN.account,
        device=ANN.device,
        seq=1,
        mine=True,
        text="hello",
        sent_ms=event.header.hlc >> 16,
        received_ms=None,
        skew_ms=None,
        unread=False,
        deliveries=(queries.DeliveryRow(BOB.account, None, None),),
    )


def test_a_message_of_others_says_when_it_came_and_how_far_off_the_clock_was(ann: Shelf) -> None:
    event = Shelf(BOB).say(ANN, "hello")
    context = log.CheckContext(Shelf(BOB).membership, mine=False, skew_ms=-5000)
    log.receive(ann.db, TALK.id, [event], context, NOW + 77)
    row = ann.row(event)
    assert (row.mine, row.unread, row.received_ms, row.skew_ms, row.deliveries) == (False, True, NOW + 77, -5000, ())
    ann.mark_read(TALK.id, [event])
    assert not ann.row(event).unread


def test_notes_to_myself_have_nobody_to_reach(ann: Shelf) -> None:
    note = ann.write(own(ANN), TextBody("note"))
    assert ann.row(note).deliveries == () and queries.counts(ann.db) == queries.Counts(0, 0)


def test_unread_messages_first_ones_first(ann: Shelf) -> None:
    events = line(Shelf(BOB), TALK, list("abcde"))
    ann.take(events, BOB)
    assert texts(queries.unread(ann.db, TALK.id, 2)) == ["a", "b"]
    ann.mark_read(TALK.id, [events[1]])
    assert texts(queries.unread(ann.db, TALK.id)) == ["c", "d", "e"]


def test_the_inbox_has_the_most_recent_first(ann: Shelf) -> None:
    ann.meet(BOB)
    ann.meet(CARL)
    ann.take([Shelf(BOB).say(ANN, "old")], BOB)
    late = ann.say(CARL, "new")
    rows = queries.conversations(ann.db)
    assert {row.account for row in rows} == {CARL.account, BOB.account}
    assert rows[0].last is not None and rows[0].last.id == late.id
    unread = queries.conversations(ann.db, only_unread=True)
    assert [(row.account, row.unread, row.kind) for row in unread] == [(BOB.account, 1, "direct")]


def test_the_inbox_shows_notes_to_myself_once_there_are_any(ann: Shelf) -> None:
    assert queries.conversations(ann.db) == []
    ann.write(own(ANN), TextBody("note"))
    (row,) = queries.conversations(ann.db)
    assert (row.kind, row.account, row.unread) == ("self", None, 0)


def test_a_message_by_the_beginning_of_its_id(ann: Shelf) -> None:
    events = [ann.say(BOB, str(number)) for number in range(40)]
    for event in events:
        assert queries.find_message(ann.db, event.id.hex()[:16]).id == event.id
        assert queries.find_message(ann.db, event.id.hex().upper()[:17]).id == event.id


def test_beginnings_that_name_several_or_none(ann: Shelf) -> None:
    firsts: dict[str, list[Event]] = {}
    for number in range(1500):  # so many that two begin with the same 4 characters
        event = ann.say(BOB, str(number))
        firsts.setdefault(event.id.hex()[:4], []).append(event)
    start, several = max(firsts.items(), key=lambda item: len(item[1]))
    with pytest.raises(Ambiguous) as caught:
        queries.find_message(ann.db, start)
    assert set(caught.value.candidates) == {event.id.hex() for event in several}
    for wrong in ("", "zz", "0" * 64, "f" * 65, "é", "-1", " ", "    ", start[:3]):
        with pytest.raises(MessageNotFound):
            queries.find_message(ann.db, wrong)


def test_what_is_no_message_is_not_found(ann: Shelf) -> None:
    ann.meet(BOB, via=None)
    mark = ann.mark_read(TALK.id, [])
    with pytest.raises(MessageNotFound):
        queries.find_message(ann.db, mark.id.hex())
    assert queries.messages(ann.db, [mark.id, b"x" * 32]) == {}  # type: ignore[list-item]


def test_a_send_key_is_kept_for_seven_days(ann: Shelf) -> None:
    event = ann.say(BOB, "once")
    week = int(limits.KEY_KEPT_S * 1000)
    assert queries.sent_under(ann.db, "k", NOW) is None
    queries.keep_key(ann.db, "k", event.id, NOW)
    assert queries.sent_under(ann.db, "k", NOW + week - 1) == event.id
    assert queries.sent_under(ann.db, "k", NOW + week) is None
    queries.keep_key(ann.db, "other", event.id, NOW + week)
    assert ann.db.execute("SELECT key FROM send_key").fetchall() == [("other",)]


@pytest.mark.parametrize("talk", [TALK, own(ANN)], ids=["direct", "self"])
def test_a_message_as_written_is_the_one_that_is_stored(ann: Shelf, talk: Conversation) -> None:
    ann.meet(BOB)
    event = ann.write(talk, TextBody("hello"))
    assert queries.as_written(event, talk, ANN.account, "hello") == queries.messages(ann.db, [event.id])[event.id]
