"""Whole daemons on a link on which somebody sends mDNS rubbish (notes/threats.md, rows 26 and 11)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from tests.bench.place import cpu_s, memory_mb
from tests.lan.people import Person, Scene, start

MakeScene = Callable[..., Scene]
COUNT, PER_S = 20_000, 4000
"""More than ten thousand instances are among them."""
STARTS = 3
FOUND_S = 2.0
"""What is promised; the test gives twice as much."""
FLAT_MB = 20.0
CALM_S, CALM_SHARE = 1.0, 0.1
NEVER_S = 4.0
WATCH = """
table inet watch {
  chain sent {
    type filter hook output priority 0;
    oifname "lo" accept
    ip daddr { 10.77.0.0/24, 224.0.0.0/24 } accept
    ip6 daddr { fe80::/10, ff00::/8 } accept
    counter
  }
}
"""
JOINED = "from tests.lan.strangers import sockets; joined = sockets('eth1'); print('ready', flush=True); input()"


def astray(here: Scene, node: int) -> int:
    """Return how many packets left for where nobody is."""
    words = here.lan.run(node, ["nft", "list", "table", "inet", "watch"]).stdout.split()
    return int(words[words.index("packets") + 1])


def seconds_to_find(one: Person, other: Person) -> float:
    """Restart one; return how long it takes until the other sees him."""
    one.stop()
    other.until_away(one, 2 * FOUND_S)
    begun = time.monotonic()
    one.start()
    other.until_online(one, 2 * FOUND_S)
    one.until_online(other, 2 * FOUND_S)
    return time.monotonic() - begun


def busy(person: Person) -> float:
    """Return the share of a processor that its daemon takes."""
    assert person.pid is not None
    used_s = cpu_s(person.pid)
    time.sleep(CALM_S)
    return (cpu_s(person.pid) - used_s) / CALM_S


def test_rubbish_hides_nobody_costs_little_and_sends_us_nowhere(scene: MakeScene) -> None:
    here = scene(3)
    ann, bob = here.pair(discovery_paths="mdns")
    for node in (1, 2):
        assert here.lan.run(node, ["nft", WATCH]).returncode == 0
    before_mb, _ = memory_mb(ann.pid or 0)
    flood = here.lan.popen(3, [sys.executable, "-m", "tests.lan.rubbish", str(COUNT), str(PER_S)])
    assert flood.stdout is not None and flood.stdout.readline() == "ready\n"
    for _ in range(STARTS):
        seconds_to_find(bob, ann)
    assert flood.poll() is None, "they had quiet when they met"
    assert flood.stdout.readline() == "done\n"
    ann.send(bob, "still there?", wait="delivered")
    for person in (ann, bob):
        assert memory_mb(person.pid or 0)[0] < before_mb + FLAT_MB
        assert busy(person) < CALM_SHARE
        assert astray(here, person.node) == 0


def test_the_counter_of_the_test_above_counts(scene: MakeScene) -> None:
    here = scene(1)
    assert here.lan.run(1, ["nft", WATCH]).returncode == 0
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('203.0.113.7', 40000))"
    assert here.lan.run(1, [sys.executable, "-c", send]).returncode == 0
    assert astray(here, 1) == 1


def test_what_comes_by_an_interface_that_is_not_in_use_is_not_heard(scene: MakeScene) -> None:
    """Another program of the machine has joined there; without more ado Linux would hand what comes to all who listen."""
    here = scene(2, segments=2)
    ann, bob = here.pair(discovery_paths="mdns")
    for person, interface in ((ann, "eth0"), (bob, "eth1")):
        person.stop()
        person.configure("discovery.interfaces", interface)
    joined = here.lan.popen(1, [sys.executable, "-c", JOINED])
    assert joined.stdout is not None and joined.stdout.readline() == "ready\n"
    start(ann, bob)
    with pytest.raises(AssertionError):
        ann.until_online(bob, NEVER_S)
    ann.stop()
    ann.configure("discovery.interfaces", "eth1")
    ann.start()
    ann.until_online(bob, 2 * FOUND_S)
