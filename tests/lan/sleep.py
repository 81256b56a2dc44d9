"""Plays that take about a minute: partitions that nobody sees, and machines that sleep. Run by test_outages_lan.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.lan import sleeper
from tests.lan.events import HEALED_UNSEEN_S, IDLE_S, pause, talk
from tests.lan.people import ONLINE_AGAIN_S, SOON_S, Person, Scene

PARTED_S = 60.0
HOUR_S = 3600.0
AWAKE_S = 3.0
"""A link of this age has begun before the sleep, and not after it unnoticed."""
BURST_S, BURST_PACKETS = 10.0, 150
"""Waking may cost so many packets in so many seconds: about 60 are questions, announcements, and a few handshakes of several packets."""


# -- partitions


def parted(here: Scene, meanwhile: Callable[[], None]) -> None:
    """Both write while the switch is parted; nobody's carrier goes."""
    ann, bob = here.pair()
    ann.send(bob, "before", wait="delivered")
    here.lan.split([1], [2])
    ann.send(bob, "during 1")
    pause(PARTED_S / 2)
    meanwhile()
    bob.send(ann, "during 2")
    pause(PARTED_S / 2)
    assert not ann.sees(bob) and not bob.sees(ann)
    here.lan.heal()
    healed = time.monotonic()
    ann.until_delivered(bob, HEALED_UNSEEN_S)
    bob.until_delivered(ann, healed + HEALED_UNSEEN_S - time.monotonic())
    assert (bob.got(ann), ann.got(bob)) == (["before", "during 1"], ["during 2"])


def the_switch_is_parted_for_a_minute(here: Scene) -> None:
    parted(here, lambda: None)


def the_switch_is_parted_for_a_minute_in_which_both_are_readdressed(here: Scene) -> None:
    """By IPv4 alone: link-local IPv6 addresses would be the same as before."""
    for node in here.lan.nodes:
        here.lan.ipv4_only(node)

    def readdress() -> None:
        for node in here.lan.nodes:
            here.lan.readdress(node, f"10.77.0.{100 + node}/24")

    parted(here, readdress)


# -- sleep


def able_to_sleep(person: Person) -> None:
    """Start the daemon of somebody whose machine can be put to sleep."""
    clocks = person.home / "clocks"
    sleeper.make(clocks)
    program = [sys.executable, "-m", "tests.lan.sleeper", str(clocks)]
    running = person.lan.popen(person.node, ["env", f"P2PMSG_HOME={person.home}", *program], stderr=subprocess.DEVNULL)
    assert running.stdout is not None and running.stdout.readline()
    person.pid = running.pid


@contextmanager
def asleep(here: Scene, *people: Person) -> Iterator[None]:
    """Put their machines to sleep for an hour; what was sent to them meanwhile is lost."""
    here.lan.split([1], [2])
    for person in people:
        person.signal(signal.SIGSTOP)
    halted = time.monotonic()
    yield
    pause(IDLE_S)
    for person in people:
        sleeper.slept(person.home / "clocks", time.monotonic() - halted, HOUR_S)
    here.lan.heal()
    for person in people:
        person.signal(signal.SIGCONT)


def sent(person: Person) -> int:
    """Return how many packets his interface has sent."""
    return int(person.lan.run(person.node, ["cat", "/sys/class/net/eth0/statistics/tx_packets"]).stdout)


def slept_an_hour(here: Scene, *, both: bool) -> None:
    """Who wakes is online in time, and there is no burst: not of dials, though a contact is away for good, nor of anything else."""
    ann, bob = here.pair()
    carl = here.person(2, "Carl")
    carl.start()
    carl.meet(ann)
    for person in (ann, bob, carl):
        person.kill()
    able_to_sleep(ann)
    (able_to_sleep if both else Person.start)(bob)
    ann.until_online(bob)
    bob.until_online(ann)
    pause(AWAKE_S)
    with asleep(here, ann, *([bob] if both else [])):
        if not both:
            bob.send(ann, "are you asleep?")
        before = sent(ann)
    woke = time.monotonic()
    if both:
        bob.send(ann, "are you awake?")
    bob.until_delivered(ann, 2 * ONLINE_AGAIN_S)
    ann.until_online(bob, woke + 2 * ONLINE_AGAIN_S - time.monotonic())
    pause(woke + BURST_S - time.monotonic())
    assert sent(ann) - before < BURST_PACKETS
    talk(ann, bob, SOON_S)


def one_wakes_after_an_hour(here: Scene) -> None:
    slept_an_hour(here, both=False)


def both_wake_after_an_hour(here: Scene) -> None:
    slept_an_hour(here, both=True)


PLAYS = [
    the_switch_is_parted_for_a_minute,
    the_switch_is_parted_for_a_minute_in_which_both_are_readdressed,
    one_wakes_after_an_hour,
    both_wake_after_an_hour,
]
