"""A network that was cut and is whole again: from that moment to a message that waited being told as delivered.

The carrier is seen where a cable was out, and is not where a switch far away has parted the network; while it had, both may have got
other addresses. Short cuts leave the link standing, long ones end it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

from tests.bench.figures import Figure, median, number, quantile
from tests.bench.floors import Floors
from tests.bench.place import Place
from tests.bench.talk import Talk

CUTS_S = (3.0, 6.0, 12.0, 15.0, 20.0, 28.0)
"""A link lasts 9 s of silence. To each up to JITTER_S are added: what is done again and again must not beat in time with the cuts."""
QUICK_CUTS_S = (3.0, 12.0)
JITTER_S = 5.0
PLACES = 4
"""All of them at the same time: they mostly wait."""

Cut = Callable[[Place, int], Iterator[None]]


def measure(floors: Floors, quick: bool) -> list[Figure]:
    with Place() as here:
        if here.alone:  # loopback has no cable
            return []
    cuts_s = QUICK_CUTS_S if quick else CUTS_S
    with ThreadPoolExecutor(len(ASKED) * PLACES) as pool:
        running = [[pool.submit(_at_one_place, cut, cuts_s, seed) for seed in range(PLACES)] for cut, *_ in ASKED]
        times_s = [[time_s for place in places for time_s in place.result()] for places in running]
    return [_figure(name, found, must, aim) for found, (_, name, must, aim) in zip(times_s, ASKED, strict=True)]


def _figure(name: str, times_s: Sequence[float], must: float, aim: float) -> Figure:
    note = f"{len(times_s)} cuts, worst {number(quantile(times_s, 1.0))} s"
    return Figure(name, median(times_s), "s", must=must, aim=aim, note=note)


def _at_one_place(cut: Cut, cuts_s: Sequence[float], seed: int) -> list[float]:
    draw = Random(seed)
    with Place() as here:
        ann, bob = here.pair()
        times_s: list[float] = []
        for turn, cut_s in enumerate(cuts_s):
            with Talk(bob, ann) as talk:
                with contextmanager(cut)(here, turn):
                    talk.queue(1)
                    time.sleep(cut_s + draw.uniform(0, JITTER_S))
                    begun = time.monotonic()
                times_s.append(talk.until_delivered(1) - begun)
            for one, other in ((ann, bob), (bob, ann)):
                one.until_online(other)
        return times_s


def unplugged(here: Place, turn: int) -> Iterator[None]:
    here.lan.cable(1, plugged=False)
    yield
    here.lan.cable(1, plugged=True)


def parted(here: Place, turn: int) -> Iterator[None]:
    here.lan.split([1], [2])
    yield
    here.lan.heal()


def parted_and_moved(here: Place, turn: int) -> Iterator[None]:
    """Without IPv6, whose link-local addresses would be the same as before."""
    here.lan.split([1], [2])
    for node in here.lan.nodes:
        if turn == 0:
            here.lan.ipv4_only(node)
        here.lan.readdress(node, _address(node, turn + 1), _address(node, turn))
    yield
    here.lan.heal()


def _address(node: int, turn: int) -> str:
    return f"10.77.0.{node + 10 * turn}/24"


ASKED: tuple[tuple[Cut, str, float, float], ...] = (
    (unplugged, "link healed to talking, carrier seen", 3.0, 1.0),
    (parted, "link healed to talking, carrier not seen", 8.0, 3.0),
    (parted_and_moved, "… and both at new addresses, IPv4 alone", 8.0, 3.0),
)
"""What is cut how, and what is asked of it in seconds."""
