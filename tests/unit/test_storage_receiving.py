"""What becomes of events that a peer gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import domains
from p2pmsg.errors import ConversationNotFound
from p2pmsg.model.events import Event, Tip
from p2pmsg.model.ids import ChainLinkId
from p2pmsg.protocol import wire
from p2pmsg.protocol.bodies import TextBody
from p2pmsg.storage import log, numbers
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, line, second_device, tip_of

ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")
TALK = direct(ANN, BOB)


@pytest.fixture
def ann() -> Shelf:
    shelf = Shelf(ANN)
    numbers.number_of_conversation(shelf.db, TALK)
    return shelf


@pytest.fixture
def bob() -> Shelf:
    return Shelf(BOB)


def stored(shelf: Shelf) -> int:
    return int(shelf.db.execute("SELECT count(*) FROM event").fetchone()[0])


def resigned(event: Event, who: Person, **changes: object) -> Event:
    """Return an event with other header fields, properly signed."""
    header = replace(event.header, **changes)  # type: ignore[arg-type]
    data = wire.encode_header(header)
    return Event(wire.event_id(data), header, data, who.sign(domains.EVENT + data), event.body)


def test_events_are_kept_as_the_exact_bytes_that_came(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["one", "two", "three"])
    received = ann.take(events, BOB)
    assert received.accepted == 3 and received.tips == (tip_of(events[-1]),)
    assert received.clocks == tuple(event.header.hlc for event in events)
    assert log.give(ann.db, TALK.id, BOB.device, [], wire.claim_of(BOB.device, 3, events[-1].id), 10**6, 100) == events


def test_what_is_held_already_changes_nothing(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["one", "two"])
    ann.take(events, BOB)
    again = ann.take(events, BOB)
    assert again.accepted == 0 and again.tips == (tip_of(events[-1]),) and stored(ann) == 2


def test_known_events_may_lead_on_to_new_ones(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["one", "two", "three"])
    ann.take(events[:1], BOB)
    assert ann.take(events, BOB).accepted == 2


def test_a_gap_ends_the_call_and_what_stood_before_it_is_kept(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["one", "two", "three", "four"])
    received = ann.take([events[0], events[2], events[3]], BOB)
    assert received.gap and received.accepted == 1 and received.tips == (tip_of(events[0]),)


def test_a_bad_signature_undoes_the_whole_call(ann: Shelf, bob: Shelf) -> None:
    first, second = line(bob, TALK, ["one", "two"])
    received = ann.take([first, replace(second, signature=bytes(64))], BOB)
    assert received.refused is not None and "signature" in received.refused
    assert stored(ann) == 0 and log.tips(ann.db) == {}


def test_a_refused_call_tells_the_tips_as_they_were(ann: Shelf, bob: Shelf) -> None:
    first, second = line(bob, TALK, ["one", "two"])
    ann.take([first], BOB)
    assert ann.take([replace(second, signature=bytes(64))], BOB).tips == (tip_of(first),)


def test_a_clock_that_stands_still_is_refused(ann: Shelf, bob: Shelf) -> None:
    first, second = line(bob, TALK, ["one", "two"])
    received = ann.take([first, resigned(second, BOB, hlc=first.header.hlc)], BOB)
    assert received.refused is not None and stored(ann) == 0


def test_events_of_somebody_else_are_refused(ann: Shelf) -> None:
    carl = Shelf(CARL)
    event = resigned(carl.make(None, direct(CARL, ANN), TextBody("hi")), CARL, conversation=TALK.id)
    assert ann.take([event], CARL).refused is not None


def test_a_conversation_that_i_am_not_in_is_none(ann: Shelf, bob: Shelf) -> None:
    with pytest.raises(ConversationNotFound):
        ann.take([bob.say(CARL, "about Ann")], BOB)
    ann.db.rollback()


def test_unknown_heads_hold_the_event_back(ann: Shelf, bob: Shelf) -> None:
    event = resigned(bob.say(ANN, "new chain"), BOB, account_heads=(ChainLinkId(b"n" * 32),))
    received = ann.take([event], BOB)
    assert received.heads_missing and received.accepted == 0 and received.refused is None


def test_an_event_without_its_body_is_sought_elsewhere(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["one", "two", "three"])
    received = ann.take([events[0], replace(events[1], body=None), events[2]], BOB)
    assert received.body_missing and received.accepted == 1


def test_a_run_kept_in_part_must_end_in_a_good_signature(ann: Shelf, bob: Shelf) -> None:
    events = line(bob, TALK, ["one", "two", "three"])
    given = [replace(events[0], signature=bytes(64)), replace(events[1], body=None), events[2]]
    assert ann.take(given, BOB).refused is not None and stored(ann) == 0


def test_a_fork_is_proved_kept_and_noticed_once(ann: Shelf, bob: Shelf) -> None:
    shared, one = line(bob, TALK, ["shared", "one"])
    other, third = line(bob, TALK, ["other", "third"], after=shared)
    ann.take([shared, one], BOB)
    received = ann.take([other], BOB)
    assert received.forked and {row[0] for row in ann.db.execute("SELECT id FROM event WHERE seq = 2")} == {one.id, other.id}
    assert set(received.tips) == {tip_of(one), tip_of(other)}
    later = ann.take([third], BOB)
    assert not later.forked and set(later.tips) == {tip_of(one), tip_of(third)}
    assert set(log.tips(ann.db)[TALK.id][BOB.device]) == {tip_of(one), tip_of(third)}


def test_a_fork_at_the_very_start_is_one_too(ann: Shelf, bob: Shelf) -> None:
    ann.take(line(bob, TALK, ["one"]), BOB)
    received = ann.take(line(bob, TALK, ["other"]), BOB)
    assert received.forked and len(received.tips) == 2


def test_no_more_branches_than_the_limit(ann: Shelf, bob: Shelf) -> None:
    for number in range(limits.BRANCHES):
        assert ann.take(line(bob, TALK, [str(number)]), BOB).accepted == 1
    received = ann.take(line(bob, TALK, ["one above"]), BOB)
    assert received.accepted == 0 and len(received.tips) == limits.BRANCHES and not received.forked


def test_a_branch_goes_on_wherever_it_ends(ann: Shelf, bob: Shelf) -> None:
    shared, one, two = line(bob, TALK, ["shared", "one", "two"])
    other = line(bob, TALK, ["other"], after=shared)
    ann.take([shared, one], BOB)
    ann.take(other, BOB)
    received = ann.take([two], BOB)
    assert set(received.tips) == {tip_of(two), tip_of(other[0])} and not received.forked


def test_my_own_event_that_i_lack_makes_me_an_old_copy(ann: Shelf) -> None:
    newer = Shelf(ANN)
    events = [newer.say(BOB, "one"), newer.say(BOB, "two")]
    ann.take(events[:1], ANN, mine=False)
    received = ann.take(events, ANN, mine=True)
    assert received.old_copy and received.accepted == 0


def test_a_forged_event_of_mine_does_not_stop_me(ann: Shelf) -> None:
    forged = replace(Shelf(ANN).say(BOB, "one"), signature=bytes(64))
    received = ann.take([forged], ANN, mine=True)
    assert not received.old_copy and received.refused is not None and not log.is_old_copy(ann.db)


def test_a_body_that_is_none_of_its_kind_stays_in_the_log_and_is_not_shown(ann: Shelf, bob: Shelf) -> None:
    good = bob.make(None, TALK, TextBody("fine"))
    body = good.body[:16] + b"\xc1"  # type: ignore[index]
    odd = resigned(replace(good, body=body), BOB, body_hash=wire.body_hash(body))
    after = line(bob, TALK, ["after"], after=odd)
    received = ann.take([odd, *after], BOB)
    assert received.accepted == 2 and ann.texts(BOB) == ["after"]


def test_a_kind_that_i_do_not_know_stays_in_the_log(ann: Shelf, bob: Shelf) -> None:
    strange = resigned(bob.make(None, TALK, TextBody("later version")), BOB, kind=999)
    assert ann.take([strange], BOB).tips == (Tip(1, strange.id, strange.header.hlc, strange.header.account_heads),)
    assert ann.texts(BOB) == []


def test_a_new_device_is_taken_on_with_its_key(ann: Shelf) -> None:
    phone, both = second_device(BOB)
    ann.take([Shelf(phone).say(ANN, "phone")], both)
    row = ann.db.execute("SELECT d.key, a.id FROM device d JOIN account a ON a.number = d.account WHERE d.id = ?", (phone.device,))
    assert row.fetchone() == (phone.key, BOB.account)


def test_events_of_two_logs_at_once_are_a_mistake_of_the_caller(ann: Shelf, bob: Shelf) -> None:
    with pytest.raises(ValueError, match="one log"):
        ann.take([bob.say(ANN, "x"), Shelf(CARL).say(ANN, "y")], BOB)
