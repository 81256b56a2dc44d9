"""`watch`: everything once, in order, from any cursor on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon import watching
from p2pmsg.daemon.watching import Watching
from p2pmsg.errors import ContactNotFound, CursorTooOld, UsageError
from p2pmsg.rpc import api
from p2pmsg.storage import feed
from tests.unit.nodes import House, moved_in, neighbours, settle
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, line, own

pytestmark = pytest.mark.asyncio
ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")


class Reader:
    """A client that watches (`rpc.connection.Call`); `slow` keeps it from taking more than it is allowed to."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.events: list[dict[str, Any]] = []
        self.came = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    async def reply(self, result: dict[str, Any]) -> None:
        self.cursor = result["cursor"]

    async def notify(self, event: dict[str, Any]) -> None:
        await self.reads.wait()
        self.events.append(event)
        self.came.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of the events that came."""
        async with asyncio.timeout(5):
            while not holds():
                self.came.clear()
                await self.came.wait()

    async def has(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many events came; return them all."""
        await self.until(lambda: len(self.events) >= count)
        return self.events

    def texts(self) -> list[str]:
        return [event["message"]["text"] for event in self.events if event["type"] == "message" and event["message"]["kind"] == "text"]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


async def replayed(house: House, **params: Any) -> Reader:
    """Watch until nothing more comes."""
    reader = Reader()
    async with watched(house, reader, **params):
        await settle()
    return reader


@contextlib.asynccontextmanager
async def watched(house: House, reader: Reader, **params: Any) -> AsyncIterator[Reader]:
    """Watch for as long as the block lasts."""
    async with asyncio.TaskGroup() as tasks:
        watcher = Watching(house.node, house.storage)  # type: ignore[arg-type]
        task = tasks.create_task(watcher.watch(api.Watch(**params), reader))  # type: ignore[arg-type]
        await settle(20)
        try:
            yield reader
        finally:
            task.cancel()


def alone() -> House:
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


async def test_without_a_cursor_one_hears_from_now_on() -> None:
    house = alone()
    await house.send("before")
    async with watched(house, Reader()) as reader:
        assert reader.cursor is not None and int(reader.cursor) > 0
        await house.send("after")
        await reader.has(1)
    assert reader.texts() == ["after"]


async def test_from_the_beginning_all_is_replayed_in_order() -> None:
    house = alone()
    for n in range(5):
        await house.send(str(n))
    reader = await replayed(house, since=0)
    cursors = [int(event["cursor"]) for event in reader.events]
    assert reader.texts() == list("01234") and cursors == sorted(set(cursors)) and reader.cursor == "0"


async def test_a_cursor_older_than_what_is_kept_is_refused_and_the_hint_names_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FEED_LEAST", 2)
    house = alone()
    for n in range(5):
        await house.send(str(n))
    last = feed.last_cursor(house.shelf.db)
    await house.storage.run(lambda db: feed.prune(db, house.node.clock.wall_ms() + 1))
    reader, watcher = Reader(), Watching(house.node, house.storage)  # type: ignore[arg-type]
    for since in (0, last - 3):
        with pytest.raises(CursorTooOld) as refused:
            await watcher.watch(api.Watch(since=since), reader)  # type: ignore[arg-type]
        assert f"--since {last - 2} " in refused.value.hint and reader.cursor is None
    assert (await replayed(house, since=last - 2)).texts() == ["3", "4"]


async def test_a_client_that_reads_so_slowly_that_changes_are_dropped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_PAGE", 1)
    monkeypatch.setattr(limits, "FEED_LEAST", 0)
    house = alone()
    for n in range(5):
        await house.send(str(n))
    reader = Reader()
    reader.reads.clear()
    with pytest.raises(ExceptionGroup) as ended:
        async with watched(house, reader, since=0):
            await house.storage.run(lambda db: feed.prune(db, house.node.clock.wall_ms() + 1))
            reader.reads.set()
            await settle()
    assert isinstance(ended.value.exceptions[0], CursorTooOld) and len(reader.events) == 1


async def test_a_line_s_cursor_is_the_position_after_it() -> None:
    house = alone()
    for n in range(5):
        await house.send(str(n))
    whole = await replayed(house, since="0")
    for at, event in enumerate(whole.events):
        later = await replayed(house, since=event["cursor"])
        assert later.events == whole.events[at + 1 :] and later.cursor == event["cursor"]


async def test_many_pages_are_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_PAGE", 3)
    house = alone()
    for n in range(10):
        await house.send(str(n))
    assert (await replayed(house, since=0)).texts() == list("0123456789")


@pytest.mark.parametrize("since", ["-1", -1, "x", "", "1.5", "999999", 999_999, "9" * 5000])
async def test_what_is_no_cursor(since: str | int) -> None:
    house = alone()
    with pytest.raises(UsageError):
        await Watching(house.node, house.storage).watch(api.Watch(since=since), Reader())  # type: ignore[arg-type]
    assert house.node.changed == [] == house.node.peer_changed


@pytest.mark.parametrize("page", [1, 2, 200])
async def test_it_ends_after_n_events(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(watching, "_PAGE", page)
    house = alone()
    for n in range(5):
        await house.send(str(n))
    everything = (await replayed(house, since=0)).events
    reader = Reader()
    async with asyncio.timeout(5):
        await Watching(house.node, house.storage).watch(api.Watch(since=0, n=3), reader)  # type: ignore[arg-type]
    assert reader.events == everything[:3] and house.node.changed == [] == house.node.peer_changed


async def test_a_client_that_goes_is_forgotten() -> None:
    house = alone()
    async with watched(house, Reader()):
        assert len(house.node.changed) == len(house.node.peer_changed) == 1
    assert house.node.changed == [] == house.node.peer_changed


async def test_one_conversation_alone() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB, CARL)).start()
    await house.send("to Bob")
    await house.send("to Carl", target="Carl")
    await house.send("to me", target="me")
    assert (await replayed(house, since=0, within="Carl")).texts() == ["to Carl"]
    assert (await replayed(house, since=0, within="me")).texts() == ["to me"]
    with pytest.raises(ContactNotFound):
        await Watching(house.node, house.storage).watch(api.Watch(within="Eve"), Reader())  # type: ignore[arg-type]


async def test_states_are_told_as_they_come() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        reader = Reader()
        async with watched(ann, reader):
            sent = await ann.send("hello", wait="delivered")
            await bob.read()
            await reader.until(lambda: bool(reader.events) and reader.events[-1].get("state") == "read")
        states = [event["state"] for event in reader.events if event["type"] == "state"]
        assert states in (["delivered", "read"], ["sent", "delivered", "read"])
        assert {(event["id"], event["account"]) for event in reader.events if event["type"] == "state"} == {(sent["id"], BOB.account.hex())}


async def test_a_message_comes_as_it_was_and_its_states_follow_in_order_also_when_replayed() -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        await ann.send("hello", wait="delivered")
        reader = await replayed(ann, since=0)
        (event,) = [event for event in reader.events if event["type"] == "message" and event["message"]["kind"] == "text"]
        assert event["message"]["state"] == "queued" and set(event) == {"cursor", "at", "type", "message", "notify"}
        assert [each["state"] for each in event["message"]["deliveries"]] == ["queued"]
        assert [each["state"] for each in reader.events if each["type"] == "state"][-1] == "delivered"


async def test_only_what_is_new_of_others_is_worth_a_notice() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await bob.send("before", wait="delivered")
        async with watched(ann, Reader(), since=0) as reader:
            await bob.send("now", wait="delivered")
            await ann.send("mine", wait="delivered")
            await reader.until(lambda: len(reader.texts()) == 3)
        notify = {event["message"]["text"]: event["notify"] for event in reader.events if event["type"] == "message"}
        assert notify.pop("You and Bob are contacts now. You used Bob's invite.") is False
        assert notify == {"before": False, "now": True, "mine": False}


async def test_what_another_device_of_mine_has_shown_is_no_news() -> None:
    house = alone()
    events = line(Shelf(BOB), direct(ANN, BOB), ["read", "unread"])
    async with watched(house, Reader()) as reader:
        house.shelf.mark_read(direct(ANN, BOB).id, events[:1])
        house.shelf.take(events, BOB)
        house.node.wake(feed=True)
        await reader.has(2)
    assert [event["notify"] for event in reader.events] == [False, True]


async def test_what_was_erased_since_is_passed_over() -> None:
    shelf = moved_in(ANN, BOB)
    event = shelf.say(BOB, "secret")
    shelf.say(BOB, "open")
    shelf.delete(BOB, [event])
    assert (await replayed(House(ANN, shelf=shelf).start(), since=0)).texts() == ["open"]


async def test_peers_that_come_and_go_are_told_live() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        reader = Reader()
        async with watched(ann, reader):
            bob.node.stop()
            await reader.has(1)
        (event,) = reader.events
        assert (event["type"], event["peer"]["name"], event["peer"]["online"]) == ("peer", "Bob", False)
        assert event["cursor"] == reader.cursor
        assert "peer" not in (await replayed(ann, since=0)).types()


async def test_peers_do_not_concern_who_watches_a_conversation() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        reader = Reader()
        async with watched(ann, reader, within="Bob"):
            bob.node.stop()
            await ann.until(lambda: not ann.linked(bob))
            await settle()
        assert reader.events == []


async def test_who_types_is_told_to_whom_that_matters_and_never_again() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB, CARL)).start()
    readers = {"all": {}, "Bob": {"within": "Bob"}, "Carl": {"within": "Carl"}, "me": {"within": "me"}}
    heard: dict[str, list[Any]] = {}
    for name, params in readers.items():
        async with watched(house, Reader(), typing=True, **params) as reader, watched(house, Reader(), **params) as other:
            for types in (True, False):
                for tell in house.node.typists.changed:
                    tell(BOB.account, types)
                await settle()
        assert other.events == [] and house.node.typists.changed == []
        heard[name] = [event["typing"] for event in reader.events]
        assert {event["cursor"] for event in reader.events} <= {reader.cursor} and set(reader.types()) <= {"typing"}
    told = [{"account": BOB.account.hex(), "name": "Bob", "for_s": seconds} for seconds in (6, 0)]
    assert heard == {"all": told, "Bob": told, "Carl": [], "me": []}
    assert "typing" not in (await replayed(house, since=0, typing=True)).types()


async def test_who_types_is_told_before_the_message_that_ends_it_and_a_break_loses_no_message() -> None:
    house = alone()
    reader = Reader()
    reader.reads.clear()
    async with watched(house, reader, typing=True):
        await house.send("one")
        await settle()
        (tell,) = house.node.typists.changed
        for _ in range(1000):
            tell(BOB.account, True)
        await house.send("two")
        reader.reads.set()
        await reader.has(3)
    assert [event.get("message", {}).get("text") for event in reader.events] == ["one", None, "two"]
    assert (await replayed(house, since=reader.events[1]["cursor"])).texts() == ["two"]


async def test_objects_of_other_kinds_carry_what_they_were() -> None:
    house = alone()
    house.node.contact_changed(BOB.account)
    await house.storage.run(lambda db: feed.record(db, feed.ChangeType.ALERT, '{"code":"x"}', 1000))
    reader = await replayed(house, since=0)
    contact, alert = reader.events[-2:]
    assert (contact["type"], contact["contact"]["account"]) == ("contact", BOB.account.hex())
    assert (alert["type"], alert["alert"], alert["at"]) == ("alert", {"code": "x"}, "1970-01-01T00:00:01.000Z")


async def test_a_slow_client_misses_nothing() -> None:
    house = alone()
    reader = Reader()
    reader.reads.clear()
    async with watched(house, reader, since=0):
        for n in range(300):
            await house.send(str(n))
        reader.reads.set()
        await reader.until(lambda: len(reader.texts()) == 300)
    assert reader.texts() == [str(n) for n in range(300)]


async def test_two_clients_go_at_their_own_pace() -> None:
    house = alone()
    slow, quick = Reader(), Reader()
    slow.reads.clear()
    async with watched(house, slow), watched(house, quick):
        await house.send("hello")
        await quick.has(1)
        assert slow.events == []
        slow.reads.set()
        assert await slow.has(1) == quick.events


async def test_conversations_have_the_ids_that_messages_name() -> None:
    house = alone()
    sent = await house.send("hello"), await house.send("note", target="me")
    assert [message["conversation"] for message in sent] == [direct(ANN, BOB).id.hex(), own(ANN).id.hex()]
