"""avahi-daemon on the same machine, as on most Linux desktops: beside ours, or keeping ours off port 5353."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.lan.avahi import avahi
from tests.lan.people import SOON_S, Person, Scene, start
from tests.lan.test_paths_lan import NEW

COST_S = 0.3
"""What it may cost at most, as users are promised; the test gives twice as much."""
STARTS = 5


def starts_s(one: Person, other: Person) -> float:
    """Return how long it takes until one is seen by the other after a start, the median of some."""
    taken = []
    for _ in range(STARTS):
        one.stop()
        other.until_away(one, SOON_S)
        begun = time.monotonic()
        one.start()
        other.until_online(one)
        taken.append(time.monotonic() - begun)
    return median(taken)


def doctor(person: Person) -> dict[str, dict[str, Any]]:
    """Return the rows that the command prints, by what they look at."""
    done = person.lan.run(person.node, person.command("doctor", "--json"))
    assert done.returncode in (0, 9), done.stderr
    return {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}


def beside_us(here: Scene) -> None:
    ann, bob = here.pair(discovery_paths="mdns")
    without_s = starts_s(ann, bob)
    with avahi(here.lan, 1) as beside:
        with_s = starts_s(ann, bob)
        assert with_s < without_s + 2 * COST_S
        shown = beside.browse("_p2pmsg._udp")
        ports = {person.ask("status")["port"] for person in (ann, bob)}
        assert {int(line[8]) for line in shown} >= ports  # both, and whoever ended without a goodbye
        rows = doctor(ann)
        assert rows["mdns"]["ok"] and rows["multicast"]["ok"], rows


def to_itself(here: Scene) -> None:
    """It is said what is wrong; a beacon serves meanwhile; when avahi goes, all is well without anybody's doing.

    By IPv4 alone: a link-local IPv6 address that a beacon has told would stay, and be dialled again.
    """
    for node in here.lan.nodes:
        here.lan.ipv4_only(node)
    ann, bob = here.pair(discovery_paths="mdns,beacon")
    for person in (ann, bob):
        person.stop()
    for node, address in NEW.items():
        here.lan.readdress(node, address)
    with avahi(here.lan, 1, alone=True) as alone:
        start(ann, bob)
        assert {ann.until_online(bob)["path"], bob.until_online(ann)["path"]} == {"beacon", "incoming"}
        (warning,) = ann.cli("status")["warnings"]
        assert (warning["code"], "5353" in warning["message"]) == ("mdns_unavailable", True)
        rows = doctor(ann)
        for row in (warning, rows["mdns"], rows["multicast"]):
            assert "disallow-other-stacks=no" in row["hint"], row
        assert (rows["mdns"]["ok"], rows["multicast"]["ok"]) == (False, False)
        assert alone.process.poll() is None
        files = len(list(Path(f"/proc/{ann.pid}/fd").iterdir()))
        bob.stop()
        ann.until_away(bob, SOON_S)
    here.lan.readdress(2, "10.77.0.202/24", NEW[2])
    bob.configure("discovery.paths", "mdns")
    bob.start()
    assert {ann.until_online(bob, 2 * SOON_S)["path"], bob.until_online(ann)["path"]} <= {"mdns", "incoming"}
    assert ann.cli("status")["warnings"] == []
    assert len(list(Path(f"/proc/{ann.pid}/fd").iterdir())) <= files + 4


@pytest.mark.parametrize("play", [beside_us, to_itself])
def test_avahi(played: Callable[..., None], play: Callable[[Scene], None]) -> None:
    played(play)
