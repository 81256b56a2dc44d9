"""What my user and the other side say while both compare, in every order."""

from __future__ import annotations

import asyncio

import pytest

from p2pmsg.crypto import sas
from p2pmsg.daemon.attempts import Attempt, Outcome, confirm, settle
from p2pmsg.errors import P2pmsgError, PeerUnreachable, SasMismatch
from p2pmsg.model.addresses import Address
from tests.unit.nodes import House
from tests.unit.people import Person
from tests.unit.strangers import Asked, nearby, outcome

pytestmark = pytest.mark.asyncio
STRINGS = sas.strings(bytes(32))
ANN, BOB = Person("Ann"), Person("Bob")


class Here:
    """Somebody compares: `consented` counts what is handed on to the link."""

    def __init__(self, line: str | None) -> None:
        self.user = Asked(line)
        self.ended: Outcome = asyncio.get_running_loop().create_future()
        self.consented = 0

    def consent(self) -> None:
        self.consented += 1

    async def compares(self) -> P2pmsgError | None:
        found: P2pmsgError | None = await outcome(confirm(self.user, STRINGS, self.ended, self.consent))  # type: ignore[arg-type]
        return found


async def test_the_question_is_that_of_the_contract() -> None:
    here = Here("no")
    await here.compares()
    assert here.user.questions.get_nowait() == {"type": "sas", "numbers": [1000] * 3, "emoji": ["Dog"] * 7}


@pytest.mark.parametrize("line", ["yes", " YES \r"])
async def test_yes_is_handed_on_and_the_outcome_awaited(line: str) -> None:
    here = Here(line)
    async with asyncio.TaskGroup() as tasks:
        comparing = tasks.create_task(here.compares())
        await asyncio.sleep(0.01)
        assert here.consented == 1 and not comparing.done()
        settle(here.ended, None)
    assert comparing.result() is None


@pytest.mark.parametrize("line", ["no", "", "yess", "y"])
async def test_anything_else_is_no(line: str) -> None:
    here = Here(line)
    assert isinstance(await here.compares(), SasMismatch) and here.consented == 0


async def test_the_end_of_the_link_ends_the_question() -> None:
    here = Here(None)
    async with asyncio.TaskGroup() as tasks:
        comparing = tasks.create_task(here.compares())
        await here.user.questions.get()
        settle(here.ended, PeerUnreachable("gone"))
    assert isinstance(comparing.result(), PeerUnreachable) and here.consented == 0


async def test_the_first_word_counts() -> None:
    here = Here("yes")
    settle(here.ended, SasMismatch("no"))
    settle(here.ended, None)
    assert isinstance(await here.compares(), SasMismatch)


async def test_nobody_there_comes_to_nothing() -> None:
    house = House(ANN).start()
    attempt = Attempt(house.node, "Bob", None)
    assert await attempt.dial([]) is None
    assert await attempt.dial([Address("10.0.0.77", 4000), Address("10.0.0.78", 4000)]) is None
    attempt.leave()


async def test_one_link_counts_where_several_addresses_are_the_same_node() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        attempt = Attempt(bob.node, "Ann", None)
        there = ann.house.address
        admitted = await attempt.dial([there, there, there])
        assert admitted is not None and admitted == (attempt.link, attempt.strings)
        assert [request["live"] for request in await ann.requests()] == [True]
        attempt.leave()
        await ann.asked_by("Bob", live=False)
