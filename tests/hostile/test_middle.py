"""Visible mode under attack: somebody who tries again and again, and somebody who sits between two people (attacks 1 and 10)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address, Interface
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.connection import Connection
from p2pmsg.network.discovery import Discovery
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol.addresses import encode_announced
from p2pmsg.protocol.comparing import ENTROPY_BYTES, ComparingDialler, ComparingResponder
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import REFUSED
from p2pmsg.protocol.wire import Frame, FrameType, plain_frame
from tests.hostile.mallory import mallory
from tests.integration.daemons import Somebody, town, until
from tests.unit.meeting import End, knowledge
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
MALLORY = Person("Mallory")


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    with town("Ann", "Bob", friends=False) as found:
        yield found


@pytest.fixture
def ann(people: list[Somebody]) -> Iterator[Somebody]:
    with people[0].visible():
        yield people[0]


def calling_himself(name: str) -> Knowledge:
    return replace(knowledge(MALLORY), nick=name, admit=lambda: True)


def asks(exporter: bytes, name: str = "Bob") -> End:
    return End(ComparingDialler(calling_himself(name), exporter, os.urandom(ENTROPY_BYTES), 0.0))


@pytest.mark.parametrize("last", ["another nonce", "a GATE before REVEAL", "the NONCE back", "nothing", "a GATE of no string"])
async def test_ten_attempts_at_a_visible_node(ann: Somebody, last: str) -> None:
    """Three get as far as her name, and nobody further. Then she is visible no more, and all get what strangers get."""
    answered = 0
    async with mallory() as attacker:
        for _ in range(10):
            line = attacker.dial(ann)
            end = asks(await line.ready())
            line.write(end.start())
            came = await answer(line)
            if came is None:
                continue
            answered += 1
            assert came.type == FrameType.NONCE and len(came.body) == 96 and ann.account not in came.body.hex()
            line.write(continued(last, end, came))
            if last == "nothing":
                line.connection.close(REFUSED)
            else:
                assert await line.ended() == REFUSED
            assert line.frames.empty()
    assert answered == limits.VISIBLE_FAILURES
    until(lambda: ann.ask("status")["visible_until"] is None, "she is visible no more")
    assert ann.ask("contact.list") == []


async def answer(line: Any) -> Frame | None:
    """Return the first frame that comes; None where the link ends before."""
    async with asyncio.timeout(10):
        while line.frames.empty():
            if line.lost.done():
                assert line.lost.result() == REFUSED
                return None
            await asyncio.sleep(0.01)
    frame: Frame = line.frames.get_nowait()
    return frame


def continued(last: str, end: End, nonce: Frame) -> bytes:
    reveal = end.take(nonce)
    gate = plain_frame(FrameType.GATE, b"\x01" + bytes(1216) + os.urandom(32))
    return {
        "another nonce": reveal[:3] + os.urandom(32) + reveal[35:],
        "a GATE before REVEAL": gate,
        "the NONCE back": plain_frame(FrameType.NONCE, nonce.body),
        "nothing": b"",
        "a GATE of no string": reveal + gate,
    }[last]


# -- in the middle


class Middle:
    """Somebody who announces himself as Ann, and asks Ann as Bob."""

    def __init__(self, ann: Somebody) -> None:
        self.endpoint = Endpoint(self)
        self.ends: dict[int, End] = {}
        self._ann = ann

    def connection_ready(self, connection: Connection, exporter: bytes) -> None:
        if connection.dialled:
            end = asks(exporter, "Bob")
            connection.write(end.start())
        else:
            end = End(ComparingResponder(calling_himself("Ann"), exporter, os.urandom(ENTROPY_BYTES), 0.0))
            self.endpoint.dial(Address("127.0.0.1", self._ann.ask("status")["port"]))
        connection.authenticated()
        self.ends[connection.number] = end

    def frame_received(self, connection: Connection, frame: Frame) -> None:
        if frame.type in (FrameType.COMMIT, FrameType.NONCE, FrameType.REVEAL):
            connection.write(self.ends[connection.number].take(frame))

    def connection_lost(self, connection: Connection, code: int | None) -> None:
        """It was worth a try."""

    # discovery's listener

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        """Others are of no interest."""

    def network_returned(self, slept_s: float) -> None:
        pass

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        """Loopback stays."""

    def mdns_changed(self, problem: object) -> None:
        """Then Bob does not see him."""


@asynccontextmanager
async def middle(ann: Somebody) -> AsyncIterator[tuple[Middle, str]]:
    """Sit between; gives the id under which Bob sees him."""
    between = Middle(ann)
    await between.endpoint.bind(("127.0.0.1",))
    discovery = Discovery(between, ["lo"])
    port = between.endpoint.port
    shown = Announcement(os.urandom(10), encode_announced(["127.0.0.1"], port), os.urandom(64), nickname="Ann")
    async with asyncio.TaskGroup() as tasks:
        await discovery.start(tasks)
        discovery.show(shown, port, discovery.interfaces)
        yield between, shown.nonce.hex()
        await discovery.close()
    await between.endpoint.close()


async def test_who_sits_between_makes_the_strings_differ(ann: Somebody, people: list[Somebody]) -> None:
    """He ends both sides, and passes on what he likes: two people who compare see that, say no, and nothing is stored."""
    bob = people[1]
    async with middle(ann) as (between, name):
        await asyncio.to_thread(until, lambda: name in [each["id"] for each in bob.ask("contact.nearby")], "Bob sees him")
        asking = await asyncio.to_thread(typing, bob, "add", name)
        request = await asyncio.to_thread(until, lambda: ann.ask("contact.requests"), "Ann is asked")
        accepting = await asyncio.to_thread(typing, ann, "accept", request[0]["id"])
        seen = [json.loads(process.stdout.readline()) for process in (asking, accepting)]  # type: ignore[union-attr]
        assert request[0]["nickname"] == "Bob" and len(between.ends) == 2
        assert seen[0]["numbers"] != seen[1]["numbers"] and seen[0]["emoji"] != seen[1]["emoji"]
        for process in (asking, accepting):
            _, err = await asyncio.to_thread(process.communicate, b"no\n", 20)
            assert process.returncode == 6 and b"sas_mismatch" in err
    assert ann.ask("contact.list") == bob.ask("contact.list") == []


def typing(who: Somebody, *words: str) -> subprocess.Popen[bytes]:
    return who.popen("contact", *words, "--json", stdin=subprocess.PIPE)
