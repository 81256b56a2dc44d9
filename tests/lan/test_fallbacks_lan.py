"""The fallbacks, each alone: broadcast beacons where multicast is dropped, the site's DNS, and hints of a mutual contact."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lan.people import Scene, start
from tests.lan.test_paths_lan import NEW, apart, paths, talk

MakeScene = Callable[..., Scene]
PORT = "45454"


def test_beacon_alone_where_multicast_is_dropped_after_both_were_readdressed(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="beacon")
    apart(ann, bob)
    here.lan.multicast(False)
    for node, address in NEW.items():
        here.lan.readdress(node, address)
    start(ann, bob)
    assert paths(ann, bob) <= {"beacon", "incoming"}
    talk(ann, bob)


def test_without_multicast_and_broadcast_a_beacon_is_not_heard(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="beacon")
    apart(ann, bob)
    here.lan.multicast(False)
    here.lan.broadcast(False)
    start(ann, bob)
    with pytest.raises(AssertionError):
        ann.until_online(bob, within_s=6.0)


@contextlib.contextmanager
def site_dns(here: Scene, node: int, records: list[str]) -> Iterator[None]:
    """Run a real dnsmasq on a node, and have the others ask it: `ip netns exec` lays /etc/netns/NAME over /etc."""
    words = ["dnsmasq", "--keep-in-foreground", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--port=53"]
    made: list[Path] = []
    for other in here.lan.nodes:
        if other != node:
            etc = Path("/etc/netns") / here.lan.namespace(other)
            etc.mkdir(parents=True)
            made.append(etc)
            (etc / "resolv.conf").write_text(f"nameserver {here.lan.ip(node)}\nsearch office.test\n")
    server = here.lan.popen(node, [*words, *records], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait(10)
        for etc in made:
            (etc / "resolv.conf").unlink()
            etc.rmdir()


def test_the_sites_dns_alone(scene: MakeScene) -> None:
    here = scene(3)
    ann, bob = here.pair(discovery_paths="dns_sd", listen_port=PORT)
    apart(ann, bob)
    here.lan.readdress(2, NEW[2])
    records = [
        "--ptr-record=_p2pmsg._udp.office.test,bob._p2pmsg._udp.office.test",
        f"--srv-host=bob._p2pmsg._udp.office.test,bob-laptop.office.test,{PORT}",
        f"--host-record=bob-laptop.office.test,{NEW[2].split('/')[0]}",
    ]
    with site_dns(here, 3, records):
        start(ann, bob)
        assert ann.until_online(bob, within_s=20.0)["path"] == "dns_sd"
        talk(ann, bob)


def test_a_mutual_contacts_hint_alone(scene: MakeScene) -> None:
    here = scene(3)
    ann, bob = here.pair(discovery_paths="hint,last_known")
    carl = here.person(3, "Carl", discovery_paths="hint,last_known")
    carl.start()
    for other in (ann, bob):
        carl.meet(other)
    apart(bob, carl)
    for node in (2, 3):
        here.lan.readdress(node, f"10.77.0.{100 + node}/24")
    start(bob, carl)
    assert {str(bob.until_online(carl)["path"]), str(carl.until_online(bob)["path"])} <= {"hint", "incoming"}
    talk(bob, carl)
