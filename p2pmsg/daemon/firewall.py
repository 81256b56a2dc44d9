"""Does a firewall of this machine let packets in? A walk through its rules, whatever program wrote them. Pure; reads nothing.

What a rule asks may not be known of a packet that has not come yet (a rate, a set of addresses): then it may hit or not, and the
answer is certain only where that makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Host = IPv4Address | IPv6Address
_DEPTH = 16
"""Of jumps; the kernel allows as many."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A UDP packet that begins something new: from a machine of `source` to an address of mine, or to a group."""

    interface: str
    source: Network
    to: Host
    port: int
    source_port: int | None = None
    """None where it may be any."""

    @property
    def version(self) -> int:
        return self.to.version


Match = Callable[[Packet], bool | None]
"""Says whether a packet fits; None: cannot be told."""


class Verdict(Enum):
    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    UNSURE = "unsure"
    """As a rule's: something else decides, such as a program. As an outcome: it may be let in."""


@dataclass(frozen=True, slots=True)
class Rule:
    matches: tuple[Match, ...]
    verdict: Verdict
    target: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; one that the kernel calls by itself has a policy."""

    name: str
    rules: tuple[Rule, ...] = ()
    policy: Verdict | None = None
    command: str = ""
    """Adds a rule that comes last: `{ports}` stands for what it lets in."""
    command_first: str = ""
    """The same for a rule that comes first."""
    version: int | None = None
    """The only version of IP that it sees."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a packet, and the chain that decided so."""

    verdict: Verdict
    chain: Chain | None = None
    by_policy: bool = False


def decide(bases: Sequence[Chain], chains: Mapping[str, Chain], packet: Packet) -> Outcome:
    """Return what becomes of a packet that has to pass all base chains, each of which finds its targets in `chains`."""
    unsure = None
    for base in bases:
        if base.version not in (None, packet.version):
            continue
        outcome = _walk(base, chains, packet, _DEPTH)
        verdict = outcome.verdict
        if verdict is Verdict.RETURN:
            outcome = Outcome(base.policy or Verdict.ACCEPT, base, by_policy=True)
        if outcome.verdict is Verdict.DROP:
            return Outcome(Verdict.DROP, base, outcome.by_policy)
        if outcome.verdict is Verdict.UNSURE:
            unsure = Outcome(Verdict.UNSURE, base)
    return unsure or Outcome(Verdict.ACCEPT)


def _walk(chain: Chain, chains: Mapping[str, Chain], packet: Packet, depth: int) -> Outcome:
    may_accept = False
    for rule in chain.rules:
        hits = _all(match(packet) for match in rule.matches)
        if hits is False:
            continue
        outcome = _outcome(rule, chains, packet, depth)
        if outcome is Verdict.RETURN:
            if hits and rule.verdict in (Verdict.RETURN, Verdict.GOTO):
                break
        elif hits is None or outcome is Verdict.UNSURE:
            may_accept |= outcome is not Verdict.DROP
        else:
            return _final(outcome, may_accept)
    end = chain.policy or Verdict.RETURN
    if end is Verdict.RETURN:
        return Outcome(Verdict.UNSURE if may_accept else Verdict.RETURN)
    return _final(end, may_accept, by_policy=True)


def _outcome(rule: Rule, chains: Mapping[str, Chain], packet: Packet, depth: int) -> Verdict:
    if rule.verdict not in (Verdict.JUMP, Verdict.GOTO):
        return rule.verdict
    target = chains.get(rule.target)
    return Verdict.UNSURE if target is None or depth == 0 else _walk(target, chains, packet, depth - 1).verdict


def _final(verdict: Verdict, may_accept: bool, *, by_policy: bool = False) -> Outcome:
    """A packet that a rule before may have accepted is not certainly dropped."""
    return Outcome(Verdict.UNSURE if verdict is Verdict.DROP and may_accept else verdict, by_policy=by_policy)


def _all(answers: object) -> bool | None:
    found: bool | None = True
    for answer in answers:  # type: ignore[attr-defined]
        if answer is False:
            return False
        if answer is None:
            found = None
    return found


# -- what matches ask


def always(answer: bool | None) -> Match:
    return lambda packet: answer


def negated(match: Match, negate: bool) -> Match:
    """Return the match, or its opposite; what cannot be told stays so."""
    if not negate:
        return match

    def opposite(packet: Packet) -> bool | None:
        answer = match(packet)
        return None if answer is None else not answer

    return opposite


def any_of(matches: Sequence[Match]) -> Match:
    def match(packet: Packet) -> bool | None:
        answers = [each(packet) for each in matches]
        return True if True in answers else None if None in answers else False

    return match


def within(text: str) -> Callable[[Network | Host], bool | None]:
    """Return whether an address, or all addresses of a network, lie in what is written: an address, or one with a prefix."""
    try:
        wanted = ip_network(text, strict=False)
    except ValueError:
        return lambda found: None

    def answer(found: Network | Host) -> bool | None:
        if found.version != wanted.version:
            return False
        if isinstance(found, IPv4Address | IPv6Address):
            return found in wanted
        if not found.overlaps(wanted):
            return False
        return True if found.subnet_of(wanted) else None  # type: ignore[arg-type]

    return answer


def packets(interface: str, own: str, prefix: int, ports: Sequence[int], multicast_port: int) -> list[Packet]:
    """Return what has to come in by an interface: multicast DNS, and what others send to each port of mine."""
    source = ip_network(f"{own}/{prefix}", strict=False)
    group = ip_address("224.0.0.251" if source.version == 4 else "ff02::fb")
    mdns = Packet(interface, source, group, multicast_port, multicast_port)
    return [mdns, *(Packet(interface, source, ip_address(own), port) for port in ports)]
