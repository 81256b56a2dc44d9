"""The announcement as a broadcast: its bytes, whom it reaches, and when it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.model.addresses import Interface
from p2pmsg.network import beacon
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.beacon import Beacon, decode, encode, targets

LO = Interface("lo", 1, (("127.0.0.1", 8),), (), loopback=True)
announcements = st.builds(
    Announcement,
    st.binary(min_size=10, max_size=10),
    st.binary(min_size=1, max_size=limits.ANNOUNCED_BYTES),
    st.binary(min_size=64, max_size=64),
    st.integers(1, 255),
)


@given(announcements)
def test_an_announcement_comes_back_as_it_was(announcement: Announcement) -> None:
    data = encode(announcement)
    assert decode(data) == announcement and len(data) <= 208


@given(announcements, st.data())
def test_what_is_cut_or_longer_is_nothing(announcement: Announcement, data: st.DataObject) -> None:
    whole = encode(announcement)
    assert decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    assert decode(whole + b"x") is None


@given(st.binary(max_size=300))
def test_any_bytes_are_an_announcement_or_nothing(data: bytes) -> None:
    found = decode(data)
    assert found is None or encode(found) == data


def test_each_network_is_sent_to_by_its_own_address() -> None:
    eth = Interface("eth0", 2, (("10.0.3.7", 22), ("192.168.1.1", 32)), (("fe80::1", 64),))
    assert targets((eth, LO)) == [("10.0.3.7", "10.0.3.255"), ("127.0.0.1", "127.255.255.255")]


@pytest.mark.asyncio
async def test_two_on_one_machine_hear_each_other_and_not_themselves() -> None:
    heard: dict[str, list[Announcement]] = {"ann": [], "bob": []}
    arrived = asyncio.Event()

    def ear(name: str) -> Beacon:
        def listener(announcement: Announcement) -> None:
            heard[name].append(announcement)
            if all(heard.values()):
                arrived.set()

        return Beacon(listener, lambda: False)

    beacons = {name: ear(name) for name in heard}
    said = {name: Announcement(name.encode().ljust(10), b"addresses", bytes(64)) for name in heard}
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(beacon.run()) for beacon in beacons.values()]
        for name, beacon in beacons.items():
            beacon.publish(said[name], (LO,))
        async with asyncio.timeout(10):
            await arrived.wait()
        for task in running:
            task.cancel()
    assert said["bob"] in heard["ann"] and said["ann"] not in heard["ann"]
    assert said["ann"] in heard["bob"] and said["bob"] not in heard["bob"]


@pytest.mark.asyncio
async def test_it_may_end_and_begin_again_and_then_says_again_what_it_said() -> None:
    heard: asyncio.Queue[Announcement] = asyncio.Queue()
    ear, mouth = Beacon(heard.put_nowait, lambda: False), Beacon(lambda _: None, lambda: False)
    said = Announcement(b"again".ljust(10), b"addresses", bytes(64))
    other = Announcement(b"again2".ljust(10), b"addresses", bytes(64))
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(ear.run())
        for announcement in (said, other):
            mouth.publish(announcement, (LO,))
            speaking = tasks.create_task(mouth.run())
            async with asyncio.timeout(10):
                while await heard.get() != announcement:
                    continue
            speaking.cancel()
            await asyncio.wait([speaking])
        mouth.publish(said, (LO,))
        hearing.cancel()
    assert heard.empty()


@pytest.mark.asyncio
async def test_a_port_that_cannot_be_shared_leaves_it_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as greedy:
        greedy.bind(("", 0))
        monkeypatch.setattr(beacon, "PORT", greedy.getsockname()[1])
        async with asyncio.timeout(5):
            await Beacon(lambda _: None, lambda: True).run()
