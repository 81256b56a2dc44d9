"""The rules of nftables, read from what `nft --json list ruleset` prints (libnftables-json(5)), as `firewall` walks through them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from p2pmsg.daemon import firewall
from p2pmsg.daemon.firewall import Chain, Match, Packet, Rule, Verdict

Json = Any
_HOOKS = ("prerouting", "input")
_VERSIONS = {"inet": None, "ip": 4, "ip6": 6}
_VERDICTS = {"accept": Verdict.ACCEPT, "drop": Verdict.DROP, "reject": Verdict.DROP, "return": Verdict.RETURN, "queue": Verdict.UNSURE}
_JUMPS = {"jump": Verdict.JUMP, "goto": Verdict.GOTO}
_ASIDE = ("counter", "log", "mangle", "notrack", "comment", "flow", "ct helper", "ct timeout", "last")
"""Statements that decide nothing."""
_OF_OLD_ONES = ("dnat", "snat", "seen-reply", "assured", "confirmed", "expected", "dying")
_FOREIGN = ("tcp", "icmp", "icmpv6", "igmp", "sctp", "dccp", "udplite", "esp", "ah", "ether", "arp", "vlan")
"""Headers that a UDP packet does not have, or that are not known of it."""

_NOTHING: tuple[str, Json] = ("", {})


def parse(text: str) -> tuple[list[Chain], dict[str, Chain]]:
    """Return the base chains that packets to this machine pass, in their order, and all chains by name.

    What is not understood matches perhaps. Raises: ValueError for what is not nft's JSON.
    """
    try:
        items = json.loads(text)["nftables"]
        chains, order, sets = _chains(items), _order(items), _sets(items)
        for item in items:
            rule = item.get("rule")
            if rule is not None and (name := _name(rule)) in chains:
                chains[name] = replace(chains[name], rules=(*chains[name].rules, *_rules(rule, sets)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not a ruleset: {error}") from error
    return [chains[name] for name in order], chains


def _chains(items: list[Json]) -> dict[str, Chain]:
    found = {}
    for item in items:
        chain = item.get("chain")
        if chain is None or chain["family"] not in _VERSIONS:
            continue
        name = _name({**chain, "chain": chain["name"]})
        policy = Verdict(chain["policy"]) if "hook" in chain and chain.get("policy") in ("accept", "drop") else None
        where = f"rule {name} udp dport {{ports}} accept"
        found[name] = Chain(f"nft {name}", (), policy, f"nft add {where}", f"nft insert {where}", _VERSIONS[chain["family"]])
    return found


def _order(items: list[Json]) -> list[str]:
    bases = [item["chain"] for item in items if "chain" in item]
    mine = [c for c in bases if c.get("hook") in _HOOKS and c.get("type") == "filter" and c["family"] in _VERSIONS]
    return [_name({**c, "chain": c["name"]}) for c in sorted(mine, key=lambda c: (_HOOKS.index(c["hook"]), c.get("prio", 0)))]


def _sets(items: list[Json]) -> dict[str, Json]:
    named = [item[kind] for item in items for kind in ("set", "map") if kind in item]
    return {f"{each['family']} {each['table']} {each['name']}": each.get("elem", []) for each in named}


def _name(thing: Json) -> str:
    return f"{thing['family']} {thing['table']} {thing['chain']}"


def _rules(rule: Json, sets: Mapping[str, Json]) -> Iterator[Rule]:
    """Yield what a rule says: of a verdict map one rule an entry."""
    place = f"{rule['family']} {rule['table']}"
    matches: list[Match] = [_family(rule["family"])]
    for statement in rule["expr"]:
        kind, value = next(iter(statement.items()), _NOTHING)
        if kind == "match":
            matches.append(_match(value, place, sets))
        elif kind == "vmap":
            for wanted, verdict in _entries(value["data"], place, sets):
                condition = _match({"op": "==", "left": value["key"], "right": wanted}, place, sets)
                yield from _verdict(verdict, place, (*matches, condition))
        elif kind in _VERDICTS or kind in _JUMPS:
            yield from _verdict(statement, place, tuple(matches))
        elif kind not in _ASIDE:
            matches.append(firewall.always(None))


def _family(family: str) -> Match:
    return lambda packet: family == "inet" or (packet.version == 6) == (family == "ip6")


def _verdict(statement: Json, place: str, matches: tuple[Match, ...]) -> Iterator[Rule]:
    kind = next(iter(statement), "")
    if kind in _JUMPS:
        yield Rule(matches, _JUMPS[kind], f"{place} {statement[kind]['target']}")
    elif kind in _VERDICTS:
        yield Rule(matches, _VERDICTS[kind])


def _entries(data: Json, place: str, sets: Mapping[str, Json]) -> list[Json]:
    if isinstance(data, str):
        return list(sets.get(f"{place} {data.removeprefix('@')}", []))
    return list(data["set"])


def _match(match: Json, place: str, sets: Mapping[str, Json]) -> Match:
    left, right, negate = match["left"], match["right"], match["op"] == "!="
    if match["op"] not in ("==", "!=", "in"):
        return firewall.always(None)
    kind, value = next(iter(left.items()), _NOTHING) if isinstance(left, dict) else _NOTHING
    if kind == "payload" and value.get("protocol") in _FOREIGN:
        return firewall.always(False if value["protocol"] not in ("ether", "arp", "vlan") else None)
    if kind == "payload" and value.get("protocol") in ("ip", "ip6"):
        wanted = 6 if value["protocol"] == "ip6" else 4
        inner = firewall.negated(_fits(kind, value, right, place, sets), negate)
        return lambda packet: packet.version == wanted and inner(packet)
    return firewall.negated(_fits(kind, value, right, place, sets), negate)


def _fits(kind: str, value: Json, right: Json, place: str, sets: Mapping[str, Json]) -> Match:
    choices = _choices(right, place, sets)
    if choices is None:
        return firewall.always(None)
    return firewall.any_of([lambda packet, choice=choice: _equals(kind, value, choice, packet) for choice in choices])  # type: ignore[misc]


def _choices(right: Json, place: str, sets: Mapping[str, Json]) -> list[Json] | None:
    """Return what the right side of a match lists; None for a set that is not shown."""
    if isinstance(right, str) and right.startswith("@"):
        right = sets.get(f"{place} {right[1:]}")
        if right is None:
            return None
    elif isinstance(right, dict) and "set" in right:
        right = right["set"]
    return list(right) if isinstance(right, list) else [right]


def _equals(kind: str, value: Json, choice: Json, packet: Packet) -> bool | None:
    """Say whether one field of the packet is what one entry of the right side says."""
    if isinstance(choice, dict) and "elem" in choice:
        choice = choice["elem"]["val"]
    if kind == "meta":
        return _meta(value.get("key"), choice, packet)
    if kind == "payload":
        return _payload(value.get("protocol"), value.get("field"), choice, packet)
    if kind == "ct":
        return _connection(value.get("key"), choice)
    if kind == "fib" and value.get("result") == "type" and "daddr" in value.get("flags", ()):
        return bool(choice == ("multicast" if packet.to.is_multicast else "local"))
    return None


def _connection(key: str | None, choice: Json) -> bool | None:
    """Say whether a packet that begins a connection, to an address of mine as it was sent, is of this kind."""
    if key == "state":
        return bool(choice == "new")
    return False if key == "status" and choice in _OF_OLD_ONES else None


def _meta(key: str | None, choice: Json, packet: Packet) -> bool | None:
    if key in ("iifname", "iif"):
        return fnmatchcase(packet.interface, str(choice))
    if key == "l4proto":
        return choice in ("udp", 17)
    if key in ("nfproto", "protocol"):
        return choice in (("ipv6", "ip6") if packet.version == 6 else ("ipv4", "ip"))
    if key == "pkttype":
        return choice == "multicast" if packet.to.is_multicast else choice in ("host", "unicast")
    return None


def _payload(protocol: str | None, field: str | None, choice: Json, packet: Packet) -> bool | None:
    if protocol in ("udp", "th") and field in ("dport", "sport"):
        port = packet.port if field == "dport" else packet.source_port
        return None if port is None else _number(choice, port)
    if field in ("protocol", "nexthdr"):
        return choice in ("udp", 17)
    if field in ("saddr", "daddr"):
        text = f"{choice['prefix']['addr']}/{choice['prefix']['len']}" if isinstance(choice, dict) and "prefix" in choice else choice
        return firewall.within(text)(packet.to if field == "daddr" else packet.source) if isinstance(text, str) else None
    return None


def _number(choice: Json, number: int) -> bool | None:
    if isinstance(choice, dict) and "range" in choice:
        low, high = (_port(end) for end in choice["range"])
        return None if low is None or high is None else low <= number <= high
    port = _port(choice)
    return None if port is None else port == number


def _port(choice: Json) -> int | None:
    """Return the number that is written; None for a name that is not known here."""
    if isinstance(choice, str):
        return int(choice) if choice.isdecimal() else {"mdns": 5353}.get(choice)
    return choice if isinstance(choice, int) else None
