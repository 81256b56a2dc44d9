"""`scripts/soak`: what takes too long for every run of the tests.

scripts/soak kills [N] [--seed S]   daemons killed N (500) times under load, every promise checked after each
scripts/soak seeds [N] [--seed S]   N (5000) walks through simulated worlds
scripts/soak loss [N]               N (20) starts where a third of all packets is lost
scripts/soak fuzz [N] [NAME…]       N (1000000) inputs for every decoder, or those of these names, led by coverage
scripts/soak model                  all questions to the model of the handshake (p2pmsg/docs/handshake-model.md)
"""

from __future__ import annotations

import argparse
import secrets
import sys

KILLS, SEEDS, STARTS = 500, 5000, 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Try p2pmsg for longer than every run of the tests can.")
    parser.add_argument("what", choices=("kills", "seeds", "loss", "fuzz", "model"))
    parser.add_argument("count", nargs="?", type=int, metavar="N", help=f"kills ({KILLS}), seeds ({SEEDS}), starts ({STARTS}) or inputs")
    parser.add_argument("names", nargs="*", metavar="NAME", help="decoders, for fuzz")
    parser.add_argument("--seconds", type=int, help="for one decoder at most, for fuzz (600)")
    parser.add_argument("--seed", type=int, help="the first seed, to see a failure again; at random without it")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    if options.what == "kills":
        from tests.soak import kills

        return 0 if kills.run(options.count or KILLS, seed) else 1
    if options.what == "seeds":
        from tests.simulation.soak import soak

        return 1 if soak(options.count or SEEDS, seed) else 0
    if options.what == "loss":
        from tests.soak import loss

        return 0 if loss.run(options.count or STARTS) else 1
    if options.what == "model":
        from tests.soak import model

        return 0 if model.run() else 1
    from tests.soak import fuzz

    return 0 if fuzz.run(options.count or fuzz.RUNS, options.names, options.seconds or fuzz.SECONDS, seed) else 1


if __name__ == "__main__":
    sys.exit(main())
