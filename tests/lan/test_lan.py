"""The LAN in a box does what it says: a test that sees no packet must be able to trust that there was a network."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.lan import conftest
from tests.lan import lan as lan_module
from tests.lan.lan import Lan, namespaces
from tests.lan.lines import Lines

MakeLan = Callable[..., Lan]
ARP_S = 1.5
"""The kernel asks once a second for a neighbour that did not answer."""
MULTICAST, BROADCAST = "224.0.0.251", "10.77.0.255"
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9999))
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton("0.0.0.0"))
print("{}", flush=True)
while True:
    data, sender = s.recvfrom(2000)
    s.sendto(data, sender)
"""
PROBE = """
import json, select, socket, sys, time
host, count, gap_s, wait_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
sent, answers = {}, []
def collect(seconds):
    end = time.monotonic() + seconds
    while select.select([s], [], [], max(0, end - time.monotonic()))[0]:
        number = int(s.recv(2000))
        answers.append([number, (time.monotonic() - sent[number]) * 1000])
for number in range(count):
    sent[number] = time.monotonic()
    s.sendto(b"%d" % number, (host, 9999))
    collect(gap_s)
collect(wait_s)
print(json.dumps(answers))
"""


@dataclass
class Answers:
    numbers: list[int]
    fastest_ms: float


def probe(net: Lan, host: str, count: int = 5, gap_s: float = 0.01, wait_s: float = 0.2) -> Answers:
    """Send numbered datagrams from node 1 and collect what comes back."""
    done = net.run(1, [sys.executable, "-c", PROBE, host, str(count), str(gap_s), str(wait_s)])
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    return Answers([number for number, _ in answers], min((ms for _, ms in answers), default=0.0))


def echoing(net: Lan) -> Lan:
    """Let all nodes but the first answer."""
    for node in list(net.nodes)[1:]:
        Lines(net.popen(node, [sys.executable, "-c", ECHO])).expect(lambda line: True, 10)
    return net


def test_where_namespaces_are_forbidden_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*argv: str, **more: object) -> str:
        raise RuntimeError("ip netns add: Operation not permitted")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    monkeypatch.setattr(lan_module, "_run", forbidden)
    assert "not permitted" in (conftest.missing.__wrapped__() or "")


@pytest.mark.parametrize("wire", [False, True], ids=["kernel", "wire"])
def test_unicast_multicast_and_broadcast_arrive(lan: MakeLan, wire: bool) -> None:
    net = echoing(lan(3, wire=wire))
    assert len(probe(net, net.ip(2)).numbers) == 5
    assert len(probe(net, MULTICAST).numbers) == 10
    assert len(probe(net, BROADCAST).numbers) == 10


def test_multicast_and_broadcast_can_be_filtered(lan: MakeLan) -> None:
    net = echoing(lan(2))
    net.multicast(False)
    net.broadcast(False)
    assert [len(probe(net, host).numbers) for host in (MULTICAST, BROADCAST, net.ip(2))] == [0, 0, 5]
    net.multicast(True)
    net.broadcast(True)
    assert [len(probe(net, host).numbers) for host in (MULTICAST, BROADCAST)] == [5, 5]


def test_a_split_network_heals(lan: MakeLan) -> None:
    net = echoing(lan(3))
    net.split([1, 3], [2])
    assert [len(probe(net, net.ip(node)).numbers) for node in (2, 3)] == [0, 5]
    net.heal()
    assert probe(net, net.ip(2), wait_s=ARP_S).numbers


def test_isolated_clients_do_not_hear_each_other(lan: MakeLan) -> None:
    net = echoing(lan(2))
    net.isolate(True)
    assert probe(net, net.ip(2)).numbers == []
    net.isolate(False)
    assert probe(net, net.ip(2), wait_s=ARP_S).numbers


def test_loss_is_about_what_was_asked_for(lan: MakeLan) -> None:
    net = echoing(lan(2))
    net.loss(2, 20)
    assert 200 < len(probe(net, net.ip(2), count=400, gap_s=0.001).numbers) < 310  # 256 expected: 20 % each way
    net.loss(2, 0)
    assert len(probe(net, net.ip(2)).numbers) == 5


def test_a_pulled_cable_and_a_link_switched_off_carry_nothing(lan: MakeLan) -> None:
    net = echoing(lan(2))
    net.cable(2, plugged=False)
    assert probe(net, net.ip(2)).numbers == []
    net.cable(2, plugged=True)
    assert probe(net, net.ip(2), wait_s=ARP_S).numbers
    net.link(2, up=False)
    assert probe(net, net.ip(2)).numbers == []
    net.link(2, up=True)
    assert probe(net, net.ip(2), wait_s=ARP_S).numbers


def test_a_node_answers_at_its_new_address(lan: MakeLan) -> None:
    net = echoing(lan(2))
    net.readdress(2, "10.77.0.99/24")
    assert len(probe(net, "10.77.0.99").numbers) == 5


def test_a_wire_delays_doubles_and_reorders(lan: MakeLan) -> None:
    net = echoing(lan(2, wire=True))
    net.shape(2, delay=30)
    assert probe(net, net.ip(2)).fastest_ms > 59
    net.shape(2, delay=5, duplicate=50, reorder=20)
    numbers = probe(net, net.ip(2), count=200, gap_s=0.001).numbers
    assert len(numbers) > len(set(numbers))
    assert numbers != sorted(numbers)


def test_only_a_wire_is_shaped(lan: MakeLan) -> None:
    with pytest.raises(ValueError, match="wire=True"):
        lan(1).shape(1, delay=30)


def test_nothing_is_left_behind(lan: MakeLan) -> None:
    with lan(2, wire=True) as net:
        name = net.namespace(1)
        assert name in namespaces()
    assert name not in namespaces()


def test_without_root_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "sudo scripts/test" in (conftest.missing.__wrapped__() or "")


def test_without_a_tool_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "nft" else tool)
    assert "apt-get install -y nftables" in (conftest.missing.__wrapped__() or "")
