"""Rules as nft 1.0 prints them in JSON."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from p2pmsg.daemon import firewall
from p2pmsg.daemon.firewall import Packet, Verdict
from p2pmsg.daemon.nft_rules import parse

MINE = Packet("eth0", ip_network("10.77.0.0/24"), ip_address("10.77.0.1"), 45_454)
MDNS = Packet("eth0", ip_network("10.77.0.0/24"), ip_address("224.0.0.251"), 5353, 5353)
SIX = Packet("eth0", ip_network("fe80::/64"), ip_address("fe80::1"), 45_454)
PLACE = {"family": "inet", "table": "filter"}
ACCEPT: dict[str, Any] = {"accept": None}


def chain(name: str = "input", policy: str | None = "drop", family: str = "inet", **more: Any) -> dict[str, Any]:
    hook = {} if policy is None else {"type": "filter", "hook": "input", "prio": 0, "policy": policy}
    return {"chain": {"family": family, "table": "filter", "name": name, "handle": 1, **hook, **more}}


def rule(*expr: dict[str, Any], into: str = "input", family: str = "inet") -> dict[str, Any]:
    return {"rule": {"family": family, "table": "filter", "chain": into, "handle": 2, "expr": list(expr)}}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


def verdict(packet: Packet, *items: dict[str, Any]) -> Verdict:
    bases, chains = parse(json.dumps({"nftables": [{"metainfo": {}}, {"table": {}}, *items]}))
    return firewall.decide(bases, chains, packet).verdict


@pytest.mark.parametrize(
    ("condition", "mine", "mdns"),
    [
        (match(payload("udp", "dport"), 45_454), True, False),
        (match(payload("udp", "dport"), {"set": [5353, {"range": [45_000, 46_000]}]}), True, True),
        (match(payload("th", "dport"), {"range": [5000, 6000]}), False, True),
        (match(payload("udp", "dport"), "mdns"), False, True),
        (match(payload("udp", "dport"), 45_454, "!="), False, True),
        (match(payload("udp", "dport"), "@ports"), None, None),
        (match(payload("udp", "dport"), 1, "<"), None, None),
        (match(payload("udp", "sport"), 5353), None, True),
        (match(payload("tcp", "dport"), 45_454), False, False),
        (match(payload("ip", "protocol"), "udp"), True, True),
        (match(payload("ip", "saddr"), {"prefix": {"addr": "10.0.0.0", "len": 8}}), True, True),
        (match(payload("ip", "saddr"), {"set": ["10.77.0.9"]}), None, None),
        (match(payload("ip", "daddr"), "224.0.0.251"), False, True),
        (match(payload("ip6", "daddr"), "fe80::1"), False, False),
        (match(meta("iifname"), "lo"), False, False),
        (match(meta("iifname"), {"set": ["wlan0", "eth*"]}), True, True),
        (match(meta("iifname"), "lo", "!="), True, True),
        (match(meta("l4proto"), {"set": ["tcp", "udp"]}), True, True),
        (match(meta("nfproto"), "ipv4"), True, True),
        (match(meta("pkttype"), "multicast"), False, True),
        (match(meta("mark"), 7), None, None),
        (match({"ct": {"key": "state"}}, ["established", "related"], "in"), False, False),
        (match({"ct": {"key": "state"}}, {"set": ["new", "established"]}), True, True),
        (match({"ct": {"key": "mark"}}, 1), None, None),
        (match({"ct": {"key": "status"}}, "dnat", "in"), False, False),
        (match({"ct": {"key": "status"}}, "odd", "in"), None, None),
        (match({"fib": {"result": "type", "flags": ["daddr"]}}, "local"), True, False),
        (match({"fib": {"result": "oif", "flags": ["saddr"]}}, 0), None, None),
        ({"limit": {"rate": 10}}, None, None),
        ({"xt": None}, None, None),
        ({"counter": {}}, True, True),
    ],
)
def test_conditions(condition: dict[str, Any], mine: bool | None, mdns: bool | None) -> None:
    as_verdict = {True: Verdict.ACCEPT, False: Verdict.DROP, None: Verdict.UNSURE}
    items = chain(), rule(condition, ACCEPT)
    assert (verdict(MINE, *items), verdict(MDNS, *items)) == (as_verdict[mine], as_verdict[mdns])


def test_sets_and_maps_with_names() -> None:
    named = {"set": {**PLACE, "name": "ports", "elem": [{"elem": {"val": 45_454, "timeout": 9}}]}}
    assert verdict(MINE, named, chain(), rule(match(payload("udp", "dport"), "@ports"), ACCEPT)) is Verdict.ACCEPT
    mapped = {"map": {**PLACE, "name": "doors", "elem": [[45_454, {"jump": {"target": "open"}}]]}}
    opened = chain("open", None), rule(ACCEPT, into="open")
    jump = rule({"vmap": {"key": payload("udp", "dport"), "data": "@doors"}})
    assert verdict(MINE, mapped, chain(), *opened, jump) is Verdict.ACCEPT
    assert verdict(MDNS, mapped, chain(), *opened, jump) is Verdict.DROP


def test_verdict_maps_and_what_ends_a_chain() -> None:
    states = {"set": [["invalid", {"drop": None}], ["established", ACCEPT], ["new", {"goto": {"target": "fresh"}}]]}
    by_state = rule({"vmap": {"key": {"ct": {"key": "state"}}, "data": states}})
    rejecting = chain("fresh", None), rule({"reject": {"type": "icmpx"}}, into="fresh")
    assert verdict(MINE, chain(policy="accept"), *rejecting, by_state) is Verdict.DROP
    assert verdict(MINE, chain(policy="accept"), chain("fresh", None), rule({"return": None}, into="fresh"), by_state) is Verdict.ACCEPT


def test_families_and_hooks() -> None:
    six = chain(family="ip6"), rule(ACCEPT, family="ip6")
    assert verdict(SIX, *six) is Verdict.ACCEPT
    assert (verdict(MINE, chain(family="ip6")), verdict(SIX, chain(family="ip6"))) == (Verdict.ACCEPT, Verdict.DROP)
    assert verdict(MINE, chain(family="bridge")) is Verdict.ACCEPT
    assert verdict(MINE, chain(hook="forward")) is Verdict.ACCEPT
    assert verdict(MINE, chain(hook="prerouting")) is Verdict.DROP


def test_the_commands_that_mend() -> None:
    base = parse(json.dumps({"nftables": [chain()]}))[0][0]
    assert base.command == "nft add rule inet filter input udp dport {ports} accept"
    assert base.command_first == "nft insert rule inet filter input udp dport {ports} accept"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nftables": 1}', '{"nftables": [{"chain": {}}]}', '{"nftables": [{"rule": {}}]}'])
def test_what_is_no_ruleset(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
