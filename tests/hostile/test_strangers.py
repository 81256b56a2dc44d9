"""Strangers: who holds no gate key gets 0x100 at a tick, whatever he does, and costs next to nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import agreement, gates, kem
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import AccountId
from p2pmsg.network import tls
from p2pmsg.protocol.addresses import decode_invite
from p2pmsg.protocol.handshake import Dialler
from p2pmsg.protocol.knowledge import Identity
from p2pmsg.protocol.messages import REFUSED, HandshakeCommand, SendBytes
from p2pmsg.protocol.wire import FrameType, plain_frame
from tests.hostile.mallory import Line, Mallory, mallory
from tests.integration.daemons import Somebody, until
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
TICK_S = limits.FAILURE_TICK_S
EK = kem.PrivateKey.from_seed(bytes(32)).public


def gate_frame(version: int = 1, mac: bytes = b"") -> bytes:
    return plain_frame(FrameType.GATE, bytes((version,)) + EK + (mac or os.urandom(32)))


REFUSED_AT_ONCE: dict[str, bytes] = {
    "a random MAC": gate_frame(),
    "another version": gate_frame(version=2),
    "a GATE cut": plain_frame(FrameType.GATE, bytes(100)),
    "a GATE too long": plain_frame(FrameType.GATE, bytes(2000)),
    "an empty GATE": plain_frame(FrameType.GATE, b""),
    "PROVE first": plain_frame(FrameType.PROVE, bytes(1328)),
    "READY to him who should send it": plain_frame(FrameType.READY, bytes(2416)),
    "COMMIT of visible mode": plain_frame(FrameType.COMMIT, bytes(32)),
    "a frame of later versions": bytes((99, 0, 0, 0, 4)) + b"what",
    "HELLO in the clear": bytes((FrameType.HELLO, 0, 0, 0, 20)) + bytes(20),
    "a giant length": b"\x0d\xff\xff\xff\xff",
    "a length one above the limit": bytes((99,)) + (limits.UNPROVEN_BYTES + 1).to_bytes(4, "big"),
    "5,000 bytes": b"\x63\x00\x00\x0f\xff" + bytes(5000),
}


@pytest.mark.parametrize("kind", REFUSED_AT_ONCE)
async def test_what_a_stranger_says_is_answered_by_0x100_alone(ann: Somebody, kind: str) -> None:
    before = ann.logged("refused") + ann.logged("ended")
    async with mallory("Stranger") as stranger:
        line = stranger.dial(ann)
        await line.ready()
        began = time.monotonic()
        line.write(REFUSED_AT_ONCE[kind])
        assert await line.ended() == REFUSED
        assert time.monotonic() - began < TICK_S + 0.5
        assert line.frames.empty()
        assert ann.logged("refused") + ann.logged("ended") > before


async def test_all_strangers_and_one_who_was_removed_see_the_same(ann: Somebody) -> None:
    """The same packets, but for what is random in them: count and sizes of what came, code and reason.

    Whoever was removed has every key that there ever was: a retired one, the newest, and of the invites that he used.
    """
    async with mallory("Removed") as removed, mallory("Stranger") as stranger:
        account = AccountId(bytes.fromhex(ann.account))
        held: list[GateRow] = []
        for _ in range(2):
            text = ann.ask("contact.invite")["invite"]
            talk = await removed.join(ann, text)
            held += [removed.gate(account), GateRow(gates.invite_gate(decode_invite(text).secret, account), Purpose.INVITE, None)]
        for gate in held[0], held[2]:
            talk = await removed.shake(removed.dial(ann), gate, account)
        await asyncio.to_thread(ann.ask, "contact.remove", name=removed.person.account.hex())
        assert await talk.ended() is not None
        seen = [await meet(removed, ann, gate) for gate in held]
        seen += [await meet(stranger, ann, GateRow(os.urandom(32), Purpose.PAIR, account)) for _ in range(3)]
    assert len(set(seen)) == 1, seen


async def meet(who: Mallory, ann: Somebody, gate: GateRow) -> tuple[object, ...]:
    """Dial with a gate key and return all that can be seen of how it ends."""
    line = who.dial(ann)
    machine = Dialler(who.knowledge(), await line.ready(), gate, AccountId(bytes.fromhex(ann.account)), os.urandom(64), 0.0)
    send(line, machine.start())
    code = await line.ended()
    closing = line.connection._quic._close_event
    assert closing is not None
    return code, closing.reason_phrase, closing.frame_type, line.frames.qsize()


async def test_saying_nothing_or_half_of_something_ends_after_five_seconds(ann: Somebody) -> None:
    """All at once, from one address, so within its 8 places; meanwhile Ann's friend is served."""
    said = [b"", b"\x01", b"\x01\x04", gate_frame()[:-1], bytes((99, 0, 0, 0, 4)), plain_frame(FrameType.GATE, bytes(1249))[:600]]
    async with mallory("Stranger") as stranger:
        lines = [stranger.dial(ann) for _ in said]
        for line, words in zip(lines, said, strict=True):
            await line.ready()
            if words:
                line.write(words)
        drip = asyncio.create_task(dripping(lines[-1]))  # noqa: TID251
        codes = [await line.ended() for line in lines]
        took = [time.monotonic() - line.began for line in lines]
        drip.cancel()
    assert codes == [REFUSED] * len(said)
    assert all(limits.HANDSHAKE_TIMEOUT_S - 0.3 <= each < limits.HANDSHAKE_TIMEOUT_S + 1.5 for each in took), took


async def dripping(line: Line) -> None:
    """One byte now and then: that a peer is slow gives it no more time."""
    while not line.lost.done():
        line.write(b"x")
        await asyncio.sleep(0.2)


async def test_other_protocols_over_quic(ann: Somebody, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = tls._configuration

    def other(*args: object, **how: object) -> object:
        made = configuration(*args, **how)  # type: ignore[arg-type]
        made.alpn_protocols = ["h3"]
        return made

    monkeypatch.setattr(tls, "_configuration", other)
    async with mallory("Browser") as browser:
        line = browser.dial(ann)
        assert await line.ended() is None
        assert not line.exporter.done()


@contextmanager
def raw_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(1.0)
        yield made


def long_header(version: int, size: int, kind: int = 0xC0) -> bytes:
    return (bytes((kind,)) + version.to_bytes(4, "big") + b"\x08" + os.urandom(8) + b"\x08" + os.urandom(8)).ljust(size, b"\0")


async def test_datagrams_that_are_none_of_ours(ann: Somebody) -> None:
    port = ann.ask("status")["port"]
    with raw_socket() as sender:
        for size in (0, 1, 7, 20, 600, 1199, 1200, 1472, 9000, 65_000):
            for first in (0x00, 0x40, 0x80, 0xC0, 0xFF):
                sender.sendto(bytes((first,))[: min(size, 1)] + os.urandom(max(size - 1, 0)), ("127.0.0.1", port))
        for kind in (0xC0, 0xD0, 0xE0, 0xF0):
            sender.sendto(long_header(1, 1200, kind), ("127.0.0.1", port))
        sender.sendto(long_header(0, 1200), ("127.0.0.1", port))  # version negotiation is for diallers


async def test_other_versions_of_quic_are_told_which_is_spoken(ann: Somebody) -> None:
    port = ann.ask("status")["port"]
    with raw_socket() as sender:
        sender.sendto(long_header(0x6B3343CF, 1200), ("127.0.0.1", port))
        answer = sender.recv(2000)
        assert answer[1:5] == bytes(4) and answer.endswith(b"\x00\x00\x00\x01") and len(answer) < 60
        sender.sendto(long_header(0x6B3343CF, 1100), ("127.0.0.1", port))  # no answer may be larger than what asked for it
        with pytest.raises(TimeoutError):
            sender.recv(2000)


# -- who holds a key, and lies with it


def send(line: Line, commands: Iterable[HandshakeCommand]) -> None:
    for command in commands:
        assert isinstance(command, SendBytes)
        line.write(command.data)


LIES: dict[str, Callable[[Person], Identity]] = {
    "another's account": lambda person: replace(person.identity, account=Person("Eve").account),
    "another's device": lambda person: replace(person.identity, device_key=Person("Eve").key),
    "a signature of another": lambda person: replace(person.identity, sign=Person("Eve").sign),
    "a chain of another": lambda person: replace(person.identity, links=Person("Eve").links),
    "a chain without its beginning": lambda person: replace(person.identity, links=person.links[1:]),
    "heads that its chain has not": lambda person: replace(person.identity, heads=Person("Eve").identity.heads),
    "a device that is not in the chain": lambda person: stranger_in(person),
}


def stranger_in(person: Person) -> Identity:
    eve = Person("Eve")
    return replace(person.identity, device_key=eve.key, sign=eve.sign)


@pytest.mark.parametrize("kind", LIES)
async def test_who_holds_an_invite_and_lies_of_himself_is_refused(ann: Somebody, kind: str) -> None:
    from p2pmsg.crypto import gates
    from p2pmsg.protocol.addresses import decode_invite

    made = ann.ask("contact.invite")
    invite = decode_invite(made["invite"])
    known = ann.ask("contact.list")
    gate = GateRow(gates.invite_gate(invite.secret, invite.account), Purpose.INVITE, None)
    async with mallory("Liar") as liar:
        liar.person.rename("Liam")
        line = liar.dial(ann)
        knowledge = replace(liar.knowledge(), me=LIES[kind](liar.person))
        machine = Dialler(knowledge, await line.ready(), gate, invite.account, os.urandom(64), 0.0)
        send(line, machine.start())
        async with asyncio.timeout(3):
            send(line, machine.receive(await line.frames.get(), 0.0))
        assert await line.ended() == REFUSED
        assert line.frames.empty()
    assert [contact["account"] for contact in ann.ask("contact.list")] == [contact["account"] for contact in known]
    assert made["id"] in [each["id"] for each in ann.ask("contact.invites")]  # wrong proofs never spend it


async def test_a_gate_replayed_on_another_connection_opens_nothing(ann: Somebody) -> None:
    async with mallory("Replayer") as friend:
        await friend.join(ann)
        first, second = friend.dial(ann), friend.dial(ann)
        account = AccountId(bytes.fromhex(ann.account))
        t0 = agreement.t0(await first.ready(), b"\x01", EK)
        frame = plain_frame(FrameType.GATE, b"\x01" + EK + agreement.gate_mac(friend.gate(account).key, t0))
        await second.ready()
        second.write(frame)
        assert await second.ended() == REFUSED
        first.write(frame)
        async with asyncio.timeout(3):
            assert (await first.frames.get()).type == FrameType.READY


async def test_a_crowd_of_strangers_leaves_room_for_a_friend(ann: Somebody, bob: Somebody) -> None:
    """Half-open links from many addresses, over all limits: memory stays, and a friend who comes anew is linked in time."""
    memory = ann.rss_bytes
    async with asyncio.TaskGroup() as tasks:
        crowd = [Mallory(f"S{n}", tasks) for n in range(12)]
        for number, stranger in enumerate(crowd):
            await stranger.endpoint.bind((f"127.0.0.{number + 2}",))
        lines = [stranger.dial(ann) for stranger in crowd for _ in range(12)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(bob.kill)
        await asyncio.to_thread(bob.start)
        began = time.monotonic()
        await asyncio.to_thread(until, lambda: ann.linked(bob) and bob.linked(ann), "Bob is back")
        assert time.monotonic() - began < 4  # 2 s are promised
        assert len(lines) == 144
        for stranger in crowd:
            await stranger.endpoint.close()
    assert ann.rss_bytes - memory < 20_000_000
