"""What a start finds in the database."""

from __future__ import annotations

import pytest

from p2pmsg.crypto import gates
from p2pmsg.daemon.load import invite_ends, load_people
from p2pmsg.daemon.presence_keys import PRESENCE_KEY
from p2pmsg.errors import NotInitialized, StorageDamaged
from p2pmsg.model.gates import Ended, Purpose
from p2pmsg.protocol.bodies import SettingBody, TextBody
from p2pmsg.storage import doors
from p2pmsg.storage.database import open_memory
from tests.unit.nodes import moved_in
from tests.unit.people import Person, seeded
from tests.unit.shelves import Shelf, direct, line, own, second_device

ANN, BOB = Person("Ann"), Person("Bob", nicknames=("Bobby",))
VALID_MS = 600_000
DAY_MS = 86_400_000


def test_who_i_am_and_whom_i_know() -> None:
    people = load_people(moved_in(ANN, BOB).db)
    me = people.me
    assert (me.account, me.device, me.device_key, me.secret) == (ANN.account, ANN.device, ANN.key, ANN.secret)
    assert (me.presence_key, me.presence_number) == (seeded("Ann/presence"), 1)
    assert people.chains == {ANN.account: ANN.links, BOB.account: BOB.links}
    assert people.memberships[BOB.account].nickname == "Bobby" and list(people.contacts) == [BOB.account]
    assert [(row.purpose, row.account) for row in people.gates] == [(Purpose.PAIR, BOB.account)]
    assert people.forked == set()


def test_an_empty_database_is_nobody() -> None:
    with pytest.raises(NotInitialized):
        load_people(open_memory())


@pytest.mark.parametrize("value", [None, "key", [b"k" * 32], [b"k" * 32, 1, 2]])
def test_a_presence_key_that_is_none(value: object) -> None:
    shelf = moved_in(ANN)
    shelf.write(own(ANN), SettingBody(PRESENCE_KEY, value))
    with pytest.raises(StorageDamaged):
        load_people(shelf.db)


def test_without_a_presence_key() -> None:
    with pytest.raises(StorageDamaged):
        load_people(Shelf(ANN).db)


def test_a_device_that_forked_is_remembered_my_own_is_not_counted() -> None:
    shelf, bob = moved_in(ANN, BOB), Shelf(BOB)
    talk = direct(ANN, BOB)
    for text in ("one", "another"):
        shelf.take(line(bob, talk, [text]), BOB)
    assert load_people(shelf.db).forked == {BOB.device}


def test_an_invite_ends_by_what_the_wall_clock_says_is_left() -> None:
    shelf = moved_in(ANN)
    doors.add_invite(shelf.db, b"k" * 32, "invite", shelf.now_ms, shelf.now_ms + VALID_MS)
    assert invite_ends(shelf.db, 50.0, shelf.now_ms + 200_000) == {"invite": 450.0}
    assert invite_ends(shelf.db, 50.0, shelf.now_ms + VALID_MS + 1000) == {"invite": 49.0}


@pytest.mark.parametrize("later_ms", [VALID_MS + 1, DAY_MS, VALID_MS + DAY_MS + 1, 30 * DAY_MS])
def test_an_invite_that_is_over_stays_over_however_late_the_daemon_starts(later_ms: int) -> None:
    shelf = moved_in(ANN)
    doors.add_invite(shelf.db, gates.invite_gate(b"s" * 16, ANN.account), "invite", shelf.now_ms, shelf.now_ms + VALID_MS)
    people = load_people(shelf.db)
    people.invite_ends = invite_ends(shelf.db, 50.0, shelf.now_ms + later_ms)
    assert [row.ended for row in people.rows(50.0)] == [Ended.EXPIRED]


def test_what_another_device_of_mine_wrote_does_not_make_me_another() -> None:
    shelf = moved_in(ANN, BOB)
    phone, both = second_device(ANN)
    shelf.take(line(Shelf(phone), direct(ANN, BOB), ["from my phone"]), both)
    people = load_people(shelf.db)
    assert people.me.device == ANN.device and direct(ANN, BOB).id == people.direct(BOB.account).id
    assert people.contacts[BOB.account].pair_key == seeded("pair")


def test_a_body_that_says_nothing_is_no_setting() -> None:
    shelf = moved_in(ANN)
    shelf.write(own(ANN), TextBody("a note"))
    assert load_people(shelf.db).me.presence_number == 1
