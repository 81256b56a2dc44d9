"""Who comes before whom, in sets of bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.errors import PeerMisbehaved
from p2pmsg.protocol.ancestry import Ancestry, places_of
from tests.unit.chains import GENESIS, KEYS, Chain, profile


def order(*links: object) -> Ancestry:
    return Ancestry({link.id: link for link in links})  # type: ignore[attr-defined]


@st.composite
def dags(draw: st.DrawFn) -> Chain:
    links = [GENESIS]
    for number in range(1, draw(st.integers(1, 10))):
        links.append(profile(number, KEYS[0], "x", *draw(st.lists(st.sampled_from(links), min_size=1, max_size=3))))
    return links


@given(dags(), st.randoms(use_true_random=False))
def test_ancestors_are_those_that_can_be_reached(links: Chain, random: object) -> None:
    shuffled = list(links)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = order(*shuffled)
    reached: dict[object, set[object]] = {}
    for link in links:
        reached[link.id] = set(link.previous).union(*(reached[each] for each in link.previous))
    for place, link in enumerate(found.links):
        assert found.ids(found.above[place]) == reached[link.id]
        assert found.above[place] < 1 << place


@given(st.sets(st.integers(0, 2000)))
def test_places_are_the_bits_that_are_set(places: set[int]) -> None:
    assert list(places_of(sum(1 << place for place in places))) == sorted(places)


def test_a_missing_predecessor_is_refused() -> None:
    with pytest.raises(PeerMisbehaved, match="predecessor"):
        order(profile(1, KEYS[0], "x", GENESIS))
