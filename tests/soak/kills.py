"""Daemons that are killed (-9) at random moments while both write as fast as they can, with at least 20 messages in flight.

After every kill: what was told as delivered is in the other's database before anything is made up for (I1); what was accepted
arrives once (I2), in order, without gap (I3); the daemon is back in time (I5); no word can be read in its files or on the wire (I6);
it holds no more files, threads and memory than at first (I7).
"""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from p2pmsg.config import limits
from p2pmsg.crypto import vault
from p2pmsg.storage.database import close_database, open_database
from tests.bench.figures import median
from tests.bench.place import Place
from tests.lan.people import Json, Person
from tests.lan.people import start as start_daemons
from tests.lan.remains import Remains
from tests.soak.load import FILLING, MOST, Load, pump

LEAST_IN_FLIGHT: Final = 20
LONGEST_S: Final = 0.4
"""A kill comes so long after the load has begun at the latest."""
BACK_S: Final = 2.0
"""So long a start may take, besides what others on this machine keep the processors for."""
ARRIVED_S: Final = 60.0
SHOWN: Final = 24
"""So much of a text in the clear is too much."""
KILLS_A_PAIR: Final = 40
"""Then two others take their place, so that checks stay quick."""


def run(count: int, seed: int) -> bool:
    """Kill so many times; return whether everything held."""
    _say(f"{count} kills, seed {seed}")
    rng, flights, backs_s = Random(seed), list[int](), list[float]()
    for first in range(0, count, KILLS_A_PAIR):
        with Place() as here:
            pair = here.pair()
            remains = Remains(*pair, capture=None if here.alone else here.folder / "frames")
            for number in range(first, min(count, first + KILLS_A_PAIR)):
                try:
                    in_flight, back_s = _round(here, pair, number, rng)
                    remains.check(FILLING[:SHOWN].encode(), *(f"{person.name} {number} 0".encode() for person in pair))
                except AssertionError as fault:
                    _say(f"kill {number}: {fault}")
                    for person in pair:
                        _say("\n".join([f"-- {person.name}'s log", *person.log()]))
                    return False
                flights.append(in_flight)
                backs_s.append(back_s)
        back = f"back in {median(backs_s):.2f} s, at most {max(backs_s):.2f} s"
        _say(f"{len(flights)} kills: {min(flights)} to {max(flights)} in flight, {back}")
    return True


def _round(here: Place, pair: tuple[Person, Person], number: int, rng: Random) -> tuple[int, float]:
    """Talk, kill, check; return the messages in flight at the kill, and the seconds until those killed were back."""
    ann, bob = pair
    victims = rng.choice(([ann], [bob], [ann, bob]))
    with Load(ann, bob, number) as ann_load, Load(bob, ann, number) as bob_load:
        loads = ann_load, bob_load
        at = time.monotonic() + rng.uniform(0, LONGEST_S)
        pump(loads, lambda: _in_flight(loads) >= LEAST_IN_FLIGHT and _due(loads, at), asking=True)
        in_flight = _in_flight(loads)
        for victim in victims:
            victim.kill()
        pump(loads, lambda: all(load.gone or (load.person not in victims and load.answered == load.asked) for load in loads), asking=False)
        for load in loads:
            assert load.person in victims or not load.gone, f"{load.person.name}'s daemon was not killed and has gone"
            _check_told(here, load, load.to in victims)
        begun = time.monotonic()
        waited_s = start_daemons(*victims)
        back_s = time.monotonic() - begun - waited_s
        assert back_s <= BACK_S * len(victims), f"back only after {back_s:.1f} s"
        for person in pair:
            person.until(lambda: person.ask("status")["queued"] == 0, ARRIVED_S)  # noqa: B023  # called at once
        for load in loads:
            _check_arrived(load)
    return in_flight, back_s


def _due(loads: Sequence[Load], at: float) -> bool:
    """Say whether the moment has come, or one of them has nothing more to say."""
    return time.monotonic() >= at or any(load.asked == MOST for load in loads)


def _in_flight(loads: Sequence[Load]) -> int:
    return sum(load.in_flight for load in loads)


def _check_told(here: Place, load: Load, killed: bool) -> None:
    """What the sender was told is delivered lies in the other's database now (I1)."""
    held = _on_disk(here, load.to) if killed else {message["id"] for message in _newest(load.to, load.person)}
    assert not (lost := load.delivered - held), f"{len(lost)} messages of {load.person.name}'s were told as delivered and are not there"


def _on_disk(here: Place, person: Person) -> set[str]:
    """Return the ids of all events in a database whose daemon was killed, from a copy: the daemon must find it as it was left."""
    copy = here.folder / "copy"
    copy.mkdir()
    for path in person.folder.glob("data.db*"):
        shutil.copy(path, copy)
    db = open_database(Path(copy / "data.db"), vault.database_key(vault.open_key(person.folder / "key"))).db
    ids = {row[0].hex() for row in db.execute("SELECT id FROM event")}
    close_database(db)
    shutil.rmtree(copy)
    return ids


def _check_arrived(load: Load) -> None:
    """What was accepted is with both, once and in order (I2, I3)."""
    both = _newest(load.person, load.to), _newest(load.to, load.person)
    sent, got = ([message["text"] for message in messages if message["text"].startswith(load.prefix)] for messages in both)
    assert not (lost := set(load.accepted.values()) - set(sent)), f"{load.person.name} lost {sorted(lost)[:3]} that was accepted"
    assert got == sent, f"{load.to.name} shows other messages than {load.person.name} has written: {_difference(sent, got)}"
    assert sent == sorted(set(sent)), f"{load.person.name}'s messages are not in order, or there twice"


def _newest(person: Person, other: Person) -> list[Json]:
    """Return what `person` is shown, oldest first; a round is shorter than that."""
    messages: list[Json] = person.ask("history", target=other.account, n=limits.RPC_LIST)
    return messages


def _difference(sent: list[str], got: list[str]) -> str:
    pairs = enumerate(itertools.zip_longest(sent, got))
    return next(f"at {at} {a!r:.40} and {b!r:.40}" for at, (a, b) in pairs if a != b)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
