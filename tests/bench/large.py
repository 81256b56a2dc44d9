"""A profile with 100,000 messages: whole processes of the command line, and the daemon's start."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from tests.bench.figures import Figure, median, number, quantile
from tests.bench.filling import fill
from tests.bench.floors import Floors
from tests.bench.place import SCRIPT, Place
from tests.bench.talk import TEXT
from tests.lan.people import Person


def measure(floors: Floors, quick: bool) -> list[Figure]:
    count, rounds = (10_000, 5) if quick else (100_000, 15)
    with Place() as here:
        ann, bob = here.pair()
        ann.stop()
        bob.stop()
        fill(ann, bob, count)
        starts_s = [_start_s(ann) for _ in range(3 if quick else 7)]
        ann.start()
        sends_s = [_process_s(ann, "send", "Bob", TEXT) for _ in range(rounds)]
        histories_s = [_process_s(ann, "history", "Bob", "-n", "50") for _ in range(rounds)]
        ann.kill()
        unclean_s = _seconds(ann, "daemon", "start")
        ann.pid = ann.ask("status")["pid"]
    at = f"{count:,} messages"
    floor = f"{number(floors.python_s)} s Python, {number(floors.click_s)} s import click"
    imports = f"{number(floors.imports_s)} s Python and imports"
    return [
        Figure("p2pmsg send, whole process", median(sends_s), "s", floor, 0.25, 0.12, note=f"{at}; {_worst(sends_s)}"),
        Figure("p2pmsg history -n 50, whole process", median(histories_s), "s", floor, 0.25, 0.12, note=f"{at}; {_worst(histories_s)}"),
        Figure("daemon start", median(starts_s), "s", imports, 1.0, 0.5, note=f"{at}; {_worst(starts_s)}"),
        Figure("daemon start after kill -9", unclean_s, "s", imports, note=f"{at}; all of the file is checked"),
    ]


def _start_s(person: Person) -> float:
    elapsed_s = _seconds(person, "daemon", "start")
    person.stop()
    return elapsed_s


def _process_s(person: Person, *words: str) -> float:
    return _seconds(person, *words)


def _seconds(person: Person, *words: str) -> float:
    """Run a command as a person does, by the script; return the seconds that it took."""
    command = person.lan.command(person.node, ["env", f"P2PMSG_HOME={person.home}", SCRIPT, *words])
    begun = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def _worst(times_s: Sequence[float]) -> str:
    return f"worst {number(quantile(times_s, 1.0))} s"
