"""`scripts/bench`: the figures that the project is measured by, each beside what the machine itself can do.

    scripts/bench [NAME…] [--quick] [--json]

Two people on network namespaces of a bridge (as root), else on loopback; daemons are processes of their own and all databases are
fsynced. Exit status 1 where a figure misses what it must reach, or could not be taken.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

from p2pmsg.errors import P2pmsgError
from tests.bench import backlog, cost, figures, flood, healed, idle, large, latency, restart, start, strangers, throughput
from tests.bench.figures import Figure
from tests.bench.floors import Floors

FIGURES: dict[str, Callable[[Floors, bool], list[Figure]]] = {
    "start": start.measure,
    "restart": restart.measure,
    "healed": healed.measure,
    "latency": latency.measure,
    "throughput": throughput.measure,
    "backlog": backlog.measure,
    "idle": idle.measure,
    "strangers": strangers.measure,
    "large": large.measure,
    "cost": cost.measure,
    "flood": flood.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure p2pmsg on this machine, each figure beside its floor.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(FIGURES)}; all without one")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: under two minutes, less to be trusted")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in FIGURES]:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    floors = Floors(options.quick)
    found: list[Figure] = []
    failed = False
    for name in options.names or FIGURES:
        begun = time.monotonic()
        try:
            found += FIGURES[name](floors, options.quick)
            how = "measured"
        except (AssertionError, OSError, P2pmsgError, subprocess.SubprocessError) as error:
            failed, how = True, f"FAILED ({error or type(error).__name__})"
        sys.stderr.write(f"{name}: {how} in {time.monotonic() - begun:.0f} s\n")
    found = floors.measured() + found
    ease = figures.ease(*floors.ease)
    sys.stdout.write((figures.lines if options.json else figures.table)(found, ease) + "\n")
    return 1 if failed or any(figure.verdict(ease) == "NO" for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main())
