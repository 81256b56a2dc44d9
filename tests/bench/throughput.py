"""Many messages at once over one connection: how many a second are stored on both sides and told as delivered."""

from __future__ import annotations

from tests.bench.figures import Figure, median, number
from tests.bench.floors import Floors
from tests.bench.place import Place, cpu_s
from tests.bench.talk import Talk


def measure(floors: Floors, quick: bool) -> list[Figure]:
    floor = floors.commits
    floors.fsync, floors.round_trip  # noqa: B018  # they say by how much the figure is eased
    count, rounds = (2000, 1) if quick else (8000, 3)
    with Place() as here:
        ann, bob = here.pair()
        with Talk(ann, bob) as talk:
            talk.flood(500)
            before = cpu_s(ann.pid or 0), cpu_s(bob.pid or 0)
            rates = [count / talk.flood(count) for _ in range(rounds)]
            after = cpu_s(ann.pid or 0), cpu_s(bob.pid or 0)
    used_us = [(end - begin) / (count * rounds) * 1e6 for begin, end in zip(before, after, strict=True)]
    note = f"CPU a message: sender {number(used_us[0])} us, receiver {number(used_us[1])} us"
    return [Figure("sustained, durable, acknowledged", median(rates), "/s", floor, 1500, 4000, least=True, of_messages=True, note=note)]
