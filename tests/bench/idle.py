"""A daemon that nobody uses, linked with five others: memory, CPU and packets."""

from __future__ import annotations

import time

from tests.bench.figures import Figure, number
from tests.bench.floors import Floors
from tests.bench.place import Place, cpu_s, memory_mb
from tests.lan.people import Person, start

PEERS = 5
_SETTLING_S = 5.0


def measure(floors: Floors, quick: bool) -> list[Figure]:
    seconds = 10.0 if quick else 60.0
    with Place(1 + PEERS) as here:
        ann, *others = (here.person(node, name) for node, name in enumerate(("Ann", "Bob", "Cat", "Dan", "Eve", "Fay"), 1))
        start(ann, *others)
        for other in others:
            other.meet(ann)
            ann.until_online(other)
        time.sleep(_SETTLING_S)
        assert ann.pid is not None
        before = cpu_s(ann.pid), _packets(here, ann)
        time.sleep(seconds)
        used_s, (received, sent) = cpu_s(ann.pid) - before[0], _packets(here, ann)
        rss_mb, pss_mb = memory_mb(ann.pid)
    note = f"{PEERS} peers, {seconds:.0f} s"
    figures = [
        Figure("idle: memory (RSS)", rss_mb, "MB", f"{number(floors.imports_mb)} MB Python and imports", 80, 65, note=note),
        Figure("idle: memory of its own (PSS)", pss_mb, "MB", note=note),
        Figure("idle: CPU", 100 * used_s / seconds, "%", must=0.3, aim=0.1, note=note),
    ]
    if not here.alone:
        sent_s, received_s = ((now - then) / seconds for now, then in zip((sent, received), reversed(before[1]), strict=True))
        spread = f"{sent_s:.2f}/s sent, {received_s:.2f}/s received in all"
        figures.append(Figure("idle: packets sent a peer", sent_s / PEERS, "/s", must=0.5, aim=0.3, note=spread))
    return figures


def _packets(here: Place, person: Person) -> tuple[int, int]:
    """Return the packets that his interface has received and sent."""
    names = [f"/sys/class/net/{here.interface}/statistics/{way}_packets" for way in ("rx", "tx")]
    received, sent = here.lan.run(person.node, ["cat", *names]).stdout.split()
    return int(received), int(sent)
