"""Contacts who send much, or lie together: memory stays, others are served, and what is written stays sound."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from p2pmsg.model.events import Event
from p2pmsg.protocol import wire
from p2pmsg.protocol.messages import MISBEHAVED
from p2pmsg.protocol.wire import FrameType
from p2pmsg.rpc import client
from tests.hostile.mallory import Mallory, Talk, mallory
from tests.integration.daemons import Somebody, until

pytestmark = pytest.mark.asyncio
MEMORY = 20_000_000


def named(prefix: str = "F") -> str:
    return f"{prefix}{os.urandom(4).hex()}"


async def soon(holds: Callable[[], object]) -> None:
    await asyncio.to_thread(until, holds, "it is so")


async def acknowledged(talk: Talk, attacker: Mallory, event: Event) -> None:
    while True:
        ack = await talk.next(FrameType.ACK)
        assert isinstance(ack, wire.Ack)
        if attacker.claim(event) in wire.unpack_claims(ack.conversations[0].vector):
            return


async def test_a_flood_of_good_messages_is_stored_and_costs_no_memory(ann: Somebody, bob: Somebody) -> None:
    async with mallory(named()) as attacker:
        talk = await attacker.join(ann)
        talk.have()
        warm = attacker.text(ann, "warm up " + "x" * 60_000)
        talk.events(warm)
        await acknowledged(talk, attacker, warm)
        memory, slowest = ann.rss_bytes, 0.0
        for _ in range(12):  # 6,000 messages, as many at once as the window takes
            events = [attacker.text(ann, "spam " * 40) for _ in range(500)]
            for frame in wire.frames_of_events(events):
                talk.events(*frame)
            began = time.monotonic()
            await asyncio.to_thread(ann.ask, "whoami")
            slowest = max(slowest, time.monotonic() - began)
            await acknowledged(talk, attacker, events[-1])
        assert slowest < 1.0
        assert ann.rss_bytes - memory < MEMORY
        shown = ann.ask("history", target=attacker.person.account.hex(), n=1000)
        assert len(shown) == 1000 and shown[-1]["text"].startswith("spam")


async def test_more_at_once_than_the_window_takes(ann: Somebody) -> None:
    """Six megabytes without waiting: taken as fast as they are stored, or the link ends; never heaped up."""
    async with mallory(named()) as attacker:
        talk = await attacker.join(ann)
        talk.have()
        memory = ann.rss_bytes
        events = [attacker.text(ann, "x" * 60_000) for _ in range(100)]
        for event in events:
            talk.events(event)
        ended, taken = asyncio.ensure_future(talk.ended()), asyncio.ensure_future(acknowledged(talk, attacker, events[-1]))  # noqa: TID251
        await asyncio.wait([ended, taken], return_when=asyncio.FIRST_COMPLETED)
        taken.cancel()
        assert not ended.done() or ended.result() == MISBEHAVED
        ended.cancel()
        assert ann.rss_bytes - memory < MEMORY


async def test_a_flood_of_copies_of_one_message(ann: Somebody, bob: Somebody) -> None:
    async with mallory(named()) as attacker:
        talk = await attacker.join(ann)
        talk.have()
        event = attacker.text(ann, "again")
        for _ in range(40):
            talk.events(*[event] * 100)
        await soon(lambda: len(ann.ask("history", target=attacker.person.account.hex())) == 2)
        assert (await asyncio.to_thread(ann.say, bob, "meanwhile"))["state"] == "delivered"
        assert [m["text"] for m in ann.ask("history", target=attacker.person.account.hex()) if m["kind"] == "text"] == ["again"]


async def test_a_flood_of_chains(ann: Somebody, bob: Somebody) -> None:
    from p2pmsg.protocol.proofs import encode_chain

    async with mallory(named()) as attacker:
        talk = await attacker.join(ann)
        talk.have()
        for number in range(30):
            attacker.person.rename(f"Name {number}")
        page = encode_chain(attacker.person.links)[0]
        for _ in range(100):
            talk.frame(FrameType.CHAIN, page)
        assert (await asyncio.to_thread(ann.say, bob, "meanwhile"))["state"] == "delivered"
        await soon(lambda: ann.ask("contact.show", name=attacker.person.account.hex())["nickname"] == "Name 29")


async def test_a_contact_who_types_all_the_time(ann: Somebody, bob: Somebody) -> None:
    """A chat is told once a second at most, and of him alone."""
    async with mallory(named()) as attacker:
        talk = await attacker.join(ann)
        with client.connect(ann.folder) as bobs, client.connect(ann.folder) as his:
            bobs.call("watch", {"in": bob.account, "typing": True})
            his.call("watch", {"in": attacker.person.account.hex(), "typing": True})
            began = time.monotonic()
            for _ in range(2000):
                talk.send(wire.Typing())
                await asyncio.sleep(0)
            talk.have()
            talk.events(attacker.text(ann, "done"))
            assert (await asyncio.to_thread(ann.say, bob, "meanwhile"))["state"] == "delivered"
            types = await asyncio.to_thread(until_message, his)
            assert 1 <= types.count("typing") <= 1 + time.monotonic() - began
            assert "typing" not in await asyncio.to_thread(until_message, bobs)
        assert not talk.line.lost.done()


def until_message(watching: client.Client) -> list[str]:
    """Return the types of the events up to the first message."""
    types: list[str] = []
    for event in watching.events():
        types.append(event["type"])
        if event["type"] == "message":
            break
    return types


async def test_a_thousand_links_one_after_the_other(ann: Somebody, bob: Somebody) -> None:
    """Links of one contact replace each other: none is left behind, in memory or as a peer."""
    async with mallory(named()) as attacker:
        await attacker.join(ann)
        memory = ann.rss_bytes
        for _ in range(60):
            await attacker.link(ann)
        peers = [peer for peer in ann.ask("peers") if peer["account"] == attacker.person.account.hex()]
        assert [peer["online"] for peer in peers] == [True]
        assert ann.rss_bytes - memory < MEMORY


@pytest.mark.parametrize("ahead_ms", [2**43, 2**47 - 1, 2**62])
async def test_clocks_that_no_machine_has_are_refused(ann: Somebody, bob: Somebody, ahead_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four contacts agree on a clock: it may be followed, but never to where no clock goes on."""
    hello = Mallory.hello

    def lying(self: Mallory) -> wire.Hello:
        made = hello(self)
        return wire.Hello(made.instance, ahead_ms, made.unacknowledged_bytes, made.heads, made.presence_key, made.presence_number)

    monkeypatch.setattr(Mallory, "hello", lying)
    async with mallory(named()) as one, mallory(named()) as two, mallory(named()) as three:
        for each in (one, two, three):
            talk = asyncio.create_task(each.join(ann))  # noqa: TID251
            await asyncio.sleep(0.3)
            talk.cancel()
        said = await asyncio.to_thread(ann.say, bob, "what time is it?")
        assert said["sent_at"].startswith("202")


async def test_a_liar_who_claims_all_and_gives_nothing(ann: Somebody, bob: Somebody) -> None:
    """What he claims to hold is asked for, at most once at a time; what others hold comes all the same."""
    async with mallory(named()) as attacker:
        talk = await attacker.join(ann)
        conversation = attacker.conversation(ann)
        whoami = bytes.fromhex(ann.ask("whoami")["device"])
        far = wire.claim_of(attacker.person.device, 2**62, b"\xee" * 8)
        mine = wire.claim_of(whoami, 2**62, b"\xee" * 8)
        for _ in range(20):
            talk.have((conversation, [far, mine]))
        await talk.next(FrameType.WANT)
        await asyncio.sleep(0.7)
        wants = [payload for number, payload in talk.heard() if number == FrameType.WANT]
        assert len(wants) <= 4
        said = await asyncio.to_thread(ann.ask, "send", target=attacker.person.account.hex(), text="hello")
        assert said["state"] in ("queued", "sent")
        assert (await asyncio.to_thread(ann.say, bob, "meanwhile"))["state"] == "delivered"
