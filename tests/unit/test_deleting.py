"""`delete` and retention, on nodes of one process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import gates
from p2pmsg.daemon import deleting
from p2pmsg.daemon.deleting import Deleting
from p2pmsg.daemon.relations import Relations
from p2pmsg.errors import Ambiguous, ConfirmationNeeded, ContactNotFound, MessageNotFound, NotPermitted, UsageError
from p2pmsg.rpc import api
from p2pmsg.storage import doors, erasing, feed, queries
from tests.unit.nodes import PAIR_KEY, House, moved_in, neighbours, settle
from tests.unit.people import Person
from tests.unit.shelves import direct

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
DAY_MS = 86_400_000


class Asked:
    """A client that is asked (`rpc.connection.Call`)."""

    def __init__(self, answer: str = "yes") -> None:
        self.answer = answer
        self.questions: list[Any] = []

    async def ask(self, question: object) -> str:
        self.questions.append(question)
        return self.answer


def alone() -> House:
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


def of(house: House, keep: str = "forever") -> Deleting:
    return Deleting(house.node, Settings(history_keep=keep))


async def delete(house: House, call: Asked | None = None, **params: Any) -> dict[str, Any]:
    """Delete a message by `id`, or a conversation by `within`."""
    return await of(house).delete(api.Delete(**params), call or Asked())  # type: ignore[arg-type]


async def texts(house: House) -> list[str]:
    return [message["text"] for message in await house.history() if message["kind"] == "text"]


def bodies(house: House) -> list[bytes | None]:
    return [body for (body,) in house.shelf.db.execute("SELECT body FROM event WHERE kind = 1 ORDER BY number")]


# -- by the user


async def test_a_system_line_counts_as_what_it_is() -> None:
    house = alone()
    (line,) = [each for each in await house.history() if each["kind"] == "system"]
    assert (await delete(house, id=line["id"]))["deleted"] == 1 and await house.history() == []


async def test_a_message_goes_here_and_nowhere_else() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        sent = await ann.send("hello", wait="delivered")
        call = Asked()
        done = await delete(ann, call, id=sent["id"][:10])
        assert done == {"conversation": sent["conversation"], "deleted": 1, "still_to_deliver": 0} and call.questions == []
        assert await texts(ann) == [] and bodies(ann) == [None] and await texts(bob) == ["hello"]
        await ann.send("still here?", wait="delivered")
        assert await texts(bob) == ["hello", "still here?"]


async def test_what_is_not_delivered_is_asked_for_and_still_delivered() -> None:
    house = alone()
    sent, call = await house.send("hello"), Asked()
    done = await delete(house, call, id=sent["id"])
    assert call.questions == [{"type": "confirm", "name": "Bob"}] and (done["deleted"], done["still_to_deliver"]) == (1, 1)
    assert await texts(house) == [] and bodies(house) != [None]


async def test_a_deleted_message_reaches_who_was_away() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        ann.node.close(next(iter(ann.node.links)).link, 0x101)
        await ann.until(lambda: not ann.linked(bob))
        sent = await ann.send("hello")
        await delete(ann, id=sent["id"])
        ann.sees(bob)
        await bob.until(lambda: bob.shelf.unread_all() > 0)
        await ann.until(lambda: bodies(ann) == [None])
        assert await texts(bob) == ["hello"]


@pytest.mark.parametrize("answer", ["no", ""])
async def test_whoever_says_no_deletes_nothing(answer: str) -> None:
    house = alone()
    sent = await house.send("hello")
    with pytest.raises(ConfirmationNeeded):
        await delete(house, Asked(answer), id=sent["id"])
    assert await texts(house) == ["hello"]


async def test_a_conversation_goes_as_a_whole() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        for n in range(3):
            await ann.send(f"{n}", wait="delivered")
        done = await delete(bob, within="ann")
        assert done["deleted"] == 3 and await bob.history() == [] and len(await texts(ann)) == 3
        assert bodies(bob) == [None] * 3 and bob.shelf.unread_all() == 0
        assert await delete(bob, within="ann") == done | {"deleted": 0}


@pytest.mark.parametrize("params", [{}, {"id": "abcd", "within": "bob"}])
async def test_one_thing_is_named(params: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        await delete(alone(), **params)


async def test_what_is_not_there() -> None:
    house = alone()
    sent = await house.send("hello")
    for prefix in ("", "abc", "0" * 64, "xyzw", sent["id"][:3]):
        with pytest.raises(MessageNotFound):
            await delete(house, id=prefix)
    with pytest.raises(ContactNotFound):
        await delete(house, within="carl")


async def test_an_id_that_fits_two_deletes_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    house = alone()

    def two(db: object, prefix: str) -> None:
        raise Ambiguous("two")

    monkeypatch.setattr(queries, "find_message", two)
    with pytest.raises(Ambiguous):
        await delete(house, id="abcd")


async def test_an_old_copy_deletes_nothing() -> None:
    house = alone()
    sent = await house.send("hello")
    house.node.old_copy = True
    with pytest.raises(NotPermitted):
        await delete(house, id=sent["id"])
    assert await of(house, "1s").sweep() == 0 and await texts(house) == ["hello"]


async def test_the_key_of_a_deleted_message_sends_nothing() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        sent = await ann.send("hello", key="k", wait="delivered")
        await delete(ann, id=sent["id"])
        with pytest.raises(MessageNotFound):
            await ann.send("hello", key="k")
        assert await texts(bob) == ["hello"]


# -- those who were contacts


async def remove(house: House, *, history: bool) -> None:
    relations = Relations(house.node, house.storage, house.announcer, house.endpoint)  # type: ignore[arg-type]
    await relations.remove(api.ContactRemove(name="Bob", history=history))


async def test_what_was_said_with_somebody_removed_is_found_by_the_id() -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        await ann.send("hello", wait="delivered")
        await remove(ann, history=False)
        talk = direct(ANN, BOB).id.hex()
        for target in (BOB.account.hex(), BOB.account.hex()[:8].upper(), talk):
            shown = await ann.messaging().history(api.History(target=target))
            assert [message["text"] for message in shown][-1] == "hello"
        with pytest.raises(ContactNotFound) as raised:
            await ann.messaging().history(api.History(target="bob"))
        assert BOB.account.hex()[:16] in raised.value.hint
        with pytest.raises(ContactNotFound):
            await ann.send("hello?", target=BOB.account.hex())
        assert (await delete(ann, within=BOB.account.hex()))["deleted"] == 1
        assert await ann.messaging().history(api.History(target=talk)) == [] and bodies(ann) == [None]


async def test_a_contact_goes_with_all_that_was_said() -> None:
    house = alone()
    await house.send("never delivered")
    await remove(house, history=True)
    assert await house.messaging().history(api.History(target=BOB.account.hex())) == [] and bodies(house) == [None]


async def test_who_comes_back_gets_what_is_said_then() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        bob.node.close(next(iter(bob.node.links)).link, 0x101)
        await ann.until(lambda: not ann.linked(bob))
        await ann.send("erased before he had it")
        await remove(ann, history=True)
        ann.shelf.meet(BOB)  # they meet again, which makes a gate
        doors.add_pair(ann.shelf.db, gates.pair_gate(PAIR_KEY, ANN.account, BOB.account), BOB.account, ann.shelf.now_ms)
        again = House(ANN, ann.endpoint.others, ann.shelf).start()
        await again.send("hello again")
        again.sees(bob)
        await bob.until(lambda: bob.shelf.unread_all() == 1)
        assert await texts(bob) == ["hello again"]
        again.node.stop()
        await settle()


# -- retention


def aged(house: House, days: int) -> None:
    """Let everything so far be as old as this."""
    house.shelf.db.execute("UPDATE event SET held_ms = ?", (house.node.clock.wall_ms() - days * DAY_MS,))


async def test_what_is_old_goes_and_what_is_new_stays() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("old", wait="delivered")
        aged(ann, 91)
        await ann.send("new", wait="delivered")
        assert await of(ann, "90d").sweep() == 1 and await texts(ann) == ["new"] and await texts(bob) == ["old", "new"]
        assert await of(ann, "90d").sweep() == 0


async def test_a_clock_that_leaps_ahead_deletes_nothing_at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        await ann.send("kept", wait="delivered")
        keeping, clock = of(ann, "7d"), ann.node.clock
        assert await keeping.sweep() == 0
        was = clock.wall_ms
        monkeypatch.setattr(clock, "wall_ms", lambda: was() + 3650 * DAY_MS)
        assert await keeping.sweep() == 0 and keeping._put_off and "ahead of what it was" in caplog.text
        monkeypatch.setattr(clock, "wall_ms", was)  # somebody has set it right
        assert await keeping.sweep() == 0 and not keeping._put_off and await texts(ann) == ["kept"]
        monkeypatch.setattr(clock, "wall_ms", lambda: was() + 3650 * DAY_MS)
        assert (await keeping.sweep(), await keeping.sweep()) == (0, 1)  # it stays so: then it counts


async def test_a_start_with_a_clock_far_ahead_deletes_nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        await ann.send("kept", wait="delivered")
        was = ann.node.clock.wall_ms
        monkeypatch.setattr(ann.node.clock, "wall_ms", lambda: was() + 31 * DAY_MS)
        keeping, looked = of(ann, "7d"), asyncio.Event()
        monkeypatch.setattr(deleting, "_AGAIN_S", 0.01)
        monkeypatch.setattr(deleting, "_AT_MOST_EVERY_S", 0.01)
        sweep = keeping.sweep

        async def counted() -> int:
            found.append(await sweep())
            looked.set()
            return found[-1]

        found: list[int] = []
        monkeypatch.setattr(keeping, "sweep", counted)
        task = asyncio.get_running_loop().create_task(keeping.keep_clean())
        async with asyncio.timeout(5):
            while len(found) < 2:
                looked.clear()
                await looked.wait()
        task.cancel()
        assert found == [0, 1] and await texts(ann) == []


async def test_for_ever_is_for_ever_and_what_is_undelivered_stays() -> None:
    house = alone()
    await house.send("old")
    aged(house, 9999)
    assert await of(house).sweep() == 0 == await of(house, "1d").sweep()
    assert await texts(house) == ["old"]


async def test_it_looks_at_once_daily_and_when_the_setting_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    house, rounds, looked = alone(), [], asyncio.Event()
    keeping = of(house)

    async def sweep() -> int:
        rounds.append(keeping._kept_s)
        looked.set()
        return 0

    monkeypatch.setattr(keeping, "sweep", sweep)
    monkeypatch.setattr(deleting, "_EVERY_S", 0.01)
    task = asyncio.get_running_loop().create_task(keeping.keep_clean())
    async with asyncio.timeout(5):
        while len(rounds) < 3:
            looked.clear()
            await looked.wait()
        monkeypatch.setattr(deleting, "_EVERY_S", 3600.0)
        monkeypatch.setattr(deleting, "_AT_MOST_EVERY_S", 0.01)
        for keep, seconds in (("90d", 90 * 86_400), ("1s", 1)):
            keeping.settings_changed(Settings(history_keep=keep))
            while rounds[-1] != seconds:
                looked.clear()
                await looked.wait()
        looked.clear()
        await looked.wait()  # a short time is looked after more often than daily
    task.cancel()


async def test_a_database_that_fails_stops_no_round(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    house = alone()
    aged(house, 0)

    async def run_write(job: object, *, room_bytes: int = 1) -> None:
        raise NotPermitted("no")

    monkeypatch.setattr(house.node, "run_write", run_write)
    assert await of(house, "1d").sweep() == 0 and "could not be deleted" in caplog.text
    monkeypatch.setattr(erasing, "newest_ms", refuses)
    assert await of(house, "1d").sweep() == 0 and "could not be looked for" in caplog.text


async def test_the_daily_round_drops_old_changes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(limits, "FEED_LEAST", 1)
    monkeypatch.setattr(feed, "_PRUNED_AT_ONCE", 2)
    house = alone()
    for text in "abcdefg":
        await house.send(text)
    house.shelf.db.execute("UPDATE feed SET at_ms = at_ms - ?", (int(limits.FEED_KEPT_S * 1000) + 60_000,))
    await house.send("new")
    task = asyncio.get_running_loop().create_task(of(house).keep_clean())
    await settle()
    assert len(feed.after(house.shelf.db, 0).changes) == 1
    task.cancel()
    monkeypatch.setattr(feed, "prune", fails)
    await of(house).forget_changes()
    assert "could not be dropped" in caplog.text


def refuses(db: object) -> int:
    raise NotPermitted("no")


def fails(db: object, before_ms: int) -> bool:
    raise NotPermitted("no")
