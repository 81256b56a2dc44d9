"""Gate keys: who has them opens the door, until they are spent, withdrawn or over."""

from __future__ import annotations

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import Ambiguous, InviteNotFound
from p2pmsg.model.gates import Ended, Purpose
from p2pmsg.storage import doors
from p2pmsg.storage.cipher import Db
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf

ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")
DAY = 86_400_000


@pytest.fixture
def db() -> Db:
    return Shelf(ANN).db


def invite(db: Db, name: str = "aaaa0001", expires_ms: int = NOW + 600_000) -> None:
    doors.add_invite(db, name.encode().ljust(32), name, NOW, expires_ms)


def ended(db: Db, now_ms: int = NOW) -> list[Ended | None]:
    return [row.ended for row in doors.gates(db, now_ms)]


def test_the_newest_pair_key_comes_first_and_the_older_one_still_opens(db: Db) -> None:
    doors.add_pair(db, b"1" * 32, BOB.account, NOW)
    doors.add_pair(db, b"2" * 32, BOB.account, NOW)
    doors.add_pair(db, b"2" * 32, BOB.account, NOW)
    rows = doors.gates(db, NOW)
    assert [(row.key[:1], row.purpose, row.account, row.ended) for row in rows] == [
        (b"2", Purpose.PAIR, BOB.account, None),
        (b"1", Purpose.PAIR, BOB.account, None),
    ]


def test_keys_before_one_that_the_other_side_holds_retire_and_open_for_ninety_days_more(db: Db) -> None:
    for number in (b"1", b"2", b"3"):
        doors.add_pair(db, number * 32, BOB.account, NOW)
    doors.add_pair(db, b"c" * 32, CARL.account, NOW)
    doors.confirm_pair(db, b"2" * 32, NOW + 1)
    doors.confirm_pair(db, b"?" * 32, NOW + 1)
    assert [(row.key[:1], row.retired) for row in doors.gates(db, NOW)] == [(b"c", False), (b"3", False), (b"2", False), (b"1", True)]
    doors.confirm_pair(db, b"3" * 32, NOW + 2)
    doors.confirm_pair(db, b"1" * 32, NOW + 3)
    kept_ms = int(limits.GATE_RETIRED_S * 1000)
    doors.purge(db, NOW + 1 + kept_ms)
    assert [row.key[:1] for row in doors.gates(db, NOW)] == [b"c", b"3", b"2", b"1"]
    doors.purge(db, NOW + 2 + kept_ms)
    assert [row.key[:1] for row in doors.gates(db, NOW)] == [b"c", b"3", b"2"]
    doors.purge(db, NOW + 3 + kept_ms)
    assert [row.key[:1] for row in doors.gates(db, NOW)] == [b"c", b"3"]


def test_no_number_of_retired_keys_shuts_a_contact_out(db: Db) -> None:
    doors.add_pair(db, b"c" * 32, CARL.account, NOW)
    for number in range(limits.GATE_ROWS + 1):
        doors.add_pair(db, number.to_bytes(32, "big"), BOB.account, NOW)
    doors.confirm_pair(db, limits.GATE_ROWS.to_bytes(32, "big"), NOW)
    assert [row.key for row in doors.gates(db, NOW)][:2] == [limits.GATE_ROWS.to_bytes(32, "big"), b"c" * 32]


def test_an_invite_is_open_until_its_time(db: Db) -> None:
    invite(db)
    assert ended(db, NOW + 599_999) == [None] and ended(db, NOW + 600_000) == [Ended.EXPIRED]


def test_an_invite_is_spent_by_the_first(db: Db) -> None:
    invite(db)
    doors.spend_invite(db, "aaaa0001", BOB.account, NOW)
    doors.spend_invite(db, "aaaa0001", CARL.account, NOW)
    (row,) = doors.gates(db, NOW)
    assert (row.ended, row.spent_by, row.reference) == (Ended.USED, BOB.account, "aaaa0001")
    assert row.ended_for(BOB.account) is None and row.ended_for(CARL.account) is Ended.USED


def test_an_invite_withdrawn_stays_so_and_a_spent_one_stays_spent(db: Db) -> None:
    invite(db, "aaaa0001")
    invite(db, "bbbb0002")
    doors.end_invite(db, "aaaa0001", Ended.WITHDRAWN, NOW)
    doors.end_invite(db, "aaaa0001", Ended.EXPIRED, NOW)
    doors.spend_invite(db, "bbbb0002", BOB.account, NOW)
    doors.end_invite(db, "bbbb0002", Ended.WITHDRAWN, NOW)
    assert {row.id: row.ended for row in doors.invites(db, NOW)} == {"aaaa0001": Ended.WITHDRAWN, "bbbb0002": Ended.USED}


def test_an_invite_by_the_beginning_of_its_id(db: Db) -> None:
    invite(db, "aaaa0001")
    invite(db, "aaaa0002")
    assert doors.find_invite(db, "AAAA0002", NOW).id == "aaaa0002"
    with pytest.raises(Ambiguous) as caught:
        doors.find_invite(db, "aaaa", NOW)
    assert caught.value.candidates == ["aaaa0001", "aaaa0002"]
    with pytest.raises(InviteNotFound):
        doors.find_invite(db, "bbbb", NOW)


def test_ended_invites_answer_for_a_day_and_used_ones_for_their_user_longer(db: Db) -> None:
    for name in ("over0001", "used0002", "open0003"):
        invite(db, name, NOW + 10 * DAY if name == "open0003" else NOW)
    doors.spend_invite(db, "used0002", BOB.account, NOW)
    doors.purge(db, NOW + DAY)
    assert len(doors.gates(db, NOW)) == 3
    doors.purge(db, NOW + DAY + 1)
    assert [row.reference for row in doors.gates(db, NOW)] == ["open0003", "used0002"]
    assert [row.id for row in doors.invites(db, NOW + DAY + 1)] == ["open0003"]
    doors.purge(db, NOW + int(limits.INVITE_REPEAT_S * 1000) + 1)
    assert doors.gates(db, NOW) == ()


def test_no_more_rows_than_the_limit(db: Db) -> None:
    for number in range(limits.GATE_ROWS + 1):
        doors.add_pair(db, number.to_bytes(32, "big"), BOB.account, NOW)
    rows = doors.gates(db, NOW)
    assert len(rows) == limits.GATE_ROWS and rows[0].key == limits.GATE_ROWS.to_bytes(32, "big")


def test_keys_are_not_shown(db: Db) -> None:
    invite(db)
    assert "aaaa0001   " not in repr(doors.invites(db, NOW)) and "key" not in repr(doors.gates(db, NOW))


def test_no_number_of_invites_shuts_a_contact_out(db: Db) -> None:
    doors.add_pair(db, b"1" * 32, BOB.account, NOW)
    for number in range(limits.GATE_ROWS + 1):
        invite(db, f"{number:08x}")
    rows = doors.gates(db, NOW)
    assert len(rows) == limits.GATE_ROWS
    assert rows[0].account == BOB.account
    assert rows[1].reference == f"{limits.GATE_ROWS:08x}"
