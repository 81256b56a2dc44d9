"""What a node says of itself on the network, and what it makes of others' announcements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon.announcer import hosts_of, scoped
from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Address, Interface
from p2pmsg.protocol.addresses import decode_announced, encode_announced
from tests.unit.nodes import PAIR_KEY, House, moved_in, settle
from tests.unit.people import Person, seeded

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
ETH = Interface("eth0", 2, (("10.0.0.1", 24),), (("fe80::1", 64), ("fd00::1", 64)))
LO = Interface("lo", 1, (("127.0.0.1", 8),), (("::1", 128),), loopback=True)
NONCE = b"n" * 10


class Radio:
    """What publishes announcements (`network.discovery.Discovery`)."""

    def __init__(self) -> None:
        self.said: list[tuple[bytes, int, bytes, bytes]] = []
        self.replays = 0

    def publish(self, nonce: bytes, port: int, addresses: bytes, tags: bytes, interfaces: Sequence[Interface]) -> None:
        self.said.append((nonce, port, addresses, tags))

    def replay(self) -> None:
        self.replays += 1


def house() -> tuple[House, Radio]:
    made, radio = House(ANN, shelf=moved_in(ANN, BOB)).start(), Radio()
    made.announcer.interfaces = (ETH,)
    made.announcer.attach(radio)  # type: ignore[arg-type]
    return made, radio


def announcement(*hosts: str, key: bytes = PAIR_KEY, port: int = 40_000) -> tuple[bytes, bytes, bytes]:
    addresses = encode_announced(hosts, port)
    return NONCE, addresses, gates.tag(key, NONCE, addresses) + seeded("random", 56)


# -- what is said


async def test_an_epoch_has_a_name_tags_and_certificate_of_its_own() -> None:
    made, radio = house()
    made.announcer.new_epoch()
    made.announcer.new_epoch()
    (one, port, addresses, tags), other = radio.said
    assert one != other[0] and tags != other[3] and len(one) == 10 and port == 40_000 and made.endpoint.epochs == 2
    assert decode_announced(addresses) == [Address(host, 40_000) for host in ("10.0.0.1", "fe80::1", "fd00::1")]


async def test_contacts_recognise_it_and_nobody_else_learns_a_thing() -> None:
    made, radio = house()
    made.announcer.new_epoch()
    nonce, _, addresses, tags = radio.said[0]
    slots = [tags[at : at + 8] for at in range(0, len(tags), 8)]
    assert len(slots) == limits.TAGS == len(set(slots))
    assert gates.tag(made.node.people.me.presence_key, nonce, addresses) in slots
    assert ANN.account[:4] not in nonce + addresses + tags


async def test_a_contact_who_may_not_have_my_presence_key_knows_me_by_the_pair_s() -> None:
    made, radio = house()
    assert made.node.people.contacts[BOB.account].presence_key is None
    made.announcer.new_epoch()
    nonce, _, addresses, tags = radio.said[0]
    assert gates.tag(PAIR_KEY, nonce, addresses) in [tags[at : at + 8] for at in range(0, len(tags), 8)]


async def test_the_place_of_a_tag_tells_nothing() -> None:
    made, radio = house()
    places = set()
    for _ in range(60):
        made.announcer.new_epoch()
        nonce, _, addresses, tags = radio.said[-1]
        places.add(tags.index(gates.tag(made.node.people.me.presence_key, nonce, addresses)))
    assert len(places) > 3


async def test_without_a_network_nothing_is_said() -> None:
    made, radio = house()
    made.announcer.interfaces_changed(())
    assert radio.said == [] and made.endpoint.epochs == 1
    made.announcer.interfaces_changed((ETH,))
    assert len(radio.said) == 1 and made.announcer.interfaces == (ETH,)


async def test_before_there_is_a_discovery_only_the_certificate_changes() -> None:
    made = House(ANN, shelf=moved_in(ANN, BOB)).start()
    made.announcer.new_epoch()
    made.announcer.contacts_changed()
    assert made.endpoint.epochs == 1


async def test_a_new_contact_may_have_announced_before() -> None:
    made, radio = house()
    made.announcer.contacts_changed()
    assert radio.replays == 1


async def test_what_ails_mdns_is_kept_for_status() -> None:
    made, _ = house()
    made.announcer.mdns_changed(MdnsUnavailable("taken"))
    assert made.announcer.problem is not None
    made.announcer.mdns_changed(None)
    assert made.announcer.problem is None


# -- what is heard


async def dialled(*said: Any, version: int = 1) -> list[str]:
    made, _ = house()
    made.announcer.announced(*said, version)
    await settle()
    return [str(address) for address in made.endpoint.dialled]


async def test_a_contact_is_dialled_where_he_says() -> None:
    assert await dialled(*announcement("10.0.0.9")) == ["10.0.0.9:40000"]
    assert sorted(await dialled(*announcement("10.0.0.9", "fd00::9"))) == ["10.0.0.9:40000", "[fd00::9]:40000"]


async def test_a_stranger_is_passed_over() -> None:
    assert await dialled(*announcement("10.0.0.9", key=seeded("stranger"))) == []


async def test_a_tag_does_not_cover_other_addresses() -> None:
    nonce, _, tags = announcement("10.0.0.9")
    assert await dialled(nonce, encode_announced(["10.0.0.8"], 40_000), tags) == []


@pytest.mark.parametrize("host", ["8.8.8.8", "224.0.0.251", "255.255.255.255", "10.0.0.255", "127.0.0.1", "0.0.0.0", "::1", "ff02::fb"])
async def test_nobody_is_sent_where_no_contact_can_be(host: str) -> None:
    assert await dialled(*announcement(host)) == []


@pytest.mark.parametrize("addresses", [b"", b"\x01", b"\x07" * 20, b"\x01\x0a\x00\x00\x09", bytes(200)])
async def test_rubbish_under_a_good_tag(addresses: bytes) -> None:
    assert await dialled(NONCE, addresses, gates.tag(PAIR_KEY, NONCE, addresses)) == []


async def test_a_contact_of_a_later_version_is_noticed_not_dialled() -> None:
    made, _ = house()
    made.announcer.announced(*announcement("10.0.0.9", key=seeded("stranger")), 2)
    assert made.announcer.other_versions == {}
    made.announcer.announced(*announcement("10.0.0.9"), 2)
    await settle()
    assert made.announcer.other_versions == {BOB.account: 2} and made.endpoint.dialled == []


async def test_a_contact_who_has_got_our_version_is_forgotten_as_another() -> None:
    made, _ = house()
    made.announcer.announced(*announcement("10.0.0.9"), 2)
    made.announcer.announced(*announcement("10.0.0.9", key=seeded("stranger")), 1)
    assert made.announcer.other_versions == {BOB.account: 2}
    made.announcer.announced(*announcement("10.0.0.9"), 1)
    await settle()
    assert made.announcer.other_versions == {} and len(made.endpoint.dialled) == 1


# -- addresses


async def test_the_best_addresses_come_first() -> None:
    other = Interface("eth1", 3, (("192.168.0.1", 24),), ())
    assert hosts_of((ETH, other)) == ["10.0.0.1", "192.168.0.1", "fe80::1", "fd00::1"]
    assert hosts_of(()) == []


async def test_a_link_local_address_is_tried_on_every_interface_that_has_ipv6() -> None:
    plain = Interface("eth1", 3, (("192.168.0.1", 24),), ())
    assert scoped(Address("FE80::9", 1), (LO, ETH, plain)) == [Address("FE80::9", 1, 2)]
    assert scoped(Address("fe80::9", 1), (plain,)) == []
    assert scoped(Address("fd00::9", 1), (ETH,)) == [Address("fd00::9", 1)] == scoped(Address("fd00::9", 1), ())


async def test_more_laggards_than_tags_take_turns_in_short_epochs() -> None:
    crowd = [Person(f"Friend {number}") for number in range(20)]
    made, radio = House(ANN, shelf=moved_in(ANN, *crowd)).start(), Radio()
    made.announcer.interfaces = (ETH,)
    made.announcer.attach(radio)  # type: ignore[arg-type]
    people = made.node.people
    for number, account in enumerate(list(people.contacts)):
        people.contacts[account] = replace(people.contacts[account], pair_key=seeded(f"pair {number}"))
    people.me = replace(people.me, presence_number=2)
    seen = set()
    for _ in range(3):
        made.announcer.new_epoch()
        nonce, _, addresses, tags = radio.said[-1]
        seen |= {n for n in range(20) if gates.tag(seeded(f"pair {n}"), nonce, addresses) in tags}
    assert seen == set(range(20))
    assert made.announcer.epoch_s == limits.EPOCH_CROWDED_S
    for account in list(people.contacts):
        people.contacts[account] = replace(people.contacts[account], holds=2)
    assert made.announcer.epoch_s == limits.EPOCH_S
