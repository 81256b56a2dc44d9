"""The walk through a firewall's rules: what is certain, and what cannot be told."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from p2pmsg.daemon.firewall import Chain, Match, Outcome, Packet, Rule, Verdict, always, any_of, decide, negated, packets, within

ACCEPT, DROP, RETURN, JUMP, GOTO, UNSURE = Verdict.ACCEPT, Verdict.DROP, Verdict.RETURN, Verdict.JUMP, Verdict.GOTO, Verdict.UNSURE
YES, NO, PERHAPS = always(True), always(False), always(None)
PACKET = Packet("eth0", ip_network("10.77.0.0/24"), ip_address("10.77.0.1"), 45_454)


def rule(match: Match, verdict: Verdict, target: str = "") -> Rule:
    return Rule((match,), verdict, target)


def outcome(*rules: Rule, policy: Verdict = ACCEPT, **others: Chain) -> Outcome:
    return decide([Chain("base", rules, policy)], others, PACKET)


@pytest.mark.parametrize(
    ("rules", "policy", "expected"),
    [
        ((), ACCEPT, ACCEPT),
        ((), DROP, DROP),
        ((rule(YES, ACCEPT),), DROP, ACCEPT),
        ((rule(NO, ACCEPT),), DROP, DROP),
        ((rule(YES, DROP), rule(YES, ACCEPT)), ACCEPT, DROP),
        ((rule(PERHAPS, ACCEPT),), DROP, UNSURE),
        ((rule(PERHAPS, DROP),), ACCEPT, ACCEPT),
        ((rule(PERHAPS, DROP), rule(YES, DROP)), ACCEPT, DROP),
        ((rule(PERHAPS, ACCEPT), rule(YES, DROP)), ACCEPT, UNSURE),
        ((rule(YES, RETURN), rule(YES, ACCEPT)), DROP, DROP),
        ((rule(YES, UNSURE),), DROP, UNSURE),
        ((rule(YES, JUMP, "nowhere"),), DROP, UNSURE),
    ],
)
def test_the_first_certain_verdict_counts(rules: tuple[Rule, ...], policy: Verdict, expected: Verdict) -> None:
    assert outcome(*rules, policy=policy).verdict is expected


def test_jumps_come_back_and_gotos_do_not() -> None:
    empty = Chain("other")
    assert outcome(rule(YES, JUMP, "other"), rule(YES, ACCEPT), policy=DROP, other=empty).verdict is ACCEPT
    assert outcome(rule(YES, GOTO, "other"), rule(YES, ACCEPT), policy=DROP, other=empty).verdict is DROP
    assert outcome(rule(YES, JUMP, "other"), other=Chain("other", (rule(YES, DROP),))).verdict is DROP
    assert outcome(rule(PERHAPS, JUMP, "other"), policy=DROP, other=Chain("other", (rule(YES, ACCEPT),))).verdict is UNSURE
    assert outcome(rule(YES, JUMP, "other"), policy=DROP, other=Chain("other", (rule(PERHAPS, ACCEPT),))).verdict is UNSURE


def test_a_chain_for_the_other_version_sees_nothing() -> None:
    assert decide([Chain("six", (), DROP, version=6)], {}, PACKET).verdict is ACCEPT
    assert decide([Chain("four", (), DROP, version=4)], {}, PACKET).verdict is DROP


def test_a_ring_of_jumps_ends() -> None:
    assert outcome(rule(YES, JUMP, "other"), policy=DROP, other=Chain("other", (rule(YES, JUMP, "other"),))).verdict is UNSURE


def test_a_packet_has_to_pass_all_base_chains_and_the_one_that_drops_is_named() -> None:
    first, second = Chain("first", (rule(PERHAPS, ACCEPT),), DROP), Chain("second", (), DROP)
    found = decide([first, second], {}, PACKET)
    assert (found.verdict, found.chain, found.by_policy) == (DROP, second, True)
    assert decide([Chain("by rule", (rule(YES, DROP),), ACCEPT)], {}, PACKET).by_policy is False
    assert decide([], {}, PACKET).verdict is ACCEPT


@pytest.mark.parametrize(
    ("text", "host", "network"),
    [
        ("10.77.0.0/16", True, True),
        ("10.77.0.1", True, None),
        ("10.77.0.0/25", True, None),
        ("192.168.0.0/16", False, False),
        ("fe80::/10", False, False),
        ("what?", None, None),
    ],
)
def test_addresses(text: str, host: bool | None, network: bool | None) -> None:
    assert (within(text)(PACKET.to), within(text)(PACKET.source)) == (host, network)


def test_what_cannot_be_told_stays_so() -> None:
    assert [negated(each, True)(PACKET) for each in (YES, NO, PERHAPS)] == [False, True, None]
    assert [any_of(some)(PACKET) for some in ([NO, YES], [NO, PERHAPS], [NO], [])] == [True, None, False, False]


def test_what_has_to_come_in() -> None:
    mdns, mine = packets("eth0", "10.77.0.1", 24, [45_454], 5353)
    assert mdns.to.is_multicast and (mdns.port, mdns.source_port) == (5353, 5353)
    assert mine == PACKET and mine.version == 4
    assert packets("eth0", "fe80::1", 64, [], 5353)[0].version == 6
