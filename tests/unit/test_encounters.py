"""Two people nearby: what each of them types, and what comes of it on both sides."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon import encounters
from p2pmsg.daemon.load import load_people
from p2pmsg.errors import (
    Ambiguous,
    ContactNotFound,
    InvalidName,
    NoNetwork,
    NotPermitted,
    PeerUnreachable,
    RequestNotFound,
    SasMismatch,
    TimedOut,
    UsageError,
)
from p2pmsg.model.accounts import Trust
from p2pmsg.network.announcements import Announcement
from p2pmsg.rpc import api
from tests.unit.people import Person
from tests.unit.strangers import Asked, Stranger, nearby, outcome

pytestmark = pytest.mark.asyncio
ANN, BOB, CARL, OTHER_ANN = Person("Ann"), Person("Bob"), Person("Carl"), Person("ann", seed="another")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value_s in (("AGAIN_S", 0.01), ("QUIET_S", 0.05), ("RECENT_S", 0.2), ("_LOOK_S", 0.02)):
        monkeypatch.setattr(encounters, name, value_s)


def nothing_stored(*people: Stranger) -> bool:
    return all(not each.contacts and not load_people(each.house.shelf.db).contacts for each in people)


def shown(who: Stranger) -> Announcement:
    found = who.house.announcer.shown
    assert found is not None
    return found


async def both(ann: Stranger, bob: Stranger, ann_says: Asked, bob_says: Asked) -> tuple[Any, Any]:
    """Let Bob ask, and Ann accept; return what both commands ended with."""
    await ann.visible()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(outcome(bob.add("Ann", bob_says)))
        request = await ann.asked_by("Bob")
        accepting = tasks.create_task(outcome(ann.accept(request, ann_says)))
    return accepting.result(), asking.result()


async def test_both_see_the_same_say_yes_and_are_contacts() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        ann_says, bob_says = Asked(), Asked()
        hers, his = await both(ann, bob, ann_says, bob_says)
        question = ann_says.questions.get_nowait()
        assert question == bob_says.questions.get_nowait()
        assert question["type"] == "sas" and len(question["numbers"]) == 3 and len(question["emoji"]) == 7
        assert (hers["account"], his["account"]) == (BOB.account.hex(), ANN.account.hex())
        for found, person in ((hers, ann), (his, bob)):
            assert (found["trust"], found["verified_by"]) == ("verified", "sas")
            stored = load_people(person.house.shelf.db).contacts.values()
            assert [(contact.trust, contact.verified_by) for contact in stored] == [(Trust.VERIFIED, "sas")]
        assert await ann.requests() == []
        await ann.house.until(lambda: ann.house.linked(bob.house))


async def test_one_name_may_be_given_to_who_is_asked() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(bob.add("ann", Asked(), name="Annie"))
            await ann.accept(await ann.asked_by("Bob"), Asked())
        assert asking.result()["name"] == "Annie"
        with pytest.raises(InvalidName):
            await bob.add("ann", Asked(), name="a/b")


@pytest.mark.parametrize("word", ["no", "", "y", "yes please", "NO"])
async def test_anything_but_yes_stores_nothing_on_either_side(word: str) -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        hers, his = await both(ann, bob, Asked(word), Asked())
        assert isinstance(hers, SasMismatch) and isinstance(his, SasMismatch)
        assert nothing_stored(ann, bob) and await ann.requests() == []


async def test_no_of_who_asked_ends_the_question_on_the_other_side() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        silent, bob_says = Asked(None), Asked(None)
        async with asyncio.TaskGroup() as tasks:
            meeting = tasks.create_task(both(ann, bob, silent, bob_says))
            await silent.questions.get()
            bob_says.line.set_result("no")
        hers, his = meeting.result()
        assert isinstance(hers, SasMismatch) and isinstance(his, SasMismatch)
        assert nothing_stored(ann, bob)


async def test_yes_first_and_then_no_stores_nothing() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        bob_says = Asked(None)
        async with asyncio.TaskGroup() as tasks:
            meeting = tasks.create_task(both(ann, bob, Asked("yes"), bob_says))
            await bob_says.questions.get()
            await asyncio.sleep(0.05)
            bob_says.line.set_result("no")
        assert [type(each) for each in meeting.result()] == [SasMismatch, SasMismatch]
        assert nothing_stored(ann, bob)


async def test_a_no_that_came_before_anybody_looked_is_told_to_who_looks() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        with pytest.raises(SasMismatch):
            await bob.add("Ann", Asked("no"))
        request = await ann.asked_by("Bob", live=False)
        with pytest.raises(SasMismatch):
            await ann.accept(request, Asked())
        assert await ann.requests() == [] and nothing_stored(ann, bob)


# -- nobody looks


async def test_a_request_while_nobody_looks_waits() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        with pytest.raises(TimedOut, match="not both said yes in time"):
            await bob.add("Ann", Asked(), timeout_s=0.2)
        await ann.asked_by("Bob", live=False)
        (request,) = await ann.requests()
        assert set(request) == {"id", "account", "nickname", "kind", "live", "received_at"}
        assert (request["account"], request["kind"]) == (None, "contact")
        assert nothing_stored(ann, bob)


async def test_a_request_that_waits_goes_on_when_he_asks_again() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        with pytest.raises(TimedOut):
            await bob.add("Ann", Asked(), timeout_s=0.1)
        request = await ann.asked_by("Bob", live=False)
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(ann.accept(request, Asked()))
            await asyncio.sleep(0.15)
            asking = tasks.create_task(bob.add("Ann", Asked()))
        assert accepting.result()["name"] == "Bob" and asking.result()["name"] == "Ann"
        assert await ann.requests() == []


async def test_a_request_that_waits_asks_in_turn_where_he_is_visible() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        with pytest.raises(TimedOut):
            await bob.add("Ann", Asked(), timeout_s=0.1)
        request = await ann.asked_by("Bob", live=False)
        await ann.encounters.visible_off(api.VisibleOff())
        await bob.visible()
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(ann.accept(request, Asked()))
            await bob.accept(await bob.asked_by("Ann"), Asked())
        assert accepting.result()["verified_by"] == "sas" and await ann.requests() == []


async def test_a_request_of_who_has_gone_for_good() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        with pytest.raises(TimedOut):
            await bob.add("Ann", Asked(), timeout_s=0.1)
        request = await ann.asked_by("Bob", live=False)
        await ann.encounters.visible_off(api.VisibleOff())
        with pytest.raises(PeerUnreachable):
            await ann.accept(request, Asked())
        assert [each["id"] for each in await ann.requests()] == [request]


async def test_who_asked_goes_while_the_other_compares() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        silent = Asked(None)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(bob.add("Ann", Asked(None)))
            accepting = tasks.create_task(outcome(ann.accept(await ann.asked_by("Bob"), silent)))
            await silent.questions.get()
            asking.cancel()
        assert isinstance(accepting.result(), PeerUnreachable) and nothing_stored(ann, bob)


async def test_declining() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(outcome(bob.add("Ann", Asked())))
            request = await ann.asked_by("Bob")
            declined = await ann.encounters.decline(api.ContactDecline(id=request[:4]))
        assert declined["id"] == request and not declined["live"]
        assert isinstance(asking.result(), SasMismatch)
        assert await ann.requests() == [] and nothing_stored(ann, bob)


@pytest.mark.parametrize("word", ["", "a", "dead" * 4])
async def test_requests_that_are_not_there(word: str) -> None:
    async with nearby(ANN) as (ann,):
        with pytest.raises(RequestNotFound):
            await ann.accept(word, Asked())
        with pytest.raises(RequestNotFound):
            await ann.encounters.decline(api.ContactDecline(id=word))


# -- who is there


async def test_nearby_lists_who_is_visible_and_nobody_else() -> None:
    async with nearby(ANN, BOB, CARL) as (ann, bob, carl):
        await ann.visible()
        await carl.visible()
        found = await bob.encounters.nearby(api.ContactNearby(timeout_s=1))
        assert [each["nickname"] for each in found] == ["Ann", "Carl"] and {*found[0]} == {"id", "nickname"}
        await ann.encounters.visible_off(api.VisibleOff())
        assert [each["nickname"] for each in await bob.encounters.nearby(api.ContactNearby(timeout_s=1))] == ["Carl"]
        assert await carl.encounters.nearby(api.ContactNearby(timeout_s=0.05)) == []


async def test_two_of_one_name_are_told_apart_by_id() -> None:
    async with nearby(ANN, BOB, OTHER_ANN) as (ann, bob, other):
        await ann.visible()
        await other.visible()
        with pytest.raises(Ambiguous) as caught:
            await bob.add("ANN", Asked())
        found = await bob.encounters.nearby(api.ContactNearby(timeout_s=1))
        assert caught.value.candidates == sorted(each["id"] for each in found)
        ann_now = next(each["id"] for each in found if each["nickname"] == "Ann")
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(bob.add(ann_now, Asked()))
            await ann.accept(await ann.asked_by("Bob"), Asked())
        assert asking.result()["account"] == ANN.account.hex()


async def test_nobody_of_that_name() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        with pytest.raises(ContactNotFound):
            await bob.add("Ann", Asked())
        await ann.visible()
        with pytest.raises(ContactNotFound):
            await bob.add("Annabel", Asked())


async def test_who_adds_one_who_asks_already_answers_him() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        await bob.visible()
        ann_says, bob_says = Asked(), Asked()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(bob.add("Ann", bob_says))
            await ann.asked_by("Bob")
            answering = tasks.create_task(ann.add("Bob", ann_says))
        assert ann_says.questions.get_nowait() == bob_says.questions.get_nowait()
        assert asking.result()["name"] == "Ann" and answering.result()["name"] == "Bob"


async def test_who_adds_one_who_asks_already_may_name_him() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        await bob.visible()
        ann_says, bob_says = Asked(), Asked()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(bob.add("Ann", bob_says))
            await ann.asked_by("Bob")
            answering = tasks.create_task(ann.add("Bob", ann_says, name="Bobby"))
        assert ann_says.questions.get_nowait() == bob_says.questions.get_nowait()
        assert asking.result()["name"] == "Ann" and answering.result()["name"] == "Bobby"
        (stored,) = load_people(ann.house.shelf.db).contacts.values()
        assert stored.name == "Bobby"


@pytest.mark.parametrize("first_s", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("by_id", [False, True])
async def test_two_who_add_each_other_at_once_see_the_same(first_s: float, by_id: bool) -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        await bob.visible()
        words = [shown(each).nonce.hex() for each in (ann, bob)] if by_id else ["Ann", "Bob"]
        for first, second, (hers, his) in ((ann, bob, words), (bob, ann, words[::-1])):
            says, replies = Asked(), Asked()
            async with asyncio.TaskGroup() as tasks:
                one = tasks.create_task(first.add(his, says))
                await asyncio.sleep(first_s)
                other = tasks.create_task(second.add(hers, replies))
            assert says.questions.get_nowait() == replies.questions.get_nowait()
            assert {one.result()["name"], other.result()["name"]} == {"Ann", "Bob"}
            assert await ann.requests() == await bob.requests() == []


async def test_one_who_is_asked_by_a_third_while_he_asks() -> None:
    async with nearby(ANN, BOB, CARL) as (ann, bob, carl):
        for each in (ann, bob, carl):
            await each.visible()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ann.add("Bob", Asked()))
            third = tasks.create_task(carl.add("Ann", Asked()))
            await bob.accept(await bob.asked_by("Ann"), Asked())
            await ann.accept(await ann.asked_by("Carl"), Asked())
        assert asking.result()["name"] == "Bob" and third.result()["name"] == "Ann"
        assert {contact.nickname for contact in ann.contacts} == {"Bob", "Carl"}


@pytest.mark.parametrize("how", ["decline", "no"])
async def test_who_accepts_twice_hears_of_the_first_answer(how: str) -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(outcome(bob.add("Ann", Asked())))
            request = await ann.asked_by("Bob")
            waiting = Asked(None)
            accepting = tasks.create_task(outcome(ann.accept(request, waiting)))
            await waiting.questions.get()
            if how == "no":
                assert isinstance(await outcome(ann.accept(request, Asked("no"))), SasMismatch)
            else:
                await ann.encounters.decline(api.ContactDecline(id=request))
        assert isinstance(accepting.result(), SasMismatch) and isinstance(asking.result(), SasMismatch)
        assert nothing_stored(ann, bob)


class Listeners(list[Any]):
    """Tells when the first one listens."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def append(self, listener: Any) -> None:
        super().append(listener)
        self.begun.set()


@pytest.mark.parametrize("when", ["looking", "waiting"])
async def test_who_waits_for_somebody_to_ask_again_hears_that_he_was_declined(when: str) -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        ann.node.visibility.asked = Listeners()
        await ann.visible()
        assert isinstance(await outcome(bob.add("Ann", Asked(), timeout_s=0.1)), TimedOut)
        request = await ann.asked_by("Bob", live=False)
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(outcome(ann.accept(request, Asked())))
            if when == "waiting":
                await ann.node.visibility.asked.begun.wait()
            else:
                await asyncio.sleep(0)
            await ann.encounters.decline(api.ContactDecline(id=request))
        assert isinstance(accepting.result(), SasMismatch if when == "waiting" else RequestNotFound)


async def test_who_answers_one_who_asks_waits_no_longer_than_he_said() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        await bob.visible()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(outcome(bob.add("Ann", Asked(None))))
            request = await ann.asked_by("Bob")
            late = await outcome(ann.add("Bob", Asked(), timeout_s=0.05))
            assert isinstance(late, TimedOut) and "waits here" in late.hint
            assert await ann.asked_by("Bob", live=False) == request  # her yes does not count any more
        assert isinstance(asking.result(), PeerUnreachable) and nothing_stored(ann, bob)


async def test_who_answers_by_an_id_one_who_asks_waits_no_longer_either() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        await bob.visible()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(outcome(bob.add("Ann", Asked(None))))
            request = await ann.asked_by("Bob")
            unanswered = await outcome(ann.add(shown(bob).nonce.hex(), Asked(None), timeout_s=0.05))
            assert isinstance(unanswered, TimedOut) and "waits here" in unanswered.hint
            late = await outcome(ann.add(shown(bob).nonce.hex(), Asked(), timeout_s=0.05))
            assert isinstance(late, TimedOut)
            assert await ann.asked_by("Bob", live=False) == request
        assert isinstance(asking.result(), PeerUnreachable) and nothing_stored(ann, bob)


async def test_a_whole_id_is_nobodys_name() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        named = shown(ann)
        posing = replace(named, nonce=bytes(8), nickname=named.nonce.hex())
        assert bob.encounters._matching([posing, named], named.nonce.hex()) == [named]


async def test_who_says_goodbye_is_not_waited_for() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        ann.node.visibility.until_ms = None
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(outcome(bob.add("Ann", Asked(), timeout_s=15)))
            await asyncio.sleep(0.05)
            ann.air.hide()
        assert isinstance(asking.result(), PeerUnreachable)


async def test_a_node_that_is_visible_no_more_lets_nobody_in() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        ann.node.visibility.until_ms = None  # and its goodbye was lost
        asked = Asked()
        with pytest.raises(PeerUnreachable):
            await bob.add("Ann", asked, timeout_s=0.2)
        assert asked.questions.empty() and await ann.requests() == []


async def test_the_second_waits_for_his_turn() -> None:
    async with nearby(ANN, BOB, CARL) as (ann, bob, carl):
        await ann.visible()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(bob.add("Ann", Asked()))
            request = await ann.asked_by("Bob")
            second = tasks.create_task(carl.add("Ann", Asked()))
            await asyncio.sleep(0.05)
            assert [each["nickname"] for each in await ann.requests()] == ["Bob"]
            await ann.accept(request, Asked())
            await ann.accept(await ann.asked_by("Carl"), Asked())
        assert first.result()["name"] == second.result()["name"] == "Ann"
        assert {contact.nickname for contact in ann.contacts} == {"Bob", "Carl"}


# -- where it cannot be


@pytest.mark.parametrize("for_s", [0, 0.5, limits.VISIBLE_MAX_S + 1])
async def test_for_how_long_nobody_is_visible(for_s: float) -> None:
    async with nearby(ANN) as (ann,):
        with pytest.raises(UsageError):
            await ann.visible(for_s)


async def test_without_network_or_multicast() -> None:
    async with nearby(ANN) as (ann,):
        ann.house.announcer.interfaces = ()
        with pytest.raises(NoNetwork):
            await ann.visible()
        ann.air.multicasts = False
        for attempt in (ann.visible(), ann.add("Bob", Asked()), ann.encounters.nearby(api.ContactNearby())):
            with pytest.raises(NotPermitted):
                await attempt


async def test_contacts_may_compare_again() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await both(ann, bob, Asked(), Asked())
        hers, his = await both(ann, bob, Asked(), Asked())
        assert (hers["verified_by"], his["verified_by"]) == ("sas", "sas")
        assert len(ann.contacts) == len(bob.contacts) == 1
