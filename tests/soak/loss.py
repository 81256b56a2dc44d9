"""Two who start where a third of all packets is lost each way, again and again: nineteen of twenty are linked within 10 s."""

from __future__ import annotations

import sys
from typing import Final

from tests.bench.figures import median, number, quantile
from tests.bench.place import Place
from tests.lan.loss import START_S, THIRD, again

IN_TIME: Final = 0.95
PATIENCE_S: Final = 120.0
STARTS_A_PAIR: Final = 10


def run(count: int) -> bool:
    """Start so many times; return whether enough were in time."""
    times_s: list[float] = []
    while len(times_s) < count:
        with Place() as here:
            if here.alone:
                sys.stdout.write("Packets are lost in network namespaces alone: sudo scripts/soak loss\n")
                return False
            pair = here.pair()
            here.lan.loss(1, THIRD)
            times_s += [again(*pair, PATIENCE_S) for _ in range(min(STARTS_A_PAIR, count - len(times_s)))]
        in_time = sum(time_s <= START_S for time_s in times_s)
        spread = f"p50 {number(median(times_s))} s, at most {number(quantile(times_s, 1.0))} s"
        sys.stdout.write(f"{len(times_s)} starts: {in_time} within {number(START_S)} s; {spread}\n")
        sys.stdout.flush()
    return in_time >= IN_TIME * count
