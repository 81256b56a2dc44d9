"""Whether a log takes an event on; clocks and the order shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Event, Header, Tip
from p2pmsg.model.ids import NO_EVENT, ChainLinkId, ConversationId, DeviceId, EventId
from p2pmsg.protocol import authority, log, wire
from p2pmsg.protocol.bodies import TextBody, encode_body
from p2pmsg.protocol.log import Held, Verdict
from tests.unit.people import Person, join, put_out

ANN = Person("Ann", nicknames=("Anna",))
BOB = Person("Bob")
AUTHOR = authority.resolve(ANN.links)
TALK = ConversationId(b"c" * 32)
NOW_MS = 1_700_000_000_000
HLC = NOW_MS << 16
NOTHING = Held(frozenset(), None)
BODY = encode_body(TextBody("hello"), b"s" * 16)
clocks = st.integers(0, 2**62)
walls = st.integers(0, 2**46)


def tip_of(event: Event) -> Tip:
    return Tip(event.header.seq, event.id, event.header.hlc, event.header.account_heads)


def event(
    tip: Tip | None = None, hlc: int = HLC, heads: tuple[ChainLinkId, ...] = AUTHOR.heads, who: Person = ANN, body: bytes = BODY
) -> Event:
    return log.write(tip, TALK, who.device, 1, body, hlc=hlc, account_heads=heads, sign=who.sign)


def changed(old: Event, **fields: object) -> Event:
    """Return an event with another header, which its device might have signed."""
    header: Header = replace(old.header, **fields)  # type: ignore[arg-type]
    data = wire.encode_header(header)
    return Event(wire.event_id(data), header, data, ANN.sign(data), old.body)


def check(given: Event, held: Held = NOTHING, *, mine: bool = False, now_ms: int = NOW_MS, gone: bool = False) -> Verdict:
    return log.check(given, held, AUTHOR, mine=mine, now_ms=now_ms, gone=gone)


FIRST = event()
SECOND = event(tip_of(FIRST), HLC + 1)
AFTER_FIRST = Held(frozenset(), tip_of(FIRST))


def test_the_next_event_is_accepted() -> None:
    assert check(FIRST) is Verdict.ACCEPT
    assert check(SECOND, AFTER_FIRST) is Verdict.ACCEPT


def test_an_event_held_already_is_known_whatever_else_holds() -> None:
    assert check(SECOND, Held(frozenset({SECOND.id}), None)) is Verdict.KNOWN
    assert check(FIRST, Held(frozenset({FIRST.id}), None), mine=True) is Verdict.KNOWN


def test_another_event_with_the_same_number_is_a_fork() -> None:
    assert check(FIRST, Held(frozenset({EventId(b"x" * 32)}), None)) is Verdict.FORK
    assert check(SECOND, replace(AFTER_FIRST, at_seq=frozenset({EventId(b"x" * 32)}))) is Verdict.FORK


def test_an_event_of_mine_that_i_lack_says_that_i_am_an_old_copy() -> None:
    assert check(SECOND, AFTER_FIRST, mine=True) is Verdict.OLD_COPY
    assert check(FIRST, Held(frozenset({EventId(b"x" * 32)}), None), mine=True) is Verdict.OLD_COPY
    assert check(replace(FIRST, body=None), mine=True) is Verdict.OLD_COPY  # its header alone proves it


def test_a_missing_predecessor_is_a_gap() -> None:
    assert check(SECOND) is Verdict.HOLD_GAP
    assert check(SECOND, mine=True) is Verdict.HOLD_GAP  # the claim proves nothing: what lies between is asked for


def test_unknown_heads_hold_an_event_back() -> None:
    unknown = ChainLinkId(b"z" * 32)
    assert check(event(heads=tuple(sorted((unknown, *AUTHOR.heads))))) is Verdict.HOLD_HEADS


def test_a_body_left_out_is_sought_unless_its_lifetime_is_over() -> None:
    assert check(replace(FIRST, body=None)) is Verdict.HOLD_BODY
    short = replace(changed(FIRST, lifetime_s=10), body=None)
    assert check(short, now_ms=NOW_MS + 9_999) is Verdict.HOLD_BODY
    assert check(short, now_ms=NOW_MS + 10_000) is Verdict.ACCEPT


def test_a_body_that_is_gone_is_not_sought() -> None:
    assert check(replace(FIRST, body=None), gone=True) is Verdict.ACCEPT


@pytest.mark.parametrize("number", [2, 99])
def test_another_version_is_refused(number: int) -> None:
    with pytest.raises(PeerMisbehaved):
        check(changed(FIRST, version=number))


def test_only_the_first_event_has_no_predecessor() -> None:
    with pytest.raises(PeerMisbehaved):
        check(changed(FIRST, previous=EventId(b"p" * 32)))
    with pytest.raises(PeerMisbehaved):
        check(changed(SECOND, previous=NO_EVENT), AFTER_FIRST)


def test_a_device_of_somebody_else_is_refused() -> None:
    with pytest.raises(PeerMisbehaved, match="may not speak"):
        check(event(who=BOB))


@pytest.mark.parametrize("hlc", [HLC, HLC - 1, 1])
def test_a_clock_must_exceed_its_predecessors(hlc: int) -> None:
    with pytest.raises(PeerMisbehaved, match="clock"):
        check(event(tip_of(FIRST), hlc), AFTER_FIRST)


def test_heads_never_become_older() -> None:
    with pytest.raises(PeerMisbehaved, match="older"):
        check(event(tip_of(FIRST), HLC + 1, heads=(ANN.account,)), AFTER_FIRST)


def test_heads_may_become_newer() -> None:
    old = event(heads=(ANN.account,))
    assert check(event(tip_of(old), HLC + 1), Held(frozenset(), tip_of(old))) is Verdict.ACCEPT


def test_an_event_that_names_no_heads_is_refused() -> None:
    with pytest.raises(PeerMisbehaved, match="heads"):
        check(event(heads=()))


# -- runs


def row(length: int, after: Event | None = None) -> list[Event]:
    events: list[Event] = []
    for n in range(length):
        last = events[-1] if events else after
        events.append(event(tip_of(last) if last else None, HLC + 10 + n if last is None else last.header.hlc + 1))
    return events


def test_a_line_of_events_is_one_run() -> None:
    events = row(5)
    assert [list(run) for run in log.runs(events)] == [events]
    assert list(log.runs([])) == []


def test_a_run_ends_where_the_next_event_follows_another_one() -> None:
    first, other = row(3), row(2)
    assert [list(run) for run in log.runs([*first, *other])] == [first, other]
    assert [list(run) for run in log.runs([first[2], first[0]])] == [[first[2]], [first[0]]]


def test_the_last_signature_covers_the_run() -> None:
    events = row(3)
    forged = [replace(each, signature=bytes(64)) for each in events[:-1]]
    log.verify_run([*forged, events[-1]], ANN.key)


def test_a_run_with_a_bad_last_signature_is_refused() -> None:
    events = row(2)
    for last in (replace(events[1], signature=events[0].signature), replace(events[1], signature=bytes(64))):
        with pytest.raises(PeerMisbehaved):
            log.verify_run([events[0], last], ANN.key)
    with pytest.raises(PeerMisbehaved):
        log.verify_run(events, BOB.key)


# -- writing


def test_what_is_written_can_be_read_and_follows_its_tip() -> None:
    second = event(tip_of(FIRST), HLC + 1)
    assert (second.header.seq, second.header.previous) == (2, FIRST.id)
    assert wire.decode_event(second.header_bytes, second.signature, second.body) == second
    log.verify_run([second], ANN.key)


def test_parents_are_sorted() -> None:
    parents = [EventId(b"b" * 32), EventId(b"a" * 32)]
    written = log.write(None, TALK, DeviceId(b"d" * 32), 1, BODY, hlc=1, account_heads=(), sign=ANN.sign, parents=parents)
    assert written.header.parents == tuple(sorted(parents))


# -- clocks and order


@given(walls, clocks, clocks)
def test_a_clock_is_later_than_the_wall_the_log_and_all_adopted_ones(wall_ms: int, adopted: int, previous: int) -> None:
    hlc = log.next_hlc(wall_ms, adopted, previous)
    assert hlc >= wall_ms << 16 and hlc > adopted and hlc > previous
    assert hlc < 2**63


@given(walls, clocks)
def test_only_clocks_at_most_ten_minutes_ahead_are_adopted(wall_ms: int, hlc: int) -> None:
    assert log.may_adopt(hlc, wall_ms) == ((hlc >> 16) - wall_ms <= limits.CLOCK_AHEAD_MS)


def test_the_limit_of_adoption() -> None:
    edge = (NOW_MS + limits.CLOCK_AHEAD_MS) << 16
    assert log.may_adopt(edge | 0xFFFF, NOW_MS) and not log.may_adopt(edge + (1 << 16), NOW_MS)


@given(walls, st.lists(clocks, max_size=20))
def test_adopted_clocks_never_lead_away_from_the_wall(wall_ms: int, seen: list[int]) -> None:
    adopted = max((hlc for hlc in seen if log.may_adopt(hlc, wall_ms)), default=0)
    assert log.next_hlc(wall_ms, adopted, 0) >> 16 <= wall_ms + limits.CLOCK_AHEAD_MS + 1


@given(clocks, st.lists(clocks, max_size=limits.PARENTS))
def test_an_event_is_shown_below_all_its_parents(hlc: int, parents: list[int]) -> None:
    order = log.order_key(hlc, parents)
    assert order >= hlc and all(order > each for each in parents)
    assert order in (hlc, *(each + 1 for each in parents))


def test_a_device_that_was_put_out_gives_nothing_more_and_who_hands_it_on_is_not_to_blame() -> None:
    ann = Person("Ann")
    phone = join(ann, "phone")
    late = event(heads=authority.heads(ann.links), who=phone)
    assert log.check(late, NOTHING, authority.resolve(ann.links), mine=False, now_ms=NOW_MS) is Verdict.ACCEPT
    put_out(ann, phone)
    assert log.check(late, NOTHING, authority.resolve(ann.links), mine=False, now_ms=NOW_MS) is Verdict.HOLD_REMOVED
    known = Held(frozenset({late.id}), None)
    assert log.check(late, known, authority.resolve(ann.links), mine=False, now_ms=NOW_MS) is Verdict.KNOWN
