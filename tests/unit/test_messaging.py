"""`send`, `inbox`, `history` and `read`, against two nodes of one process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon.messaging import check_text
from p2pmsg.errors import ContactNotFound, EmptyText, InvalidText, MessageNotFound, NotPermitted, StorageFull, TextTooLong, UsageError
from p2pmsg.rpc import api
from tests.unit.nodes import House, moved_in, neighbours, settle
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")


def alone() -> House:
    """Ann's device; Bob is away."""
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message["kind"] == "text"]


# -- sending


async def test_a_message_to_somebody_absent_is_queued() -> None:
    house = alone()
    sent = await house.send("hello")
    assert (sent["text"], sent["state"], sent["mine"], sent["from"]["account"]) == ("hello", "queued", True, ANN.account.hex())
    assert (await house.history())[-1] == sent


async def test_a_message_is_delivered_and_read() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        sent = await ann.send("hello", wait="delivered")
        assert sent["state"] == "delivered" and sent["deliveries"][0]["at"] is not None
        waiting = asyncio.get_running_loop().create_task(ann.send("and this?", wait="read"))
        await bob.until(lambda: bob.shelf.unread_all() >= 2)
        assert texts(await bob.read()) == ["hello", "and this?"]
        assert (await waiting)["state"] == "read"


async def test_without_receipts_nobody_hears_that_it_was_read() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        sent = await ann.send("hello", wait="delivered")
        await bob.read(receipts=False)
        await settle()
        assert bob.shelf.unread_all() == 0
        assert next(each["state"] for each in await ann.history() if each["id"] == sent["id"]) == "delivered"


async def test_who_waits_for_too_much_gets_it_as_it_stands() -> None:
    house = alone()
    before = list(house.node.changed)
    sent = await house.send("hello", wait="delivered", timeout_s=0.01)
    assert sent["state"] == "queued" and house.node.changed == before


async def test_a_message_to_myself_is_read_at_once() -> None:
    sent = await alone().send("a note", target="me", wait="read")
    assert sent["state"] == "read" and sent["deliveries"] == []


async def test_the_same_key_sends_once() -> None:
    house = alone()
    first = await house.send("one", key="k")
    assert await house.send("another", key="k") == first
    assert (await house.send("two", key="k2"))["id"] != first["id"]
    assert texts(await house.history()) == ["one", "two"]


async def test_the_same_key_at_the_same_time_sends_once() -> None:
    house = alone()
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(house.send("one", key="k")) for _ in range(5)]
    assert len({task.result()["id"] for task in sent}) == 1 and texts(await house.history()) == ["one"]


@pytest.mark.parametrize("key", ["", "k" * 257])
async def test_what_is_no_key(key: str) -> None:
    with pytest.raises(UsageError):
        await alone().send("hello", key=key)
    assert (await alone().send("hello", key="k" * 256))["text"] == "hello"


@pytest.mark.parametrize(
    "text,error",
    [
        ("", EmptyText),
        ("a\0b", InvalidText),
        ("\ud800", InvalidText),
        ("x" * (limits.TEXT_BYTES + 1), TextTooLong),
        ("é" * (limits.TEXT_BYTES // 2 + 1), TextTooLong),
    ],
)
async def test_what_is_no_text(text: str, error: type[Exception]) -> None:
    house = alone()
    with pytest.raises(error):
        await house.send(text)
    assert texts(await house.history()) == []


async def test_the_longest_text_is_sent() -> None:
    check_text("é" * (limits.TEXT_BYTES // 2))
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("x" * limits.TEXT_BYTES, wait="delivered")
        assert texts(await bob.history()) == ["x" * limits.TEXT_BYTES]


async def test_nobody_to_send_to() -> None:
    with pytest.raises(ContactNotFound):
        await alone().send("hello", target="Eve")


async def test_a_full_disk_refuses_before_it_accepts() -> None:
    house = alone()
    house.storage.free_bytes = 0
    with pytest.raises(StorageFull):
        await house.send("hello")
    assert texts(await house.history()) == []


async def test_an_old_copy_writes_nothing() -> None:
    house = alone()
    house.node.old_copy = True
    with pytest.raises(NotPermitted):
        await house.send("hello")


async def test_who_hangs_up_while_waiting_leaves_nothing_behind() -> None:
    house = alone()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(house.send("hello", wait="read"))
        await settle()
        assert len(house.node.changed) == 1
        task.cancel()
    assert house.node.changed == [] and texts(await house.history()) == ["hello"]


async def test_messages_sent_at_once_keep_their_order() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        async with asyncio.TaskGroup() as tasks:
            for n in range(20):
                tasks.create_task(ann.send(str(n), wait="delivered"))
        assert texts(await bob.history()) == [str(n) for n in range(20)]


# -- inbox, history, read


async def test_the_inbox_shows_who_has_written() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("hello", wait="delivered")
        (talk,) = await bob.messaging().inbox(api.Inbox())
        assert (talk["name"], talk["unread"], talk["last"]["text"]) == ("Ann", 1, "hello")
        await bob.read()
        assert await bob.messaging().inbox(api.Inbox()) == []
        assert [talk["unread"] for talk in await bob.messaging().inbox(api.Inbox(all=True)) if talk["kind"] == "direct"] == [0]


async def test_history_has_the_last_and_marks_nothing_read() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        ids = [(await ann.send(str(n), wait="delivered"))["id"] for n in range(5)]
        assert texts(await bob.history(n=2)) == ["3", "4"]
        assert texts(await bob.history(before=ids[3])) == ["0", "1", "2"]
        assert texts(await bob.history(after=ids[1], n=2)) == ["2", "3"]
        assert texts(await bob.history(after=ids[0][:10], before=ids[4][:10])) == ["1", "2", "3"]
        assert {message["state"] for message in await bob.history() if message["kind"] == "text"} == {"unread"}


async def test_history_since_a_time() -> None:
    house = alone()
    await house.send("hello")
    assert texts(await house.history(since="2001-01-01T00:00:00Z")) == ["hello"]
    assert texts(await house.history(since="2101-01-01T00:00:00Z")) == []


@pytest.mark.parametrize(
    "since", ["9999-12-31T23:59:59Z", "7000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)
async def test_history_since_the_ends_of_time(since: str) -> None:
    house = alone()
    await house.send("hello")
    assert texts(await house.history(since=since)) == (["hello"] if since < "1000" else [])


@pytest.mark.parametrize("since", ["yesterday", "", "10m", "2026-13-01T00:00:00Z"])
async def test_history_since_what_is_no_time(since: str) -> None:
    with pytest.raises(UsageError):
        await alone().history(since=since)


async def test_history_before_a_message_that_is_not_there() -> None:
    house = alone()
    note = await house.send("a note", target="me")
    for named in ("dead" * 16, note["id"], "", "xyz"):
        with pytest.raises(MessageNotFound):
            await house.history(before=named)


async def test_reading_shows_what_is_unread_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("hello", wait="delivered")
        (message,) = await bob.read()
        assert (message["text"], message["state"]) == ("hello", "read")
        assert await bob.read() == [] and texts(await bob.history()) == ["hello"]


async def test_what_comes_while_reading_stays_unread() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("one", wait="delivered")
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(bob.read())
            tasks.create_task(ann.send("two", wait="delivered"))
        assert texts(reading.result()) + texts(await bob.read()) == ["one", "two"]


async def test_reading_writes_nothing_where_nothing_is_unread() -> None:
    house = alone()
    before = house.shelf.db.execute("SELECT count(*) FROM event").fetchone()
    assert await house.read() == [] and house.shelf.db.execute("SELECT count(*) FROM event").fetchone() == before


async def test_a_full_disk_does_not_keep_from_reading() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await ann.send("hello", wait="delivered")
        bob.storage.free_bytes = 0
        assert texts(await bob.read()) == ["hello"] and bob.shelf.unread_all() == 0
