"""Plays where packets are lost at random. Run by test_outages_lan.py."""

from __future__ import annotations

import time

from tests.lan.events import talk
from tests.lan.people import SOON_S, Person, Scene, start

THIRD = 30
STARTS, START_S = 5, 10.0
"""Of more, `scripts/soak loss` lets one in twenty take longer."""
MESSAGES = 500


def lossy(here: Scene, percent: float, within_s: float) -> None:
    """Both start, and talk, where this share of all packets is lost each way."""
    ann, bob = here.pair()
    here.lan.loss(1, percent)
    assert again(ann, bob, within_s) <= within_s
    talk(ann, bob, 2 * within_s)


def again(ann: Person, bob: Person, patience_s: float) -> float:
    """Kill both and start them; return the seconds from when both answer until each sees the other."""
    for person in (ann, bob):
        person.kill()
    start(ann, bob)
    begun = time.monotonic()
    for one, other in ((ann, bob), (bob, ann)):
        one.until_online(other, patience_s)
    return time.monotonic() - begun


def a_tenth_of_all_packets_is_lost(here: Scene) -> None:
    lossy(here, 10, SOON_S)


def half_of_all_packets_is_lost(here: Scene) -> None:
    lossy(here, 50, 4 * SOON_S)


def starts_among_heavy_loss_connect_in_time(here: Scene) -> None:
    ann, bob = here.pair()
    here.lan.loss(1, THIRD)
    times_s = [again(ann, bob, 6 * START_S) for _ in range(STARTS)]
    assert max(times_s) <= START_S, times_s


def of_five_hundred_messages_among_heavy_loss_none_is_lost(here: Scene) -> None:
    """Nor doubled, nor out of order."""
    ann, bob = here.pair()
    here.lan.loss(1, THIRD)
    texts = {person.name: [f"{person.name} {number}" for number in range(MESSAGES // 2)] for person in (ann, bob)}
    with ann.connect() as of_ann, bob.connect() as of_bob:
        for said, answered in zip(texts["Ann"], texts["Bob"], strict=True):
            of_ann.call("send", {"target": bob.account, "text": said})
            of_bob.call("send", {"target": ann.account, "text": answered})
    ann.until_delivered(bob, 6 * SOON_S)
    bob.until_delivered(ann, 6 * SOON_S)
    assert (bob.got(ann), ann.got(bob)) == (texts["Ann"], texts["Bob"])


PLAYS = [
    starts_among_heavy_loss_connect_in_time,
    half_of_all_packets_is_lost,
    of_five_hundred_messages_among_heavy_loss_none_is_lost,
    a_tenth_of_all_packets_is_lost,
]
"""Those that take longest first."""
