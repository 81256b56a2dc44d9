"""What a stranger on the Wi-Fi learns (security.md): he records all on two networks, and looks for what both have in common.

And what he can do with it: say again what he heard, from elsewhere. Both plays run at the same time.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest

from p2pmsg.network import beacon
from tests.lan.frames import Recording, connection_ids, dns_fields, initials
from tests.lan.lan import Lan
from tests.lan.people import Person, Scene, start
from tests.lan.strangers import packet, service_info

NODES = 3
SAME_BYTES = 8
STRANGER = "3"
MDNS = 5353
HOME, CAFE = "10.77", "192.168"
ROUTER = "02:00:00:00:00:fe"
DIAL_S = 3.0
"""Longer than it takes to dial who was heard."""

ALLOWED = {
    "padding of QUIC datagrams": [bytes(2048)],
    "mDNS: fe80::/64, where addresses of all machines are": [b"\xfe\x80" + bytes(6)],
    "TLS: a client's hello with our suites, group, signatures, ALPN and transport parameters, without a name": [
        b"\x06\x00@\xd2\x01\x00\x00\xce\x03\x03",
        b"\x00\x00\x04\x13\x01\x13\x03\x01\x00\x00\xa1\x003\x00&\x00$\x00\x1d\x00 ",
        b"\x00+\x00\x03\x02\x03\x04\x00\r\x00\x14\x00\x12\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05\x01\x02\x01\x08\x07\x08\x08"
        b"\x00\n\x00\x04\x00\x02\x00\x1d\x00\x10\x00\x0b\x00\t\x08p2pmsg/1\x009\x00=\x01\x02_@\x04\x08"
        + b"\xff" * 8
        + b"\x05\x02`\x00\x06\x02`\x00\x07\x02`\x00\x08\x01\x00\t\x01\x00\n\x01\x03\x0b\x01\x19\x0e\x01\x08\x0f\x08",
        b"\x11\x08\x00\x00\x00\x01\x00\x00\x00\x01",
    ],
    "TLS: a server's hello": [
        b"\x00\x00\x06\x00@Z\x02\x00\x00V\x03\x03",
        b"\x00\x13\x01\x00\x00.\x00+\x00\x02\x03\x04\x003\x00$\x00\x1d\x00 ",
    ],
}
"""What both networks may see, by why it says nothing of who it is."""

CERTIFICATE = """
import json, socket, ssl, sys, time
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
address = sys.argv[1], int(sys.argv[2])
quic = QuicConnection(configuration=QuicConfiguration(alpn_protocols=["p2pmsg/1"], verify_mode=ssl.CERT_NONE))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(address)
sock.settimeout(5)
quic.connect(address, time.monotonic())
while quic.tls._peer_certificate is None:
    for data, _ in quic.datagrams_to_send(time.monotonic()):
        sock.send(data)
    quic.receive_datagram(sock.recv(2048), address, time.monotonic())
found = quic.tls._peer_certificate
key = found.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
print(json.dumps([part.hex() for part in (found.public_bytes(Encoding.DER), key, found.signature)]))
"""
SAY = """
import socket, sys
from tests.lan.strangers import GROUPS, PORT, sockets
for sock in sockets():
    sock.sendto(bytes.fromhex(sys.argv[1]), (GROUPS[sock.family], PORT))
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
out.sendto(bytes.fromhex(sys.argv[2]), ("10.77.0.255", 47474))
"""


@dataclass
class Seen:
    """What was to be had on one network."""

    recording: Recording
    strangers: set[str]
    ports: set[int]
    certificate: bytes
    key_and_signature: tuple[bytes, bytes]

    @property
    def opened(self) -> list[bytes]:
        """All datagrams, of DNS field by field, and of QUIC also what anybody can open."""
        datagrams = [each for each in self.recording.datagrams() if STRANGER not in (each.source.split(".")[-1], each.to.split(".")[-1])]
        names = [field for each in datagrams if each.port == MDNS for field in dns_fields(each.data)]
        return names + [each.data for each in datagrams if each.port != MDNS] + list(initials(datagrams))


def pieces(blobs: Iterable[bytes]) -> set[bytes]:
    return {data[at : at + SAME_BYTES] for data in blobs for at in range(len(data) - SAME_BYTES + 1)}


def test_what_is_allowed_is_not_much() -> None:
    assert max(len(each) for reason, several in ALLOWED.items() for each in several if "padding" not in reason) < 120


def two_networks_have_nothing_in_common_but_the_protocol(here: Scene) -> None:
    ann, bob = here.person(1, "Ann"), here.person(2, "Bob")
    with Lan(NODES, prefix=f"p2pmsg{os.getpid()}-cafe-", net=CAFE) as cafe:
        found = [visit(lan, ann, bob, number) for number, lan in enumerate((here.lan, cafe))]
    first, second = ([seen.opened, seen] for seen in found)
    assert min(len(first[0]), len(second[0])) > 30
    common = pieces(first[0]) & pieces(second[0])
    assert any(b"p2pmsg/1" in each for each in common)  # so it was compared
    assert common - pieces(each for several in ALLOWED.values() for each in several) == set()
    nothing_else_recurs(*found)
    home = ipaddress.ip_network(f"{HOME}.0.0/16")
    assert [str(each) for each in found[1].recording.sought() if each.version == 4 and each in home] == []


def visit(lan: Lan, ann: Person, bob: Person, number: int) -> Seen:
    """Let both come to a network, talk and go; a stranger asks Ann's machine for its certificate."""
    for node in lan.nodes:  # else what is sent to other networks would wait for the router's address
        lan.run(node, ["ip", "neigh", "replace", lan.ip(254), "lladdr", ROUTER, "nud", "permanent", "dev", "eth0"])
    ann.lan = bob.lan = lan
    recording = Recording(lan, ann.node, ann.home.with_name(f"frames-{number}"))
    start(ann, bob)
    if number == 0:
        bob.meet(ann)
    ann.until_online(bob)
    bob.until_online(ann)
    ann.send(bob, "the same words on both networks", wait="delivered")
    ports = {person.ask("status")["port"] for person in (ann, bob)}
    asked = lan.run(3, [sys.executable, "-c", CERTIFICATE, lan.ip(ann.node), str(ann.ask("status")["port"])])
    assert asked.returncode == 0, asked.stderr
    certificate, key, signature = (bytes.fromhex(part) for part in json.loads(asked.stdout))
    ann.stop()
    bob.stop()
    return Seen(recording, {lan.ip(3), lan.ip6(3).partition("%")[0]}, ports, certificate, (key, signature))


def nothing_else_recurs(first: Seen, second: Seen) -> None:
    assert len(first.ports) == len(second.ports) == 2 and not first.ports & second.ports
    ids = [connection_ids(seen.recording.datagrams()) for seen in (first, second)]
    assert min(map(len, ids)) >= 4 and not ids[0] & ids[1]
    templates = []
    for seen in (first, second):
        template = seen.certificate
        for part in seen.key_and_signature:
            assert template.count(part) == 1
            template = template.replace(part, b"")
        templates.append(template)
    assert templates[0] == templates[1] and first.key_and_signature != second.key_and_signature
    for one, other in zip(first.key_and_signature, second.key_and_signature, strict=True):
        assert not pieces([one]) & pieces([other])


def a_replay_from_elsewhere_is_dialled_by_nobody(here: Scene) -> None:
    ann, bob = here.pair(1, 2, discovery_paths="mdns,beacon")
    recording = Recording(here.lan, bob.node, ann.home.with_name("frames"))
    ann.stop()
    ann.start()
    bob.until_online(ann)
    mine, elsewhere = here.lan.ip(ann.node), here.lan.ip(3)
    said = next(found for each in recording.datagrams() if each.source == mine and (found := beacon.decode(each.data)) is not None)
    ann.stop()
    bob.stop()
    bob.start()
    moved = replace(said, addresses=said.addresses.replace(socket.inet_aton(mine), socket.inet_aton(elsewhere)))
    assert moved != said
    for announcement, dialled in ((moved, set()), (said, {mine})):
        before = len(recording.datagrams())
        info = service_info(announcement, elsewhere, ann_port := int.from_bytes(said.addresses[-2:], "big"))
        words = [packet(info, in_full=True).hex(), beacon.encode(announcement).hex()]
        assert here.lan.run(3, [sys.executable, "-c", SAY, *words]).returncode == 0
        threading.Event().wait(DIAL_S)
        sent = [each for each in recording.datagrams()[before:] if each.source_port == bob.ask("status")["port"]]
        assert {each.to for each in sent if ipaddress.ip_address(each.to).version == 4} == dialled
        assert {each.port for each in sent} <= {ann_port}


PLAYS = [two_networks_have_nothing_in_common_but_the_protocol, a_replay_from_elsewhere_is_dialled_by_nobody]


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_traces(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
