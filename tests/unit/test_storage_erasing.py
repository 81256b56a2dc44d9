"""Deleted is gone from tables, pages and journal; the logs stay whole."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from p2pmsg.config import limits
from p2pmsg.model.events import Event
from p2pmsg.model.ids import ConversationId
from p2pmsg.protocol.bodies import DeleteBody, ReadEntry, TextBody
from p2pmsg.storage import erasing, feed, log, people, queries
from p2pmsg.storage.batches import Job, run_alone, run_batch
from p2pmsg.storage.database import close_database, open_database
from p2pmsg.storage.rebuild import rebuild
from tests.unit.pages import opened
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, claim, contact_body, direct, line, own, own_identity, second_device

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)
KEY = bytes(range(32))
CANARY = "canary-6f1d"


@pytest.fixture
def ann() -> Shelf:
    shelf = Shelf(ANN)
    shelf.meet(BOB)
    return shelf


def bodies(shelf: Shelf) -> list[str]:
    rows = shelf.db.execute("SELECT body FROM event WHERE kind = 1 ORDER BY number")
    return ["gone" if body is None else body[-3:].decode() for (body,) in rows]


def shown(shelf: Shelf) -> list[str]:
    return [row.text for row in queries.history(shelf.db, TALK.id) if row.kind == "text"]


def received(shelf: Shelf, *texts: str) -> list[Event]:
    events = line(Shelf(BOB), TALK, texts)
    shelf.take(events, BOB)
    return events


# -- what goes


def test_a_deleted_message_is_gone_and_its_log_goes_on(ann: Shelf) -> None:
    one, two = received(ann, "one", "two")
    ann.delete(BOB, [one])
    assert shown(ann) == ["two"] and bodies(ann) == ["gone", "two"] and ann.unread(BOB) == 1
    assert log.tips(ann.db)[TALK.id][BOB.device][0].id == two.id


def test_what_was_said_goes_as_a_whole_and_what_comes_later_is_shown(ann: Shelf) -> None:
    events = received(ann, "one", "two")
    ann.ack(BOB, [ann.say(BOB, "own")])
    assert len(ann.delete_all(BOB)) == 2  # the vector, and the line that says how we met
    assert ann.texts(BOB) == [] and ann.unread_all() == 0 and bodies(ann) == ["gone"] * 3
    ann.take(line(Shelf(BOB), TALK, ["new"], after=events[-1]), BOB)
    assert ann.texts(BOB) == ["new"] and ann.delete_all(ANN) == []


def test_nothing_is_written_where_nothing_is_shown(ann: Shelf) -> None:
    ann.delete_all(BOB)
    assert ann.delete_all(BOB) == [] and erasing.everything(ann.db, ConversationId(bytes(32))) == []


def test_notes_to_myself_go_but_contacts_and_settings_stay(ann: Shelf) -> None:
    ann.write(own(ANN), TextBody("note"))
    for body in erasing.everything(ann.db, own(ANN).id):
        ann.write(own(ANN), body)
    assert queries.history(ann.db, own(ANN).id) == [] and bodies(ann) == ["gone"]
    assert [contact.account for contact in people.contacts(ann.db)] == [BOB.account] and len(ann.texts(BOB)) == 1


def test_a_system_line_can_be_deleted_and_stays_away(ann: Shelf) -> None:
    (line_,) = queries.history(ann.db, TALK.id)
    ann.write(own(ANN), DeleteBody(TALK.id, [], [line_.id]))
    assert ann.texts(BOB) == [] and len(people.contacts(ann.db)) == 1
    rebuild(ann.db)
    assert ann.texts(BOB) == []


def test_a_kind_of_a_newer_version_goes_too(ann: Shelf) -> None:
    ann.db.execute("UPDATE event SET kind = 99 WHERE id = ?", (received(ann, "odd")[0].id,))
    received(ann, "x")
    ann.delete_all(BOB)
    assert ann.db.execute("SELECT body FROM event WHERE kind = 99").fetchone() == (None,)


def test_the_feed_says_nothing_of_what_was_deleted(ann: Shelf) -> None:
    events = received(ann, "one")
    ann.delete(BOB, events)
    changes = feed.after(ann.db, 0).changes
    assert not queries.messages(ann.db, [change.event for change in changes if change.event == events[0].id])


# -- what is still to be delivered


def test_what_is_not_delivered_is_hidden_and_goes_when_it_is(ann: Shelf) -> None:
    event = ann.say(BOB, "own")
    ann.delete(BOB, [event])
    assert shown(ann) == [] and bodies(ann) == ["own"] and erasing.waiting_count(ann.db, TALK.id) == 1
    assert log.give(ann.db, TALK.id, ANN.device, [], claim(event), 1 << 20, 10)[0].body is not None
    assert ann.ack(BOB, [event]) == [event.id]
    assert bodies(ann) == ["gone"] and erasing.waiting_count(ann.db, TALK.id) == 0


def test_who_has_read_it_has_got_it(ann: Shelf) -> None:
    event = ann.say(BOB, "own")
    ann.delete_all(BOB)
    bob = Shelf(BOB)
    ann.take([bob.mark_read(TALK.id, [event], within=TALK)], BOB)
    assert bodies(ann) == ["gone"]


def test_to_somebody_removed_nothing_is_still_delivered(ann: Shelf) -> None:
    first = ann.say(BOB, "one")
    ann.delete(BOB, [first])
    ann.say(BOB, "two")
    ann.meet(BOB, removed=True, via=None)
    assert bodies(ann) == ["gone", "two"] and erasing.waiting_count(ann.db, TALK.id) == 0
    ann.delete_all(BOB)
    assert bodies(ann) == ["gone", "gone"]


def test_a_removal_that_a_later_word_overrules_ends_nothing(ann: Shelf) -> None:
    ann.delete(BOB, [ann.say(BOB, "own")])
    older, membership = second_device(ANN)
    removal = Shelf(older).make(None, own(ANN), contact_body(BOB, removed=True, via=None), hlc=1 << 16)
    ann.take([removal], membership)
    assert bodies(ann) == ["own"]


# -- deletions that come before what they delete


def test_what_was_deleted_on_my_other_device_never_shows(ann: Shelf) -> None:
    one, two, three = line(Shelf(BOB), TALK, ["one", "two", "three"])
    ann.write(own(ANN), DeleteBody(TALK.id, [], [two.id]))
    ann.write(own(ANN), DeleteBody(TALK.id, [_entry(one)], []))
    ann.take([one, two, three], BOB)
    assert shown(ann) == ["three"] and bodies(ann) == ["gone", "gone", "ree"] and ann.unread(BOB) == 1


def test_a_deleted_message_of_my_other_device_is_still_handed_on(ann: Shelf) -> None:
    phone, membership = second_device(ANN)
    event = Shelf(phone).make(None, TALK, TextBody("own"))
    ann.write(own(ANN), DeleteBody(TALK.id, [_entry(event)], []))
    ann.take([event], membership)
    assert shown(ann) == [] and bodies(ann) == ["own"] and erasing.waiting_count(ann.db, TALK.id) == 1
    rebuild(ann.db)
    assert shown(ann) == [] and bodies(ann) == ["own"] and erasing.waiting_count(ann.db, TALK.id) == 1


def test_a_body_left_out_is_not_waited_for_where_i_hold_the_deletion(ann: Shelf) -> None:
    one, two = line(Shelf(BOB), TALK, ["one", "two"])
    assert ann.take([_bare(one)], BOB).body_missing
    ann.write(own(ANN), DeleteBody(TALK.id, [], [one.id]))
    assert ann.take([_bare(one), two], BOB).accepted == 2


def test_what_another_copy_wrote_is_not_deleted_unseen(ann: Shelf) -> None:
    bob, copy = Shelf(BOB), Shelf(BOB)
    ann.take([bob.say(ANN, "seen")], BOB)
    ann.delete_all(BOB)
    assert ann.take([copy.say(ANN, "unseen")], BOB).forked
    assert shown(ann) == ["unseen"]
    rebuild(ann.db)
    assert shown(ann) == ["unseen"]
    ann.delete_all(BOB)
    assert shown(ann) == [] and bodies(ann) == ["gone", "gone"]


# -- a body that its author left out


def test_a_body_that_its_author_left_out_stops_nothing(ann: Shelf) -> None:
    one, two = line(Shelf(BOB), TALK, ["one", "two"])
    assert ann.take([_bare(one), two], BOB, last_resort=False).accepted == 0
    assert ann.take([_bare(one), two], BOB, last_resort=True).accepted == 2
    assert shown(ann) == ["two"] and ann.unread(BOB) == 1


def test_my_own_notes_come_without_what_was_deleted(ann: Shelf) -> None:
    phone, membership = second_device(ANN)
    first, second = line(Shelf(phone), own(ANN), ["one", "two"])
    assert ann.take([_bare(first), second], membership).accepted == 2


# -- retention


def test_what_is_older_than_kept_goes_by_my_clock(ann: Shelf) -> None:
    events = received(ann, *"abcde")
    ann.db.execute("UPDATE event SET held_ms = ? WHERE seq <= 3 AND conversation = 2", (NOW - 10_000,))
    (body,) = erasing.older_than(ann.db, NOW - 5_000)
    assert [(entry.device, entry.seq, entry.id) for entry in body.upto] == [(BOB.device, 3, events[2].id[:8])]
    ann.write(own(ANN), body)
    assert shown(ann) == ["d", "e"] and erasing.older_than(ann.db, NOW - 5_000) == []


def test_when_the_last_event_was_stored(ann: Shelf) -> None:
    before = erasing.newest_ms(ann.db)
    received(ann, "a")
    ann.db.execute("UPDATE event SET held_ms = 7 WHERE number = (SELECT max(number) FROM event)")
    assert (before, erasing.newest_ms(ann.db)) == (before, 7)
    ann.db.execute("DELETE FROM event")
    assert erasing.newest_ms(ann.db) is None


def test_what_is_to_be_delivered_is_kept_whatever_its_age(ann: Shelf) -> None:
    first = ann.say(BOB, "first")
    ann.say(BOB, "second")
    assert erasing.older_than(ann.db, NOW + 10_000) == []
    ann.ack(BOB, [first])
    (body,) = erasing.older_than(ann.db, NOW + 10_000)
    assert [entry.seq for entry in body.upto] == [1]


@pytest.mark.parametrize("old", range(6))
def test_the_place_is_found_by_halving(ann: Shelf, old: int) -> None:
    received(ann, *"abcde")
    ann.db.execute("UPDATE event SET held_ms = iif(seq <= ?, 0, 9) WHERE conversation = 2", (old,))
    found = erasing.older_than(ann.db, 5)
    assert [entry.seq for body in found for entry in body.upto] == ([old] if old else [])


# -- pages and journal


def test_no_page_keeps_what_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    shelf = _on_disk(path)
    talk = [f"{CANARY} {n} {'x' * (n * 700)}" for n in range(12)]
    run_alone(shelf.db, lambda db: _exchange(shelf, talk), tmp_path)
    assert opened(path, KEY).count(CANARY.encode()) >= 12
    run_alone(shelf.db, lambda db: shelf.delete_all(BOB), tmp_path)
    assert CANARY.encode() not in opened(path, KEY)
    assert path.with_name("data.db-wal").stat().st_size == 0
    close_database(shelf.db)
    assert CANARY.encode() not in opened(path, KEY)


def test_a_late_delivery_leaves_nothing_either(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    shelf = _on_disk(path)
    event = shelf.say(BOB, CANARY)
    run_alone(shelf.db, lambda db: shelf.delete(BOB, [event]), tmp_path)
    assert CANARY.encode() in opened(path, KEY)  # still to be delivered
    run_alone(shelf.db, lambda db: shelf.ack(BOB, [event]), tmp_path)
    assert CANARY.encode() not in opened(path, KEY)


def test_who_was_killed_before_the_journal_was_empty_empties_it_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    shelf = _on_disk(path)
    event = received(shelf, CANARY)[0]
    shelf.delete(BOB, [event])  # committed, and the journal not emptied
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        copy.with_name(f"copy.db{suffix}").write_bytes(path.with_name(f"data.db{suffix}").read_bytes())
    assert CANARY.encode() in opened(copy, KEY)
    open_database(copy, KEY)
    assert CANARY.encode() not in opened(copy, KEY)


def test_a_journal_that_cannot_be_emptied_is_emptied_after_the_next_commit(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    shelf = _on_disk(path)
    event = received(shelf, CANARY)[0]
    reader = open_database(path, KEY).db
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    shelf.db.execute("PRAGMA busy_timeout = 0")
    run_alone(shelf.db, lambda db: shelf.delete(BOB, [event]), tmp_path)
    assert CANARY.encode() in opened(path, KEY)
    reader.execute("COMMIT")
    run_batch(shelf.db, deque([Job(lambda db: None, lambda outcome: None, writes=True)]), folder=tmp_path)
    assert CANARY.encode() not in opened(path, KEY)


def test_many_system_lines_are_several_deletions(ann: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DELETED_EVENTS", 2)
    for _ in range(4):
        ann.meet(BOB)
    found = erasing.everything(ann.db, TALK.id)
    assert [len(body.events) for body in found] == [2, 2, 1]


def _exchange(shelf: Shelf, talk: list[str]) -> None:
    received(shelf, *talk)
    events = [shelf.say(BOB, f"{CANARY} mine {n}") for n in range(3)]
    shelf.ack(BOB, events)


def _on_disk(path: Path) -> Shelf:
    db = open_database(path, KEY).db
    shelf = Shelf(ANN, db)
    people.create_identity(db, own_identity(ANN))
    people.add_links(db, ANN.links, NOW)
    shelf.meet(BOB)
    return shelf


def _entry(event: Event) -> ReadEntry:
    return ReadEntry(event.header.device, event.header.seq, event.id[:8])


def _bare(event: Event) -> Event:
    return replace(event, body=None)
