"""Ten thousand messages that wait for somebody: from his daemon's answer, and from its start, to the last of them being delivered."""

from __future__ import annotations

import time

from tests.bench.figures import Figure
from tests.bench.floors import Floors
from tests.bench.place import Place
from tests.bench.start import started
from tests.bench.talk import Talk


def measure(floors: Floors, quick: bool) -> list[Figure]:
    floors.fsync, floors.round_trip  # noqa: B018  # they say by how much the figure is eased
    count = 2000 if quick else 10_000
    with Place() as here:
        ann, bob = here.pair()
        bob.stop()
        with Talk(ann, bob) as talk:
            talk.queue(count)
            begun = time.monotonic()
            with started(bob) as starting:
                starting.communicate()
                answers = time.monotonic()
                delivered = talk.until_delivered(count)
        bob.pid = bob.ask("status")["pid"]
    asked = (None, None) if quick else (6.0, 2.0)
    name = f"{count:,} waiting messages"
    return [
        Figure(f"{name}, from his daemon's answer", delivered - answers, "s", floors.commits, *asked, of_messages=True),
        Figure(f"{name}, from his daemon's start", delivered - begun, "s", floors.commits),
    ]
