from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from zeroconf import DNSIncoming, DNSOutgoing, DNSPointer, DNSRecord, DNSText, Zeroconf, current_time_millis  # type: ignore[attr-defined]
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from p2pmsg.network.announcements import SERVICE, Announcement, instance_name, text_properties
from p2pmsg.network.records import KEPT, Records

MINE = instance_name(bytes(10))


def info(nonce: bytes, tags: bytes = bytes(64)) -> AsyncServiceInfo:
    name = instance_name(nonce)
    properties: dict[Any, Any] = dict(text_properties(Announcement(nonce, b"addresses", tags)))
    return AsyncServiceInfo(
        SERVICE, f"{name}.{SERVICE}", port=4433, server=f"{name}.local.", properties=properties, parsed_addresses=["10.0.0.1"]
    )


def whole(of: AsyncServiceInfo) -> list[DNSRecord]:
    return [of.dns_pointer(), of.dns_service(), of.dns_text(), *of.dns_addresses()]


def goodbye(text: DNSText) -> DNSText:
    return DNSText(text.name, text.type, 0x8001, 0, text.text)


class Told:
    """What came of the packets."""

    def __init__(self, zeroconf: Zeroconf) -> None:
        self.zeroconf = zeroconf
        self.heard: list[str] = []
        self.gone: list[str] = []
        self.records = Records(lambda name, text: self.heard.append(name), self.gone.append, {MINE})
        zeroconf.async_add_listener(self.records, None)

    def take(self, *records: DNSRecord) -> None:
        """Receive a response."""
        packet = DNSOutgoing(0x8400)
        for record in records:
            packet.add_answer_at_time(record, 0)
        for data in packet.packets():
            self.zeroconf.record_manager.async_updates_from_response(DNSIncoming(data, now=current_time_millis()))

    @property
    def known(self) -> list[str]:
        return [pointer.alias for pointer in self.records.known(current_time_millis())]


@pytest_asyncio.fixture
async def told() -> AsyncIterator[Told]:
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    await zeroconf.zeroconf.async_wait_for_start()
    yield Told(zeroconf.zeroconf)
    await zeroconf.async_close()


@pytest.mark.asyncio
async def test_of_an_announcement_its_text_is_kept_and_it_is_known(told: Told) -> None:
    bob = info(os.urandom(10))
    told.take(*whole(bob))
    told.take(*whole(bob))
    assert told.heard == [bob.name, bob.name]
    assert told.known == [bob.name]
    assert told.zeroconf.cache.entries_with_name(bob.name) == [bob.dns_text()]
    assert told.zeroconf.cache.entries_with_name(SERVICE) == []
    assert told.zeroconf.cache.entries_with_name(f"{bob.name.partition('.')[0]}.local.") == []


@pytest.mark.asyncio
async def test_of_anything_else_nothing_is_kept(told: Told) -> None:
    long = info(os.urandom(10)).dns_text()
    long = DNSText(long.name, long.type, 1, 4500, long.text + (b"\xff" + b"x" * 255) * 8)
    printer = AsyncServiceInfo("_ipp._tcp.local.", "printer._ipp._tcp.local.", port=631, server="p.local.", parsed_addresses=["10.0.0.9"])
    told.take(*whole(printer), long)
    told.take(DNSPointer(SERVICE, 12, 1, 2**31 - 1, f"a.b\\.c.{SERVICE}"))
    assert told.heard == [] and told.known == []
    assert told.zeroconf.cache._total_records == 0


@pytest.mark.asyncio
async def test_a_pointer_alone_makes_nobody_known(told: Told) -> None:
    """Or anybody could keep those whom he names from answering us."""
    told.take(info(os.urandom(10)).dns_pointer())
    assert told.known == []


@pytest.mark.asyncio
async def test_one_of_whom_two_things_were_heard_is_not_known_until_one_of_them_is_gone(told: Told) -> None:
    nonce = os.urandom(10)
    true, forged = info(nonce), info(nonce, b"forged".ljust(64))
    told.take(true.dns_text(), forged.dns_text())
    assert told.known == []
    told.take(goodbye(forged.dns_text()))
    assert told.known == [true.name]
    assert told.gone == []
    told.take(goodbye(true.dns_text()))
    assert told.known == []
    assert told.gone == [true.name]


@pytest.mark.asyncio
async def test_the_latest_are_kept_and_no_more(told: Told) -> None:
    first = info(os.urandom(10))
    told.take(first.dns_text())
    others = [info(os.urandom(10)) for _ in range(KEPT)]
    for other in others[:-1]:
        told.take(other.dns_text())
    assert len(told.known) == KEPT
    told.take(others[-1].dns_text())
    assert sorted(told.known) == sorted(other.name for other in others)
    assert told.zeroconf.cache._total_records == KEPT
    told.take(goodbye(first.dns_text()))
    assert told.gone == []


@pytest.mark.asyncio
async def test_what_is_ours_stays_for_zeroconf_and_is_not_named_as_known(told: Told) -> None:
    mine = info(bytes(10))
    told.take(*whole(mine))
    assert told.known == []
    assert told.zeroconf.cache.entries_with_name(SERVICE) == [mine.dns_pointer()]
    told.take(*(DNSText(mine.name, 16, 1, 4500, number.to_bytes(2, "big")) for number in range(2 * KEPT)))
    assert told.zeroconf.cache._total_records == KEPT


@pytest.mark.asyncio
async def test_whoever_was_not_heard_for_long_is_asked_to_answer(told: Told) -> None:
    bob = info(os.urandom(10))
    told.take(bob.dns_text())
    assert told.records.known(current_time_millis() + 2_200_000) != []
    assert told.records.known(current_time_millis() + 2_300_000) == []


@pytest.mark.asyncio
async def test_another_zeroconf_begins_with_nothing(told: Told) -> None:
    told.take(info(os.urandom(10)).dns_text())
    other = AsyncZeroconf(interfaces=["127.0.0.1"])
    await other.zeroconf.async_wait_for_start()
    told.records.async_update_records(other.zeroconf, current_time_millis(), [])
    assert told.known == []
    await other.async_close()
