"""Clocks of other centuries, and clocks that jump (property 10)."""

from __future__ import annotations

from random import Random

import pytest

from p2pmsg.model.ids import EventId
from p2pmsg.storage import ranges
from tests.simulation.oracle import shown
from tests.simulation.walk import TO_1970_MS, TO_2036_MS
from tests.simulation.world import World

SEEDS = range(5)
NAMES = ("ann", "bob", "carl")
PAIRS = (("ann", "bob"), ("bob", "carl"), ("carl", "ann"))


def jump(world: World, rng: Random) -> None:
    """Ann lives in 1970, Bob in 2036, Carl's clock jumps."""
    world["ann"].skew_ms, world["bob"].skew_ms = TO_1970_MS, TO_2036_MS
    world["carl"].skew_ms = rng.choice((TO_1970_MS, TO_2036_MS, 0, -3_600_000, 3_600_000))


@pytest.mark.parametrize("seed", SEEDS)
def test_with_clocks_a_lifetime_apart_all_see_one_order_and_replies_below_what_they_answer(seed: int) -> None:
    rng = Random(seed)
    with World(seed, NAMES) as world:
        jump(world, rng)
        world.introduce(*PAIRS)
        answered: list[tuple[str, str, EventId]] = []
        for _ in range(40):
            jump(world, rng)
            author, recipient = rng.choice(PAIRS)[:: rng.choice((1, -1))]
            parents = tuple(shown(world[author], world[recipient])[-1:]) if rng.random() < 0.5 else ()
            answered += [(author, recipient, parent) for parent in parents]
            world.say(author, recipient, f"answer to {parents[0].hex()}" if parents else "", parents)
            if rng.random() < 0.1:
                world[recipient].crash()
                world[recipient].start()
            world.run(rng.choice((0.0, 0.05, 2.0)))
        world.finish()
        assert answered
        for author, recipient, parent in answered:
            assert_replies_below(world, author, recipient, parent)


def assert_replies_below(world: World, author: str, recipient: str, parent: EventId) -> None:
    order = shown(world[recipient], world[author])
    texts = dict(world[recipient].db.execute("SELECT e.id, m.text FROM message m JOIN event e ON e.number = m.number").fetchall())
    replies = [event for event in order if texts[event] == f"answer to {parent.hex()}"]
    assert replies and all(order.index(reply) > order.index(parent) for reply in replies), f"seed {world.seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_goes_on_though_what_an_event_answers_is_withheld_for_ever(seed: int) -> None:
    with World(seed, ("ann", "bob")) as world:
        world.introduce(("ann", "bob"))
        ann, bob = world["ann"], world["bob"]
        for number in range(10):
            withheld = number % 2 == 0
            parents = (EventId(world.rng.randbytes(32)),) if withheld else ()
            world.say("ann", "bob", f"{number}", parents, shown=not withheld)
        world.finish()
        tips = ranges.tips(bob.db)[bob.node.people.direct(ann.account).id][ann.device]
        assert [tip.seq for tip in tips] == [10]
        assert len(shown(bob, ann)) == len(shown(ann, bob)) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_far_ahead_does_not_drag_the_others_along(seed: int) -> None:
    with World(seed, NAMES) as world:
        world["bob"].skew_ms = TO_2036_MS
        world.introduce(("ann", "bob"), ("ann", "carl"))
        world.say("bob", "ann")
        world.run(1.0)
        world.say("ann", "carl")
        world.finish()
        assert newest_ms(world, "ann", "bob") >= world["bob"].wall_ms() - 600_000
        assert newest_ms(world, "carl", "ann") <= world["carl"].wall_ms()


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_far_off_all_others_stamps_with_their_time(seed: int) -> None:
    with World(seed, NAMES) as world:
        world["bob"].skew_ms = TO_2036_MS
        world.introduce(*PAIRS)
        world.say("bob", "ann")
        world.finish()
        assert newest_ms(world, "ann", "bob") <= world["ann"].wall_ms()


def newest_ms(world: World, holder: str, author: str) -> int:
    """Return the time of an author's newest event in his conversation with the holder."""
    sql = "SELECT max(e.hlc >> 16) FROM event e JOIN device d ON d.number = e.device WHERE d.id = ?"
    return int(world[holder].db.execute(sql, (world[author].device,)).fetchone()[0])
