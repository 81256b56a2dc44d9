"""Plays of what happens to networks and machines: each with whole daemons, in a scene of its own. Run by test_outages_lan.py."""

from __future__ import annotations

import threading

from tests.lan.people import AWAY_S, ONLINE_AGAIN_S, SOON_S, Person, Scene, halted, start

HEALED_SEEN_S, HEALED_UNSEEN_S = 3.0, 8.0
"""From the moment at which a network is whole again to talking: where a carrier is seen to return, and where nothing is to be seen."""
QUESTIONS_S = 16.0
"""After this time multicast DNS asks no more by itself."""
IDLE_S = 12.0
"""By then a link whose peer is silent has ended."""
ELSEWHERE = "10.77.0.102/24"
PORT = "45454"
DENY = """
table inet firewall {
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    meta l4proto ipv6-icmp accept
  }
}
"""


def pause(seconds: float) -> None:
    """Let time pass where the passing of time is what is tested."""
    threading.Event().wait(seconds)


def talk(ann: Person, bob: Person, within_s: float) -> None:
    """See that what each writes now is stored at the other in time."""
    ann.send(bob, "do you hear me?")
    bob.send(ann, "loud and clear")
    ann.until_delivered(bob, within_s)
    bob.until_delivered(ann, within_s)


def restarted(*people: Person) -> None:
    for person in people:
        person.stop()
    start(*people)


# -- links and interfaces


def a_cable_out_for_3_s_breaks_no_link(here: Scene) -> None:
    ann, bob = here.pair()
    since = ann.peer(bob)["since"]
    here.lan.cable(1, plugged=False)
    ann.send(bob, "said meanwhile")
    pause(3)
    here.lan.cable(1, plugged=True)
    ann.until_delivered(bob, 2 * HEALED_SEEN_S)
    assert ann.peer(bob)["since"] == since


def an_interface_is_off_for_3_s(here: Scene) -> None:
    ann, bob = here.pair()
    here.lan.link(1, up=False)
    ann.send(bob, "said meanwhile")
    pause(3)
    here.lan.link(1, up=True)
    ann.until_delivered(bob, 2 * HEALED_SEEN_S)
    talk(ann, bob, 2 * HEALED_SEEN_S)


def an_interface_that_has_ipv6_alone_is_off_until_the_link_has_ended(here: Scene) -> None:
    """Its address goes with it, and is another object of the kernel's when it is back."""
    for node in here.lan.nodes:
        here.lan.ipv6_only(node)
    ann, bob = here.pair()
    here.lan.link(1, up=False)
    pause(IDLE_S)
    ann.send(bob, "said meanwhile")
    here.lan.link(1, up=True)
    ann.until_delivered(bob, 2 * HEALED_SEEN_S)
    assert ann.peer(bob)["address"].startswith("[fe80:")


def a_new_interface_is_used(_: Scene) -> None:
    """A second cable, to a network on which both are and whose first is out."""
    with Scene(2, segments=2) as here:
        here.lan.link(1, up=False, device="eth1")
        ann, bob = here.pair()
        assert ann.ask("status")["interfaces"] == ["eth0"]
        here.lan.cable(1, plugged=False)
        ann.until_away(bob, 2 * AWAY_S)
        here.lan.link(1, up=True, device="eth1")
        ann.until_online(bob, 2 * HEALED_SEEN_S)
        assert ann.peer(bob)["interface"] == "eth1", (ann.peer(bob), ann.log())
        talk(ann, bob, SOON_S)


def who_started_without_a_carrier_is_there_when_it_comes(here: Scene) -> None:
    ann, bob = here.pair()
    ann.stop()
    here.lan.cable(1, plugged=False)
    ann.start()
    ann.send(bob, "written before there was a network")
    pause(QUESTIONS_S)
    here.lan.cable(1, plugged=True)
    ann.until_delivered(bob, 2 * HEALED_SEEN_S)


def who_started_apart_meets_when_the_partition_ends(here: Scene) -> None:
    ann, bob = here.pair()
    for person in (ann, bob):
        person.stop()
    here.lan.split([1], [2])
    start(ann, bob)
    ann.send(bob, "are you there?")
    pause(QUESTIONS_S)
    here.lan.heal()
    ann.until_delivered(bob, 2 * HEALED_UNSEEN_S)


# -- names and addresses


def who_was_killed_and_is_elsewhere_is_found_though_his_old_name_is_remembered(here: Scene) -> None:
    """A killed node says no goodbye: caches keep its name, address and port for 19 minutes."""
    for node in here.lan.nodes:
        here.lan.ipv4_only(node)
    ann, bob = here.pair(discovery_paths="mdns")
    bob.kill()
    here.lan.readdress(2, ELSEWHERE)
    bob.configure("listen.port", PORT)
    bob.start()
    ann.until(lambda: ann.peer(bob)["address"] == f"10.77.0.102:{PORT}", 2 * ONLINE_AGAIN_S)
    talk(ann, bob, SOON_S)


def a_new_name_is_recognised(here: Scene) -> None:
    """After visible mode a node has another name, which leads nowhere back."""
    ann, bob = here.pair(discovery_paths="mdns")
    bob.kill()
    ann.ask("visible.on")
    ann.ask("visible.off")
    bob.start()
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)


# -- networks of other kinds


def without_a_default_route_they_meet(here: Scene) -> None:
    for node in here.lan.nodes:
        here.lan.run(node, ["ip", "route", "del", "default"])
    ann, bob = here.pair(discovery_paths="mdns")
    restarted(ann, bob)
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    talk(ann, bob, SOON_S)


def by_ipv6_alone_they_find_each_other(here: Scene) -> None:
    for node in here.lan.nodes:
        here.lan.ipv6_only(node)
    ann, bob = here.pair(discovery_paths="mdns")
    restarted(ann, bob)
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    assert ann.peer(bob)["address"].startswith("[fe80:")
    talk(ann, bob, SOON_S)


def on_two_networks_with_ipv6_alone_each_way_has_its_own_scope(_: Scene) -> None:
    """Link-local addresses of one interface lead nowhere by the other: mDNS alone would name the wrong one."""
    with Scene(2, segments=2) as here:
        for node in here.lan.nodes:
            for device in ("eth0", "eth1"):
                here.lan.ipv6_only(node, device)
        ann, bob = here.pair(discovery_paths="mdns")
        used = ann.peer(bob)["interface"]
        for node in here.lan.nodes:
            here.lan.cable(node, plugged=False, segment=int(used[-1]))
        ann.send(bob, "by the other")
        ann.until_delivered(bob, AWAY_S + ONLINE_AGAIN_S)
        assert ann.peer(bob)["interface"] != used


def snooped_on(here: Scene, *, querier: bool, ipv6: bool) -> None:
    """A switch that carries multicast only to who has asked for it."""
    here.lan.snoop(querier=querier)
    if ipv6:
        for node in here.lan.nodes:
            here.lan.ipv6_only(node)
    ann, bob = here.pair(discovery_paths="mdns")
    restarted(ann, bob)
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    talk(ann, bob, SOON_S)


def a_switch_that_snoops_with_a_querier(here: Scene) -> None:
    snooped_on(here, querier=True, ipv6=False)


def a_switch_that_snoops_with_a_querier_and_ipv6_alone(here: Scene) -> None:
    snooped_on(here, querier=True, ipv6=True)


def a_switch_that_snoops_without_a_querier(here: Scene) -> None:
    snooped_on(here, querier=False, ipv6=True)


def who_is_behind_a_firewall_finds_somebody_who_has_restarted_meanwhile(here: Scene) -> None:
    """Nothing reaches him unasked, and the firewall has forgotten whom he asked before."""
    ann, bob = here.pair()
    assert here.lan.run(1, ["nft", DENY]).returncode == 0
    for name in ("udp_timeout", "udp_timeout_stream"):
        here.lan.tune(1, f"netfilter/nf_conntrack_{name}", 4)
    bob.kill()
    ann.until_away(bob, 2 * AWAY_S)
    pause(5)
    bob.start()
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    talk(ann, bob, SOON_S)


def both_were_halted_for_18_s(here: Scene) -> None:
    ann, bob = here.pair()
    with halted(ann, bob):
        pause(18)
    ann.send(bob, "good morning")
    ann.until_delivered(bob, 2 * ONLINE_AGAIN_S)
    talk(ann, bob, SOON_S)


PLAYS = [
    who_started_apart_meets_when_the_partition_ends,
    who_started_without_a_carrier_is_there_when_it_comes,
    who_is_behind_a_firewall_finds_somebody_who_has_restarted_meanwhile,
    both_were_halted_for_18_s,
    an_interface_that_has_ipv6_alone_is_off_until_the_link_has_ended,
    a_new_interface_is_used,
    on_two_networks_with_ipv6_alone_each_way_has_its_own_scope,
    a_cable_out_for_3_s_breaks_no_link,
    an_interface_is_off_for_3_s,
    who_was_killed_and_is_elsewhere_is_found_though_his_old_name_is_remembered,
    a_new_name_is_recognised,
    without_a_default_route_they_meet,
    by_ipv6_alone_they_find_each_other,
    a_switch_that_snoops_with_a_querier,
    a_switch_that_snoops_with_a_querier_and_ipv6_alone,
    a_switch_that_snoops_without_a_querier,
]
"""Those that take longest first."""
