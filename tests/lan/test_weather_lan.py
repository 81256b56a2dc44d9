"""Bad networks: lost, doubled, late and overtaking packets, no multicast, a firewall, small packets only."""

from __future__ import annotations

from collections.abc import Callable

from tests.lan.people import SOON_S, Person, Scene, start

MakeScene = Callable[..., Scene]
MANY = 100
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
SMALL = """
table inet small {
  chain input {
    type filter hook input priority 0;
    iifname "eth0" meta length > 1300 drop
  }
}
"""


def write_many(one: Person, other: Person) -> None:
    """Both write many messages; each arrives once, in order."""
    texts = [f"line {number}: {'x' * number * 20}" for number in range(MANY)]
    with one.connect() as ann, other.connect() as bob:
        for text in texts:
            ann.call("send", {"target": other.account, "text": text})
            bob.call("send", {"target": one.account, "text": text})
    one.until_delivered(other, 3 * SOON_S)
    other.until_delivered(one, 3 * SOON_S)
    assert one.got(other) == other.got(one) == texts


def test_a_third_of_all_packets_lost(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair()
    for person in (ann, bob):
        person.kill()
    here.lan.loss(1, 30)
    start(ann, bob)
    ann.until_online(bob, 2 * SOON_S)
    ann.send(bob, "kchhh")
    bob.send(ann, "kchhh?")
    ann.until_delivered(bob, 3 * SOON_S)
    bob.until_delivered(ann, 3 * SOON_S)
    assert (ann.got(bob), bob.got(ann)) == (["kchhh?"], ["kchhh"])


def test_late_doubled_overtaking_and_lost_packets(scene: MakeScene) -> None:
    here = scene(2, wire=True)
    here.lan.shape(1, delay=10, jitter=8, loss=1, duplicate=20, reorder=20)
    write_many(*here.pair())


def test_a_slow_cable(scene: MakeScene) -> None:
    here = scene(2, wire=True)
    here.lan.shape(1, delay=50, rate=1, queue=30)
    write_many(*here.pair())


def test_without_multicast_they_meet_where_they_were_last(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="mdns,last_known")
    for person in (ann, bob):
        person.stop()
    here.lan.multicast(False)
    start(ann, bob)
    assert {ann.until_online(bob)["path"], bob.until_online(ann)["path"]} == {"last_known", "incoming"}


def test_who_is_behind_a_firewall_dials_out(scene: MakeScene) -> None:
    """By that the way in is open, too: dials of both sides go between the same two ports."""
    here = scene()
    ann, bob = here.pair()
    for person in (ann, bob):
        person.stop()
    assert here.lan.run(1, ["nft", DENY]).returncode == 0
    start(ann, bob)
    ann.until_online(bob, 2 * SOON_S)
    bob.send(ann, "knock knock", wait="delivered")
    ann.send(bob, "who is there?", wait="delivered")


def test_where_only_small_packets_pass(scene: MakeScene) -> None:
    here = scene(2, wire=True)  # TAP devices carry no bundles of packets that a rule would take for large ones
    for node in here.lan.nodes:
        assert here.lan.run(node, ["nft", SMALL]).returncode == 0
    ann, bob = here.pair()
    ann.send(bob, "x" * 60_000)
    ann.until_delivered(bob, 2 * SOON_S)
