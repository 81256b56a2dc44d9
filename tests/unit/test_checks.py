"""What two linked nodes tell each other of the way between them."""

from __future__ import annotations

import asyncio

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon.checks import Answer
from p2pmsg.model.addresses import Path
from p2pmsg.model.ids import LinkNumber
from p2pmsg.protocol.wire import Check, Checked, Sighting
from tests.unit.nodes import House, neighbours, settle
from tests.unit.people import Person, seeded

ANN, BOB = Person("Ann"), Person("Bob")
NONCE, ADDRESSES = b"n" * 10, b"a" * 7


def link_of(house: House) -> LinkNumber:
    return next(iter(house.node.links)).link


def announce(who: Person, to: House, path: Path) -> None:
    """Have somebody's announcement be heard."""
    key = seeded(f"{who.name}/presence")
    tags = gates.tag(key, NONCE, ADDRESSES) + bytes(8 * (limits.TAGS - 1))
    to.node.announced(NONCE, ADDRESSES, tags, [], path)


@pytest.mark.asyncio
async def test_a_peer_tells_its_clock_and_where_i_am() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        answer = await ann.node.checks.ask(link_of(ann))
        assert answer is not None and abs(answer.clock_ahead_ms) < 1000
        assert answer.address == next(iter(bob.node.linkage)).address and answer.heard == {}


@pytest.mark.asyncio
async def test_it_tells_what_it_heard_of_me_and_of_nobody_else() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        for path in (Path.MDNS, Path.MDNS, Path.BEACON, Path.LAST_KNOWN):
            announce(ANN, bob, path)
        answer = await ann.node.checks.ask(link_of(ann))
        assert answer is not None and answer.heard == {Path.MDNS: (0, 0), Path.BEACON: (0, 0)}
        assert set(bob.node.checks.heard(ANN.account)) == {Path.MDNS, Path.BEACON, Path.LAST_KNOWN}
        assert ann.node.checks.heard(BOB.account) == {}


@pytest.mark.asyncio
async def test_who_is_asked_listens_anew_but_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHECK_EVERY_S", 0.0)
    async with neighbours(ANN, BOB) as (ann, bob):
        looks: list[float] = []
        bob.node.checks.look = lambda: looks.append(bob.node.clock.now())
        for _ in range(3):
            assert await ann.node.checks.ask(link_of(ann)) is not None
        assert len(looks) == 1


@pytest.mark.asyncio
async def test_all_are_asked_at_once() -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        assert list(await ann.node.checks.ask_all()) == [link_of(ann)]


@pytest.mark.asyncio
async def test_a_second_question_within_a_second_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pmsg.daemon.checks.PATIENCE_S", 0.05)
    async with neighbours(ANN, BOB) as (ann, bob):
        assert await ann.node.checks.ask(link_of(ann)) is not None
        assert await ann.node.checks.ask(link_of(ann)) is None
        monkeypatch.setattr(limits, "CHECK_EVERY_S", 0.0)
        assert await ann.node.checks.ask(link_of(ann)) is not None
        assert ann.linked(bob)


@pytest.mark.asyncio
async def test_answers_that_nobody_waits_for_change_nothing() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        bob.node.linkage.send(link_of(bob), Checked(7, 1, b"", 0, []))
        await settle()
        assert ann.linked(bob)


@pytest.mark.asyncio
async def test_an_answer_of_a_later_version_is_understood_as_far_as_it_goes() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        checks = ann.node.checks
        asking = asyncio.get_running_loop().create_task(checks.ask(link_of(ann)))
        bob.node.checks.asked = lambda number, check: bob.node.linkage.send(  # type: ignore[method-assign]
            number, Checked(check.number, ann.node.clock.wall_ms() + 60_000, b"123", 9, [Sighting(9, 3, 1), Sighting(1, 5, 2)])
        )
        answer = await asking
        assert isinstance(answer, Answer)
        assert answer.address is None and answer.heard == {Path.MDNS: (5, 2)} and 59_000 < answer.clock_ahead_ms < 61_000


@pytest.mark.asyncio
async def test_a_link_that_has_ended_neither_asks_nor_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pmsg.daemon.checks.PATIENCE_S", 0.01)
    async with neighbours(ANN, BOB) as (ann, _bob):
        ann.node.checks.asked(LinkNumber(9999), Check(1))
        assert await ann.node.checks.ask(LinkNumber(9999)) is None
