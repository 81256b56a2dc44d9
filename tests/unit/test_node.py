"""The node's turn: writing, dialling, time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.errors import NotPermitted, StorageFull
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.events import Event
from p2pmsg.protocol import log
from p2pmsg.protocol.bodies import TextBody
from p2pmsg.protocol.messages import BYE
from p2pmsg.storage.people import contact, put_meta
from tests.unit.nodes import PAIR_KEY, House, Wire, moved_in, neighbours, settle
from tests.unit.people import Person, seeded
from tests.unit.shelves import direct, line, own

pytestmark = pytest.mark.asyncio
ANN, BOB, EVE = Person("Ann"), Person("Bob"), Person("Eve")
TALK = direct(ANN, BOB)


def alone() -> House:
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


# -- writing


async def test_events_of_one_conversation_keep_the_order_of_the_calls() -> None:
    house = alone()
    done: list[Any] = []
    for n in range(5):
        house.node.append(TALK, TextBody(str(n)), done.append)
    assert done == []  # nobody hears of it before the commit
    await settle()
    events = [event for event in done if isinstance(event, Event)]
    assert [event.header.seq for event in events] == [1, 2, 3, 4, 5]
    assert all(b.header.previous == a.id and b.header.hlc > a.header.hlc for a, b in pairwise(events))


async def test_clocks_seen_are_followed_unless_they_are_far_ahead() -> None:
    house = alone()
    wall = house.node.clock.wall_ms()
    near, far = (wall + 60_000) << 16, (wall + limits.CLOCK_AHEAD_MS + 60_000) << 16
    house.node.adopt(far, wall)
    house.node.adopt(near, wall)
    event = await house.node.run_write(lambda db: house.node.write(db, TALK, TextBody("x")))
    assert event.header.hlc == near + 1 and log.may_adopt(event.header.hlc, wall)


async def test_what_is_stored_is_followed_after_a_start() -> None:
    shelf, bob = moved_in(ANN, BOB), moved_in(BOB, ANN)
    house = House(ANN, shelf=shelf)
    bob.now_ms = house.node.clock.wall_ms() + 60_000
    (event,) = line(bob, TALK, ["from the near future"])
    shelf.take([event], BOB)
    mine = await house.start().node.run_write(lambda db: house.node.write(db, TALK, TextBody("x")))
    assert mine.header.hlc == event.header.hlc + 1


async def test_an_old_copy_writes_nothing_more() -> None:
    house = alone()
    house.node.old_copy = True
    with pytest.raises(NotPermitted):
        house.node.check_may_write()
    done: list[Any] = []
    house.node.append(TALK, TextBody("x"), done.append)
    await settle()
    assert [type(outcome) for outcome in done] == [NotPermitted]


async def test_a_write_that_fails_is_told_and_hands_nothing_on() -> None:
    house = alone()
    house.storage.free_bytes = 0
    with pytest.raises(StorageFull):
        await house.node.run_write(lambda db: house.node.write(db, TALK, TextBody("x")))
    assert await house.history() == [] or all(message["kind"] == "system" for message in await house.history())


async def test_what_was_written_for_somebody_who_left_is_handed_on() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(ann.send("hello"))
            await settle(1)
            task.cancel()
        await bob.until(lambda: bob.shelf.unread_all() >= 1)


# -- dialling


async def test_nobody_is_dialled_without_a_gate_or_after_the_end() -> None:
    house = alone()
    address = Address("10.0.0.9", 40_000)
    assert house.node.dial(EVE.account, address, Path.MDNS) is None
    house.node.stop()
    assert house.node.dial(BOB.account, address, Path.MDNS) is None and house.endpoint.dialled == []


async def test_an_announcement_of_a_contact_is_followed_one_of_a_stranger_is_not() -> None:
    house = alone()
    hosts = [Address("10.0.0.9", 40_000)]
    house.node.announced(b"n" * 10, b"a", gates.tag(seeded("nobody"), b"n" * 10, b"a"), hosts, Path.MDNS)
    await settle()
    assert house.endpoint.dialled == []
    house.node.announced(b"n" * 10, b"a", gates.tag(PAIR_KEY, b"n" * 10, b"a"), hosts, Path.MDNS)
    await settle()
    assert house.endpoint.dialled == hosts


async def test_where_the_network_may_be_back_a_dial_that_nobody_heard_is_made_again() -> None:
    house = alone()
    dial = house.endpoint.dial
    silent = Wire(Address("10.0.0.9", 40_000), house.endpoint.listener, dialled=True, now=house.node.clock.now)
    house.endpoint.dial = lambda address, redial=False: silent  # type: ignore[assignment]
    house.node.presence.sighted(BOB.account, [silent.remote], Path.MDNS, house.node.clock.now())
    house.node.wake()
    await settle()
    assert len(list(house.node.linkage)) == 1
    house.endpoint.dial = dial  # type: ignore[method-assign]
    house.node.network_returned()
    await settle()
    assert silent.closed == BYE and house.endpoint.dialled == [silent.remote]


async def test_two_who_dial_each_other_at_once_keep_one_link() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        for _ in range(3):
            ann.node.dial(BOB.account, bob.address, Path.MDNS)
            bob.node.dial(ANN.account, ann.address, Path.MDNS)
            await settle()
            assert len(list(ann.node.linkage)) == len(list(bob.node.linkage)) == 1
        assert (await ann.send("hello", wait="delivered"))["state"] == "delivered"


async def test_a_restarted_process_replaces_its_old_link_at_once() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        (old,) = ann.node.links
        others = bob.endpoint.others
        again = House(BOB, {}, bob.shelf)  # the old process has died without a word
        again.endpoint.others = others
        again.start().sees(ann)
        await again.until(lambda: again.linked(ann))
        await settle()
        (new,) = ann.node.links
        assert new.instance == again.node.instance != old.instance
        again.node.stop()


# -- contacts


async def test_a_forgotten_contact_has_no_link_any_more() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        ann.node.forget_contact(BOB.account)
        assert list(ann.node.links) == [] and BOB.account not in ann.node.people.contacts
        await bob.until(lambda: not bob.linked(ann))


async def test_nothing_is_told_of_somebody_who_is_no_contact() -> None:
    house = alone()
    house.node.contact_changed(EVE.account)
    await settle()
    assert contact(house.shelf.db, EVE.account) is None


# -- the end


async def test_after_the_end_nothing_is_done() -> None:
    house = alone()
    house.node.stop()
    house.node.wake(feed=True)
    await house.storage.run(lambda db: put_meta(db, "k", 1))
    house.sees(House(BOB, house.endpoint.others))
    await settle()
    assert house.endpoint.dialled == []


async def test_notes_to_myself_need_nobody() -> None:
    house = alone()
    event = await house.node.run_write(lambda db: house.node.write(db, own(ANN), TextBody("a note")))
    assert event.header.seq > 1 and not house.node.handed(BOB.account, TALK.id, 1)


async def test_a_link_that_is_left_makes_room_for_another_at_once_though_the_other_end_hears_nothing() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        (old,) = ann.node.linkage
        (standing,) = bob.node.linkage
        old.connection.peer = None
        ann.node.leave(old)
        assert not ann.linked(bob)
        await bob.until(lambda: bob.node.linkage.get(standing.number) is None)
        await ann.until(lambda: ann.linked(bob))
        assert bob.linked(ann)
