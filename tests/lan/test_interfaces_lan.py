"""Several networks at once: one peer, several addresses; what works is used, and when it fails the other takes over."""

from __future__ import annotations

from collections.abc import Callable

from tests.lan.people import AWAY_S, ONLINE_AGAIN_S, Scene

MakeScene = Callable[..., Scene]


def test_one_peer_on_two_networks_is_one_link_and_fails_over(scene: MakeScene) -> None:
    here = scene(segments=2)
    ann, bob = here.pair()
    assert set(ann.ask("status")["interfaces"]) == {"eth0", "eth1"}
    used = ann.until_online(bob)["interface"]
    assert used in ("eth0", "eth1") and len(ann.ask("peers")) == 1
    here.lan.cable(2, plugged=False, segment=int(used[-1]))
    here.lan.cable(1, plugged=False, segment=int(used[-1]))
    ann.send(bob, "by the other cable")
    ann.until_delivered(bob, within_s=2 * (AWAY_S + ONLINE_AGAIN_S))
    assert ann.until_online(bob)["interface"] != used


def test_interfaces_that_are_not_named_are_left_alone(scene: MakeScene) -> None:
    here = scene(segments=2)
    ann, bob = here.pair(discovery_interfaces="eth1")
    assert ann.ask("status")["interfaces"] == ["eth1"]
    assert ann.until_online(bob)["interface"] == "eth1" and ann.peer(bob)["address"].startswith("10.77.1.")
