"""Two contacts compare, each at a screen of his own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from p2pmsg.crypto import safety
from p2pmsg.daemon.encounters import Encounters
from p2pmsg.daemon.trusting import Trusting
from p2pmsg.errors import ContactNotFound, P2pmsgError, PeerUnreachable, SasMismatch, TimedOut, UsageError
from p2pmsg.model.accounts import Trust
from p2pmsg.rpc import api
from p2pmsg.storage import people as people_store
from tests.unit.nodes import House, moved_in, neighbours
from tests.unit.people import Person
from tests.unit.strangers import Asked

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")


async def verify(house: House, name: str, user: Asked | None = None, number: bool | str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = await Trusting(house.node).verify(api.ContactVerify(name=name, number=number), user or Asked())  # type: ignore[arg-type]
    return found


async def accept(house: House, user: Asked) -> dict[str, Any]:
    encounters = Encounters(house.node, house.announcer, Trusting(house.node))
    await house.until(lambda: bool(house.node.verifying.requests))
    waiting = await encounters.requests(api.ContactRequests())
    assert waiting[0]["kind"] == "verify" and waiting[0]["live"] is True and waiting[0]["account"]
    found: dict[str, Any] = await encounters.accept(api.ContactAccept(id=waiting[0]["id"]), user)  # type: ignore[arg-type]
    return found


async def quietly(verifying: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | P2pmsgError:
    """Return the error instead of raising it."""
    try:
        return await verifying
    except P2pmsgError as error:
        return error


def trust(house: House, other: Person) -> tuple[Trust, str | None]:
    """Return what memory says, which is what is stored."""
    contact = house.node.people.contacts[other.account]
    stored = people_store.contact(house.storage.db, other.account)
    assert stored is not None and (stored.trust, stored.verified_by) == (contact.trust, contact.verified_by)
    return contact.trust, contact.verified_by


async def test_both_say_yes() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        one, other = Asked(), Asked()
        async with asyncio.TaskGroup() as tasks:
            asking, asked = tasks.create_task(verify(ann, "Bob", one)), tasks.create_task(accept(bob, other))
        assert one.questions.get_nowait() == other.questions.get_nowait()
        assert asking.result()["verified_by"] == asked.result()["verified_by"] == "sas"
        assert trust(ann, BOB) == trust(bob, ANN) == (Trust.VERIFIED, "sas")
        assert not ann.node.verifying.requests and not bob.node.verifying.requests


@pytest.mark.parametrize(("says", "said"), [("no", "yes"), ("yes", "no"), ("", "yes")])
async def test_one_says_no(says: str, said: str) -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        before = trust(ann, BOB), trust(bob, ANN)
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(quietly(verify(ann, "Bob", mine := Asked(None))))
            other = tasks.create_task(quietly(accept(bob, theirs := Asked(None))))
            await theirs.questions.get()
            mine.line.set_result(says)
            theirs.line.set_result(said)
        assert isinstance(one.result(), SasMismatch) and isinstance(other.result(), SasMismatch)
        assert (trust(ann, BOB), trust(bob, ANN)) == before


async def test_both_ask_at_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        one, other = Asked(), Asked()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(verify(ann, "Bob", one))
            tasks.create_task(verify(bob, "Ann", other))
        assert one.questions.get_nowait() == other.questions.get_nowait()
        assert trust(ann, BOB) == trust(bob, ANN) == (Trust.VERIFIED, "sas")


async def test_who_goes_away_ends_it_for_both() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(quietly(verify(ann, "Bob", Asked(None))))
            other = tasks.create_task(quietly(accept(bob, gone := Asked(None))))
            await gone.questions.get()
            bob.node.stop()
        assert isinstance(one.result(), PeerUnreachable) and isinstance(other.result(), PeerUnreachable)


async def test_a_command_that_is_broken_off_is_a_no() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(verify(ann, "Bob", Asked(None)))
            other = tasks.create_task(quietly(accept(bob, seen := Asked(None))))
            await seen.questions.get()
            one.cancel()
        assert isinstance(other.result(), SasMismatch)


async def test_who_is_not_there_cannot_compare() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    with pytest.raises(PeerUnreachable):
        await verify(house, "Bob")
    with pytest.raises(ContactNotFound):
        await verify(house, "Eve")


async def test_a_machine_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pmsg.daemon.trusting._ANSWER_S", 0.05)
    async with neighbours(ANN, BOB) as (ann, bob):
        monkeypatch.setattr(bob.node.verifying, "received", lambda number, frame: None)
        with pytest.raises(TimedOut) as caught:
            await verify(ann, "Bob")
        assert "--number" in caught.value.hint


async def test_the_number() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        shown = await verify(ann, "Bob", number=True)
        assert shown == await verify(bob, "Ann", number=True) == {"number": safety.number(ANN.account, BOB.account)}
        digits = shown["number"]
        assert (await verify(ann, "Bob", number=f"{digits[:30]}  {digits[30:]}"))["verified_by"] == "number"
        assert trust(ann, BOB) == (Trust.VERIFIED, "number")


@pytest.mark.parametrize(("number", "error"), [("0" * 60, SasMismatch), ("0" * 59, UsageError), ("", UsageError), ("٣" * 60, UsageError)])
async def test_another_number(number: str, error: type[Exception]) -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    before = trust(house, BOB)
    with pytest.raises(error):
        await verify(house, "Bob", number=number)
    assert trust(house, BOB) == before
