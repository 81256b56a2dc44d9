"""Walks through worlds: after healing and draining all have the same, nothing is gone, nothing is there twice.

P2PMSG_SEEDS=COUNT or P2PMSG_SEEDS=FIRST:COUNT takes other seeds; `python -m tests.simulation.soak` many.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.walk import walked
from tests.simulation.world import Failed, World


def seeds() -> range:
    first, _, count = os.environ.get("P2PMSG_SEEDS", "100").rpartition(":")
    return range(int(first or 0), int(first or 0) + int(count))


@pytest.mark.parametrize("seed", seeds())
def test_whatever_befalls_them_in_the_end_all_have_the_same(seed: int) -> None:
    with walked(seed) as world:
        world.finish()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    traces = set()
    for _ in range(2):
        with walked(seed) as world:
            world.finish()
            traces.add((world.trace, world.scheduler.turns, world.scheduler.now))
    assert len(traces) == 1


def test_words_in_the_clear_would_be_seen() -> None:
    with World(1) as world:
        world.introduce(("ann", "bob"))
        world.say("ann", "bob")
        world.run(1.0)
        world.network.carried("here", "there", b"...ann to bob at 1.000...")
        with pytest.raises(Failed, match="in the clear"):
            world.check()
