"""After `kill -9` of a daemon: from its start to a message of the other that waited being told as delivered."""

from __future__ import annotations

import time

from tests.bench.figures import Figure, median, number, quantile
from tests.bench.floors import Floors
from tests.bench.place import Place
from tests.bench.start import started
from tests.bench.talk import Talk
from tests.lan.people import Person


def measure(floors: Floors, quick: bool) -> list[Figure]:
    with Place() as here:
        ann, bob = here.pair()
        times_s = [_once(ann, bob) for _ in range(3 if quick else 9)]
        floor = f"{number(floors.imports_s)} s Python and imports"
        worst = f"{len(times_s)} kills, worst {number(quantile(times_s, 1.0))} s"
        return [Figure("restart after kill -9 to talking", median(times_s), "s", floor, 3.0, 1.0, note=worst)]


def _once(ann: Person, bob: Person) -> float:
    with Talk(bob, ann) as talk:
        ann.kill()
        talk.queue(1)
        begun = time.monotonic()
        with started(ann) as starting:
            talking = talk.until_delivered(1)
            starting.communicate()
        ann.pid = ann.ask("status")["pid"]
        return talking - begun
