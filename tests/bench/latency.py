"""One message at a time: from the request on an open connection to the event that says the other has committed it."""

from __future__ import annotations

from tests.bench.figures import Figure
from tests.bench.floors import Floors, spread
from tests.bench.place import Place
from tests.bench.talk import Talk

_WARM_UP = 30


def measure(floors: Floors, quick: bool) -> list[Figure]:
    floor, disk, net = floors.durable, floors.fsync, floors.round_trip
    with Place() as here:
        ann, bob = here.pair()
        with Talk(ann, bob) as talk:
            times_s = [talk.say() for _ in range(_WARM_UP + (300 if quick else 1500))][_WARM_UP:]
    took = spread(times_s)
    rows = (
        ("p50", took.p50_ms, floor.p50_ms, disk.p50_ms, net.p50_ms, 10, 4),
        ("p99", took.p99_ms, floor.p99_ms, disk.p99_ms, net.p99_ms, 40, 12),
    )
    return [
        Figure(
            f"send to delivered, {name}",
            value,
            "ms",
            f"{least:.2f} ms asyncio, AES-GCM, commit, ack (fsync {fsync:.2f}, UDP {way:.3f})",
            must,
            aim,
            of_messages=True,
            note=f"{value / least:.1f} floors",
        )
        for name, value, least, fsync, way, must, aim in rows
    ]
