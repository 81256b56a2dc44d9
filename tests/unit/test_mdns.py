from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from zeroconf import DNSOutgoing, DNSPointer, DNSQuestion, current_time_millis  # type: ignore[attr-defined]

from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Interface
from p2pmsg.network import mdns
from p2pmsg.network.announcements import SERVICE, Announcement, instance_name, nonce_of, parse
from p2pmsg.network.interfaces import usable
from p2pmsg.network.mdns import Mdns, Publication

PATIENCE_S = 5
GONE = Interface("gone0", 9999, (), (("fe80::1", 64),))


class Ear:
    """Waits for announcements by nonce: other tests may talk on the same loopback interface."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[Announcement] = asyncio.Queue()

    def __call__(self, name: str, text: bytes) -> None:
        announcement = parse(name, text)
        if announcement is not None:
            self._heard.put_nowait(announcement)

    async def hears(self, nonce: bytes) -> Announcement:
        async with asyncio.timeout(PATIENCE_S):
            while (announcement := await self._heard.get()).nonce != nonce:
                continue
            return announcement


def publication(nonce: bytes, addresses: bytes = b"addresses") -> Publication:
    return Publication(Announcement(nonce, addresses, os.urandom(64)), 4433, usable(["lo"]))


@asynccontextmanager
async def on_loopback() -> AsyncIterator[tuple[Mdns, Ear]]:
    ear = Ear()
    node = Mdns(ear)
    try:
        assert await node.use(usable(["lo"]))
        yield node, ear
    finally:
        await node.close()


@pytest.mark.asyncio
async def test_two_hear_each_other() -> None:
    async with on_loopback() as (ann, ann_ear), on_loopback() as (bob, bob_ear):
        wanted = publication(os.urandom(10)), publication(os.urandom(10))
        await ann.publish(wanted[0])
        await bob.publish(wanted[1])
        assert await bob_ear.hears(wanted[0].announcement.nonce) == wanted[0].announcement
        assert await ann_ear.hears(wanted[1].announcement.nonce) == wanted[1].announcement


@pytest.mark.asyncio
async def test_asking_finds_who_announced_before() -> None:
    async with on_loopback() as (ann, _):
        wanted = publication(os.urandom(10))
        await ann.publish(wanted)
        async with on_loopback() as (bob, bob_ear):
            bob.ask()
            assert await bob_ear.hears(wanted.announcement.nonce)


@pytest.mark.asyncio
async def test_an_unchanged_announcement_is_heard_again() -> None:
    async with on_loopback() as (ann, _), on_loopback() as (_, bob_ear):
        wanted = publication(os.urandom(10))
        await ann.publish(wanted)
        await bob_ear.hears(wanted.announcement.nonce)
        asyncio.get_running_loop().call_later(0.9, ann.announce)  # zeroconf drops equal packets within 0.8 s
        assert await bob_ear.hears(wanted.announcement.nonce)


@pytest.mark.asyncio
async def test_other_tags_under_the_same_nonce_replace_the_record() -> None:
    async with on_loopback() as (ann, _), on_loopback() as (_, bob_ear):
        nonce = os.urandom(10)
        await ann.publish(publication(nonce, b"before"))
        assert (await bob_ear.hears(nonce)).addresses == b"before"
        await ann.publish(publication(nonce, b"after"))
        while (await bob_ear.hears(nonce)).addresses != b"after":
            continue


@pytest.mark.asyncio
async def test_publishing_the_same_again_does_nothing() -> None:
    async with on_loopback() as (ann, _):
        wanted = publication(os.urandom(10))
        assert await ann.publish(wanted)
        assert not await ann.publish(wanted)
        assert await ann.publish(None)
        assert not await ann.publish(None)


@pytest.mark.asyncio
async def test_two_announcements_side_by_side_and_the_end_of_one() -> None:
    async with on_loopback() as (ann, _), on_loopback() as (bob, ear):
        main, shown = publication(os.urandom(10)), publication(os.urandom(10))
        gone: asyncio.Queue[str] = asyncio.Queue()
        bob._records.gone = gone.put_nowait
        assert await ann.publish(main)
        await ear.hears(main.announcement.nonce)
        assert await ann.publish(main, shown)
        await ear.hears(shown.announcement.nonce)
        assert not await ann.publish(main, shown)
        assert await ann.publish(main, None)
        async with asyncio.timeout(PATIENCE_S):
            while nonce_of(await gone.get()) != shown.announcement.nonce:
                continue
        assert instance_name(main.announcement.nonce) in ann._published


@pytest.mark.asyncio
async def test_who_is_known_answers_when_all_are_asked() -> None:
    async with on_loopback() as (ann, _), on_loopback() as (bob, ear):
        wanted = publication(os.urandom(10))
        await ann.publish(wanted)
        await ear.hears(wanted.announcement.nonce)
        await asyncio.sleep(1.1)  # an answer within a second of the last packet waits for others
        while not ear._heard.empty():
            ear._heard.get_nowait()
        bob.ask_all()
        assert await ear.hears(wanted.announcement.nonce)


@pytest.mark.asyncio
async def test_without_interfaces_nothing_happens() -> None:
    node = Mdns(Ear())
    assert not await node.use(())
    assert not await node.publish(publication(os.urandom(10)))
    node.announce()
    node.ask_all()
    node.ask()
    await node.close()


@pytest.mark.asyncio
async def test_interfaces_that_went_away_and_came_back_are_a_new_way() -> None:
    async with on_loopback() as (node, _):
        assert not await node.use(usable(["lo"]))
        assert not await node.use(())
        assert await node.use(usable(["lo"]))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # zeroconf leaves its listener to the collector
@pytest.mark.asyncio
async def test_an_interface_that_vanished_meanwhile_is_one_clear_error_and_the_next_try_works() -> None:
    node = Mdns(Ear())
    with pytest.raises(MdnsUnavailable, match="mDNS does not work"):
        await node.use((GONE,))
    assert await node.use(usable(["lo"]))
    await node.close()


@pytest.mark.asyncio
async def test_loopback_sockets_are_bound_to_the_device_and_answer_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with on_loopback() as (node, _):
        zeroconf = node._zeroconf.zeroconf  # type: ignore[union-attr]
        sent: list[object] = []
        monkeypatch.setattr(mdns.Zeroconf, "async_send", lambda self, out, addr=None, *more: sent.append(addr))
        for addr in (None, "127.0.0.1", "::1", "10.77.0.1", "fe80::1%eth0", "192.168.1.1"):
            zeroconf.async_send(object(), addr)  # type: ignore[arg-type]
        assert sent == [None, "127.0.0.1", "::1"]


@pytest.mark.asyncio
async def test_elsewhere_nobody_is_answered_whatever_sender_a_question_names() -> None:
    async with on_loopback() as (node, _):
        zeroconf = node._zeroconf.zeroconf  # type: ignore[union-attr]
        assert isinstance(zeroconf, mdns._LinkZeroconf)
        zeroconf.here = (Interface("eth0", 2, (("10.0.0.1", 24),), (("fe80::1", 64),)),)
        near = [("10.0.0.9", 0), ("::ffff:10.0.0.9", 2), ("fe80::9", 2), ("fe80::9%eth0", 2)]
        far = [("10.0.1.9", 0), ("203.0.113.7", 0), ("::ffff:203.0.113.7", 2), ("2001:db8::1", 2), ("fe80::9", 3), ("127.0.0.1", 0)]
        assert all(zeroconf._is_near(*each) for each in near)
        assert not any(zeroconf._is_near(*each) for each in far)


class Inside(asyncio.DatagramProtocol):
    """Stands where zeroconf stands."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.append(data)


@pytest.mark.asyncio
async def test_answers_from_other_ports_and_by_other_interfaces_stay_outside() -> None:
    answer, question = b"\0\0\x84\0", b"\0\0\0\0"
    async with on_loopback() as (node, _):
        zeroconf = node._zeroconf.zeroconf  # type: ignore[union-attr]
        assert all(isinstance(reader.transport.get_protocol(), mdns._Door) for reader in zeroconf.engine.readers)
        assert isinstance(zeroconf, mdns._LinkZeroconf)
        zeroconf.here = (Interface("eth0", 2, (), (("fe80::1", 64),)),)
        door = mdns._Door(inside := Inside(), zeroconf)
        for data, addr in (
            (answer, ("fe80::9", 5353, 0, 3)),
            (question, ("fe80::9", 40_000, 0, 3)),
            (answer, ("fe80::9", 40_000, 0, 2)),
            (answer, ("10.0.0.9", 40_000)),
        ):
            door.datagram_received(data, addr)
        assert inside.got == []
        for data, addr in (
            (answer, ("fe80::9", 5353, 0, 2)),
            (question, ("fe80::9", 40_000, 0, 2)),
            (answer, ("::ffff:10.0.0.9", 5353, 0, 0)),
            (question, ("10.0.0.9", 40_000)),
            (b"", ("10.0.0.9", 40_000)),
        ):
            door.datagram_received(data, addr)
        assert len(inside.got) == 5


@pytest.mark.asyncio
async def test_a_question_that_another_has_just_asked_is_left_out_but_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever asks us alone, every second, would keep us from ever asking all."""
    async with on_loopback() as (node, _):
        zeroconf = node._zeroconf.zeroconf  # type: ignore[union-attr]
        sent: list[DNSOutgoing] = []
        monkeypatch.setattr(mdns._LinkZeroconf, "async_send", lambda self, out: sent.append(out))
        zeroconf.question_history.add_question_at_time(DNSQuestion(SERVICE, 12, 1), current_time_millis(), set())
        node._question(zeroconf, False)
        assert sent == []
        node._question(zeroconf, True)
        assert [question.name for question in sent[0].questions] == [SERVICE]


@pytest.mark.asyncio
async def test_four_questions_name_whom_we_know_and_end_with_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "FIRST_QUESTION_S", (0.0, 0.0))
    monkeypatch.setattr(mdns, "FURTHER_QUESTIONS_S", (0.01, 0.02, 60.0))
    asked: asyncio.Queue[DNSOutgoing] = asyncio.Queue()
    async with on_loopback() as (ann, _), on_loopback() as (node, ear):
        wanted = publication(os.urandom(10))
        await ann.publish(wanted)
        await ear.hears(wanted.announcement.nonce)
        monkeypatch.setattr(mdns._LinkZeroconf, "async_send", lambda self, out, *more: asked.put_nowait(out))
        node.ask()
        async with asyncio.timeout(PATIENCE_S):
            packet = await asked.get()
        label = instance_name(wanted.announcement.nonce)
        assert f"{label}.{SERVICE}" in {answer.alias for answer, _ in packet.answers if isinstance(answer, DNSPointer)}
        last = node._questions[-1]
        await node.close()
        assert last.cancelled() and not node._questions


def test_the_host_name_leads_to_few_addresses_and_to_link_local_ipv6_where_there_is_some() -> None:
    many = tuple((f"10.0.0.{n}", 24) for n in range(9))
    eth0 = Interface("eth0", 2, many, (("2001:db8::1", 64), ("fe80::1", 64)))
    assert mdns._host_addresses([eth0]) == [*(host for host, _ in many[:4]), "fe80::1"]


def test_interfaces_are_named_by_ipv4_address_and_ipv6_index() -> None:
    eth0 = Interface("eth0", 2, (("10.0.0.1", 24),), (("fe80::1", 64), ("2001:db8::1", 64)))
    eth1 = Interface("eth1", 3, (("10.0.1.1", 24),), ())
    assert mdns._choices([eth0, eth1]) == ["10.0.0.1", "10.0.1.1", 2]
    assert mdns._choices(usable(["lo"])) == ["127.0.0.1"]


def test_a_published_name_is_the_nonce_and_nothing_of_the_machine() -> None:
    info = mdns._service_info(publication(bytes(10)))
    assert info.server == f"{instance_name(bytes(10))}.local."
    assert info.name == f"{instance_name(bytes(10))}._p2pmsg._udp.local."


def test_of_a_program_that_keeps_the_port_to_itself_it_is_said_what_to_do() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as keeper:
        keeper.bind(("", 0))
        with pytest.raises(OSError) as taken, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
            other.bind(("", keeper.getsockname()[1]))
    with pytest.raises(MdnsUnavailable, match="Another program keeps UDP port 5353") as told, mdns._explained():
        raise taken.value
    assert "disallow-other-stacks=no" in told.value.hint
