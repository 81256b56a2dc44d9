"""Rules as `iptables -S` prints them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from p2pmsg.daemon import firewall
from p2pmsg.daemon.firewall import Packet, Verdict
from p2pmsg.daemon.iptables_rules import parse

MINE = Packet("eth0", ip_network("10.77.0.0/24"), ip_address("10.77.0.1"), 45_454)
MDNS = Packet("eth0", ip_network("10.77.0.0/24"), ip_address("224.0.0.251"), 5353, 5353)
UFW = """
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-before-input
-N ufw-not-local
-N ufw-user-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-user-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -m comment --comment "who's there" -j ACCEPT
"""


def verdict(packet: Packet, text: str) -> Verdict:
    bases, chains = parse(text)
    return firewall.decide(bases, chains, packet).verdict


def test_ufw_as_it_comes_lets_mdns_in_and_nothing_else() -> None:
    assert (verdict(MDNS, UFW), verdict(MINE, UFW)) == (Verdict.ACCEPT, Verdict.DROP)
    assert verdict(MINE, UFW + "-A ufw-user-input -p udp -m udp --dport 45454 -j ACCEPT\n") is Verdict.ACCEPT


@pytest.mark.parametrize(
    ("condition", "mine", "mdns"),
    [
        ("-p udp", True, True),
        ("-p tcp", False, False),
        ("! -p tcp", True, True),
        ("-p udp -m multiport --dports 5353,45000:46000", True, True),
        ("-p udp --dport 5353", False, True),
        ("-p udp --sport 5353", None, True),
        ("-i eth+", True, True),
        ("! -i eth0", False, False),
        ("-s 10.77.0.9/32", None, None),
        ("-s 10.0.0.0/8", True, True),
        ("-m state --state ESTABLISHED", False, False),
        ("-m conntrack --ctstatus DNAT", False, False),
        ("-m pkttype --pkt-type multicast", False, True),
        ("-m recent --update --seconds 60", None, None),
        ("-m comment --comment 'x -j DROP'", True, True),
    ],
)
def test_conditions(condition: str, mine: bool | None, mdns: bool | None) -> None:
    as_verdict = {True: Verdict.ACCEPT, False: Verdict.DROP, None: Verdict.UNSURE}
    text = f"-P INPUT DROP\n-A INPUT {condition} -j ACCEPT\n"
    assert (verdict(MINE, text), verdict(MDNS, text)) == (as_verdict[mine], as_verdict[mdns])


def test_what_ends_a_chain() -> None:
    assert verdict(MINE, "-P INPUT ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable") is Verdict.DROP
    assert verdict(MINE, "-P INPUT ACCEPT\n-N a\n-A INPUT -g a\n-A INPUT -j DROP") is Verdict.ACCEPT
    assert verdict(MINE, "-P INPUT DROP\n-A INPUT -j NFQUEUE") is Verdict.UNSURE


@pytest.mark.parametrize("text", ["", "garbage", "-P", "-A INPUT 'open quote", "-A NOWHERE -j DROP", "-P INPUT ACCEPT\n-A INPUT -p"])
def test_what_is_no_rule_decides_nothing(text: str) -> None:
    assert verdict(MINE, text) is Verdict.ACCEPT
