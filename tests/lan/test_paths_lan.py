"""Each way of finding each other alone, told by the path that `peers` names, through changes of address."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lan.people import ONLINE_AGAIN_S, Person, Scene, start

MakeScene = Callable[..., Scene]
NEW = {1: "10.77.0.101/24", 2: "10.77.0.102/24"}
PORT = "45454"


def apart(*people: Person) -> None:
    """Let nobody know more of the others than what is stored."""
    for person in people:
        person.stop()


def paths(ann: Person, bob: Person) -> set[str]:
    """Wait until both are linked; return how each has learnt the other's address."""
    return {str(ann.until_online(bob)["path"]), str(bob.until_online(ann)["path"])}


def talk(ann: Person, bob: Person) -> None:
    ann.send(bob, "do you hear me?", wait="delivered")
    bob.send(ann, "loud and clear", wait="delivered")


def test_mdns_alone_after_both_were_readdressed_while_apart(scene: MakeScene) -> None:
    here = scene()
    for node in here.lan.nodes:
        here.lan.ipv4_only(node)  # IPv6 addresses stay, and may be dialled first
    ann, bob = here.pair(discovery_paths="mdns")
    apart(ann, bob)
    for node, address in NEW.items():
        here.lan.readdress(node, address)
    start(ann, bob)
    assert paths(ann, bob) <= {"mdns", "incoming"}
    assert "10.77.0.102" in ann.peer(bob)["address"]
    talk(ann, bob)


def test_mdns_alone_after_both_were_readdressed_while_one_was_away(scene: MakeScene) -> None:
    here = scene()
    for node in here.lan.nodes:
        here.lan.ipv4_only(node)
    ann, bob = here.pair(discovery_paths="mdns")
    apart(bob)
    here.lan.readdress(1, NEW[1])
    here.lan.readdress(2, NEW[2])
    bob.start()
    assert paths(ann, bob) <= {"mdns", "incoming"}
    talk(ann, bob)


@pytest.mark.parametrize("moved", [1, 2])
def test_last_known_alone_after_one_side_was_readdressed(scene: MakeScene, moved: int) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="last_known")
    apart(ann, bob)
    here.lan.readdress(moved, NEW[moved])
    start(ann, bob)
    assert paths(ann, bob) == {"last_known", "incoming"}
    talk(ann, bob)


def test_last_known_alone_by_ipv6(scene: MakeScene) -> None:
    here = scene()
    for node in here.lan.nodes:
        here.lan.ipv6_only(node)
    ann, bob = here.pair(discovery_paths="last_known")
    apart(ann, bob)
    start(ann, bob)
    assert paths(ann, bob) <= {"last_known", "incoming"}
    talk(ann, bob)


def test_static_alone_after_one_side_was_readdressed(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="static")
    apart(ann, bob)
    ann.configure("discovery.static", f"{here.lan.ip(2)}:{PORT}")
    bob.configure("listen.port", PORT)
    here.lan.readdress(1, NEW[1])
    start(ann, bob)
    assert ann.until_online(bob)["path"] == "static"
    assert bob.until_online(ann)["path"] == "incoming"
    talk(ann, bob)


def test_a_static_peer_is_dialled_until_it_is_there_whoever_else_is_not(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="static")
    apart(ann, bob)
    nobody = [f"10.77.0.{host}:{PORT}" for host in range(60, 80)]
    ann.configure("discovery.static", ",".join([*nobody, f"{here.lan.ip(2)}:{PORT}"]))
    bob.configure("listen.port", PORT)
    ann.start()
    ann.send(bob, "whenever you come")
    bob.start()
    bob.until_got(ann, "whenever you come", 2 * ONLINE_AGAIN_S)
    assert ann.peer(bob)["path"] == "static"


def test_a_static_peer_by_ipv6(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="static")
    apart(ann, bob)
    address = here.lan.ip6(2)
    ann.configure("discovery.static", f"[{address}]:{PORT}")
    bob.configure("listen.port", PORT)
    start(ann, bob)
    assert ann.until_online(bob)["path"] == "static"
