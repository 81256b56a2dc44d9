"""Somebody is blocked on a real network: what he can see of it, and that all others find each other as before. All plays run at once."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lan.lines import Lines
from tests.lan.people import AWAY_S, ONLINE_AGAIN_S, SOON_S, Person, Scene, start

CAPTURE = """
import pathlib, socket, struct, sys
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
frames.bind(("eth0", 0))
frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
print("{}", flush=True)
with pathlib.Path(sys.argv[1]).open("wb", buffering=0) as file:
    while True:
        frame = frames.recv(1 << 16)
        file.write(struct.pack(">I", len(frame)) + frame)
"""
NODES = 3
ICMPV6 = 58
NEIGHBOURS = range(133, 138)
"""Types of ICMPv6 by which machines, not daemons, find each other."""
MORE_S = 6.0
"""Longer than a redial takes: whoever dials again is answered or not in this time."""


class Onlooker:
    """Sees every frame that comes to a node."""

    def __init__(self, here: Scene, node: int, file: Path) -> None:
        self._file = file
        Lines(here.lan.popen(node, [sys.executable, "-c", CAPTURE, str(file)])).expect(lambda line: True, SOON_S)
        self._mark = 0

    def forget(self) -> None:
        self._mark = len(self._frames())

    def said_by(self, source: bytes, to: bytes) -> list[bytes]:
        """Return the frames since `forget` that a machine's programs sent to another one alone."""
        return [frame for frame in self._frames()[self._mark :] if frame[:6] == to and frame[6:12] == source and _of_a_program(frame)]

    def _frames(self) -> list[bytes]:
        data, at, frames = self._file.read_bytes(), 0, []
        while at + 4 <= len(data):
            size = struct.unpack_from(">I", data, at)[0]
            frames.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        return frames


def _of_a_program(frame: bytes) -> bool:
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return True
    return kind == b"\x86\xdd" and not (frame[20] == ICMPV6 and frame[54] in NEIGHBOURS)


def mac(here: Scene, node: int) -> bytes:
    return bytes.fromhex(here.lan.run(node, ["cat", "/sys/class/net/eth0/address"]).stdout.strip().replace(":", ""))


def block(who: Person, other: Person) -> None:
    assert who.ask("contact.block", name=other.account)["blocked"] is True


def friends(here: Scene, **settings: str) -> list[Person]:
    """Return Ann and her contacts Bob and Carl, on a node each."""
    people = [here.person(number, name, **settings) for number, name in ((1, "Ann"), (2, "Bob"), (3, "Carl"))]
    start(*people)
    for other in people[1:]:
        other.meet(people[0])
        people[0].until_online(other)
        other.until_online(people[0])
    return people


def to_the_blocked_it_is_as_if_the_cable_were_pulled(here: Scene) -> None:
    ann, bob, carl = friends(here)
    onlooker = Onlooker(here, 2, ann.home.with_name("frames"))
    bob.send(ann, "heard", wait="delivered")
    assert onlooker.said_by(mac(here, 1), mac(here, 2))  # so it would be seen
    block(ann, bob)
    onlooker.forget()
    bob.send(ann, "unheard")
    bob.until_away(ann, 2 * AWAY_S)
    threading.Event().wait(MORE_S)
    assert onlooker.said_by(mac(here, 1), mac(here, 2)) == []
    assert bob.states(ann)["unheard"] == "queued" and ann.got(bob) == ["heard"]
    peer = bob.peer(ann)
    assert (peer["online"], peer["address"], peer["path"]) == (False, None, None)
    carl.send(ann, "still here", wait="delivered")
    ann.send(carl, "so am I", wait="delivered")


def the_others_find_who_has_blocked_somebody_after_a_restart_elsewhere(here: Scene) -> None:
    ann, bob, carl = friends(here, discovery_paths="mdns")
    block(ann, bob)
    carl.send(ann, "you have a new key now", wait="delivered")
    ann.stop()
    here.lan.readdress(1, "10.77.0.77/24")
    ann.start()
    carl.until_online(ann, SOON_S)
    bob.until_away(ann, 2 * AWAY_S)


def two_who_each_blocked_somebody_while_apart_meet_again(here: Scene) -> None:
    ann, bob = here.pair(1, 2, discovery_paths="mdns")
    eve = here.person(3, "Eve", discovery_paths="mdns")
    eve.start()
    for somebody in (ann, bob):
        eve.meet(somebody)
    here.lan.cable(2, plugged=False)
    ann.until_away(bob, 2 * AWAY_S)
    bob.until_away(ann, 2 * AWAY_S)
    for somebody, address in ((ann, "10.77.0.81/24"), (bob, "10.77.0.82/24")):
        block(somebody, eve)
        here.lan.readdress(somebody.node, address)
    ann.send(bob, "found you")
    here.lan.cable(2, plugged=True)
    bob.until_got(ann, "found you", 2 * ONLINE_AGAIN_S + SOON_S)


PLAYS = [
    to_the_blocked_it_is_as_if_the_cable_were_pulled,
    the_others_find_who_has_blocked_somebody_after_a_restart_elsewhere,
    two_who_each_blocked_somebody_while_apart_meet_again,
]


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_blocking(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
