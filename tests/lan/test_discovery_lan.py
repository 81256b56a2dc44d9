"""Discovery alone, in real processes on a LAN in a box: who hears whom, how soon, and what leaves the machine."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from typing import Any

from tests.lan.lan import Lan, end
from tests.lan.lines import Lines

MakeLan = Callable[..., Lan]
SOON_S = 2.0
NEVER_S = 900
"""An announcement period that no test waits for: what is found with it was not found by announcing again."""


def node(lan: Lan, number: int, name: str, *interfaces: str, announce_s: float = NEVER_S) -> Lines:
    """Start a node that does discovery alone, and wait until it is up."""
    program = [sys.executable, "-m", "tests.lan.discovery_node", name, str(announce_s), *interfaces]
    lines = Lines(lan.popen(number, program))
    lines.expect(lambda line: line.get("ready"), within_s=10)
    return lines


def heard(name: str, address: str = "") -> Callable[[dict[str, Any]], bool]:
    """Match the line that says that `name` was heard, with this address among those announced."""
    packed = ipaddress.ip_address(address).packed.hex() if address else ""
    return lambda line: line.get("heard") == name and packed in line["addresses"]


def test_two_nodes_hear_each_other(lan: MakeLan) -> None:
    net = lan(2)
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    assert bob.expect(heard("ann", net.ip(1)), SOON_S)
    assert ann.expect(heard("bob", net.ip(2)), SOON_S)


def test_one_of_two_is_an_ordinary_user_elsewhere(lan: MakeLan) -> None:
    net = lan(2)
    ann, bob = changed_node(net, 1, "ann", NOBODY), node(net, 2, "bob")
    assert bob.expect(heard("ann"), SOON_S)
    assert ann.expect(heard("bob"), SOON_S)


def test_a_rotated_announcement_is_heard_at_once(lan: MakeLan) -> None:
    net = lan(2)
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    bob.expect(heard("ann"), SOON_S)
    ann.say("rotate")
    assert bob.expect(heard("ann"), SOON_S)


def test_ipv6_alone_suffices(lan: MakeLan) -> None:
    net = lan(2)
    for number in net.nodes:
        net.ipv6_only(number)
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    assert bob.expect(heard("ann", net.ip6(1).partition("%")[0]), SOON_S)
    assert ann.expect(heard("bob", net.ip6(2).partition("%")[0]), SOON_S)


def test_a_node_started_without_network_is_found_when_the_link_comes_up(lan: MakeLan) -> None:
    net = lan(2)
    net.link(1, up=False)
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    net.link(1, up=True)
    ann.expect(lambda line: line.get("interfaces") == ["eth0"], 3)
    assert bob.expect(heard("ann", net.ip(1)), SOON_S)
    assert ann.expect(heard("bob", net.ip(2)), SOON_S)


def test_a_node_is_found_again_after_its_network_was_switched_off_and_on(lan: MakeLan) -> None:
    net = lan(2)
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    net.link(1, up=False)
    ann.expect(lambda line: line.get("interfaces") == ["lo"], 3)
    bob.forget()
    net.link(1, up=True)
    assert bob.expect(heard("ann", net.ip(1)), 3)


def test_a_second_interface_is_used_as_soon_as_it_comes_up(lan: MakeLan) -> None:
    net = lan(2, segments=2)
    net.link(1, up=False, device="eth1")
    net.split([1], [2])
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    net.heal()
    net.link(1, up=True, device="eth1")
    assert bob.expect(heard("ann", net.ip(1, 1)), 3)
    assert ann.expect(heard("bob"), 3)


def test_killed_and_restarted_is_heard_under_its_new_name(lan: MakeLan) -> None:
    net = lan(2)
    ann, bob = node(net, 1, "ann"), node(net, 2, "bob")
    ann.expect(heard("bob"), SOON_S)
    end(bob.process)
    ann.forget()
    bob = node(net, 2, "bob")
    assert ann.expect(heard("bob"), SOON_S)
    assert bob.expect(heard("ann"), SOON_S)


def test_two_processes_on_one_machine_hear_each_other_and_a_third_elsewhere(lan: MakeLan) -> None:
    net = lan(2)
    ann, bob, carol = node(net, 1, "ann"), node(net, 1, "bob"), node(net, 2, "carol")
    for lines, others in ((ann, ("bob", "carol")), (bob, ("carol",)), (carol, ("ann",))):
        for other in others:
            assert lines.expect(heard(other), SOON_S)


NOBODY = """
import concurrent.futures.thread, p2pmsg.network.netlink  # now, since this Python may lie where only root may read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""
COUNT_SENT = """
table inet watch {
  chain sent {
    type filter hook output priority 0;
    oifname != "lo" udp sport 5353 counter
    oifname != "lo" udp dport 5353 counter
  }
}
"""
ASK_UNICAST = """
import socket, sys
question = b"\\0\\0\\0\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7_p2pmsg\\4_udp\\5local\\0\\0\\x0c\\x80\\1"
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(1)
for _ in range(3):
    asker.sendto(question, (sys.argv[1], 5353))
try:
    print("answered", len(asker.recv(2000)))
except (TimeoutError, ConnectionRefusedError):
    print("silence")
"""


def count_sent(net: Lan, number: int) -> None:
    """Count from now on the packets from or to port 5353 that leave the node."""
    assert net.run(number, ["nft", COUNT_SENT]).returncode == 0


def sent_outside(net: Lan, number: int) -> int:
    """Return how many there were."""
    counters = net.run(number, ["nft", "list", "table", "inet", "watch"]).stdout
    return sum(int(word) for before, word in zip(counters.split(), counters.split()[1:], strict=False) if before == "packets")


def test_on_loopback_alone_two_processes_meet_and_no_packet_leaves(lan: MakeLan) -> None:
    net = lan(2)
    count_sent(net, 1)
    ann, bob = node(net, 1, "ann", "lo"), node(net, 1, "bob", "lo")
    assert ann.expect(heard("bob", "127.0.0.1"), SOON_S)
    assert bob.expect(heard("ann", "127.0.0.1"), SOON_S)
    assert "silence" in net.run(2, [sys.executable, "-c", ASK_UNICAST, net.ip(1)]).stdout
    assert sent_outside(net, 1) == 0


def test_the_counter_of_the_test_above_counts(lan: MakeLan) -> None:
    net = lan(2)
    count_sent(net, 1)
    node(net, 1, "ann")
    assert "answered" in net.run(2, [sys.executable, "-c", ASK_UNICAST, net.ip(1)]).stdout
    assert sent_outside(net, 1) > 0


def changed_node(lan: Lan, number: int, name: str, change: str, *interfaces: str) -> Lines:
    """Start a node in which some statements run before it starts."""
    before = "import os, socket, sys\nfrom tests.lan.discovery_node import main\n"
    program = [sys.executable, "-c", f"{before}{change}\nmain()", name, str(NEVER_S), *interfaces]
    lines = Lines(lan.popen(number, program))
    lines.expect(lambda line: line.get("ready"), within_s=10)
    return lines


def test_loopback_is_silent_even_where_sockets_cannot_be_bound_to_it(lan: MakeLan) -> None:
    net = lan(2)
    count_sent(net, 1)
    ann = changed_node(net, 1, "ann", "del socket.SO_BINDTODEVICE", "lo")
    bob = node(net, 1, "bob", "lo")
    assert bob.expect(heard("ann"), SOON_S)
    assert ann.expect(heard("bob"), SOON_S)
    assert "silence" in net.run(2, [sys.executable, "-c", ASK_UNICAST, net.ip(1)]).stdout
    assert sent_outside(net, 1) == 0


def test_ordinary_users_meet_on_loopback_and_no_packet_leaves(lan: MakeLan) -> None:
    net = lan(2)
    count_sent(net, 1)
    ann, bob = changed_node(net, 1, "ann", NOBODY, "lo"), changed_node(net, 1, "bob", NOBODY, "lo")
    assert ann.expect(heard("bob"), SOON_S)
    assert bob.expect(heard("ann"), SOON_S)
    assert "silence" in net.run(2, [sys.executable, "-c", ASK_UNICAST, net.ip(1)]).stdout
    assert sent_outside(net, 1) == 0


GARBAGE = """
import os, random, socket
seed = 5353
draw = random.Random(seed)
to = ("224.0.0.251", 5353)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
name = b"\\x10" + b"a" * 16 + b"\\7_p2pmsg\\4_udp\\5local\\0"
head = b"\\0\\0\\x84\\0\\0\\0\\0\\1\\0\\0\\0\\0" + name + b"\\0\\x10\\x80\\1\\0\\0\\x11\\x94"
def text(data): return head + len(data).to_bytes(2, "big") + data
for turn in range(400):
    out.sendto(draw.randbytes(draw.randrange(1, 1400)), to)
    out.sendto(b"\\0\\0\\x84\\0\\xff\\xff\\xff\\xff\\0\\0\\0\\0" + b"\\xc0\\x0c" * draw.randrange(600), to)
    out.sendto(text(draw.randbytes(draw.randrange(1200))), to)
    out.sendto(text(b"\\3v=1" + bytes([2 + turn % 250]) + b"a=" + bytes(turn % 250) + b"\\x42t=" + draw.randbytes(64)), to)
print("done")
"""


def test_garbage_does_not_hide_a_good_peer(lan: MakeLan) -> None:
    net = lan(3)
    ann = node(net, 1, "ann")
    garbage = net.popen(3, [sys.executable, "-c", GARBAGE])
    bob = node(net, 2, "bob")
    assert bob.expect(heard("ann"), SOON_S)
    assert ann.expect(heard("bob"), SOON_S)
    assert garbage.wait(20) == 0
    ann.forget()
    bob.say("rotate")
    assert ann.expect(heard("bob"), SOON_S)


def test_another_program_that_keeps_port_5353_is_reported_and_survived(lan: MakeLan) -> None:
    net = lan(1)
    keeper = "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('', 5353)); print('{}', flush=True); input()"
    keeping = Lines(net.popen(1, [sys.executable, "-c", keeper]))
    keeping.expect(lambda line: True, 5)
    ann = node(net, 1, "ann")
    assert ann.expect(lambda line: line.get("problem"), SOON_S)
    end(keeping.process)
    assert ann.expect(lambda line: "problem" in line and line["problem"] is None, 8)
