"""Two people, each with a real daemon, on a LAN in a box: they meet, talk, are absent, stop, and lose nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from p2pmsg.errors import DaemonNotRunning
from tests.lan.people import SOON_S, STOPPED_S, Scene, halted, start

MakeScene = Callable[..., Scene]
WATCH_OUTPUT = """
table inet watch {
  chain sent {
    type filter hook output priority 0;
    oifname != "lo" meta l4proto != ipv6-icmp counter
  }
}
"""
"""All that leaves, but for what IPv6 says by itself on every interface."""


def test_two_people_meet_and_talk(scene: MakeScene) -> None:
    ann, bob = scene().pair()
    assert ann.send(bob, "hello", wait="delivered")
    assert bob.send(ann, "hello yourself", wait="delivered")
    assert (ann.got(bob), bob.got(ann)) == (["hello yourself"], ["hello"])


def test_what_is_read_shows_as_read(scene: MakeScene) -> None:
    ann, bob = scene().pair()
    ann.send(bob, "hello", wait="delivered")
    assert [message["text"] for message in bob.ask("read", target="Ann")] == ["hello"]
    ann.until(lambda: ann.states(bob) == {"hello": "read"})


def test_peers_tells_how_the_link_came_to_be(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair()
    of_bob, of_ann = ann.peer(bob), bob.peer(ann)
    assert (of_bob["path"], of_ann["path"]) == ("incoming", "invite")
    assert of_bob["address"].rpartition(":")[0] == here.lan.ip(2)
    assert of_ann["address"].rpartition(":")[0] == here.lan.ip(1)
    assert of_bob["interface"] == of_ann["interface"] == "eth0"
    assert 0 < of_bob["rtt_ms"] < 1000


def test_two_users_of_one_machine(scene: MakeScene) -> None:
    ann, bob = scene(1).pair(1, 1)
    for person in (ann, bob):
        person.kill()
    start(ann, bob)
    ann.until_online(bob)
    ann.send(bob, "over there", wait="delivered")
    bob.send(ann, "over here", wait="delivered")


def test_ipv6_alone_suffices(scene: MakeScene) -> None:
    here = scene()
    for node in here.lan.nodes:
        here.lan.ipv6_only(node)
    ann, bob = here.pair()
    assert "fe80:" in ann.peer(bob)["address"]
    bob.stop()
    ann.send(bob, "by IPv6")
    bob.start()
    bob.until_got(ann, "by IPv6")
    ann.until_delivered(bob)


def test_who_is_absent_gets_everything_when_he_comes(scene: MakeScene) -> None:
    ann, bob = scene().pair()
    bob.stop()
    sent = [ann.send(bob, f"note {number}") for number in range(5)]
    assert {message["state"] for message in sent} == {"queued"}
    bob.start()
    ann.until_delivered(bob)
    assert bob.got(ann) == [f"note {number}" for number in range(5)]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_senders_daemon_may_restart_before_the_receiver_comes(scene: MakeScene, end: str) -> None:
    ann, bob = scene().pair()
    bob.stop()
    ann.send(bob, "patience")
    getattr(ann, end)()
    ann.start()
    assert ann.states(bob) == {"patience": "queued"}
    bob.start()
    ann.until_delivered(bob)
    assert bob.got(ann) == ["patience"]


def test_sender_and_receiver_need_not_be_there_at_the_time_of_writing(scene: MakeScene) -> None:
    ann, bob = scene().pair()
    bob.stop()
    ann.send(bob, "from ann")
    ann.stop()
    bob.start()
    bob.send(ann, "from bob")
    ann.start()
    ann.until_got(bob, "from bob")
    bob.until_got(ann, "from ann")


def test_to_somebody_who_is_halted_it_is_sent_and_not_delivered(scene: MakeScene) -> None:
    ann, bob = scene().pair()
    with halted(bob):
        message = ann.cli("send", "Bob", "--wait", "delivered", "--timeout", "2", "still", "there?", status=7)
        assert message["state"] == "sent"
        assert message["deliveries"][0]["state"] == "sent"
    ann.until_delivered(bob, 2 * SOON_S)
    assert bob.got(ann) == ["still there?"]


def test_a_daemon_that_stops_says_goodbye(scene: MakeScene) -> None:
    ann, bob = scene().pair()
    assert bob.stop() < 2 * STOPPED_S
    ann.until_away(bob, 1.0)


def test_a_daemon_stops_in_time_while_its_peer_is_out_of_reach(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair()
    here.lan.cable(2, plugged=False)
    ann.send(bob, "into the void")
    assert ann.stop() < 2 * STOPPED_S


def test_a_daemon_that_is_halted_is_stopped_all_the_same(scene: MakeScene) -> None:
    ann, _ = scene().pair()
    ann.signal(signal.SIGSTOP)
    assert ann.stop() < 2 * STOPPED_S
    with pytest.raises(DaemonNotRunning):
        ann.ask("status")


def test_a_daemon_that_started_with_no_network_is_there_when_it_comes(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair()
    ann.stop()
    here.lan.link(1, up=False)
    ann.start()
    ann.send(bob, "written on the train")
    here.lan.link(1, up=True)
    ann.until_online(bob)
    ann.until_delivered(bob)


def test_without_any_address_a_daemon_starts_and_waits(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair()
    ann.stop()
    for device in ("eth0", "lo"):
        here.lan.link(1, up=False, device=device)
    ann.start()
    assert ann.ask("status")["interfaces"] == []
    ann.cli("contact", "invite", status=9)
    for device in ("lo", "eth0"):
        here.lan.link(1, up=True, device=device)
    ann.until_online(bob)


def test_the_port_of_a_network_survives_a_restart(scene: MakeScene) -> None:
    here = scene(3)
    here.lan.run(3, ["ip", "addr", "add", "10.77.0.254/24", "dev", "eth0"])  # a router that answers
    ann, bob = here.pair()
    port = ann.ask("status")["port"]
    for _ in range(2):
        ann.kill()
        here.lan.run(1, ["ip", "neigh", "flush", "all"])  # as after a boot
        ann.start()
        ann.until_online(bob)
        assert ann.ask("status")["port"] == port


def test_on_loopback_alone_no_packet_leaves_the_machine(scene: MakeScene) -> None:
    here = scene(2)
    assert here.lan.run(1, ["nft", WATCH_OUTPUT]).returncode == 0
    ann, bob = here.pair(1, 1, discovery_interfaces="lo")
    ann.send(bob, "psst", wait="delivered")
    for person in (ann, bob):
        person.stop()
    start(ann, bob)
    bob.until_online(ann)
    bob.send(ann, "psst yourself", wait="delivered")
    assert sent_outside(here) == 0
    joined = here.lan.run(1, ["ip", "maddr", "show", "dev", "eth0"]).stdout
    assert "224.0.0.251" not in joined
    assert "ff02::fb" not in joined


def test_the_counter_of_the_test_above_counts(scene: MakeScene) -> None:
    here = scene(2)
    assert here.lan.run(1, ["nft", WATCH_OUTPUT]).returncode == 0
    here.pair(1, 1)
    assert sent_outside(here) > 0


def sent_outside(here: Scene) -> int:
    """Return how many packets have left node 1 since its watch began."""
    words = here.lan.run(1, ["nft", "list", "table", "inet", "watch"]).stdout.split()
    return sum(int(words[at + 1]) for at, word in enumerate(words) if word == "packets")
