"""Which removals of a chain stand, and what falls by them; stateless, and the same answer whatever the order of the links.

A removal *strikes* what the removed key signed that is not its ancestor. It *touches* another removal if it strikes that, or any link
that gave the signer of that its power, near or far. Removals that nothing undecided touches are decided first. One that stands alone
fells what it strikes, and what has its power from nowhere else. Removals that touch each other in a ring all stand, and fell no removal:
else a thief, by striking back, would bring home whom the owner had put out before. What they strike is void all the same. Whatever a
ring, or a removal that stands by its leave, touches stands on the same terms. So who was removed gains nothing by links that he adds
later, however they are dated: the most he can do is to stop the account until its root speaks (DESIGN 6; notes: S1, S2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from p2pmsg.protocol.ancestry import places_of


@dataclass(frozen=True, slots=True)
class Links:
    """A chain as removals see it; all sets of links are bits by place."""

    strikes: Mapping[int, int]
    """Of each removal the links that it strikes."""
    seats: Sequence[tuple[int, ...]]
    """Of each link, and each of its signers, the links that gave him power: any of them will do."""
    roots: Sequence[int]
    """Of each link all that its power comes from, near or far."""
    grants: int
    """The links that give power."""


@dataclass(slots=True)
class Standing:
    """What was decided so far."""

    alone: int = 0
    """Removals that stand, and fell all that they strike."""
    ringed: int = 0
    """Removals that stand in a ring, or by the leave of one."""
    felled: int = 0
    """Struck by removals that stand alone."""
    void: int = 0
    """Struck by the others."""
    powerless: int = 0
    """Links that would give power, and are felled or have lost their own."""

    def fallen(self, links: Links, place: int) -> bool:
        """Say whether a link is felled or has no power left."""
        return bool(self.felled >> place & 1) or any(not seat & ~self.powerless for seat in links.seats[place])


def decide(links: Links) -> Standing:
    """Return which removals stand; the time is that of comparing each with each."""
    touches, touched = _touching(links)
    standing = Standing()
    waiting = [sum(1 << removal for removal in links.strikes)]
    while waiting:
        group = sum(1 << place for place in places_of(waiting.pop()) if not standing.fallen(links, place))
        rings = _rings(group, touches, touched)
        if len(rings) > 1:
            waiting.extend(reversed(rings))
        elif group.bit_count() > 1:
            _stand_in_ring(links, standing, group)
        elif group:
            _stand(links, standing, group.bit_length() - 1)
    return standing


def _stand(links: Links, standing: Standing, removal: int) -> None:
    """A removal that none in a ring with it touches: it stands alone unless a ring before it touches it."""
    if standing.void & (links.roots[removal] | 1 << removal):
        _stand_in_ring(links, standing, 1 << removal)
        return
    standing.alone |= 1 << removal
    standing.felled |= links.strikes[removal]
    if links.strikes[removal] & links.grants:
        for place in places_of(links.grants & ~standing.powerless):
            if standing.fallen(links, place):
                standing.powerless |= 1 << place


def _stand_in_ring(links: Links, standing: Standing, ring: int) -> None:
    standing.ringed |= ring
    for removal in places_of(ring):
        standing.void |= links.strikes[removal]


def _touching(links: Links) -> tuple[dict[int, int], dict[int, int]]:
    """Return of each removal the others that it touches, and the others that touch it."""
    touches, touched = dict.fromkeys(links.strikes, 0), dict.fromkeys(links.strikes, 0)
    reach = [(place, links.roots[place] | 1 << place) for place in links.strikes]
    for removal, struck in links.strikes.items():
        for place, far in reach if struck else ():
            if struck & far:
                touches[removal] |= 1 << place
                touched[place] |= 1 << removal
    return touches, touched


def _rings(group: int, touches: Mapping[int, int], touched: Mapping[int, int]) -> list[int]:
    """Return the parts of a group whose members touch each other in a ring, single ones too, those that touch before the touched.

    Strongly connected components as of Kosaraju (1978) and Sharir (1981), without recursion, as peers choose the depth.
    """
    finished: list[int] = []
    unseen = group
    while unseen:
        path = [_lowest(unseen)]
        unseen ^= 1 << path[0]
        while path:
            if after := touches[path[-1]] & unseen:
                path.append(_lowest(after))
                unseen ^= 1 << path[-1]
            else:
                finished.append(path.pop())
    rings: list[int] = []
    left = group
    for start in reversed(finished):
        ring, edge = 0, 1 << start & left
        while edge:
            ring |= edge
            left ^= edge
            edge = _all(touched[place] for place in places_of(edge)) & left
        if ring:
            rings.append(ring)
    return rings


def _all(sets: Iterable[int]) -> int:
    whole = 0
    for each in sets:
        whole |= each
    return whole


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
