"""From the command that starts a daemon to a proven link with somebody who is there, found by mDNS alone."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench.figures import Figure, median, number, quantile
from tests.bench.floors import Floors
from tests.bench.place import SCRIPT, Place
from tests.bench.talk import Talk
from tests.lan.people import Person


def measure(floors: Floors, quick: bool) -> list[Figure]:
    with Place() as here:
        ann, bob = here.pair(discovery_paths="mdns")
        times_s = [_again(ann, bob) for _ in range(5 if quick else 15)]
        floor = f"{number(floors.imports_s)} s Python and imports"
        note = f"{len(times_s)} starts"
        return [
            Figure("start to known peer authenticated, p50", median(times_s), "s", floor, 1.0, 0.5, note=note),
            Figure("start to known peer authenticated, p95", quantile(times_s, 0.95), "s", floor, 2.0, note=note),
        ]


def _again(ann: Person, bob: Person) -> float:
    with Talk(bob, ann) as watching:
        ann.stop()
        watching.until_peer(online=False)
        begun = time.monotonic()
        with started(ann) as starting:
            linked = watching.until_peer(online=True)
            starting.communicate()
        ann.pid = ann.ask("status")["pid"]
        return linked - begun


def started(person: Person) -> subprocess.Popen[bytes]:
    """Run `daemon start` as a person does; it goes on meanwhile."""
    home = f"P2PMSG_HOME={person.home}"
    command = person.lan.command(person.node, ["env", home, SCRIPT, "daemon", "start", "--json"])
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr)
