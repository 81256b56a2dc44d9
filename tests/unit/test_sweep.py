"""Asking every address: which ones, how fast, and whose answers count. On loopback, where each of 127.0.0.0/24 is this machine."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from p2pmsg.config import limits
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.sweep import Ground, grounds, sweep
from tests.unit.test_questions import packet, said

LO = Interface("lo", 1, (("127.0.0.1", 8),), (("::1", 128),), loopback=True)


def eth(*addresses: tuple[str, int], name: str = "eth0") -> Interface:
    return Interface(name, 2, addresses, (("fe80::1", 64),))


# -- whom to ask


def test_all_neighbours_are_asked_and_not_oneself_nor_everybody() -> None:
    (ground,) = grounds([eth(("10.77.0.1", 24))])
    assert (ground.own, ground.network) == ("10.77.0.1", "10.77.0.0/24")
    assert ground.hosts == tuple(f"10.77.0.{last}" for last in range(2, 255))


def test_of_a_wide_network_only_the_256_around_me() -> None:
    (ground,) = grounds([eth(("10.77.3.9", 16))])
    assert len(ground.hosts) == 255 and {host.rpartition(".")[0] for host in ground.hosts} == {"10.77.3"}
    (ground,) = grounds([eth(("10.77.0.9", 16))])
    assert "10.77.0.0" not in ground.hosts, "that is the whole network's name"
    (ground,) = grounds([eth(("10.77.255.9", 16))])
    assert "10.77.255.255" not in ground.hosts, "all 65,000 would hear it"


@pytest.mark.parametrize(("prefix", "hosts"), [(30, 1), (29, 5), (25, 125)])
def test_of_a_small_network_no_more_than_it_has(prefix: int, hosts: int) -> None:
    (ground,) = grounds([eth(("192.168.7.1", prefix))])
    assert len(ground.hosts) == hosts


def test_a_cable_between_two_has_one_other_end() -> None:
    assert [ground.hosts for ground in grounds([eth(("192.168.7.0", 31))])] == [("192.168.7.1",)]
    assert grounds([eth(("192.168.7.1", 32))]) == []


def test_nobody_is_asked_twice() -> None:
    assert len(grounds([eth(("10.0.0.1", 24), ("10.0.0.2", 24)), eth(("10.0.0.3", 24), name="wlan0")])) == 1
    two = grounds([eth(("10.0.0.1", 24)), eth(("10.0.1.1", 24), name="wlan0")])
    assert [ground.network for ground in two] == ["10.0.0.0/24", "10.0.1.0/24"]


def test_without_ipv4_there_is_nobody_to_ask() -> None:
    assert grounds([]) == grounds([eth()]) == []


def test_loopback_is_never_searched() -> None:
    assert grounds([LO]) == []
    assert [ground.own for ground in grounds([LO, eth(("10.0.0.1", 24))])] == ["10.0.0.1"]


# -- asking


class Neighbour:
    """A program that answers from 127.0.0.2, as the tests want."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.2", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.reply: list[bytes] = [packet(said())]
        self.asked = 0
        self.own_number = True

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data, sender = await loop.sock_recvfrom(self.socket, 9000)
            self.asked += 1
            for each in self.reply:
                await loop.sock_sendto(self.socket, (data[:2] if self.own_number else b"\0\0") + each[2:], sender)


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> Iterator[Neighbour]:
    monkeypatch.setattr(limits, "SWEEP_LISTEN_S", 0.2)
    found = Neighbour()
    yield found
    found.socket.close()


async def hear(neighbour: Neighbour, *hosts: str) -> list[Announcement]:
    """Ask these from 127.0.0.1; return what was heard."""
    heard: list[Announcement] = []
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(neighbour.run())
        await sweep([Ground("127.0.0.1", "lo", hosts)], heard.append, asyncio.Event(), port=neighbour.port)
        answering.cancel()
    return heard


@pytest.mark.asyncio
async def test_who_is_asked_is_heard(neighbour: Neighbour) -> None:
    assert [packet(each) for each in await hear(neighbour, "127.0.0.3", "127.0.0.2", "127.0.0.4")] == neighbour.reply
    assert neighbour.asked == 1


@pytest.mark.asyncio
async def test_only_a_few_answers_of_one_address_count(neighbour: Neighbour) -> None:
    neighbour.reply = [packet(said(number)) for number in range(9)]
    assert len(await hear(neighbour, "127.0.0.2")) == limits.SWEEP_ANSWERS


@pytest.mark.asyncio
async def test_an_answer_to_another_question_does_not_count(neighbour: Neighbour) -> None:
    neighbour.own_number = False
    assert await hear(neighbour, "127.0.0.2") == []


@pytest.mark.asyncio
async def test_rubbish_does_no_harm(neighbour: Neighbour) -> None:
    neighbour.reply = [b"", b"xx", b"xx" + b"\xff" * 500, packet(said())]
    assert len(await hear(neighbour, "127.0.0.2")) == 1


@pytest.mark.asyncio
async def test_who_was_not_asked_is_not_heard(monkeypatch: pytest.MonkeyPatch, neighbour: Neighbour) -> None:
    """He knows the number of the question, and answers in the other's place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.bind(("127.0.0.9", neighbour.port))
        answer, neighbour.reply = neighbour.reply, []
        question: asyncio.Queue[bytes] = asyncio.Queue()
        original = asyncio.get_running_loop().sock_recvfrom

        async def overheard(sock: socket.socket, size: int) -> tuple[bytes, object]:
            data, sender = await original(sock, size)
            forger.sendto(data[:2] + answer[0][2:], sender)
            question.put_nowait(data)
            return data, sender

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_recvfrom", overheard)
        assert await hear(neighbour, "127.0.0.2") == [] and question.qsize() == 1


@pytest.mark.asyncio
async def test_it_asks_at_most_250_a_second_and_stops_when_it_is_enough(neighbour: Neighbour) -> None:
    enough, hosts = asyncio.Event(), tuple(f"127.0.0.{last}" for last in range(3, 103))
    began = time.monotonic()
    asked = await sweep([Ground("127.0.0.1", "lo", hosts)], lambda heard: None, enough, port=neighbour.port)
    assert asked == 100 and time.monotonic() - began >= 0.4 + limits.SWEEP_LISTEN_S
    enough.set()
    assert await sweep([Ground("127.0.0.1", "lo", hosts)], lambda heard: None, enough, port=neighbour.port) == 1


@pytest.mark.asyncio
async def test_an_address_that_went_is_passed_over(neighbour: Neighbour) -> None:
    gone = Ground("203.0.113.7", "203.0.113.0/24", ("203.0.113.8",))
    assert await sweep([gone], lambda heard: None, asyncio.Event(), port=neighbour.port) == 0
