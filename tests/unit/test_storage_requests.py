from __future__ import annotations

import pytest

from p2pmsg.config import limits
from p2pmsg.storage import requests
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.requests import RequestRow
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf

FIRST, SECOND = RequestRow("aa01", "Bob", NOW), RequestRow("aa02", "Ännchen", NOW + 1)


@pytest.fixture
def db() -> Db:
    return Shelf(Person("Ann")).db


def test_oldest_first(db: Db) -> None:
    for row in (SECOND, FIRST):
        requests.put(db, row)
    assert requests.waiting(db) == [FIRST, SECOND]


def test_asking_again_replaces(db: Db) -> None:
    requests.put(db, FIRST)
    again = RequestRow(FIRST.id, "bob", NOW + 5)
    requests.put(db, again)
    assert requests.waiting(db) == [again]


def test_one_that_was_answered_is_gone(db: Db) -> None:
    requests.put(db, FIRST)
    requests.drop(db, SECOND.id)
    assert requests.waiting(db) == [FIRST]
    requests.drop(db, FIRST.id)
    assert requests.waiting(db) == []


def test_at_the_limit_and_one_above(db: Db) -> None:
    rows = [RequestRow(f"{number:04}", f"Bob {number}", NOW + number) for number in range(limits.REQUESTS + 1)]
    for row in rows[:-1]:
        requests.put(db, row)
    assert requests.waiting(db) == rows[:-1]
    requests.put(db, rows[-1])
    assert requests.waiting(db) == rows[1:]
