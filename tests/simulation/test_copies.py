"""Copied folders and old snapshots: found by everybody, harmful to nobody (property 6, and 9 where a peer was set back)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from p2pmsg.errors import NotPermitted
from tests.simulation.machine import Machine
from tests.simulation.oracle import has_whole, vector
from tests.simulation.world import World, owed

SEEDS = range(4)


def talk(world: World, author: str, recipient: str, count: int) -> None:
    for number in range(count):
        world.say(author, recipient, f"{author} {number}")
    world.run(1.0)


def forks(machine: Machine, of: Machine, with_: Machine) -> list[int]:
    """Return the numbers from which a machine holds two branches of a log in the conversation of its owner with somebody."""
    conversation = machine.node.people.direct(of.account) if machine is with_ else of.node.people.direct(with_.account)
    sql = """SELECT t.base_seq + 1 FROM tip t JOIN conversation c ON c.number = t.conversation JOIN device d ON d.number = t.device
        WHERE t.branch > 0 AND c.id = ? AND d.id = ?"""
    return [row[0] for row in machine.db.execute(sql, (conversation.id, of.device))]


def own_events(machine: Machine) -> int:
    sql = "SELECT count(*) FROM event e JOIN device d ON d.number = e.device WHERE d.id = ?"
    return int(machine.db.execute(sql, (machine.device,)).fetchone()[0])


def refuses(world: World, machine: Machine, other: Machine) -> bool:
    """Say whether a machine writes nothing more, and that it says so."""
    answers: list[object] = []
    before = own_events(machine)
    machine.say(other, "too late", done=answers.append)
    world.run(0.5)
    return own_events(machine) == before and isinstance(answers[0], NotPermitted)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_copies_write_to_both_peers_and_the_fork_is_found_by_all_at_the_same_number(seed: int) -> None:
    with World(seed, ("ann", "bob", "carl")) as world:
        world.introduce(("ann", "bob"), ("bob", "carl"), ("ann", "carl"))
        shared, apart = world.rng.randrange(5), world.rng.randrange(1, 9)
        for peer in ("ann", "carl"):
            talk(world, "bob", peer, shared)
        talk(world, "ann", "carl", 2)
        bystanders = vector(world["ann"], world["carl"])
        twin = world.copy(world["bob"])
        for name, unreachable in (("bob", "carl"), (twin.name, "ann")):
            world.part(name, unreachable)
        twin.start()
        for copy in ("bob", twin.name):
            for peer in ("ann", "carl"):
                talk(world, copy, peer, apart)
        world.heal()
        world.run(30.0)
        for peer in ("ann", "carl"):
            assert forks(world[peer], world["bob"], world[peer]) == [shared + 1], world.state()
            ends = vector(world[peer], world["bob"])[twin.device]
            assert [seq for seq, _ in ends] == [shared + apart] * 2
        assert vector(world["ann"], world["carl"]) == vector(world["carl"], world["ann"]) == bystanders
        world.oracle.check_pair(world["ann"], world["carl"])
        world.check()


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_that_wrote_to_different_people_learn_that_both_are_old(seed: int) -> None:
    with World(seed, ("ann", "bob", "carl")) as world:
        world.introduce(("ann", "bob"), ("bob", "carl"))
        twin = world.copy(world["bob"])
        for name, unreachable in (("bob", "carl"), (twin.name, "ann")):
            world.part(name, unreachable)
        twin.start()
        talk(world, "bob", "ann", 3)
        talk(world, twin.name, "carl", 3)
        world.heal()
        world.run(30.0)
        assert world["bob"].node.old_copy or twin.node.old_copy
        for copy in (world["bob"], twin):
            assert not copy.node.old_copy or refuses(world, copy, world["ann"])
        for peer in ("ann", "carl"):
            assert forks(world[peer], world["bob"], world[peer]) == []
        world.check()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wrote", [0, 1, 4])
def test_an_old_snapshot_writes_nothing_more_once_it_met_somebody_who_knows_better(seed: int, wrote: int) -> None:
    with World(seed, ("ann", "bob")) as world:
        world.introduce(("ann", "bob"))
        ann, bob = world["ann"], world["bob"]
        talk(world, "bob", "ann", 3)
        snapshot = bob.snapshot()
        talk(world, "bob", "ann", 5)
        talk(world, "ann", "bob", 2)
        world.restore("bob", snapshot)
        world.part("ann", "bob")
        world.run(20.0)
        bob.start()
        talk(world, "bob", "ann", wrote)
        world.join("ann", "bob")
        world.run(90.0)
        assert bob.node.old_copy
        assert refuses(world, bob, ann)
        assert forks(ann, bob, ann) == ([4] if wrote else [])
        bob.crash()
        bob.start()
        world.run(5.0)
        assert refuses(world, bob, ann)
        world.check()


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_set_back_without_having_written_since_gets_what_he_lost_and_the_ticks_stay(seed: int) -> None:
    with World(seed, ("ann", "bob")) as world:
        world.introduce(("ann", "bob"))
        ann, bob = world["ann"], world["bob"]
        talk(world, "ann", "bob", 5)
        talk(world, "bob", "ann", 5)
        snapshot = bob.snapshot()
        talk(world, "ann", "bob", world.rng.choice((1, 40, 700)))
        world.wait(lambda: world.settled(ann, bob), "talking")
        lost = [event for event in delivered(ann) if not in_database(snapshot, event)]
        assert lost
        world.restore("bob", snapshot)
        world.run(20.0)
        assert delivered(ann) >= set(lost)
        bob.start()
        world.wait(lambda: world.settled(ann, bob), "getting back what was lost")
        assert all(has_whole(bob, event) for event in lost)
        assert delivered(ann) >= set(lost)
        world.spoilt.clear()
        world.finish()
        talk(world, "bob", "ann", 1)
        world.finish()


def delivered(machine: Machine) -> set[bytes]:
    sql = "SELECT e.id FROM delivery r JOIN event e ON e.number = r.message WHERE r.delivered_ms IS NOT NULL"
    return {row[0] for row in machine.db.execute(sql)}


def in_database(db: object, event: bytes) -> bool:
    return db.execute("SELECT 1 FROM event WHERE id = ?", (event,)).fetchone() is not None  # type: ignore[attr-defined]


def test_ticks_only_grow() -> None:
    with World(7, ("ann", "bob")) as world:
        world.introduce(("ann", "bob"))
        seen = []
        for _ in range(6):
            talk(world, "ann", "bob", 3)
            world["bob"].crash()
            talk(world, "ann", "bob", 1)
            seen.append(delivered(world["ann"]))
            world["bob"].start()
            world.run(12.0)
        assert all(before <= after for before, after in pairwise(seen))
        assert not owed(world["ann"], world["bob"])
