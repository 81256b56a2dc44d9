"""What the logs mean: order, waiting, unread, contacts, settings, system lines."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pmsg.model.accounts import Trust
from p2pmsg.model.events import Conversation, Event
from p2pmsg.model.ids import EventId
from p2pmsg.protocol import log as rules
from p2pmsg.protocol.bodies import SettingBody, TextBody
from p2pmsg.storage import feed, log, people, queries
from p2pmsg.storage.feed import ChangeType
from tests.unit.people import Person
from tests.unit.shelves import Shelf, contact_body, direct, line, own, second_device, tip_of

ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)
MET = "You and Bob are contacts now. You used Bob's invite."


def newer(who: Shelf, kind: int, within: Conversation = TALK) -> Event:
    """Write an event of a kind that only a newer version knows."""
    who.now_ms += 1
    body, hlc = bytes(16) + b"\x91\xa4new!", rules.next_hlc(who.now_ms, 0, 0)
    common = {"hlc": hlc, "account_heads": who.membership.heads, "sign": who.who.sign}
    return log.append(
        who.db, within, who.who.device, lambda tip: rules.write(tip, within.id, who.who.device, kind, body, **common), who.now_ms
    )


def test_what_only_a_newer_version_can_show_leaves_a_line() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    events = [newer(bob, 100), newer(bob, 127), newer(bob, 128)]
    received = ann.take(events, BOB)
    assert received.accepted == 3
    assert ann.texts(BOB) == ["something this version cannot show"] * 2
    row = ann.row(events[0])
    assert (row.kind, row.mine, row.unread, row.account) == ("unknown", False, False, BOB.account) and ann.unread_all() == 0
    assert bob.texts(ANN) == ann.texts(BOB)


def test_my_own_notes_stay_without_such_lines() -> None:
    ann = Shelf(ANN)
    newer(ann, 100, own(ANN))
    assert queries.history(ann.db, own(ANN).id, 10) == []


def test_messages_stand_in_the_order_of_their_clocks() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    ann.meet(BOB)
    one = bob.say(ANN, "one")
    bob.now_ms += 100
    three = bob.say(ANN, "three")
    ann.now_ms += 50
    ann.say(BOB, "two")
    ann.take([one, three], BOB)
    assert [text for text in ann.texts(BOB) if text != MET] == ["one", "two", "three"]


def test_an_answer_stands_below_what_it_answers_whatever_the_clocks_say() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    bob.now_ms += 1_000_000
    question = bob.say(ANN, "question, two clocks ahead")
    ann.take([question], BOB)
    ann.say(BOB, "answer", parents=[question.id])
    assert ann.texts(BOB) == ["question, two clocks ahead", "answer"]


def test_a_missing_parent_holds_back_the_view_and_not_the_log() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    asked = ann.say(BOB, "question")
    bob.take([asked], ANN)
    answer = bob.say(ANN, "answer", parents=[asked.id])
    later = bob.say(ANN, "later")
    copy = Shelf(ANN)
    received = copy.take([answer, later], BOB)
    assert received.accepted == 2
    assert copy.texts(BOB) == ["later"] and copy.unread_all() == 1
    copy.take([asked], ANN)
    assert set(copy.texts(BOB)) == {"question", "answer", "later"}


def test_a_parent_of_another_conversation_is_none() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    note = ann.write(own(ANN), TextBody("note"))
    event = bob.say(ANN, "what does your note say?", parents=[note.id])
    ann.take([event], BOB)
    assert ann.texts(BOB) == []


def test_a_long_chain_of_waiting_events_is_shown_at_once() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    first = ann.say(BOB, "0")
    events: list[Event] = []
    for number in range(2000):
        parent = events[-1].id if events else first.id
        tip = tip_of(events[-1]) if events else None
        events.append(bob.make(tip, TALK, TextBody(str(number + 1)), [parent], hlc=(bob.now_ms << 16) + number))
    copy = Shelf(ANN)
    assert copy.take(events, BOB).accepted == 2000 and copy.texts(BOB) == []
    copy.take([first], ANN)
    assert copy.texts(BOB) == [str(number) for number in range(1001, 2001)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_order_of_arrival_shows_the_same(data: st.DataObject) -> None:
    people_here = [Shelf(BOB), Shelf(second_device(BOB)[0]), Shelf(ANN)]
    events: list[list[Event]] = [[], [], []]
    for number in range(data.draw(st.integers(1, 12))):
        who = data.draw(st.integers(0, 2))
        known = [event.id for log in events for event in log]
        parents = sorted(data.draw(st.sets(st.sampled_from(known), max_size=3))) if known else []
        people_here[who].now_ms += data.draw(st.integers(-500_000, 500_000))
        events[who].append(people_here[who].say(BOB if who == 2 else ANN, str(number), parents))
    assert arrival(data, events) == arrival(data, events)


def arrival(data: st.DataObject, logs: list[list[Event]]) -> tuple[list[str], int, list[EventId]]:
    """Let the logs arrive interleaved as drawn; return what is shown then."""
    reader = Shelf(ANN)
    reader.meet(BOB)
    both = second_device(BOB)[1]
    turns = data.draw(st.permutations([who for who, log in enumerate(logs) for _ in log]))
    at = [0, 0, 0]
    for who in turns:
        reader.take([logs[who][at[who]]], ANN if who == 2 else both)
        at[who] += 1
    rows = [row for row in queries.history(reader.db, TALK.id, 1000) if row.kind == "text"]
    return [row.text for row in rows], reader.unread(BOB), sorted(row.id for row in rows)


def test_unread_counts_what_others_wrote() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    ann.meet(BOB)
    ann.say(BOB, "mine")
    events = line(bob, TALK, list("abc"))
    ann.take(events, BOB)
    assert ann.unread(BOB) == 3
    ann.mark_read(TALK.id, [events[1]])
    assert ann.unread(BOB) == 1 and [row.text for row in queries.unread(ann.db, TALK.id)] == ["c"]


def test_an_older_mark_changes_nothing() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    ann.meet(BOB)
    events = line(bob, TALK, list("abc"))
    ann.take(events, BOB)
    for event in (events[2], events[0]):
        ann.mark_read(TALK.id, [event])
    assert ann.unread(BOB) == 0


def test_a_mark_of_my_phone_may_come_before_the_messages() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    phone, both = second_device(ANN)
    events = line(bob, TALK, list("abc"))
    ann.take([Shelf(phone).mark_read(TALK.id, [events[1]])], both)
    ann.take(events, BOB)
    ann.meet(BOB)
    assert ann.unread(BOB) == 1


def test_what_i_wrote_on_my_phone_is_never_unread() -> None:
    ann = Shelf(ANN)
    ann.meet(BOB)
    phone, both = second_device(ANN)
    event = Shelf(phone).say(BOB, "from the phone")
    ann.take([event], both)
    assert ann.unread(BOB) == 0 and not ann.row(event).unread


def test_becoming_contacts_leaves_a_line_that_says_how() -> None:
    ann = Shelf(ANN)
    event = ann.meet(BOB)
    row = queries.history(ann.db, TALK.id)[0]
    assert (row.id, row.kind, row.text, row.mine, row.unread, row.deliveries) == (event.id, "system", MET, False, False, ())
    assert row.conversation == TALK.id
    carl = Person("Carl")
    ann.meet(carl, via="invite_mine", name="Carlo")
    assert ann.texts(carl) == ["You and Carlo are contacts now. Carlo used your invite."]


def test_a_contact_is_what_the_last_event_says() -> None:
    ann = Shelf(ANN)
    ann.meet(BOB, trust="invited", verified_by=None)
    ann.meet(BOB, via=None, name="Bobby")
    contact = people.contact(ann.db, BOB.account)
    assert contact is not None and (contact.name, contact.nickname, contact.trust) == ("Bobby", "Bob", Trust.VERIFIED)
    assert ann.texts(BOB) == [MET]


def test_a_contact_removed_is_hidden_and_comes_back_with_all_that_was_said() -> None:
    ann = Shelf(ANN)
    ann.meet(BOB)
    ann.say(BOB, "hello")
    ann.meet(BOB, via=None, removed=True)
    assert people.contacts(ann.db) == [] and queries.conversations(ann.db) == [] and queries.counts(ann.db).undelivered == 0
    ann.meet(BOB)
    assert ann.texts(BOB) == [MET, "hello", MET] and queries.counts(ann.db).undelivered == 1


def test_of_two_concurrent_changes_the_later_clock_wins_on_every_device() -> None:
    ann, (phone, both) = Shelf(ANN), second_device(ANN)
    other = Shelf(phone)
    other.now_ms += 1000
    theirs = other.meet(BOB, name="later")
    ann.meet(BOB, name="earlier")
    ann.take([theirs], both)
    contact = people.contact(ann.db, BOB.account)
    assert contact is not None and contact.name == "later"
    reverse = Shelf(ANN)
    reverse.take([theirs], both)
    reverse.meet(BOB, name="earlier")
    contact = people.contact(reverse.db, BOB.account)
    assert contact is not None and contact.name == "later"


def test_settings_travel() -> None:
    ann = Shelf(ANN)
    ann.write(own(ANN), SettingBody("receipts.read", False))
    ann.write(own(ANN), SettingBody("receipts.read", True))
    ann.write(own(ANN), SettingBody("list", ["a", 1, None]))
    assert people.settings(ann.db) == {"list": ["a", 1, None], "receipts.read": True}


def test_nobody_but_me_says_who_my_contacts_are() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    carl = Person("Carl")
    event = bob.write(TALK, contact_body(carl))
    ann.take([event], BOB)
    ann.write(TALK, contact_body(carl))
    assert people.contacts(ann.db) == []


def test_what_comes_into_view_is_fed_once() -> None:
    ann, bob = Shelf(ANN), Shelf(BOB)
    met, mine = ann.meet(BOB), ann.say(BOB, "mine")
    theirs = bob.say(ANN, "theirs")
    ann.take([theirs], BOB)
    ann.take([theirs], BOB)
    changes = feed.after(ann.db, 0).changes
    assert [(change.type, change.event) for change in changes] == [(ChangeType.MESSAGE, event.id) for event in (met, mine, theirs)]
    assert {change.conversation for change in changes} == {TALK.id}
