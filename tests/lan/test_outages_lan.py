"""What takes its time: links that are cut, daemons that are gone, and how soon each side knows. All of it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.lan.people import AWAY_S, ONLINE_AGAIN_S, SOON_S, Scene, halted, start

CUT_S = 20.0


def pause(seconds: float) -> None:
    """Let time pass where the passing of time is what is tested."""
    threading.Event().wait(seconds)


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
    for node in here.lan.nodes:
        here.lan.cable(node, plugged=False)
    ann.until_away(bob, 2 * AWAY_S)
    bob.until_away(ann, 2 * AWAY_S)
    ann.send(bob, "where are you now?")
    for node in here.lan.nodes:
        here.lan.readdress(node, f"10.77.0.{100 + node}/24")
        here.lan.cable(node, plugged=True)
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
    pause(30)
    assert ann.peer(bob)["since"] == since
    ann.send(bob, "still there", wait="delivered")


PLAYS = [
    the_cable_is_out_for_20_s,
    the_interface_is_off_for_20_s,
    the_switch_is_parted_for_20_s,
    everybody_is_readdressed_while_the_cables_are_out,
    a_pulled_cable_shows_as_away,
    a_killed_daemon_shows_as_away,
    what_was_sent_to_somebody_who_falls_silent_is_queued_again,
    a_path_that_is_switched_off_is_not_used,
    an_idle_link_lasts,
]


@pytest.mark.parametrize("play", PLAYS, ids=[play.__name__ for play in PLAYS])
def test_outage(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
