"""A daemon among 300 nodes that announce themselves and are none of its contacts: what it takes from it, and from meeting those who are."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench.figures import Figure, median, number, quantile
from tests.bench.floors import Floors
from tests.bench.place import Place, cpu_s, memory_mb
from tests.bench.start import started
from tests.lan.people import Person, start

STRANGERS = 300
NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Fay")
_NODE = len(NAMES) + 1
_SETTLING_S = 20.0
"""Then the four questions of a start are asked and answered."""
_PLAIN = """
import asyncio, sys
from tests.lan.strangers import sockets
async def listen():
    for sock in sockets():
        asyncio.get_running_loop().add_reader(sock, sock.recv, 9000)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(listen())
"""


def measure(floors: Floors, quick: bool) -> list[Figure]:
    with Place(_NODE) as here:
        if here.alone:
            return []
        ann, *others = (here.person(node, name, discovery_paths="mdns") for node, name in enumerate(NAMES, 1))
        start(ann, *others)
        for other in others:
            other.meet(ann)
            ann.until_online(other)
        _run(here, _NODE, "-m", "tests.lan.strangers", str(STRANGERS))
        times_s = [_again(ann, others) for _ in range(3 if quick else 9)]
        floor = f"{number(floors.imports_s)} s Python and imports"
        note = f"{len(times_s)} starts, worst {number(quantile(times_s, 1.0))} s"
        found = Figure(f"{STRANGERS} strangers: start to all contacts", median(times_s), "s", floor, 2.0, 1.0, note=note)
        return [_steady(here, ann, 10.0 if quick else 60.0), found]


def _steady(here: Place, ann: Person, seconds: float) -> Figure:
    assert ann.pid is not None
    plain = _run(here, 1, "-c", _PLAIN)
    time.sleep(_SETTLING_S)
    before = cpu_s(ann.pid), cpu_s(plain.pid), _packets(here, ann)
    time.sleep(seconds)
    after = cpu_s(ann.pid), cpu_s(plain.pid), _packets(here, ann)
    used, least, packets = ((now - then) / seconds for now, then in zip(after, before, strict=True))
    floor = f"{number(100 * least)} % reading the packets"
    note = f"{len(NAMES) - 1} contacts, {seconds:.0f} s, {packets:.1f} packets/s received, {number(memory_mb(ann.pid)[0])} MB"
    return Figure(f"{STRANGERS} strangers: CPU", 100 * used, "%", floor, 1.0, 0.3, note=note)


def _again(ann: Person, others: list[Person]) -> float:
    """Restart; return the seconds until all others are linked."""
    ann.stop()
    for other in others:
        other.until_away(ann, 10)
    begun = time.monotonic()
    with started(ann) as starting:
        starting.communicate()
    ann.until(lambda: all(peer["online"] for peer in ann.ask("peers")), 20)
    taken_s = time.monotonic() - begun
    ann.pid = ann.ask("status")["pid"]
    return taken_s


def _run(here: Place, node: int, *words: str) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = here.lan.popen(node, [sys.executable, *words])
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def _packets(here: Place, person: Person) -> int:
    """Return the packets that his interface has received."""
    return int(here.lan.run(person.node, ["cat", "/sys/class/net/eth0/statistics/rx_packets"]).stdout)
