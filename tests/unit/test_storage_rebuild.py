"""The views follow from the logs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pmsg.model.events import Event, Kind
from p2pmsg.protocol.bodies import ReadBody, ReadEntry, SettingBody
from p2pmsg.storage import feed, views
from p2pmsg.storage import rebuild as module
from p2pmsg.storage.rebuild import rebuild
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, own

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)
VIEWS = ("message", "waiting", "delivery", "mark", "contact", "setting", "deleted", "cleared", "doomed", "conversation", "event", "feed")


def everything(shelf: Shelf) -> dict[str, list[tuple[object, ...]]]:
    return {view: sorted(shelf.db.execute(f"SELECT * FROM {view}").fetchall(), key=repr) for view in VIEWS}


def bobs_turn(data: st.DataObject, bob: Shelf, mine: list[Event]) -> Event:
    """Bob writes: a receipt, an answer, or just a text."""
    about = data.draw(st.sampled_from(mine)) if mine else None
    if about is not None and data.draw(st.booleans()):
        return bob.write(TALK, ReadBody(TALK.id, [ReadEntry(ANN.device, about.header.seq, about.id[:8])]))
    return bob.say(ANN, "theirs", [about.id] if about is not None and data.draw(st.booleans()) else [])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rebuilding_gives_what_was_there(data: st.DataObject) -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    mine: list[Event] = []
    theirs: list[Event] = []
    for turn in data.draw(st.lists(st.sampled_from("wwttarmcsdD"), max_size=25)):
        if turn == "w":
            mine.append(ann.say(BOB, "mine"))
        elif turn == "t":
            theirs.append(bobs_turn(data, bob, mine))
            ann.take(theirs[-1:], BOB)
        elif turn == "a" and mine:
            ann.ack(BOB, [data.draw(st.sampled_from(mine))])
        elif turn == "m" and theirs:
            ann.mark_read(TALK.id, [data.draw(st.sampled_from(theirs))])
        elif turn == "c":
            ann.meet(BOB, name=data.draw(st.sampled_from([None, "B"])), removed=data.draw(st.booleans()))
        elif turn == "s":
            ann.write(own(ANN), SettingBody("key", data.draw(st.integers(0, 9))))
        elif turn == "d" and mine + theirs:
            ann.delete(BOB, [data.draw(st.sampled_from(mine + theirs))])
        elif turn == "D":
            ann.delete_all(BOB)
    before = everything(ann)
    rebuild(ann.db)
    assert everything(ann) == before


def test_what_waits_goes_on_waiting() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    absent = Shelf(ANN).say(BOB, "absent")
    ann.take([bob.say(ANN, "answer", [absent.id])], BOB)
    before = everything(ann)
    rebuild(ann.db)
    assert everything(ann) == before and len(before["waiting"]) == 1


def test_the_feed_hears_nothing_of_it() -> None:
    ann = Shelf(ANN)
    ann.meet(BOB)
    ann.say(BOB, "hello")
    before = feed.last_cursor(ann.db)
    rebuild(ann.db)
    assert feed.last_cursor(ann.db) == before


def test_a_newer_version_shows_what_an_older_one_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    with monkeypatch.context() as older:
        older.setattr(module, "KNOWN", frozenset({Kind.READ}))
        older.setattr(views, "decode_body", lambda kind, body: None)
        older.setattr(views, "Kind", SimpleNamespace(TEXT=0))
        ann.take([bob.say(ANN, "a picture, say")], BOB)
        assert module.is_behind(ann.db) and module.catch_up(ann.db)
        assert ann.texts(BOB) == [views.CANNOT_SHOW] and not module.is_behind(ann.db)
    assert module.is_behind(ann.db) and module.catch_up(ann.db)
    assert ann.texts(BOB) == ["a picture, say"] and ann.unread_all() == 1
    assert not module.is_behind(ann.db)


def test_where_all_was_shown_nothing_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ann = Shelf(ANN)
    monkeypatch.setattr(module, "rebuild", lambda db: pytest.fail("made anew"))
    assert module.is_behind(ann.db) and not module.catch_up(ann.db) and not module.is_behind(ann.db)
