"""`contact find`: where neither multicast nor broadcast passes, and from behind a firewall that lets only answers in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lan.people import SOON_S, Person, Scene, start
from tests.lan.test_paths_lan import NEW, apart, talk
from tests.lan.test_weather_lan import DENY

ENTERED_S = 4.0
"""Enough for whoever would find the other by himself."""


def lost(here: Scene, **settings: str) -> tuple[Person, Person]:
    """Return two contacts who run, were given new addresses while apart, and hear nothing of each other."""
    ann, bob = here.pair(discovery_paths="mdns", **settings)
    apart(ann, bob)
    here.lan.multicast(False)
    here.lan.broadcast(False)
    for node, address in NEW.items():
        here.lan.readdress(node, address)
    start(ann, bob)
    return ann, bob


def the_sweep_alone(here: Scene) -> None:
    ann, bob = lost(here)
    with pytest.raises(AssertionError):
        ann.until_online(bob, within_s=ENTERED_S)
    found = ann.cli("contact", "find", "Bob")
    assert (found["account"], found["online"]) == (bob.account, True)
    assert (ann.peer(bob)["path"], bob.until_online(ann)["path"]) == ("sweep", "incoming")
    talk(ann, bob)
    bob.stop()
    bob.start()
    assert ann.until_online(bob, 2 * SOON_S)["path"] == "sweep", "a redial keeps the path"
    assert ann.cli("contact", "find", "bob")["online"], "there is a link already"


def from_behind_a_firewall(here: Scene) -> None:
    ann, bob = lost(here)
    assert here.lan.run(1, ["nft", DENY]).returncode == 0
    error = bob.cli("contact", "find", "ann", status=9)
    assert error == {} and not bob.sees(ann), "nobody gets in"
    ann.cli("contact", "find", "bob")
    assert ann.peer(bob)["path"] == "sweep"
    talk(ann, bob)


def who_is_not_there(here: Scene) -> None:
    ann, bob = lost(here)
    bob.stop()
    done = here.lan.run(1, ann.command("contact", "find", "bob"))
    assert done.returncode == 9 and "answered at none of 253 addresses of 10.77.0.0/24" in done.stderr, done.stderr
    assert here.lan.run(1, ann.command("contact", "find", "nobody")).returncode == 4
    ann.stop()
    here.lan.ipv6_only(1)
    ann.start()
    done = here.lan.run(1, ann.command("contact", "find", "bob", "--json"))
    assert done.returncode == 9 and '"no_network"' in done.stderr, done.stderr


@pytest.mark.parametrize("play", [the_sweep_alone, from_behind_a_firewall, who_is_not_there])
def test_find(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
