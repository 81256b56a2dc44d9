"""Several networks at once: one peer, several addresses; what works is used, and when it fails the other takes over."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Callable, Iterator
from typing import Any

from p2pmsg.protocol.addresses import decode_invite
from tests.lan.lines import Lines
from tests.lan.people import AWAY_S, ONLINE_AGAIN_S, SOON_S, Scene
from tests.lan.test_settings_lan import eventually, pause

MakeScene = Callable[..., Scene]


def test_one_peer_on_two_networks_is_one_link_and_fails_over(scene: MakeScene) -> None:
    here = scene(segments=2)
    ann, bob = here.pair()
    assert set(ann.ask("status")["interfaces"]) == {"eth0", "eth1"}
    used = ann.until_online(bob)["interface"]
    assert used in ("eth0", "eth1") and len(ann.ask("peers")) == 1
    here.lan.cable(2, plugged=False, segment=int(used[-1]))
    here.lan.cable(1, plugged=False, segment=int(used[-1]))
    ann.send(bob, "by the other cable")
    ann.until_delivered(bob, within_s=2 * (AWAY_S + ONLINE_AGAIN_S))
    assert ann.until_online(bob)["interface"] != used


def test_interfaces_that_are_not_named_are_left_alone(scene: MakeScene) -> None:
    here = scene(segments=2)
    ann, bob = here.pair(discovery_interfaces="eth1")
    assert ann.ask("status")["interfaces"] == ["eth1"]
    assert ann.until_online(bob)["interface"] == "eth1" and ann.peer(bob)["address"].startswith(("10.77.1.", "[fe80:"))


SNIFF = """
import json, select, socket, sys
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
needles, seen, told = [bytes.fromhex(word) for word in sys.argv[1:]], {}, set()
print("{}", flush=True)
while sys.stdin not in select.select([sniffer, sys.stdin], [], [])[0]:
    packet, (name, *_) = sniffer.recvfrom(65535)
    if packet[0] >> 4 == 4 and packet[9] == 17 or packet[0] >> 4 == 6 and packet[6] == 17:
        seen[name] = seen.get(name, 0) + 1
        told |= {needle.hex() for needle in needles if needle in packet[48:]}
print(json.dumps({"seen": seen, "told": sorted(told)}), flush=True)
"""
"""Counts UDP packets by interface, and says which of some addresses stand in one (behind its headers), until it is told to end."""
ANNOUNCED_S = 1.0
"""Time for the announcement that follows a change of interfaces."""
OTHERS = {"docker0": "172.17.0.1/16", "tun0": "10.8.0.2/24", "wg0": "10.9.0.2/24", "br-3f2a": "172.18.0.1/16"}


def machine_with_containers_and_tunnels(here: Scene, node: int) -> None:
    """Give a node what docker and VPN programs make: all of it up, with an address, and able to multicast."""
    for bridge in ("docker0", "br-3f2a"):
        ip(here, node, f"link add {bridge} type bridge", f"link add veth{bridge} type veth peer name c{bridge}")
        ip(here, node, f"link set veth{bridge} master {bridge} up", f"link set c{bridge} up multicast off", f"link set {bridge} up")
    for tunnel in ("tun0", "wg0"):
        ip(here, node, f"link add {tunnel} type veth peer name c{tunnel}", f"link set c{tunnel} up multicast off", f"link set {tunnel} up")
    for name, address in OTHERS.items():
        ip(here, node, f"addr add {address} dev {name}")


def ip(here: Scene, node: int, *lines: str) -> None:
    for line in lines:
        done = here.lan.run(node, ["ip", *line.split()])
        assert done.returncode == 0, f"{line}: {done.stderr}"


@contextlib.contextmanager
def sniffed(here: Scene, node: int) -> Iterator[dict[str, Any]]:
    """Fill in at the end what went over the node's interfaces meanwhile."""
    needles = [ipaddress.ip_interface(address).ip.packed.hex() for address in OTHERS.values()]
    lines = Lines(here.lan.popen(node, [sys.executable, "-c", SNIFF, *needles]))
    found: dict[str, Any] = {}
    lines.expect(lambda line: line == {}, SOON_S)
    yield found
    lines.say("end")
    found.update(lines.expect(lambda line: "seen" in line, SOON_S))


def test_containers_and_tunnels_are_left_alone_unless_they_are_named(scene: MakeScene) -> None:
    here = scene()
    machine_with_containers_and_tunnels(here, 1)
    with sniffed(here, 1) as alone:
        ann, bob = here.pair()
        assert ann.ask("status")["interfaces"] == ["eth0"]
        ann.send(bob, "hello", wait="delivered")
        invite = ann.ask("contact.invite")["invite"]
        bob.stop()
        assert ann.cli("contact", "find", "bob", status=9) == {}
    assert alone["seen"].pop("eth0") > 20 and alone["seen"].pop("lo", 0) >= 0
    assert alone == {"seen": {}, "told": []}, "no packet by another interface, and no word of another address"
    hosts = {address.host for address in decode_invite(invite).addresses}
    assert here.lan.ip(1) in hosts and not hosts & {address.partition("/")[0] for address in OTHERS.values()}
    with sniffed(here, 1) as named:
        ann.configure("discovery.interfaces", "eth0,docker0,wg0")
        eventually(lambda: len(ann.ask("status")["interfaces"]) == 3)
        pause(ANNOUNCED_S)
    assert {"eth0", "docker0", "wg0"} <= named["seen"].keys() and not {"tun0", "br-3f2a"} & named["seen"].keys()
    assert named["told"] == sorted(ipaddress.ip_interface(OTHERS[name]).ip.packed.hex() for name in ("docker0", "wg0"))
