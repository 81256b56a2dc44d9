"""Who types: told to whom it concerns, seldom enough, and not at all where somebody wants none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.errors import ContactNotFound
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.wire import Typing
from p2pmsg.rpc import api
from tests.unit.nodes import House, moved_in, neighbours, settle
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")
OFF = Settings(typing=False)


async def types(house: House, to: str = "Bob") -> int:
    """Have somebody type; return how many devices were told."""
    told: int = (await house.node.typists.typed(api.ChatTyping(to)))["told"]
    await settle(20)
    return told


def ear(house: House) -> list[tuple[AccountId, bool]]:
    heard: list[tuple[AccountId, bool]] = []
    house.node.typists.changed.append(lambda account, on: heard.append((account, on)))
    return heard


async def test_the_other_hears_of_it() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        heard = ear(bob)
        assert await types(ann) == 1
        assert heard == [(ANN.account, True)]


async def test_the_other_hears_of_it_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        heard = ear(bob)
        assert [await types(ann) for _ in range(5)] == [1, 0, 0, 0, 0]
        monkeypatch.setattr(limits, "TYPING_EVERY_S", 0.0)
        assert await types(ann) == 1
        assert heard == [(ANN.account, True)]
        monkeypatch.setattr(limits, "TYPING_HEARD_S", 0.0)
        assert await types(ann) == 1
        assert heard == [(ANN.account, True)] * 2


async def test_nothing_is_stored_of_it() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await settle()
        before = [next(house.shelf.db.execute("SELECT total_changes()")) for house in (ann, bob)]
        assert await types(ann) == 1
        await settle()
        assert [next(house.shelf.db.execute("SELECT total_changes()")) for house in (ann, bob)] == before


async def test_who_tells_nobody_is_told_of_nobody_and_that_counts_at_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        heard, anns = ear(bob), ear(ann)
        ann.node.typists.settings_changed(OFF)
        assert await types(ann) == 0
        assert await types(bob, "Ann") == 1
        assert heard == anns == []
        ann.node.typists.settings_changed(Settings())
        assert await types(ann) == 1 and heard == [(ANN.account, True)]
        bob.node.typists.settings_changed(OFF)
        bob.node.typists.settings_changed(OFF)
        assert heard == [(ANN.account, True), (ANN.account, False)]


async def test_who_has_gone_types_no_more() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        heard = ear(bob)
        await types(ann)
        ann.node.stop()
        await bob.until(lambda: not bob.linked(ann))
        await settle()
        assert heard == [(ANN.account, True), (ANN.account, False)]
        assert await types(bob, "Ann") == 0


@pytest.mark.parametrize("before", [False, True])
async def test_who_has_gone_and_did_not_type_is_not_mentioned(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TYPING_SHOWN_S", 0.0)
    async with neighbours(ANN, BOB) as (ann, bob):
        if before:
            await types(ann)
        heard = ear(bob)
        ann.node.stop()
        await bob.until(lambda: not bob.linked(ann))
        await settle()
        assert heard == []


@pytest.mark.parametrize("target", ["me", "Bob", "Carl"])
async def test_notes_to_myself_and_people_who_are_away(target: str) -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB, CARL)).start()
    assert await types(house, target) == 0


async def test_somebody_unknown() -> None:
    with pytest.raises(ContactNotFound):
        await types(House(ANN, shelf=moved_in(ANN)).start(), "Eve")


def blocked(house: House, account: AccountId) -> None:
    house.node.people.contacts[account] = replace(house.node.people.contacts[account], blocked=True)


def alarming(house: House, account: AccountId) -> None:
    house.node.people.contacts[account] = replace(house.node.people.contacts[account], alert="forked")


def removed(house: House, account: AccountId) -> None:
    del house.node.people.contacts[account]


@pytest.mark.parametrize("become", [blocked, alarming])
async def test_to_whom_nothing_is_sent_this_is_not_either(become: Callable[[House, AccountId], None]) -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        become(ann, BOB.account)
        assert await types(ann) == 0


@pytest.mark.parametrize("become", [blocked, removed])
async def test_of_who_is_no_contact_nothing_is_told(become: Callable[[House, AccountId], None]) -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        heard = ear(bob)
        become(bob, ANN.account)
        await types(ann)
        assert heard == []


async def test_a_flood_is_one_word_and_the_link_stays() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        heard, link = ear(bob), next(iter(ann.node.links)).link
        for _ in range(1000):
            ann.node.linkage.send(link, Typing())
            await settle(2)
        await settle()
        assert heard == [(ANN.account, True)] and ann.linked(bob) and bob.linked(ann)
        assert (await ann.send("still here", wait="delivered"))["state"] == "delivered"


async def test_a_link_that_has_ended_says_nothing() -> None:
    async with neighbours(ANN, BOB) as (_, bob):
        heard: list[Any] = ear(bob)
        bob.node.typists.received(max(opened.link for opened in bob.node.links) + 1000)  # type: ignore[arg-type]
        assert heard == []
