"""What is compared on a link: how long, how often, and what a contact who does not keep to it brings about."""

from __future__ import annotations

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon.verifying import Comparison
from p2pmsg.errors import PeerMisbehaved, SasMismatch
from p2pmsg.model.ids import LinkNumber
from p2pmsg.protocol.verifying import Step
from p2pmsg.protocol.wire import Verify
from tests.unit.nodes import House, neighbours
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")


def link_of(house: House) -> LinkNumber:
    return next(iter(house.node.links)).link


async def compared(ann: House, bob: House) -> tuple[Comparison, Comparison]:
    """Return both sides of a comparison that has come as far as the strings."""
    one = ann.node.verifying.ask(BOB.account)
    await bob.until(lambda: bool(bob.node.verifying.requests))
    return one, next(iter(bob.node.verifying.requests.values()))


async def test_who_is_asked_hears_of_it() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        one, other = await compared(ann, bob)
        assert other.as_json() == {
            "id": other.id,
            "account": ANN.account.hex(),
            "nickname": "Ann",
            "kind": "verify",
            "live": True,
            "received_at": other.as_json()["received_at"],
        }
        assert one.machine.strings == other.machine.strings
        assert ann.node.verifying.ask(BOB.account) is one


async def test_who_says_yes_in_two_windows_says_it_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        one, other = await compared(ann, bob)
        ann.node.verifying.consent(one)
        ann.node.verifying.consent(one)
        bob.node.verifying.consent(other)
        assert await one.outcome is None and await other.outcome is None
        assert ann.linked(bob) and bob.linked(ann)


async def test_a_lie_ends_the_comparison_and_the_link() -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        one = ann.node.verifying.ask(BOB.account)
        with pytest.raises(PeerMisbehaved):
            ann.node.verifying.received(link_of(ann), Verify(Step.REVEAL, bytes(32)))
        assert isinstance(one.outcome.result(), SasMismatch)


async def test_after_the_end_it_is_quiet_for_a_while() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        _, other = await compared(ann, bob)
        bob.node.verifying.refuse(other)
        bob.node.verifying.received(link_of(bob), Verify(Step.COMMIT, bytes(32)))
        assert not bob.node.verifying.requests and limits.VERIFY_EVERY_S > 0


async def test_a_second_question_during_the_first_is_misbehaviour() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await compared(ann, bob)
        with pytest.raises(PeerMisbehaved, match="twice"):
            bob.node.verifying.received(link_of(bob), Verify(Step.COMMIT, bytes(32)))


async def test_frames_of_what_is_over_are_passed_over() -> None:
    async with neighbours(ANN, BOB) as (_, bob):
        bob.node.verifying.received(link_of(bob), Verify(Step.YES, b""))
        bob.node.verifying.received(link_of(bob), Verify(Step.NO, b""))
