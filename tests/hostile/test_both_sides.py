"""Somebody who ends both sides (attack 1): he has a TLS session with each of two who mean to meet, and even the key of their door. What he
takes from one side to the other is answered by 0x100 alone: each link has an exporter of its own, and all is bound to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from p2pmsg.crypto import agreement, gates, kem
from p2pmsg.errors import P2pmsgError
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.addresses import decode_invite, encode_invite
from p2pmsg.protocol.messages import REFUSED
from p2pmsg.protocol.wire import Frame, FrameType, plain_frame
from tests.hostile.mallory import AT_ONCE_S, Line, Mallory, mallory
from tests.hostile.theft import announcement, steal, voices
from tests.integration.daemons import Somebody, town, until

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    """Ann and Bob, who are contacts and cannot find each other, and Cleo, who knows nobody."""
    with town("Ann", "Bob", "Cleo", friends=False) as found:
        ann, bob, _ = found
        ann.befriend(bob)
        for each, paths in ((ann, "mdns"), (bob, "static")):
            each.stop()
            each.configure("discovery.paths", paths)
        ann.start()
        bob.start()
        yield found
        bob.configure("discovery.paths", "mdns")
        until(lambda: ann.linked(bob) and bob.linked(ann), "Ann and Bob meet, now that they may")
        for each in found:
            assert not each.logged("Traceback") and not each.logged("fault of our own")


@dataclass(frozen=True, slots=True)
class Middle:
    """Mallory, to whom somebody has come who means Bob; both sides' exporters, and the key of the door."""

    mallory: Mallory
    left: Line
    right: Line
    key: bytes

    async def gate_of_his_own(self) -> tuple[bytes, bytes]:
        """Ask Bob with the right key; return Bob's READY and its transcript."""
        ephemeral = kem.PrivateKey.from_seed(os.urandom(32))
        t0 = agreement.t0(await self.right.ready(), b"\x01", ephemeral.public)
        self.right.write(plain_frame(FrameType.GATE, b"\x01" + ephemeral.public + agreement.gate_mac(self.key, t0)))
        ready = await next_frame(self.right)
        assert ready.type == FrameType.READY
        return ready.body, agreement.t1(t0, ready.body[:1216], ready.body[1216:-32])

    async def ready_of_his_own(self) -> tuple[Frame, bytes]:
        """Answer who came with the right key; return the PROVE for it, sealed and opened."""
        gate = await next_frame(self.left)
        ephemeral = kem.PrivateKey.from_seed(os.urandom(32))
        t0 = agreement.t0(await self.left.ready(), b"\x01", gate.body[1:1217])
        sealed = kem.seal(gate.body[1:1217], os.urandom(32), t0)
        t1 = agreement.t1(t0, ephemeral.public, sealed)
        self.left.write(plain_frame(FrameType.READY, ephemeral.public + sealed + agreement.ready_mac(self.key, t1)))
        prove = await next_frame(self.left)
        assert prove.type == FrameType.PROVE
        return prove, bytes(ephemeral.open(prove.body, t1))


async def next_frame(line: Line) -> Frame:
    async with asyncio.timeout(5):
        return await line.frames.get()


@asynccontextmanager
async def between(case: str, people: list[Somebody]) -> AsyncIterator[Middle]:
    """Have Ann, a contact, or Cleo, with an invite, dial Mallory for Bob."""
    ann, bob, cleo = people
    account = AccountId(bytes.fromhex(bob.account))
    async with mallory() as attacker, voices(1) as (voice,):
        if case == "A":
            hers = steal(ann)
            presence = hers.contacts[account].presence_key
            assert presence is not None
            voice.say(announcement(presence, attacker.endpoint.port))
            yield Middle(attacker, await attacker.called(), attacker.dial(bob), hers.gate_with(account))
            return
        made = decode_invite(bob.ask("contact.invite")["invite"])
        by_him = encode_invite(account, made.secret, attacker.endpoint.port, ["127.0.0.1"])
        adding = asyncio.get_running_loop().run_in_executor(None, lambda: cleo.ask("contact.add", invite=by_him, timeout_s=2.0))
        yield Middle(attacker, await attacker.called(), attacker.dial(bob), gates.invite_gate(made.secret, account))
        with suppress(P2pmsgError):
            await adding
            raise AssertionError("Cleo and Mallory are contacts")


async def refused(line: Line) -> None:
    """See that 0x100 is all that comes."""
    assert await line.ended(AT_ONCE_S) == REFUSED
    assert line.frames.empty()


async def gate_spliced(middle: Middle) -> None:
    gate = await next_frame(middle.left)
    await middle.right.ready()
    middle.right.write(plain_frame(FrameType.GATE, gate.body))
    await refused(middle.right)


async def ready_spliced(middle: Middle) -> None:
    assert (await next_frame(middle.left)).type == FrameType.GATE
    ready, _ = await middle.gate_of_his_own()
    middle.left.write(plain_frame(FrameType.READY, ready))
    await refused(middle.left)


async def prove_spliced(middle: Middle) -> None:
    prove, _ = await middle.ready_of_his_own()
    await middle.gate_of_his_own()
    middle.right.write(plain_frame(FrameType.PROVE, prove.body))
    await refused(middle.right)


async def prove_sealed_anew(middle: Middle) -> None:
    """He opens what was sealed for him, and seals it for Bob: its signature is for another transcript."""
    _, opened = await middle.ready_of_his_own()
    ready, t1 = await middle.gate_of_his_own()
    middle.right.write(plain_frame(FrameType.PROVE, kem.seal(ready[:1216], opened, t1)))
    await refused(middle.right)


SPLICES: dict[str, Callable[[Middle], Awaitable[None]]] = {
    "GATE": gate_spliced,
    "READY": ready_spliced,
    "PROVE": prove_spliced,
    "PROVE, sealed anew": prove_sealed_anew,
}


@pytest.mark.parametrize("case", ["A", "B"])
@pytest.mark.parametrize("splice", SPLICES)
async def test_what_is_carried_over_is_refused(people: list[Somebody], case: str, splice: str) -> None:
    ann, bob, cleo = people
    async with between(case, people) as middle:
        await SPLICES[splice](middle)
        middle.left.connection.close(REFUSED)
        exporters = {await middle.left.ready(), await middle.right.ready()}
    assert len(exporters) == 2
    assert [contact["account"] for contact in bob.ask("contact.list")] == [ann.account]
    assert cleo.ask("contact.list") == [] and not ann.linked(bob)
