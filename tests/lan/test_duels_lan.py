"""Two who dial each other at the same moment, over a hundred times: one link stays, and no message is lost."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Sequence

from tests.lan.people import AWAY_S, Person, Scene, halted, start

MakeScene = Callable[..., Scene]
PEOPLE, RESTARTS = 8, 3
"""28 pairs, each of which dials both ways after each restart and after all were halted: 112 duels."""
IDLE_S = 9.5
OPENED = re.compile(r"link (\d+) with (\w+) opened")
ENDED = re.compile(r"link (\d+) with (\w+) ended")


def everybody(here: Scene) -> list[Person]:
    """Return people who all are contacts of each other, and linked."""
    people = [here.person(node, f"P{node}") for node in range(1, PEOPLE + 1)]
    start(*people)
    for one, other in itertools.combinations(people, 2):
        other.meet(one)
    until_all_linked(people)
    return people


def until_all_linked(people: Sequence[Person]) -> None:
    for one, other in itertools.permutations(people, 2):
        one.until_online(other, 2 * AWAY_S)


def write_to_all(people: Sequence[Person], text: str) -> None:
    for one, other in itertools.permutations(people, 2):
        one.send(other, text)


def check_all_arrived(people: Sequence[Person], texts: list[str]) -> None:
    for one, other in itertools.permutations(people, 2):
        one.until_delivered(other, 2 * AWAY_S)
        assert other.got(one) == texts


def links_now(person: Person) -> dict[str, int]:
    """Return how many links to each device are open, by what the daemon has logged since it started."""
    lines = person.log(10_000)
    lines = lines[max(at for at, line in enumerate(lines) if " answers" in line) :]
    opened = {match.groups() for line in lines if (match := OPENED.search(line))}
    standing = opened - {match.groups() for line in lines if (match := ENDED.search(line))}
    return {device: sum(1 for _, other in standing if other == device) for _, device in opened}


def test_of_two_who_dial_at_once_one_link_stays_and_nothing_is_lost(scene: MakeScene) -> None:
    people = everybody(scene(PEOPLE))
    texts = [f"before duel {number}" for number in range(RESTARTS + 1)]
    for text in texts[:RESTARTS]:
        write_to_all(people, text)
        for person in people:
            person.kill()
        start(*people)
        until_all_linked(people)
    with halted(*people):
        threading.Event().wait(IDLE_S)  # all links end at the same moment
    write_to_all(people, texts[RESTARTS])
    check_all_arrived(people, texts)
    for person in people:
        assert set(links_now(person).values()) == {1}, person.log(60)
        assert not any("refused:" in line for line in person.log(10_000))
