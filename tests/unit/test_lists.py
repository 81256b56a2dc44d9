"""A list answer has at most 1,000 objects: each method at the limit and one above, and what brings the rest."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon.api import Api
from p2pmsg.daemon.home import Profile
from p2pmsg.rpc import api
from p2pmsg.storage import doors
from tests.unit.nodes import House, moved_in
from tests.unit.people import Person, seeded
from tests.unit.shelves import NOW, Shelf, direct, line

pytestmark = pytest.mark.asyncio
ANN = Person("Ann")
LIMIT = limits.RPC_LIST
PROFILE = Profile(Path("/nowhere/p2pmsg"), "default", home_was_named=True)


@pytest.fixture(scope="module")
def crowd() -> list[Person]:
    """One more than a list holds."""
    return [Person(f"Bob {n:04}") for n in range(LIMIT + 1)]


async def ask(house: House, method: str, **params: Any) -> Any:
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = Api(PROFILE, Settings(), house.node, house.storage, house.announcer, house.endpoint, started, [])  # type: ignore[arg-type]
    return await found.call(method, msgspec.convert(params, api.METHODS[method]), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "key"), [("contact.list", "account"), ("peers", "device"), ("inbox", "conversation")])
async def test_who_skips_what_came_gets_the_rest(crowd: list[Person], method: str, key: str) -> None:
    shelf = moved_in(ANN, *crowd)
    for other in crowd:
        shelf.say(other, "hello")
    house = House(ANN, shelf=shelf).start()
    every = {"all": True} if method == "inbox" else {}

    first = await ask(house, method, **every)
    rest = await ask(house, method, skip=LIMIT, **every)
    assert (len(first), len(rest)) == (LIMIT, 1)
    assert len({each[key] for each in first + rest}) == LIMIT + 1
    assert (await ask(house, method, skip=LIMIT - 1, **every))[1:] == rest

    await ask(house, "contact.remove", name=crowd[-1].account.hex())
    assert len(await ask(house, method, **every)) == LIMIT
    assert await ask(house, method, skip=LIMIT, **every) == []


async def test_what_can_be_skipped() -> None:
    house = House(ANN).start()
    assert await ask(house, "contact.list", skip=1 << 62) == []
    for skip in (-1, "1"):
        with pytest.raises(msgspec.ValidationError):
            await ask(house, "contact.list", skip=skip)


@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1])
async def test_messages(crowd: list[Person], count: int) -> None:
    bob = crowd[0]
    shelf = moved_in(ANN, bob)
    events = line(Shelf(bob), direct(ANN, bob), [str(n) for n in range(count)])
    for at in range(0, count, limits.EVENTS_PER_FRAME):
        shelf.take(events[at : at + limits.EVENTS_PER_FRAME], bob)
    house = House(ANN, shelf=shelf).start()
    target = bob.account.hex()
    last = await ask(house, "history", target=target, n=LIMIT)
    rest = await ask(house, "history", target=target, n=LIMIT, before=last[0]["id"])
    assert (len(last), len(rest)) == (LIMIT, count + 1 - LIMIT)  # one line says that they are contacts
    assert [each["text"] for each in rest + last if each["kind"] == "text"] == [str(n) for n in range(count)]

    assert [each["text"] for each in await ask(house, "read", target=target)] == [str(n) for n in range(LIMIT)]
    assert len(await ask(house, "read", target=target)) == count - LIMIT


@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1])
async def test_of_too_many_invites_the_newest_can_be_used(count: int) -> None:
    shelf = moved_in(ANN)
    for n in range(count):
        doors.add_invite(shelf.db, seeded(f"invite {n}"), f"{n:08}", NOW, 1 << 50)
    house = House(ANN, shelf=shelf)
    house.node.people.invite_ends = {f"{n:08}": 1e9 for n in range(count)}
    listed = await ask(house.start(), "contact.invites")
    assert [each["id"] for each in listed] == [f"{n:08}" for n in range(count)][-LIMIT:]


async def test_what_else_is_listed_is_less_by_other_limits() -> None:
    assert max(limits.REQUESTS, limits.VISIBLE_REMEMBERED, limits.GATE_ROWS) <= LIMIT


async def test_a_list_does_not_look_through_all_names_for_each(crowd: list[Person]) -> None:
    """Once: a thousand contacts took 0.3 s, in which the daemon did nothing else."""
    house = House(ANN, shelf=moved_in(ANN, *crowd)).start()
    compared = sys.getprofile()
    calls = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        await ask(house, "contact.list")
    finally:
        sys.setprofile(compared)
    assert calls < 60 * LIMIT
