"""A contact as lurker (attack 2): Carl knows Bob, so he can announce as Bob does. Ann, who knows Bob and not Carl, may dial him for that:
where a tag covers his address, and there he finds out nothing of who she is."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from aioquic.quic.connection import QuicConnection

from p2pmsg.config import limits
from p2pmsg.crypto import agreement, gates
from p2pmsg.model.ids import AccountId
from p2pmsg.network.announcements import Announcement
from p2pmsg.protocol.addresses import decode_invite, encode_announced
from p2pmsg.protocol.messages import REFUSED
from p2pmsg.protocol.wire import FrameType, plain_frame
from tests.hostile.conftest import Victims
from tests.hostile.mallory import AT_ONCE_S, Mallory, mallory
from tests.hostile.theft import Stolen, announcement, steal, voices
from tests.integration.daemons import Somebody, town, until

pytestmark = pytest.mark.asyncio
EK_BYTES = 1216


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    """People of long names, which no random bytes spell."""
    with town("Annemarie", "Robert the Second") as (ann, bob):
        yield Victims(ann, bob, ann.pid)


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that comes to endpoints of this process: datagrams as they were, and what stood in each of their packets, decrypted."""
    found: list[bytes] = []
    datagram, payload = QuicConnection.receive_datagram, QuicConnection._payload_received

    def receive_datagram(self: QuicConnection, data: bytes, *args: Any, **how: Any) -> None:
        found.append(data)
        datagram(self, data, *args, **how)

    def payload_received(self: QuicConnection, context: Any, plain: bytes, *args: Any, **how: Any) -> Any:
        found.append(plain)
        return payload(self, context, plain, *args, **how)

    monkeypatch.setattr(QuicConnection, "receive_datagram", receive_datagram)
    monkeypatch.setattr(QuicConnection, "_payload_received", payload_received)
    return found


@contextmanager
def bait() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        yield made


def names(hers: Stolen, ann: Somebody, bob: Somebody) -> list[bytes]:
    """Return what would tell who Ann is, or whom she seeks: ids and keys, the first eight bytes of each, and names."""
    me = hers.me
    keys: list[bytes] = [me.account, me.device, me.device_key, me.device_secret, me.root_key, me.backup_key, hers.presence_key]
    keys += [row.key for row in hers.gates]
    for account, links in hers.chains.items():
        keys += [account, *(link.id for link in links), *(link.device_key for link in links if link.device_key is not None)]
    for contact in hers.contacts.values():
        keys += [key for key in (contact.pair_key, contact.presence_key) if key is not None]
    words = [ann.name, bob.name]
    assert len(set(keys)) == 13 and all(len(word) > 8 for word in words)
    return [key[:8] for key in keys] + [key.hex()[:16].encode() for key in keys] + [word.encode() for word in words]


def uncovered(real: Announcement, key: bytes, between_us: bytes, carl: Mallory, port: int) -> list[Announcement]:
    """Return announcements of the bait's address under tags of Bob's that were made for others, and tags that say nothing to Ann."""
    there = encode_announced(["127.0.0.1"], port)
    return [
        replace(real, addresses=there),
        replace(real, addresses=there, nonce=os.urandom(10)),
        replace(announcement(key, carl.endpoint.port), addresses=there),
        replace(announcement(key, port), nonce=os.urandom(10)),
        announcement(between_us, port),
        Announcement(os.urandom(10), there, os.urandom(8 * limits.TAGS)),
    ]


async def test_carl_announces_as_bob(ann: Somebody, bob: Somebody, received: list[bytes]) -> None:
    """Bob's tag, replayed for another address, leads Ann nowhere; a fresh one leads her to Carl, who cannot tell that it is she."""
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]  # she comes once to each
    async with mallory("Carl", *hosts) as carl, voices(2) as (mouth, witness):
        invite = bob.ask("contact.invite")["invite"]
        talk = await carl.join(bob, invite)
        key, account = talk.hello.presence_key, AccountId(bytes.fromhex(bob.account))
        held = [key, carl.pair_keys[account], carl.gate(account).key, gates.invite_gate(decode_invite(invite).secret, account)]
        real = await witness.hears(lambda said: gates.tag(key, said.nonce, said.addresses) in said.tags)
        await asyncio.to_thread(bob.stop)
        await asyncio.to_thread(until, lambda: not ann.linked(bob), "Bob is gone")
        received.clear()
        try:
            with bait() as never:
                for said in uncovered(real, key, carl.pair_keys[account], carl, never.getsockname()[1]):
                    mouth.say(said)
                    await witness.hears(said.__eq__)
                mouth.say(announcement(key, carl.endpoint.port, hosts))
                await meet(carl, held)
                with pytest.raises(BlockingIOError):
                    never.recv(2000)
        finally:
            await asyncio.to_thread(bob.start)
        everything = b"".join(received)
        assert len(everything) > 2 * 3 * (EK_BYTES + 33)
        assert [word for word in names(steal(ann), ann, bob) if word in everything] == []
        await asyncio.to_thread(until, lambda: ann.linked(bob) and bob.linked(ann), "Bob is back")


async def meet(carl: Mallory, held: list[bytes]) -> None:
    """Try all that Carl has on those who come: their GATE verifies under none of his keys, and no READY of his under theirs."""
    for key in (held[2], held[3], os.urandom(32)):
        line = await carl.called()
        exporter = await line.ready()
        async with asyncio.timeout(5):
            gate = await line.frames.get()
        t0 = agreement.t0(exporter, gate.body[:1], gate.body[1 : 1 + EK_BYTES])
        assert gate.type == FrameType.GATE
        assert gate.body[1 + EK_BYTES :] not in [agreement.gate_mac(each, t0) for each in held]
        ek, sealed = os.urandom(EK_BYTES), os.urandom(32 + 1136)
        line.write(plain_frame(FrameType.READY, ek + sealed + agreement.ready_mac(key, agreement.t1(t0, ek, sealed))))
        assert await line.ended(AT_ONCE_S) == REFUSED
        assert line.frames.empty()
