"""Impersonation by a thief (attack 3): who has all of Ann's secrets, her device's key, her pairs' keys and her whole database, is not Bob
to her: neither where he dials her, nor where she dials him."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from p2pmsg.crypto import chain
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import authority
from p2pmsg.protocol.handshake import ENTROPY_BYTES, Dialler, Responder
from p2pmsg.protocol.knowledge import Identity
from p2pmsg.protocol.messages import REFUSED
from p2pmsg.protocol.wire import FrameType
from tests.hostile.mallory import AT_ONCE_S, Line, Mallory, mallory
from tests.hostile.theft import Stolen, announcement, steal, voices
from tests.integration.daemons import Somebody, until
from tests.unit.meeting import End, hostile, knowledge
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
THIEF = Person("Thief")


@pytest.fixture
def alone(ann: Somebody, bob: Somebody) -> Iterator[Somebody]:
    """Ann, who seeks Bob; he comes back at the end."""
    bob.stop()
    until(lambda: not ann.linked(bob), "Bob is gone")
    yield ann
    bob.start()
    until(lambda: ann.linked(bob) and bob.linked(ann), "Bob is back")


def stranger_on(chain_of: tuple[ChainLink, ...], hers: Stolen) -> Identity:
    """Return a device of the thief's own that Ann's device has taken into Bob's account."""
    account = chain_of[0].account
    body = chain.adding(hers.me.device_key, account, authority.heads(chain_of), THIEF.key, "Bob's laptop", admin=True)
    links = (*chain_of, chain.parse(chain.complete(hers.me.device_secret, body, chain.agree(THIEF.secret, body))))
    return replace(THIEF.identity, account=account, links=links, heads=authority.heads(links))


def renamed(chain_of: tuple[ChainLink, ...], hers: Stolen) -> Identity:
    """Return Ann's device, which has written into Bob's chain."""
    account = chain_of[0].account
    forged = chain.profile(hers.me.device_secret, hers.me.device_key, account, authority.heads(chain_of), "Bobby")
    links = (*chain_of, chain.parse(forged))
    return replace(hers.identity, account=account, links=links, heads=authority.heads(links))


def named(chain_of: tuple[ChainLink, ...], hers: Stolen) -> Identity:
    """Return Ann's device under Bob's account and chain."""
    return replace(hers.identity, account=chain_of[0].account, links=chain_of, heads=authority.heads(chain_of))


def unheard_of(chain_of: tuple[ChainLink, ...], hers: Stolen) -> Identity:
    """Return a device of the thief's own under Bob's account and chain, which says nothing of it."""
    return replace(THIEF.identity, account=chain_of[0].account, links=chain_of, heads=authority.heads(chain_of))


def signing_for(identity: Identity, chain_of: tuple[ChainLink, ...]) -> Identity:
    """Return it with Bob's device in its place; the signature stays."""
    device = chain_of[0].device_key
    assert device is not None
    return replace(identity, device_key=device)


Pose = Callable[[tuple[ChainLink, ...], Stolen], Identity]
POSES: dict[str, Pose] = {
    "Ann herself": lambda his, hers: hers.identity,
    "Bob's account, Ann's chain": lambda his, hers: replace(hers.identity, account=his[0].account),
    "Bob's account and chain": named,
    "Bob's account, chain and device": lambda his, hers: signing_for(named(his, hers), his),
    "a link of Ann's in Bob's chain": renamed,
    "a link of Ann's in Bob's chain, and Bob's device": lambda his, hers: signing_for(renamed(his, hers), his),
    "a device that Ann's takes into Bob's account": stranger_on,
    "a device that nobody took into Bob's account": unheard_of,
    "his own": lambda his, hers: THIEF.identity,
}


def poses(hers: Stolen, bob: Somebody) -> list[Identity]:
    his = hers.chains[AccountId(bytes.fromhex(bob.account))]
    return [pose(his, hers) for pose in POSES.values()]


def door(hers: Stolen, bob: Somebody) -> GateRow:
    """Return the pair's gate row as Bob has it."""
    return GateRow(hers.gate_with(AccountId(bytes.fromhex(bob.account))), Purpose.PAIR, hers.me.account)


async def play(line: Line, end: End, first: bytes = b"") -> list[int]:
    """Play a part without scruples until the link is open or over; return the types of the frames that came."""
    line.write(first)
    seen: list[int] = []
    async with asyncio.timeout(AT_ONCE_S):
        while end.opened is None and not (line.lost.done() and line.frames.empty()):
            if line.frames.empty():
                await asyncio.sleep(0.01)
                continue
            frame = line.frames.get_nowait()
            seen.append(frame.type)
            line.write(end.take(frame))
    return seen


async def dial(attacker: Mallory, ann: Somebody, me: Identity, gate: GateRow) -> tuple[Line, End, list[int]]:
    line = attacker.dial(ann)
    assert gate.account is not None
    end = End(Dialler(knowledge(THIEF, me=me), await line.ready(), gate, gate.account, os.urandom(ENTROPY_BYTES), 0.0))
    return line, end, await play(line, end=hostile(end), first=end.start())


async def answer(attacker: Mallory, me: Identity, gate: GateRow) -> tuple[Line, End, list[int]]:
    line = await attacker.called()
    end = End(Responder(knowledge(THIEF, [gate], me=me), await line.ready(), os.urandom(ENTROPY_BYTES), 0.0))
    return line, end, await play(line, hostile(end))


async def test_he_dials_her(alone: Somebody, bob: Somebody) -> None:
    """Each way to pose as Bob gets the READY that the stolen gate key is worth, and then 0x100; Ann's disk stays as it was."""
    hers, known = steal(alone), alone.ask("contact.show", name=bob.account)
    before = alone.logged("refused:")
    async with mallory("Thief") as attacker:
        for name, me in zip(POSES, poses(hers, bob), strict=True):
            line, end, seen = await dial(attacker, alone, me, door(hers, bob))
            assert (await line.ended(), end.opened, seen) == (REFUSED, None, [FrameType.READY]), name
        assert alone.logged("refused:") == before + len(POSES)
        assert alone.ask("contact.show", name=bob.account) == known and not alone.linked(bob)
        assert steal(alone).tables == hers.tables
        _, end, _ = await dial(attacker, alone, steal(bob).identity, door(hers, bob))
        assert end.opened, "with Bob's own device it would be open: else all of this would prove nothing"


async def test_she_dials_him(alone: Somebody, bob: Somebody) -> None:
    """He announces himself under Bob's presence key, so Ann comes; whoever he says that he is, she ends it and stores nothing of it."""
    hers, known = steal(alone), alone.ask("contact.show", name=bob.account)
    key = hers.contacts[AccountId(bytes.fromhex(bob.account))].presence_key
    assert key is not None
    hosts = [f"127.0.0.{number + 2}" for number in range(len(POSES))]  # she comes once to each address
    async with mallory("Thief", "127.0.0.1", *hosts) as attacker, voices(1) as (voice,):
        voice.say(announcement(key, attacker.endpoint.port, hosts))
        for name, me in zip(POSES, poses(hers, bob), strict=True):
            line, end, seen = await answer(attacker, me, door(hers, bob))
            assert (await line.ended(), end.opened) == (REFUSED, None), name
            assert FrameType.HELLO not in seen, name
        assert alone.ask("contact.show", name=bob.account) == known and not alone.linked(bob)
        assert steal(alone).tables == hers.tables
        voice.say(announcement(key, attacker.endpoint.port))
        _, end, _ = await answer(attacker, steal(bob).identity, door(hers, bob))
        assert end.opened, "with Bob's own device it would be open"
