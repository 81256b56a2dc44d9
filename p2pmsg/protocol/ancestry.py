"""Who comes before whom in a chain of links; stateless.

Sets of links are numbers here, a bit for each link: sets of ancestors would take 39 MB for the longest chain, and a peer chooses when
we look at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.ids import ChainLinkId


class Ancestry:
    """The links of a chain in an order with predecessors first; a link's place in it is its bit."""

    def __init__(self, chain: Mapping[ChainLinkId, ChainLink]) -> None:
        """Raises: PeerMisbehaved where a predecessor is missing."""
        self.links = _topological(chain)
        self.above: list[int] = []
        """Of each place the links that are ancestors of the one there."""
        places: dict[ChainLinkId, int] = {}
        for place, link in enumerate(self.links):
            places[link.id] = place
            bits = 0
            for previous in link.previous:
                bits |= self.above[places[previous]] | 1 << places[previous]
            self.above.append(bits)

    def ids(self, bits: int) -> frozenset[ChainLinkId]:
        """Return the ids of some links."""
        return frozenset(self.links[place].id for place in places_of(bits))


def places_of(bits: int) -> Iterator[int]:
    """Return the places whose bits are set, the lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _topological(chain: Mapping[ChainLinkId, ChainLink]) -> list[ChainLink]:
    """Return links with predecessors first; without recursion, as peers choose the depth."""
    waiting = {link.id: len(set(link.previous)) for link in chain.values()}
    following: dict[ChainLinkId, list[ChainLink]] = {each: [] for each in chain}
    for link in chain.values():
        for previous in set(link.previous):
            if previous not in chain:
                raise PeerMisbehaved("an account chain lacks a predecessor")
            following[previous].append(link)
    done = [link for link in chain.values() if not link.previous]
    for link in done:
        for after in following[link.id]:
            waiting[after.id] -= 1
            if not waiting[after.id]:
                done.append(after)
    if len(done) < len(chain):
        raise PeerMisbehaved("links of an account chain stand in a ring")  # no hash can, but those who call us need not know
    return done
