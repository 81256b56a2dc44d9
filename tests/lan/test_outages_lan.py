"""What takes its time: networks that are cut and changed, machines that sleep, daemons that are gone, and how soon each side knows.

Whole daemons in namespaces; all plays run at the same time, twelve at once. What happens to networks and machines, and where it is played
(here unless a file is named; the plays of events.py, loss.py and sleep.py are run here, too):

| event or fault | played in |
|---|---|
| fresh browser, service already there | test_people_lan: who_is_absent_gets_everything_when_he_comes |
| clean exit | test_people_lan: a_daemon_that_stops_says_goodbye |
| kill -9, its name in every cache for 19 min | a_killed_daemon_shows_as_away, who_was_killed_and_is_elsewhere_is_found_… |
| loss of 10, 30 and 50 % | a_tenth_…, half_of_all_packets_is_lost, starts_among_heavy_loss_connect_in_time, of_five_hundred_messages_… |
| rotation of the name | a_new_name_is_recognised |
| address changed under it | a_changed_address_is_found_while_both_run, both_readdressed_while_apart_hear_each_other_once_healed |
| link down 3 s, up, same address | a_cable_out_for_3_s_breaks_no_link, an_interface_is_off_for_3_s |
| link down until all links have ended | the_cable_is_out_for_20_s, a_pulled_cable_shows_as_away |
| interface off and on, link-local IPv6 gone with it | the_interface_is_off_for_20_s, an_interface_that_has_ipv6_alone_is_off_… |
| new interface appears | a_new_interface_is_used |
| start apart (no carrier; partition), then healed | who_started_without_a_carrier_…, who_started_apart_meets_when_the_partition_ends |
| partition without a carrier change | the_switch_is_parted_for_20_s, …_for_a_minute, …_in_which_both_are_readdressed |
| all cables out, everybody readdressed | everybody_is_readdressed_while_the_cables_are_out |
| halted for 18 s, then on | both_were_halted_for_18_s, what_was_sent_to_somebody_who_falls_silent_is_queued_again |
| a real sleep, which loses the packets | one_wakes_after_an_hour, both_wake_after_an_hour |
| no default route | without_a_default_route_they_meet |
| no address at all | test_people_lan: without_any_address_a_daemon_starts_and_waits, a_daemon_that_started_with_no_network_… |
| IPv6 only | by_ipv6_alone_they_find_each_other; test_people_lan, test_paths_lan |
| multi-homed | on_two_networks_with_ipv6_alone_each_way_has_its_own_scope, a_second_network_takes_over_…; test_interfaces_lan |
| IGMP and MLD snooping, with and without querier | a_switch_that_snoops_… |
| same name twice (names are random), two on one host | test_people_lan: two_users_of_one_machine |
| avahi beside us | test_avahi_lan |
| multicast dropped; broadcast too | test_fallbacks_lan, test_weather_lan, test_doctor_lan |
| client isolation | isolated_clients_are_away_and_meet_when_that_ends; in words: test_doctor_lan |
| default-deny firewall; the other restarted meanwhile | test_weather_lan, who_is_behind_a_firewall_finds_somebody_… |
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lan import events, loss, sleep
from tests.lan.events import QUESTIONS_S, pause
from tests.lan.people import AWAY_S, ONLINE_AGAIN_S, SOON_S, Scene, halted, start
from tests.lan.test_discovery_lan import heard, node

CUT_S = 20.0


def cut_and_healed(here: Scene, cut: Callable[[], None], heal: Callable[[], None]) -> None:
    """Both write while the link is cut; each sees the other go and come, and gets everything once, in order."""
    ann, bob = here.pair()
    ann.send(bob, "before", wait="delivered")
    cut()
    ann.send(bob, "cut 1")
    bob.send(ann, "cut 2")
    pause(CUT_S)
    assert not ann.sees(bob)
    assert not bob.sees(ann)
    assert ann.states(bob)["cut 1"] == bob.states(ann)["cut 2"] == "queued"
    ann.send(bob, "cut 3")
    heal()
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    ann.until_delivered(bob, SOON_S)
    bob.until_delivered(ann, SOON_S)
    assert (bob.got(ann), ann.got(bob)) == (["before", "cut 1", "cut 3"], ["cut 2"])


def the_cable_is_out_for_20_s(here: Scene) -> None:
    cut_and_healed(here, lambda: here.lan.cable(1, plugged=False), lambda: here.lan.cable(1, plugged=True))


def the_interface_is_off_for_20_s(here: Scene) -> None:
    cut_and_healed(here, lambda: here.lan.link(1, up=False), lambda: here.lan.link(1, up=True))


def the_switch_is_parted_for_20_s(here: Scene) -> None:
    cut_and_healed(here, lambda: here.lan.split([1], [2]), here.lan.heal)


def everybody_is_readdressed_while_the_cables_are_out(here: Scene) -> None:
    ann, bob = here.pair(discovery_paths="mdns")
    for number in here.lan.nodes:
        here.lan.cable(number, plugged=False)
    ann.until_away(bob, 2 * AWAY_S)
    bob.until_away(ann, 2 * AWAY_S)
    ann.send(bob, "where are you now?")
    for number in here.lan.nodes:
        here.lan.readdress(number, f"10.77.0.{100 + number}/24")
        here.lan.cable(number, plugged=True)
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    ann.until_delivered(bob)


def a_pulled_cable_shows_as_away(here: Scene) -> None:
    ann, bob = here.pair()
    here.lan.cable(2, plugged=False)
    ann.until_away(bob, 2 * AWAY_S)
    bob.until_away(ann, AWAY_S)


def a_killed_daemon_shows_as_away(here: Scene) -> None:
    ann, bob = here.pair()
    bob.kill()
    ann.until_away(bob, 2 * AWAY_S)
    message = ann.send(bob, "gone?")
    assert message["state"] == "queued"
    bob.start()
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)
    ann.until_delivered(bob)


def what_was_sent_to_somebody_who_falls_silent_is_queued_again(here: Scene) -> None:
    ann, bob = here.pair()
    with halted(bob):
        ann.send(bob, "asleep?")
        ann.until(lambda: ann.states(bob) == {"asleep?": "sent"})
        ann.until(lambda: ann.states(bob) == {"asleep?": "queued"}, 2 * AWAY_S)
        assert not ann.sees(bob)
        pause(5)
    ann.until_delivered(bob, 2 * SOON_S)
    assert bob.got(ann) == ["asleep?"]


def a_path_that_is_switched_off_is_not_used(here: Scene) -> None:
    ann, bob = here.pair(discovery_paths="static")
    for person in (ann, bob):
        person.stop()
    start(ann, bob)
    pause(8)
    assert not ann.sees(bob)
    assert not bob.sees(ann)


def an_idle_link_lasts(here: Scene) -> None:
    ann, bob = here.pair()
    since = ann.peer(bob)["since"]
    pause(CUT_S)
    assert ann.peer(bob)["since"] == since
    ann.send(bob, "still there", wait="delivered")


def isolated_clients_are_away_and_meet_when_that_ends(here: Scene) -> None:
    ann, bob = here.pair()
    here.lan.isolate(True)
    ann.until_away(bob, 2 * AWAY_S)
    here.lan.isolate(False)
    ann.until_online(bob, 2 * ONLINE_AGAIN_S)


def a_changed_address_is_found_while_both_run(here: Scene) -> None:
    ann, bob = here.pair()
    here.lan.readdress(1, "10.77.0.101/24")
    bob.until(lambda: "10.77.0.101" in str(bob.peer(ann)["address"]), AWAY_S + ONLINE_AGAIN_S)
    ann.send(bob, "I have moved", wait="delivered")


def a_second_network_takes_over_when_the_first_fails(_: Scene) -> None:
    with Scene(2, segments=2) as here:
        ann, bob = here.pair()
        for number in here.lan.nodes:
            here.lan.cable(number, plugged=False)
        ann.send(bob, "by the other cable")
        ann.until_delivered(bob, AWAY_S + ONLINE_AGAIN_S)
        assert ann.peer(bob)["interface"] == "eth1"


# -- discovery alone


def both_readdressed_while_apart_hear_each_other_once_healed(here: Scene) -> None:
    ann, bob = node(here.lan, 1, "ann", announce_s=3), node(here.lan, 2, "bob", announce_s=3)
    here.lan.split([1], [2])
    here.lan.readdress(1, "10.77.0.101/24")
    here.lan.readdress(2, "10.77.0.102/24")
    ann.expect(lambda line: "interfaces" in line, SOON_S)
    bob.expect(lambda line: "interfaces" in line, SOON_S)
    pause(QUESTIONS_S)
    here.lan.heal()
    bob.expect(heard("ann", "10.77.0.101"), 2 * 3 * 1.25)
    ann.expect(heard("bob", "10.77.0.102"), 2 * 3 * 1.25)


def after_a_cable_was_out_for_20_s_both_hear_each_other(here: Scene) -> None:
    ann, bob = node(here.lan, 1, "ann"), node(here.lan, 2, "bob")
    ann.expect(heard("bob"), SOON_S)
    here.lan.cable(1, plugged=False)
    pause(CUT_S)
    ann.forget()
    bob.forget()
    here.lan.cable(1, plugged=True)
    bob.expect(heard("ann"), 2 * ONLINE_AGAIN_S)
    ann.expect(heard("bob"), 2 * ONLINE_AGAIN_S)


def a_node_that_started_while_the_cable_was_out_is_heard_once_it_is_in(here: Scene) -> None:
    here.lan.cable(1, plugged=False)
    ann, bob = node(here.lan, 1, "ann"), node(here.lan, 2, "bob")
    pause(QUESTIONS_S)
    here.lan.cable(1, plugged=True)
    bob.expect(heard("ann"), 2 * ONLINE_AGAIN_S)
    ann.expect(heard("bob"), 2 * ONLINE_AGAIN_S)


PLAYS = [
    *sleep.PLAYS,
    *loss.PLAYS,
    the_cable_is_out_for_20_s,
    the_interface_is_off_for_20_s,
    the_switch_is_parted_for_20_s,
    everybody_is_readdressed_while_the_cables_are_out,
    a_pulled_cable_shows_as_away,
    a_killed_daemon_shows_as_away,
    what_was_sent_to_somebody_who_falls_silent_is_queued_again,
    a_path_that_is_switched_off_is_not_used,
    an_idle_link_lasts,
    isolated_clients_are_away_and_meet_when_that_ends,
    a_changed_address_is_found_while_both_run,
    a_second_network_takes_over_when_the_first_fails,
    both_readdressed_while_apart_hear_each_other_once_healed,
    after_a_cable_was_out_for_20_s_both_hear_each_other,
    a_node_that_started_while_the_cable_was_out_is_heard_once_it_is_in,
    *events.PLAYS,
]
"""Those that take longest first."""


@pytest.mark.parametrize("play", PLAYS, ids=[play.__name__ for play in PLAYS])
def test_outage(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
