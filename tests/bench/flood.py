"""A daemon on which strangers dial all the time: most of them never go on, the others lie. What a contact has of it, and a new one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Final

from tests.bench.figures import Figure, number, quantile
from tests.bench.floors import Floors
from tests.bench.place import Place, memory_mb
from tests.bench.talk import Talk
from tests.lan.people import SOON_S, Person

_STRANGERS: Final = 5000
_PER_S: Final = 500
_HOSTS: Final = 50
"""Addresses that they come from: what one address may take is counted by address."""
_BEFORE: Final = 300
_NEW_AT_S: Final = 3.0
_FEW_S: Final = 0.01


def measure(floors: Floors, quick: bool) -> list[Figure]:
    count = 2000 if quick else _STRANGERS
    with Place(4) as here:
        if here.alone:
            return []
        ann, bob = here.pair()
        cat = here.person(3, "Cat")
        cat.start()
        strangers = _strangers(here, ann, count)
        with Talk(bob, ann) as talk:
            before = [_say(talk) for _ in range(_BEFORE)]
            mb = _mb(ann)
            news: list[float] = []
            newcomer = threading.Timer(_NEW_AT_S, lambda: news.append(_new_contact(cat, ann)))
            strangers.stdin.write("go\n")  # type: ignore[union-attr]
            strangers.stdin.flush()  # type: ignore[union-attr]
            newcomer.start()
            during, most_mb = [], mb
            while strangers.poll() is None:
                during.append(_say(talk))
                most_mb = max(most_mb, _mb(ann))
            newcomer.join()
            said = strangers.stdout.read().strip() if strangers.stdout is not None else ""
    p99 = [1000 * quantile(times, 0.99) for times in (before, during)]
    name = f"{count:,} half-open or lying strangers"
    calm = f"{number(p99[0])} ms without them"
    return [
        Figure(f"{name}: memory more than before", most_mb - mb, "MB", f"{number(mb)} MB before", 20, note=said),
        Figure(f"{name}: a contact's p99", p99[1], "ms", calm, 2 * p99[0], note=f"{len(during)} messages, {number(p99[1] / p99[0])} times"),
        Figure(
            f"{name}: a new contact is linked", news[0] if news else SOON_S, "s", f"{number(floors.imports_s)} s imports, not in it", 2.0
        ),
    ]


def _strangers(here: Place, ann: Person, count: int) -> subprocess.Popen[str]:
    """Start who dials Ann, with what they send made before the time that is measured."""
    hosts = [f"10.77.0.{100 + number}" for number in range(_HOSTS)]
    for host in hosts:
        assert here.lan.run(4, ["ip", "addr", "add", f"{host}/24", "dev", "eth0"]).returncode == 0
    words = [here.lan.ip(ann.node), str(ann.ask("status")["port"]), str(count), str(_PER_S), *hosts]
    process: subprocess.Popen[str] = here.lan.popen(4, [sys.executable, "-m", "tests.bench.dialling", *words])
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def _say(talk: Talk) -> float:
    time.sleep(_FEW_S)
    return talk.say()


def _mb(person: Person) -> float:
    assert person.pid is not None
    return memory_mb(person.pid)[0]


def _new_contact(who: Person, other: Person) -> float:
    invite = other.ask("contact.invite")["invite"]
    begun = time.monotonic()
    who.ask("contact.add", invite=invite)
    who.until_online(other)
    return time.monotonic() - begun
