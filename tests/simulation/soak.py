"""`python -m tests.simulation.soak COUNT [FIRST] [STEPS]`: walk through so many worlds; print the seeds that fail, and the speed."""

from __future__ import annotations

import sys
import time
import traceback

from tests.simulation.walk import walked


def soak(count: int, first: int = 0, steps: int = 60) -> list[int]:
    """Walk; return the seeds that failed."""
    failed: list[int] = []
    begun = time.monotonic()
    for seed in range(first, first + count):
        at = time.monotonic()
        try:
            with walked(seed, steps) as world:
                world.finish()
        except Exception as error:
            failed.append(seed)
            _say(f"seed {seed} FAILED: {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        if (took := time.monotonic() - at) > 10:
            _say(f"seed {seed} took {took:.1f} s")
    _say(f"{count} worlds in {time.monotonic() - begun:.1f} s, {len(failed)} failed: {failed}")
    return failed


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(bool(soak(*map(int, sys.argv[1:]))))
