"""What a message costs on the wire, and what the handshake and the renewal of keys cost in computing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from p2pmsg.crypto.channel import Channel
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.protocol import handshake
from p2pmsg.protocol.wire import FrameType
from tests.bench.figures import Figure, median, number, quantile
from tests.bench.floors import Floors
from tests.bench.place import Place
from tests.bench.talk import Talk
from tests.lan.frames import Recording
from tests.lan.people import Person

TEXT_BYTES: Final = 120
GATES: Final = 300
_FLOOR: Final = f"{TEXT_BYTES + 64 + 16} bytes text, signature, tag"
_APART_S: Final = 0.1
"""Longer than an acknowledgement of QUIC is put off: each message is alone."""
_SETTLING_S: Final = 1.0


def measure(floors: Floors, quick: bool) -> list[Figure]:
    return [*_bytes(quick), _renewal(20 if quick else 100), _gates(100 if quick else 500)]


# -- on the wire


def _bytes(quick: bool) -> list[Figure]:
    with Place() as here:
        if here.alone:
            return []
        ann, bob = here.pair()
        recording = Recording(here.lan, ann.node, here.folder / "frames")
        with Talk(ann, bob, "x" * TEXT_BYTES) as talk:
            talk.flood(200)
            alone, streamed = (60, 2000) if quick else (150, 8000)
            apart = _cost(recording, ann, bob, alone, lambda: _one_by_one(talk, alone))
            stream = _cost(recording, ann, bob, streamed, lambda: talk.flood(streamed))
    return [
        Figure(f"{TEXT_BYTES}-byte text alone, both ways", apart[0], "bytes", _FLOOR, 850, 600, note=_note(apart)),
        Figure(f"{TEXT_BYTES}-byte text in a stream, both ways", stream[0], "bytes", _FLOOR, 460, 400, note=_note(stream)),
    ]


def _one_by_one(talk: Talk, count: int) -> None:
    for _ in range(count):
        talk.say()
        time.sleep(_APART_S)


def _cost(recording: Recording, one: Person, other: Person, count: int, send: Callable[[], object]) -> tuple[float, float, float, float]:
    """Return, for each message, UDP payload in bytes and datagrams: all, from who sends, from who answers, and how many."""
    time.sleep(_SETTLING_S)
    before = len(recording.datagrams())
    send()
    time.sleep(_SETTLING_S)
    ports = {person.ask("status")["port"] for person in (one, other)}
    seen = [each for each in recording.datagrams()[before:] if {each.source_port, each.port} <= ports]
    mine = sum(len(each.data) for each in seen if each.source_port == one.ask("status")["port"])
    total = sum(len(each.data) for each in seen)
    return total / count, mine / count, (total - mine) / count, len(seen) / count


def _note(cost: tuple[float, float, float, float]) -> str:
    _, there, back, datagrams = cost
    return f"{there:.0f} there, {back:.0f} back, {datagrams:.2f} datagrams; keys and all else counted"


# -- in the processor


def _renewal(rounds: int) -> Figure:
    """Both sides of a renewal together, over a frame without one."""
    first, second = os.urandom(32), os.urandom(32)
    ann, bob = Channel(first, second, 0.0), Channel(second, first, 0.0)
    plain, renewing = [], []
    while len(renewing) < rounds:
        begun = time.perf_counter()
        renewed = _pass(ann, bob)
        (renewing if renewed else plain).append(time.perf_counter() - begun)
    added = [taken - median(plain) for taken in renewing]
    note = f"both ends, p99 {number(1000 * quantile(added, 0.99))} ms"
    return Figure(
        "renewal of keys, added to its message", 1000 * median(added), "ms", f"{number(1e6 * median(plain))} us a frame", 1.0, note=note
    )


def _pass(sender: Channel, receiver: Channel) -> bool:
    """Bring a frame over, and whatever comes of it; say whether keys were renewed."""
    wire = sender.send(FrameType.EVENTS, bytes(TEXT_BYTES), 0.0)
    renewed = False
    ways = [(receiver, wire), (sender, b"")]
    while ways[0][1]:
        (end, data), (other, _) = ways
        answer = b""
        while data:
            size = int.from_bytes(data[1:5], "big")
            answer += end.receive(FrameType(data[0]), data[5 : 5 + size], 0.0)[1]
            data = data[5 + size :]
        renewed |= bool(answer)
        ways = [(other, answer), (end, b"")]
    return renewed


def _gates(rounds: int) -> Figure:
    """A stranger's GATE against all keys, which none of them fits."""
    rows = [GateRow(os.urandom(32), Purpose.PAIR, None) for _ in range(GATES)]
    taken = []
    for _ in range(rounds):
        t0, mac = os.urandom(32), os.urandom(32)
        begun = time.perf_counter()
        assert handshake._gate_of(rows, t0, mac) is None
        taken.append(time.perf_counter() - begun)
    floor = f"{number(1e6 * median(taken) / GATES)} us a key"
    return Figure(f"{GATES} gate keys tried", 1000 * median(taken), "ms", floor, 1.0, note=f"p99 {number(1000 * quantile(taken, 0.99))} ms")
