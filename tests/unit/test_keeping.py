"""What replication commands is done in storage, and what storage says goes back in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon import keeping, objects
from p2pmsg.errors import NotPermitted, StorageFailed, StorageFull
from p2pmsg.model.addresses import Address
from p2pmsg.protocol.bodies import TextBody
from p2pmsg.protocol.messages import LIMIT
from p2pmsg.storage import delivery, feed
from tests.unit.nodes import Endpoint, House, moved_in, neighbours, settle
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, line, tip_of

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
TALK = direct(ANN, BOB)


def changes(house: House, kind: feed.ChangeType) -> list[feed.Change]:
    return [change for change in feed.after(house.shelf.db, 0).changes if change.type is kind]


def states(house: House) -> list[str | None]:
    return [change.state for change in changes(house, feed.ChangeType.STATE)]


async def test_what_waited_is_handed_over_when_the_two_meet() -> None:
    ann, bob = moved_in(ANN, BOB), moved_in(BOB, ANN)
    for n in range(100):
        ann.say(BOB, f"to Bob {n}")
        bob.say(ANN, f"to Ann {n}")
    others: dict[Address, Endpoint] = {}
    one, two = House(ANN, others, ann).start(), House(BOB, others, bob).start()
    one.sees(two)
    await one.until(lambda: ann.unread_all() >= 100)
    await two.until(lambda: bob.unread_all() >= 100)
    assert [text for text in ann.texts(BOB) if text.startswith("to Ann")] == [f"to Ann {n}" for n in range(100)]
    assert [text for text in bob.texts(ANN) if text.startswith("to Bob")] == [f"to Bob {n}" for n in range(100)]
    for house in (one, two):
        house.node.stop()


async def test_a_message_on_its_way_is_sent_then_delivered_and_says_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MARKS_DELAY_S", 0.0)
    async with neighbours(ANN, BOB) as (ann, _):
        await ann.send("hello", wait="delivered")
        await settle()
        assert states(ann) in (["sent", "delivered"], ["delivered"])
        assert ann.node._keeping._on_their_way == {}


async def test_a_message_whose_link_ends_unacknowledged_is_queued_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MARKS_DELAY_S", 0.0)
    async with neighbours(ANN, BOB) as (ann, bob):
        bob.storage._schedule = lambda run: None  # Bob's disk has stopped
        sent = await ann.send("hello", wait="sent")
        at = sent["deliveries"][0]["at"]
        assert sent["state"] == "sent" and sent["sent_at"] <= at <= objects.time(ann.node.clock.wall_ms())
        later = await ann.send("and more", wait="sent")
        assert later["deliveries"][0]["at"] >= at
        await settle()
        assert [each["deliveries"][0]["at"] for each in await ann.history() if each["id"] == sent["id"]] == [at]
        (link,) = ann.node.linkage
        link.connection.lose(None)  # type: ignore[attr-defined]
        await settle()
        found = [each["deliveries"][0] for each in await ann.history() if each["id"] == sent["id"]]
        assert [(each["state"], each["at"]) for each in found] == [("queued", None)]
        assert states(ann) == ["sent", "sent", "queued", "queued"]
        assert not any(ann.node._keeping._on_their_way.values())


async def test_events_that_cannot_be_stored_are_asked_for_again_on_the_same_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORE_AGAIN_S", 0.05)
    async with neighbours(ANN, BOB) as (ann, bob):
        (before,) = [opened.link for opened in bob.node.links]
        bob.storage.free_bytes = 0
        sent = await ann.send("hello")
        async with asyncio.timeout(5):
            while bob.node.storage_error is None:
                await settle()
        assert sent["state"] in ("queued", "sent") and bob.shelf.unread_all() == 0
        bob.storage.free_bytes = None
        await bob.until(lambda: bob.shelf.unread_all() >= 1)
        assert bob.node.storage_error is None and [opened.link for opened in bob.node.links] == [before]


async def test_others_do_not_take_the_room_that_is_kept_for_my_own_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORE_AGAIN_S", 0.05)
    async with neighbours(ANN, BOB) as (ann, bob):
        bob.storage.free_bytes = limits.DISK_REFUSE_OTHERS_BYTES - 1
        waiting = await ann.send("there is no room for this")
        assert (await bob.send("but for this", wait="delivered"))["state"] == "delivered"
        async with asyncio.timeout(5):
            while bob.node.storage_error is None:
                await settle()
        assert bob.shelf.unread_all() == 0
        bob.storage.free_bytes = limits.DISK_REFUSE_OTHERS_BYTES
        await bob.until(lambda: bob.shelf.unread_all() == 1)
        assert waiting["id"] in [each["id"] for each in await bob.history()]
        bob.storage.free_bytes = limits.DISK_REFUSE_BYTES - 1
        with pytest.raises(StorageFull):
            await bob.send("nor for this")


async def test_an_acknowledgement_that_cannot_be_stored_is_stored_later() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        real, failing = delivery.store_ack, [StorageFailed("the disk")]

        def store_ack(*args: Any, **more: Any) -> Any:
            if failing:
                raise failing.pop()
            return real(*args, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keeping.delivery, "store_ack", store_ack)
            await ann.send("hello")
            await bob.until(lambda: bob.shelf.unread_all() >= 1)
            await ann.until(lambda: not failing)
            await settle()
            for peer in bob.node.replication._peers.values():  # the slow timer
                peer.compare_at = 0.0
            bob.node.wake()
            await settle()
            assert [each["state"] for each in await ann.history() if each["text"] == "hello"] == ["delivered"]


async def test_an_event_that_no_honest_device_makes_ends_the_link() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        first = await ann.node.run_write(lambda db: ann.node.write(db, TALK, TextBody("one")))
        forged = ann.shelf.make(tip_of(first), TALK, TextBody("two"), hlc=1)  # its clock goes back: signed all the same
        ann.node.replication.events_appended(TALK.id, [forged], ann.node.clock.now())
        ann.node.wake()
        await bob.until(lambda: not bob.linked(ann))
        assert bob.node.linkage.misbehaved == 1 and bob.shelf.texts(ANN).count("two") == 0


async def test_a_fork_is_told_once_and_the_device_put_out_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_EVIDENCE_S", 0.01)
    ann = moved_in(ANN, BOB)
    ann.take(line(Shelf(BOB), TALK, ["one"]), BOB)
    bob = moved_in(BOB, ANN)
    bob.say(ANN, "another one")
    others: dict[Address, Endpoint] = {}
    one, two = House(ANN, others, ann).start(), House(BOB, others, bob).start()
    one.sees(two)
    await one.until(lambda: bool(one.node.people.forked))
    assert one.node.people.forked == {BOB.device} and not one.node.people.may_link(BOB.account, BOB.device)
    await one.until(lambda: not one.linked(two))
    await settle()
    assert [change.payload and '"forked"' in change.payload for change in changes(one, feed.ChangeType.ALERT)] == [True]
    for house in (one, two):
        house.node.stop()


async def test_an_old_copy_finds_out_and_writes_nothing_more() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        await bob.send("the newest", wait="delivered")
        old = House(BOB, {}, moved_in(BOB, ANN))  # the same folder, as it was before
        old.endpoint.others = bob.endpoint.others
        bob.node.stop()
        old.start().sees(ann)
        await old.until(lambda: old.node.old_copy)
        with pytest.raises(NotPermitted):
            await old.send("from the past")
        assert [change.payload and '"old_copy"' in change.payload for change in changes(old, feed.ChangeType.ALERT)] == [True]
        old.node.stop()


async def test_a_link_that_is_gone_is_not_closed_again() -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        (opened,) = ann.node.links
        ann.node.close(opened.link, LIMIT)
        ann.node.close(opened.link, LIMIT)
        await settle()
