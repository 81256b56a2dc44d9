from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Interface
from p2pmsg.network import discovery as module
from p2pmsg.network import interfaces, watcher
from p2pmsg.network.announcements import SERVICE, Announcement, instance_name, text_properties
from p2pmsg.network.discovery import Discovery
from p2pmsg.network.watcher import Reason

PATIENCE_S = 5


class Person:
    """A listener that publishes when it is told of interfaces, and remembers what it was told."""

    def __init__(self, **options: object) -> None:
        self.discovery = Discovery(self, ["lo"], **options)  # type: ignore[arg-type]
        self.nonce = b""
        self.interfaces: list[tuple[str, ...]] = []
        self.problems: asyncio.Queue[MdnsUnavailable | None] = asyncio.Queue()
        self.told: asyncio.Queue[Announcement] = asyncio.Queue()
        self.slept_s: list[float] = []

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        self.told.put_nowait(Announcement(nonce, addresses, tags, version))

    def network_returned(self, slept_s: float) -> None:
        self.slept_s.append(slept_s)

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        self.interfaces.append(tuple(interface.name for interface in interfaces))
        self.rotate()

    def mdns_changed(self, problem: MdnsUnavailable | None) -> None:
        self.problems.put_nowait(problem)

    def rotate(self) -> None:
        self.nonce = os.urandom(10)
        self.discovery.publish(self.nonce, 4433, b"addresses", bytes(64), self.discovery.interfaces)

    async def hears(self, nonce: bytes) -> Announcement:
        """Wait for this one: other tests may talk on the same loopback interface."""
        async with asyncio.timeout(PATIENCE_S):
            while (announcement := await self.told.get()).nonce != nonce:
                continue
            return announcement


@asynccontextmanager
async def people(*options: dict[str, object]) -> AsyncIterator[list[Person]]:
    present = [Person(**option) for option in options]
    async with asyncio.TaskGroup() as tasks:
        for person in present:
            await person.discovery.start(tasks)
        yield present
        for person in present:
            await person.discovery.close()


@pytest.mark.asyncio
async def test_two_people_on_loopback_hear_each_other() -> None:
    async with people({}, {}) as (ann, bob):
        assert ann.interfaces == [("lo",)]
        assert await ann.hears(bob.nonce) == Announcement(bob.nonce, b"addresses", bytes(64), 1)
        assert await bob.hears(ann.nonce)


@pytest.mark.asyncio
async def test_a_rotated_name_is_heard() -> None:
    async with people({}, {}) as (ann, bob):
        await bob.hears(ann.nonce)
        ann.rotate()
        assert await bob.hears(ann.nonce)


@pytest.mark.asyncio
async def test_own_announcements_are_not_told_however_old() -> None:
    async with people({}, {}) as (ann, bob):
        own = [ann.nonce]
        for _ in range(3):
            await bob.hears(ann.nonce)
            ann.rotate()
            own.append(ann.nonce)
        await bob.hears(ann.nonce)
        assert not {announcement.nonce for announcement in drained(ann.told)} & set(own)


@pytest.mark.asyncio
async def test_who_is_visible_is_found_until_he_hides() -> None:
    async with people({}, {}) as (ann, bob):
        await bob.hears(ann.nonce)
        began = asyncio.get_running_loop().time()
        shown = Announcement(os.urandom(10), b"addresses", bytes(64), nickname="Ann")
        ann.discovery.show(shown, 4433, ann.discovery.interfaces)
        await bob.hears(shown.nonce)
        assert shown in bob.discovery.nearby(began) and shown not in ann.discovery.nearby(began)
        ann.discovery.hide()
        async with asyncio.timeout(PATIENCE_S):
            while shown in bob.discovery.nearby(began):  # noqa: ASYNC110  # nobody is told of a goodbye
                await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_a_look_finds_who_was_visible_before() -> None:
    async with people({}, {}) as (ann, bob):
        shown = Announcement(os.urandom(10), b"addresses", bytes(64), nickname="Ann")
        ann.discovery.show(shown, 4433, ann.discovery.interfaces)
        await bob.hears(shown.nonce)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(PATIENCE_S):
            while shown not in bob.discovery.nearby(began + 0.5):
                bob.discovery.look()
                await asyncio.sleep(0.3)


def drained(queue: asyncio.Queue[Announcement]) -> list[Announcement]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


@pytest.mark.asyncio
async def test_it_announces_by_itself_as_time_goes_by() -> None:
    async with people({"announce_min_s": 1.0, "announce_max_s": 1.0}, {}) as (ann, bob):
        for _ in range(2):  # again only REPEAT_S later
            assert await bob.hears(ann.nonce)


@pytest.mark.asyncio
async def test_those_heard_are_told_once_more_when_asked_for() -> None:
    async with people({}, {}) as (ann, bob):
        await bob.hears(ann.nonce)
        drained(bob.told)
        bob.discovery.replay()
        assert ann.nonce in {announcement.nonce for announcement in drained(bob.told)}


@pytest.mark.asyncio
async def test_a_refresh_tells_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "DEBOUNCE_S", 0.01)
    async with people({}, {}) as (ann, bob):
        await bob.hears(ann.nonce)
        bob.discovery.refresh()
        assert await bob.hears(ann.nonce)


@pytest.mark.asyncio
async def test_after_sleep_a_new_epoch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "DEBOUNCE_S", 0.01)
    async with people({}, {}) as (ann, bob):
        before = ann.nonce
        await bob.hears(before)
        ann.discovery._watcher.poke(Reason.WOKE)
        async with asyncio.timeout(PATIENCE_S):
            while (heard := (await bob.told.get()).nonce) == before or heard != ann.nonce:
                continue
        assert ann.interfaces == [("lo",), ("lo",)]
        assert ann.slept_s == [0.0] and bob.slept_s == []


@pytest.mark.asyncio
async def test_without_mdns_nothing_is_heard_or_sent_and_interfaces_are_watched() -> None:
    async with people({"mdns": False}, {}, {}) as (ann, bob, carol):
        await bob.hears(carol.nonce)
        await carol.hears(bob.nonce)
        assert ann.interfaces == [("lo",)]
        assert ann.told.empty()
        assert ann.nonce not in {announcement.nonce for person in (bob, carol) for announcement in drained(person.told)}


@pytest.mark.asyncio
async def test_without_interfaces_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "DEBOUNCE_S", 0.01)
    real = interfaces.usable
    monkeypatch.setattr(interfaces, "usable", lambda allowed: ())
    async with people({}, {}) as (ann, bob):
        assert ann.interfaces == [()]
        monkeypatch.setattr(interfaces, "usable", real)
        ann.discovery._watcher.poke(Reason.REFRESHED)
        bob.discovery._watcher.poke(Reason.REFRESHED)
        async with asyncio.timeout(PATIENCE_S):
            while (await bob.told.get()).nonce != ann.nonce:
                continue
        assert ann.interfaces == [(), ("lo",)]


@pytest.mark.asyncio
async def test_trouble_is_told_once_and_its_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    faults = iter([MdnsUnavailable("mDNS does not work: in use")] * 3)
    real = module.Mdns.use

    async def use(self: object, interfaces: tuple[Interface, ...]) -> bool:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        return await real(self, interfaces)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Mdns, "use", use)
    async with people({}) as (ann,):
        async with asyncio.timeout(PATIENCE_S):
            assert str(await ann.problems.get()) == "mDNS does not work: in use"
            assert await ann.problems.get() is None


@pytest.mark.asyncio
async def test_closing_takes_little_time_and_may_be_repeated() -> None:
    loop = asyncio.get_running_loop()
    async with people({}) as (ann,):
        started = loop.time()
        await ann.discovery.close()
        await ann.discovery.close()
        assert loop.time() - started < 2


@pytest.mark.asyncio
async def test_closing_what_never_started_does_nothing() -> None:
    await Person().discovery.close()


@pytest.mark.asyncio
async def test_rubbish_is_neither_told_nor_an_error() -> None:
    ann = Person()
    for name in ("", "a.b", f"{'a' * 16}.{SERVICE}", f"printer.{SERVICE}"):
        ann.discovery._hear(name, b"\xff" + os.urandom(40))
    assert ann.told.empty()


@pytest.mark.asyncio
async def test_copies_are_told_once_and_forgeries_do_not_replace_the_true_one() -> None:
    ann = Person()
    true, forged = Announcement(os.urandom(10), b"true", bytes(64)), Announcement(os.urandom(10), b"forged", bytes(64))
    forged = Announcement(true.nonce, forged.addresses, forged.tags)
    for announcement in (forged, true, forged, true, true):
        pairs = [key + b"=" + value for key, value in text_properties(announcement).items()]
        text = b"".join(bytes([len(pair)]) + pair for pair in pairs)
        ann.discovery._hear(f"{instance_name(announcement.nonce)}.{SERVICE}", text)
    assert drained(ann.told) == [forged, true]


@pytest.mark.parametrize(("nodes", "least", "most"), [(0, 45, 75), (10, 45, 75), (400, 300, 500), (5000, 675, 1125)])
def test_the_period_grows_with_the_nodes_within_its_limits(nodes: int, least: float, most: float) -> None:
    periods = [Person().discovery._period_s(nodes) for _ in range(50)]
    assert least <= min(periods)
    assert max(periods) <= most
    assert limits.ANNOUNCE_MIN_S == 60


@pytest.mark.parametrize(
    ("nodes", "moved_s", "seeking", "least", "most"),
    [
        (3, 1, True, 3, 5),
        (3, 1, False, 3, 5),  # whom it will miss shows only once the links have ended
        (3, 30, False, 45, 75),
        (3, 240, True, 15, 25),
        (3, 3000, True, 45, 75),
        (100, 1, True, 18.75, 31.25),
        (300, 1, True, 50, 94),
        (3, math.inf, True, 45, 75),
    ],
)
def test_who_moved_and_misses_somebody_says_often_where_he_is(nodes: int, moved_s: float, seeking: bool, least: float, most: float) -> None:
    discovery = Person(seeking=lambda: seeking).discovery
    discovery._moved_at = 10_000 - moved_s
    pauses = [discovery._pause_s(nodes, 10_000) for _ in range(50)]
    assert least <= min(pauses) and max(pauses) <= most


@pytest.mark.asyncio
async def test_after_a_move_it_is_heard_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "DEBOUNCE_S", 0.01)
    monkeypatch.setattr(module, "SEEK_S", 1.0)
    async with people({}, {}) as (ann, bob):
        ann.discovery._watcher.poke(Reason.WOKE)
        async with asyncio.timeout(PATIENCE_S):
            while len(ann.interfaces) < 2:
                await bob.told.get()
        await bob.hears(ann.nonce)
        assert await bob.hears(ann.nonce)  # once more, though nothing was asked


@pytest.mark.asyncio
async def test_switched_off_it_says_goodbye_and_is_deaf_and_switched_on_it_is_back() -> None:
    async with people({}, {"mdns": False}) as (ann, bob):
        assert not bob.discovery.multicasts
        bob.discovery.switch(True)
        assert await ann.hears(bob.nonce) and await bob.hears(ann.nonce) and bob.discovery.multicasts
        shown = Announcement(os.urandom(10), b"addresses", bytes(64), nickname="Bob")
        bob.discovery.show(shown, 4433, bob.discovery.interfaces)
        await ann.hears(shown.nonce)
        assert ann.discovery.nearby(-math.inf)
        bob.discovery.switch(False)
        async with asyncio.timeout(PATIENCE_S):
            while any(each.nonce == shown.nonce for each in ann.discovery.nearby(-math.inf)):
                await asyncio.to_thread(lambda: None)
        while not bob.told.empty():
            bob.told.get_nowait()
        ann.rotate()
        bob.rotate()
        bob.discovery.switch(True)
        assert await bob.hears(ann.nonce) and await ann.hears(bob.nonce)
