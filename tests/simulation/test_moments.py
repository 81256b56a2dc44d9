"""A crash, or a cut, at each moment and each byte of what matters; and runs that once failed, as scenes."""

from __future__ import annotations

import pytest

from p2pmsg.model.addresses import Path
from tests.simulation.oracle import shown
from tests.simulation.walk import walked
from tests.simulation.world import World, linked

MOMENTS = range(0, 90, 2)
CUTS = range(0, 8000, 173)


@pytest.mark.parametrize("victim", ["ann", "bob"])
def test_a_crash_at_each_moment_of_becoming_contacts(victim: str) -> None:
    for moment in MOMENTS:
        with World(moment, ("ann", "bob")) as world:
            world.invite("ann", "bob")
            world.turns(moment)
            world[victim].crash()
            world.run(2.0)
            world[victim].start()
            world.finish()


@pytest.mark.parametrize("victim", ["ann", "bob"])
def test_a_crash_at_each_moment_of_becoming_contacts_once_more(victim: str) -> None:
    """Neither dials under a new key before the other has shown that it holds it."""
    for moment in MOMENTS:
        with World(moment, ("ann", "bob")) as world:
            world.introduce(("ann", "bob"))
            world.invite("ann", "bob")
            world.turns(moment)
            check_doors(world)
            world[victim].crash()
            world.run(2.0)
            world[victim].start()
            check_doors(world)
            world.finish()
            check_doors(world)


def check_doors(world: World) -> None:
    """See that each would dial the other under a gate key that the other has."""
    for one, other in (world["ann"], world["bob"]), (world["bob"], world["ann"]):
        dialled = one.node.people.gate_to(other.account, 0)
        assert dialled is not None and dialled.key in other.doors_to(one)


@pytest.mark.parametrize("victim", ["ann", "bob"])
def test_a_crash_at_each_moment_of_a_message(victim: str) -> None:
    for moment in MOMENTS:
        with World(moment, ("ann", "bob")) as world:
            world.introduce(("ann", "bob"))
            for _ in range(3):
                world.say("ann", "bob")
                world.say("bob", "ann")
            world.turns(moment)
            world[victim].crash()
            world.oracle.check_ticks()
            world.run(1.0)
            world[victim].start()
            world.finish()


@pytest.mark.parametrize("to_responder", [True, False])
def test_a_link_cut_at_any_byte_of_handshake_and_talk(to_responder: bool) -> None:
    for after_bytes in CUTS:
        with World(after_bytes, ("ann", "bob")) as world:
            world.invite("ann", "bob")
            while not any(line.responder for line in world.network.lines):
                world.turns(1)
            line = world.network.lines[0]
            assert line.responder is not None
            (line.dialler if to_responder else line.responder).pipe.left = after_bytes
            world.run(1.0)
            if world["ann"].knows(world["bob"]):
                world.say("ann", "bob")
            world.run(1.0)
            world.finish()


def test_two_who_became_contacts_on_a_link_that_never_opened_meet_at_new_addresses() -> None:
    """Once: with HELLO lost neither could recognise the other, and nothing said by either ever arrived."""
    met = 0
    for moment in MOMENTS:
        with World(moment, ("ann", "bob")) as world:
            ann, bob = world["ann"], world["bob"]
            world.network.weather.announcement_loss = 0.0
            world.invite("ann", "bob")
            world.turns(moment)
            for machine in (ann, bob):
                opened = any(machine.node.links)
                machine.crash()
                machine.move(world.new_host())
                machine.start()
                met += not opened and ann.knows(bob) and bob.knows(ann)
            if ann.knows(bob) and bob.knows(ann):
                world.wait(lambda ann=ann, bob=bob: linked(ann, bob) and linked(bob, ann), "meeting again")  # type: ignore[misc]
    assert met > 0


def test_a_contact_known_from_an_incoming_link_is_dialled_again_after_many_silent_deaths() -> None:
    """Once: such dials were never counted as ended, and after four of them nobody was dialled any more."""
    with World(1, ("ann", "bob")) as world:
        world.introduce(("ann", "bob"))
        world.network.weather.announcement_loss = 1.0
        for _ in range(12):
            for line in world.network.lines:
                line.dead = True
            world.run(12.0)
            world.wait(lambda: world.settled(world["ann"], world["bob"]), "linking again", 30.0)
        dialled = {link.path for machine in world.machines.values() for link in machine.node.linkage}
        assert dialled <= {Path.INCOMING, Path.INVITE, Path.LAST_KNOWN, Path.MDNS}


def test_a_full_disk_is_told_to_who_uses_an_invite_and_keeps_nobody_from_coming_later() -> None:
    """Once: it was told as a refusal, and each attempt left the inviter with a newer gate key that the guest lacked."""
    with World(1, ("ann", "bob")) as world:
        world["bob"].low_disk = True
        world.invite("ann", "bob")
        world.run(10.0)
        assert not world["bob"].knows(world["ann"])
        world.finish()
        world.say("ann", "bob")
        world.finish()
        assert len(shown(world["bob"], world["ann"])) == 1


@pytest.mark.parametrize("seed", [2, 7, 10, 11, 15, 19, 86, 100, 367])
def test_seeds_that_failed_once(seed: int) -> None:
    with walked(seed) as world:
        world.finish()
