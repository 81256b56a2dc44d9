"""Settings that change while the daemon runs: each is in force a moment later, and links stay."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from p2pmsg.daemon.following import LOOK_EVERY_S
from tests.lan.people import SOON_S, Person, Scene
from tests.lan.test_moves_lan import without_ipv6
from tests.lan.test_paths_lan import NEW, talk

PORT, TAKEN = "45454", "45455"
HOLD = """
import socket, sys
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taken.bind(("", int(sys.argv[1])))
print("held", flush=True)
input()
"""


def pause(seconds: float) -> None:
    """Let time pass where the passing of time is what is tested."""
    threading.Event().wait(seconds)


def eventually(holds: Callable[[], object]) -> None:
    """Wait until the daemon has looked at its settings, and something holds that `watch` does not tell of."""
    deadline = time.monotonic() + LOOK_EVERY_S + SOON_S
    while not holds():
        assert time.monotonic() < deadline
        pause(0.1)


def change(person: Person, key: str, value: str) -> None:
    """Change a setting, and wait until the daemon has taken it up."""
    person.configure(key, value)
    eventually(lambda: f"the setting {key} has changed" in "\n".join(person.log(50)))


def a_path_that_is_switched_off_and_on(here: Scene) -> None:
    ann, bob = here.pair(discovery_paths="mdns")
    since = ann.peer(bob)["since"]
    change(ann, "discovery.paths", "static")
    pause(3)
    assert ann.peer(bob)["since"] == since, "the link stays"
    bob.stop()
    here.lan.readdress(2, NEW[2])
    bob.start()
    pause(4)
    assert not ann.sees(bob) and not bob.sees(ann), "neither says or hears anything of the other"
    ann.configure("discovery.paths", "mdns")
    assert {ann.until_online(bob)["path"], bob.until_online(ann)["path"]} <= {"mdns", "incoming"}
    talk(ann, bob)


def a_beacon_that_is_switched_on(here: Scene) -> None:
    without_ipv6(here)  # whose addresses stay, and would be dialled again
    ann, bob = here.pair(discovery_paths="static")
    bob.stop()
    here.lan.readdress(2, NEW[2])
    bob.configure("discovery.paths", "beacon")
    bob.start()
    ann.configure("discovery.paths", "beacon")
    assert {ann.until_online(bob)["path"], bob.until_online(ann)["path"]} <= {"beacon", "incoming"}
    change(bob, "discovery.paths", "hint")
    bob.stop()
    here.lan.readdress(2, "10.77.0.112/24", NEW[2])
    bob.start()
    pause(3)
    assert not ann.sees(bob)


def a_port_that_is_fixed(here: Scene) -> None:
    ann, bob = here.pair(discovery_paths="mdns")
    since, drawn = ann.peer(bob)["since"], ann.ask("status")["port"]
    change(ann, "listen.port", PORT)
    eventually(lambda: ann.ask("status")["port"] == int(PORT))
    talk(ann, bob)
    assert ann.peer(bob)["since"] == since, "the link stays"
    bob.stop()
    bob.start()
    ann.until_online(bob)
    assert bob.until_online(ann)["address"].rpartition(":")[2] == PORT  # by whichever address came first
    held = here.lan.popen(1, [sys.executable, "-c", HOLD, TAKEN])
    assert held.stdout is not None and held.stdout.readline()
    ann.configure("listen.port", TAKEN)
    eventually(lambda: ann.ask("status")["warnings"])
    warnings = ann.ask("status")["warnings"]
    assert [warning["code"] for warning in warnings] == ["port_unavailable"] and TAKEN in warnings[0]["message"]
    assert ann.ask("status")["port"] == int(PORT) != drawn
    ann.send(bob, "still by the old one", wait="delivered")


def interfaces_static_peers_and_receipts(_: Scene) -> None:
    with Scene(2, segments=2) as here:
        ann, bob = here.pair(discovery_paths="static")
        change(ann, "discovery.interfaces", "eth1")
        eventually(lambda: ann.ask("status")["interfaces"] == ["eth1"])
        bob.stop()
        bob.configure("listen.port", PORT)
        bob.start()
        ann.configure("discovery.static", f"{here.lan.ip(2, 1)}:{PORT}")
        assert ann.until_online(bob)["path"] == "static"
        change(bob, "receipts.read", "off")
        ann.send(bob, "seen?", wait="delivered")
        assert len(bob.ask("read", target=ann.account)) == 1
        bob.send(ann, "not telling", wait="delivered")
        assert ann.states(bob)["seen?"] == "delivered"


PLAYS = [a_path_that_is_switched_off_and_on, a_beacon_that_is_switched_on, a_port_that_is_fixed, interfaces_static_peers_and_receipts]


@pytest.mark.parametrize("play", PLAYS, ids=[play.__name__ for play in PLAYS])
def test_settings(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
