"""An address changes while two are linked: whoever has moved is talking again at once, by whatever leads to the other."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.lan.people import Person, Scene

MOVED_S = 3.0
"""Until both talk again; it takes 0.6 s, and 12 s where one waits for the old link to end."""


def dialler_first(here: Scene, **settings: str) -> tuple[Person, Person]:
    """Return two who are linked, first the one who dialled."""
    ann, bob = here.pair(**settings)
    return (bob, ann) if ann.peer(bob)["path"] == "incoming" else (ann, bob)


def without_ipv6(here: Scene) -> None:
    for node in here.lan.nodes:
        assert here.lan.run(node, ["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"]).returncode == 0


def talk_again(here: Scene, *pair: Person, to: str, moved: tuple[Person, ...]) -> None:
    """Give who moves new addresses; both write, and each has the other's words in time."""
    began = time.monotonic()
    for person in moved:
        here.lan.readdress(person.node, f"{to}{100 + person.node}/24")
    for one, other in (pair, pair[::-1]):
        one.send(other, "I have moved, or you have")
    for one, other in (pair, pair[::-1]):
        one.until_got(other, "I have moved, or you have", max(0.0, began + MOVED_S - time.monotonic()))
    pair[0].until_delivered(pair[1])
    pair[1].until_delivered(pair[0])
    assert [len(one.got(other)) for one, other in (pair, pair[::-1])] == [1, 1]


def who_dialled_moves(here: Scene) -> None:
    dialler, other = dialler_first(here, discovery_paths="last_known")
    since = dialler.peer(other)["since"]
    talk_again(here, dialler, other, to="10.77.0.", moved=(dialler,))
    assert dialler.peer(other)["since"] == since, "the link itself has moved"


def who_was_dialled_moves(here: Scene) -> None:
    dialler, other = dialler_first(here, discovery_paths="last_known")
    talk_again(here, dialler, other, to="10.77.0.", moved=(other,))
    assert f"10.77.0.{100 + other.node}" in dialler.peer(other)["address"]


def both_move(here: Scene) -> None:
    pair = dialler_first(here)
    talk_again(here, *pair, to="10.77.0.", moved=pair)


def both_move_and_have_no_ipv6(here: Scene) -> None:
    without_ipv6(here)
    pair = dialler_first(here)
    talk_again(here, *pair, to="10.77.0.", moved=pair)


def one_moves_to_another_subnet(here: Scene) -> None:
    """Only IPv6 leads to the other from there."""
    dialler, other = dialler_first(here)
    talk_again(here, dialler, other, to="192.168.9.", moved=(dialler,))
    assert dialler.peer(other)["address"].startswith("[fe80:")


def one_of_two_networks_goes(_: Scene) -> None:
    with Scene(2, segments=2) as here:
        dialler, other = dialler_first(here)
        used = dialler.peer(other)["interface"]
        began = time.monotonic()
        for address in (f"-4 addr flush dev {used}", f"-6 addr flush dev {used}"):
            assert here.lan.run(other.node, ["ip", *address.split()]).returncode == 0
        dialler.send(other, "by the other network")
        other.until_got(dialler, "by the other network", began + MOVED_S - time.monotonic())
        assert other.peer(dialler)["interface"] != used


PLAYS = [
    who_dialled_moves,
    who_was_dialled_moves,
    both_move,
    both_move_and_have_no_ipv6,
    one_moves_to_another_subnet,
    one_of_two_networks_goes,
]


@pytest.mark.parametrize("play", PLAYS, ids=[play.__name__ for play in PLAYS])
def test_moves(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)
