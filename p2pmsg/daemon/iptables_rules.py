"""The rules of iptables, read from what `iptables -S` prints, as `firewall` walks through them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase

from p2pmsg.daemon import firewall
from p2pmsg.daemon.firewall import Chain, Match, Rule, Verdict

_VERDICTS = {"ACCEPT": Verdict.ACCEPT, "DROP": Verdict.DROP, "REJECT": Verdict.DROP, "RETURN": Verdict.RETURN, "NFQUEUE": Verdict.UNSURE}
_ASIDE = ("LOG", "NFLOG", "MARK", "CONNMARK", "ULOG", "TRACE", "AUDIT")
"""Targets that decide nothing."""
_QUIET = ("-m", "--comment", "--reject-with", "--log-prefix", "--log-level", "--nflog-prefix", "--nflog-group", "--mask")
"""Options that ask nothing of a packet."""


def parse(text: str) -> tuple[list[Chain], dict[str, Chain]]:
    """Return the chain that packets to this machine pass, and all chains by name. What is not understood matches perhaps."""
    chains: dict[str, Chain] = {}
    for line in text.splitlines():
        words = _words(line)
        if words[:1] == ["-P"] and len(words) >= 3:
            add = "iptables -{how} INPUT -p udp -m multiport --dports {ports} -j ACCEPT"
            commands = add.replace("{how}", "A"), add.replace("{how}", "I")
            chains[words[1]] = Chain(f"iptables {words[1]}", (), _VERDICTS.get(words[2]), *commands, version=4)
        elif words[:1] == ["-N"] and len(words) >= 2:
            chains[words[1]] = Chain(f"iptables {words[1]}")
        elif words[:1] == ["-A"] and len(words) >= 2 and words[1] in chains:
            rule = _rule(words[2:])
            if rule is not None:
                chains[words[1]] = replace(chains[words[1]], rules=(*chains[words[1]].rules, rule))
    return [chains["INPUT"]] if "INPUT" in chains else [], chains


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def _rule(words: list[str]) -> Rule | None:
    """Return what a rule says, None where it decides nothing."""
    matches: list[Match] = []
    verdict, target, negate, at = None, "", False, 0
    while at < len(words):
        option, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        if option == "!":
            negate, at = True, at + 1
            continue
        if option in ("-j", "-g"):
            verdict, target = _target(option, value)
        elif option not in _QUIET:
            matches.append(firewall.negated(_match(option, value), negate))
        negate = False
        at += 2 if not value.startswith("-") and value != "!" else 1
    return None if verdict is None else Rule(tuple(matches), verdict, target)


def _target(option: str, name: str) -> tuple[Verdict | None, str]:
    if name in _ASIDE:
        return None, ""
    if name in _VERDICTS:
        return _VERDICTS[name], ""
    return Verdict.GOTO if option == "-g" else Verdict.JUMP, name


def _match(option: str, value: str) -> Match:
    read = _MATCHES.get(option)
    try:
        return firewall.always(None) if read is None else read(value)
    except ValueError:  # a port by its name
        return firewall.always(None)


def _ports(value: str) -> Callable[[int], bool]:
    ranges = [part.partition(":") for part in value.split(",")]
    bounds = [(int(low or 0), int(high or 65535) if colon else int(low or 0)) for low, colon, high in ranges]
    return lambda port: any(low <= port <= high for low, high in bounds)


def _to_port(value: str) -> Match:
    fits = _ports(value)
    return lambda packet: fits(packet.port)


def _from_port(value: str) -> Match:
    fits = _ports(value)
    return lambda packet: None if packet.source_port is None else fits(packet.source_port)


_MATCHES: dict[str, Callable[[str], Match]] = {
    "-p": lambda value: firewall.always(value in ("udp", "17", "all", "0")),
    "-i": lambda value: lambda packet: fnmatchcase(packet.interface, value.replace("+", "*")),
    "-s": lambda value: lambda packet: firewall.within(value)(packet.source),
    "-d": lambda value: lambda packet: firewall.within(value)(packet.to),
    "--dport": _to_port,
    "--dports": _to_port,
    "--ports": _to_port,
    "--sport": _from_port,
    "--sports": _from_port,
    "--ctstate": lambda value: firewall.always("NEW" in value.split(",")),
    "--state": lambda value: firewall.always("NEW" in value.split(",")),
    "--ctstatus": lambda value: firewall.always("NONE" in value.split(",")),
    "--dst-type": lambda value: lambda packet: value == ("MULTICAST" if packet.to.is_multicast else "LOCAL"),
    "--pkt-type": lambda value: lambda packet: value == ("multicast" if packet.to.is_multicast else "unicast"),
    "--icmp-type": lambda value: firewall.always(False),
    "--tcp-flags": lambda value: firewall.always(False),
    "--syn": lambda value: firewall.always(False),
}
