"""Invites that would make us send packets to where they do not belong, or that are none at all."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from p2pmsg.daemon.relations import Relations
from p2pmsg.errors import InviteMalformed
from p2pmsg.model.addresses import Interface
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.addresses import encode_invite
from p2pmsg.rpc.api import ContactAdd
from tests.integration.daemons import Somebody

LAN = Interface("eth0", 2, (("192.168.1.7", 24),), (("fe80::7", 64), ("fd12::7", 64)))
LO = Interface("lo", 1, (("127.0.0.1", 8),), (("::1", 128),), True)
NEVER = [
    "224.0.0.1",
    "224.0.0.251",
    "239.1.2.3",
    "255.255.255.255",
    "192.168.1.255",
    "192.168.1.0",
    "0.0.0.0",
    "240.0.0.1",
    "8.8.8.8",
    "127.0.0.1",
    "ff02::1",
    "ff02::fb",
    "2001:db8::1",
    "::",
    "::1",
    "::ffff:8.8.8.8",
]


def invite(host: str, port: int = 47_000) -> str:
    return encode_invite(AccountId(os.urandom(32)), os.urandom(16), port, [host])


class Dials:
    """A node that notes whom it was to dial."""

    def __init__(self) -> None:
        self.dialled: list[object] = []
        self.people = SimpleNamespace(me=SimpleNamespace(account=AccountId(bytes(32))), contacts={})

    def dial(self, account: AccountId, address: object, *args: object, **how: object) -> None:
        self.dialled.append(address)


async def add(text: str, *interfaces: Interface) -> tuple[Exception, list[object]]:
    node: Any = Dials()
    announcer: Any = SimpleNamespace(interfaces=interfaces)
    nothing: Any = None
    with pytest.raises(InviteMalformed) as caught:
        await Relations(node, nothing, announcer, nothing).add(ContactAdd(text, timeout_s=0.1))
    return caught.value, node.dialled


@pytest.mark.asyncio
@pytest.mark.parametrize("host", NEVER)
async def test_no_packet_goes_to_where_none_belongs(host: str) -> None:
    error, dialled = await add(invite(host), LAN)
    assert dialled == [] and "no address on this network" in str(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("port", [1, 22, 53, 1023])
async def test_no_packet_goes_to_services_of_others(port: int) -> None:
    assert (await add(invite("192.168.1.9", port), LAN))[1] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["192.168.1.9", "10.0.0.1", "169.254.1.1", "fe80::9", "fd12::9"])
async def test_from_loopback_alone_nothing_leaves_the_machine(host: str) -> None:
    assert (await add(invite(host), LO))[1] == []


@pytest.mark.parametrize("host", ["224.0.0.251", "255.255.255.255", "8.8.8.8", "10.0.0.1", "ff02::fb"])
def test_a_daemon_refuses_them_at_once(ann: Somebody, host: str) -> None:
    ann.fails(2, "invite_malformed", "contact", "add", invite(host), "--json")


BAD = [
    "",
    "P2PMSG:",
    "p2pmsg:aaaa",
    "P2PMSG:" + "A" * 113,
    "P2PMSG:" + "A" * 5000,
    "P2PMSG:\u0130" + "A" * 80,
    "P2PMSG:" + "1" * 80,
    "P2PMSG:" + "=" * 80,
    "http://p2pmsg",
    "\x1b[2JP2PMSG:AAAA",
]


@pytest.mark.parametrize("text", BAD, ids=[ascii(text)[:16] for text in BAD])
def test_texts_that_are_no_invites(ann: Somebody, text: str) -> None:
    done = ann.cli("contact", "add", "--json", "--", text)
    assert (done.status, done.error["code"]) == (2, "invite_malformed")
    assert "\x1b" not in done.err


def test_every_way_to_mistype_one_letter_is_noticed(ann: Somebody) -> None:
    from p2pmsg.protocol.addresses import decode_invite

    text = ann.ask("contact.invite")["invite"]
    for at in range(7, len(text)):
        for letter in "A7":
            wrong = text[:at] + letter + text[at + 1 :]
            if wrong != text:
                with pytest.raises(InviteMalformed):
                    decode_invite(wrong)
