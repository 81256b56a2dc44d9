"""Who may do what: one resolver for devices and, later, groups (DESIGN 6); stateless.

link        counts if its signer had power among its ancestors: the root, or an admin, and no standing removal strikes it
removal     `revoke` of a device, `reroot` of the root; which of them stand says `removals`
device      active if an `add` of it counts and no standing removal names it; a key never returns
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import Enum, auto

from p2pmsg.config import limits
from p2pmsg.crypto.chain import device_id
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import Alarm, ChainLink, Device, LinkKind, Membership
from p2pmsg.model.events import Claim, Conversation
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId, DeviceKey
from p2pmsg.protocol import removals
from p2pmsg.protocol.ancestry import Ancestry, places_of
from p2pmsg.protocol.removals import Standing


def resolve(links: Iterable[ChainLink]) -> Membership:
    """Return what an account chain says; the order of `links` does not matter.

    Links that one signer made side by side, and links of the root, count like others: `alarms` tells of them.

    Raises:
        PeerMisbehaved: not exactly one genesis, a predecessor missing, a link of another account or of a signer that had no power
            before it, or a limit passed.
    """
    chain = {link.id: link for link in links}
    if len(chain) > limits.CHAIN_LINKS:
        raise PeerMisbehaved("an account chain has too many links")
    roots = [link for link in chain.values() if link.kind is LinkKind.GENESIS]
    if len(roots) != 1:
        raise PeerMisbehaved("an account chain has not exactly one genesis")
    if any(link.account != roots[0].account for link in chain.values()):
        raise PeerMisbehaved("a link belongs to another account")
    return _Resolution(Ancestry(chain)).membership()


def alarms(before: Membership | None, after: Membership) -> frozenset[Alarm]:
    """Return what is wrong with a chain that has grown from `before` to `after`; None where nothing was known of it.

    Whose chain I see for the first time may have lost his devices and used his words before; two links of one signer side by side say
    at any time that a device was copied, or its key is in two hands.
    """
    found = set()
    if after.side_by_side - (before.side_by_side if before else frozenset()):
        found.add(Alarm.SIDE_BY_SIDE)
    if before is not None and after.by_root - before.by_root:
        found.add(Alarm.BY_ROOT)
    return frozenset(found)


def went_back(known: Sequence[ChainLink], shown: Iterable[ChainLinkId], device: DeviceKey) -> ChainLinkId | None:
    """Return the newest link that a device signed and no longer shows; None where there is none. `known` has predecessors first.

    It knew that link once, so it was put back from an old copy. A device that lacks links of the account's other devices merely has not
    heard of them yet.
    """
    ids = set(shown)
    return next((link.id for link in reversed(known) if link.signer == device and link.id not in ids), None)


def heads(links: Iterable[ChainLink]) -> tuple[ChainLinkId, ...]:
    """Return the sorted ids of the links that no other names as predecessor."""
    links = list(links)
    named = {previous for link in links for previous in link.previous}
    return tuple(sorted(link.id for link in links if link.id not in named))


def in_order(links: Iterable[ChainLink]) -> tuple[ChainLink, ...]:
    """Return links with predecessors first (ties by id), the order in which they are sent and stored."""
    ancestry = Ancestry({link.id: link for link in links})
    depth = {link.id: above.bit_count() for link, above in zip(ancestry.links, ancestry.above, strict=True)}
    return tuple(sorted(ancestry.links, key=lambda link: (depth[link.id], link.id)))


def may_have(conversation: Conversation, account: AccountId) -> bool:
    """Say whether an account's devices may have this conversation's events: its members may, nobody else."""
    return account in conversation.members


def ceiling(conversation: Conversation, device: DeviceId) -> Claim | None:
    """Return up to where a device's log counts; None without a cutoff, and chains of conversations, which hold them, do not exist yet."""
    return None


class _Role(Enum):
    ROOT = auto()
    DEVICE = auto()


_Seat = tuple[bytes, _Role]
"""A key in its role: the same key as another one is somebody else."""


class _Resolution:
    """One call of `resolve`. Sets of links are bits by their place in the ancestry."""

    def __init__(self, ancestry: Ancestry) -> None:
        self._ancestry = ancestry
        self._granting: defaultdict[_Seat, int] = defaultdict(int)
        """The links that give a seat its power."""
        self._signed: defaultdict[_Seat, int] = defaultdict(int)
        self._seats: list[tuple[int, ...]] = []
        self._roots: list[int] = []
        self._by_root = 0
        for place, link in enumerate(ancestry.links):
            self._seat(place, link)
            self._grant(place, link)
        if len({link.device_key for link in ancestry.links if link.device_name is not None}) > limits.DEVICES:
            raise PeerMisbehaved("an account chain has too many devices")
        self._strikes = {place: self._struck(place, link) for place, link in enumerate(ancestry.links) if link.kind in _REMOVING}
        granting = 0
        for bits in self._granting.values():
            granting |= bits
        self._standing = removals.decide(removals.Links(self._strikes, self._seats, self._roots, granting))
        self._powerful, self._counting = self._count(self._standing)

    def membership(self) -> Membership:
        links = self._ancestry.links
        return Membership(
            links[0].account,
            heads(links),
            frozenset(link.id for link in links),
            self._devices(),
            self._nickname(),
            {link.id: link.previous for link in links},
            self._ancestry.ids(self._side_by_side()),
            self._ancestry.ids(self._by_root),
        )

    # -- who had power

    def _seat(self, place: int, link: ChainLink) -> None:
        """Note as whom a link's signers act, and whence they have the power. Raises: PeerMisbehaved where one has none."""
        seats = []
        above = self._ancestry.above[place]
        if link.kind is not LinkKind.GENESIS:
            root, device = (link.signer, _Role.ROOT), (link.signer, _Role.DEVICE)
            as_root = bool(self._granting[root] & above)
            seats.append(root if as_root else device)
            if link.kind is LinkKind.REROOT:
                if not as_root:
                    raise PeerMisbehaved("a link that only the root may sign is not the root's")
                seats.append((_key(link), _Role.DEVICE))
            elif as_root:
                self._by_root |= 1 << place
        given = tuple(self._granting[seat] & above for seat in seats)
        if not all(given) or (link.kind is LinkKind.GENESIS) != (place == 0):
            raise PeerMisbehaved("a link is signed by a key that was no admin before it")
        for seat in seats:
            self._signed[seat] |= 1 << place
        roots = 0
        for bits in given:
            roots |= bits
            for granting in places_of(bits):
                roots |= self._roots[granting]
        self._seats.append(given)
        self._roots.append(roots)

    def _grant(self, place: int, link: ChainLink) -> None:
        if link.kind is LinkKind.GENESIS:
            self._granting[link.signer, _Role.ROOT] |= 1 << place
        if link.root_key is not None:
            self._granting[link.root_key, _Role.ROOT] |= 1 << place
        if link.admin:
            self._granting[_key(link), _Role.DEVICE] |= 1 << place

    def _struck(self, place: int, link: ChainLink) -> int:
        """Return what a removal strikes. Who leaves ends his own line: beside or behind that link only a thief signs with his key."""
        removed = (link.signer, _Role.ROOT) if link.kind is LinkKind.REROOT else (_key(link), _Role.DEVICE)
        return self._signed[removed] & ~self._ancestry.above[place] & ~(1 << place)

    # -- what counts

    def _count(self, standing: Standing) -> tuple[int, int]:
        """Return the links that give power, and all that count, removals aside: those stand or not by themselves.

        A root that was put in its place by a `reroot` in a ring has no power: whoever can make one must not win by it.
        """
        powerful = counting = 1
        gone = standing.felled | standing.void
        for place, link in enumerate(self._ancestry.links[1:], 1):
            if gone >> place & 1 or not all(seat & powerful for seat in self._seats[place]):
                continue
            counting |= 1 << place
            if link.admin or (link.kind is LinkKind.REROOT and standing.alone >> place & 1):
                powerful |= 1 << place
        return powerful, counting

    def _devices(self) -> dict[DeviceId, Device]:
        links = self._ancestry.links
        account = links[0].account
        standing = self._standing.alone | self._standing.ringed
        removed = {_key(links[place]) for place in places_of(standing) if links[place].kind is LinkKind.REVOKE}
        adding: defaultdict[DeviceKey, list[int]] = defaultdict(list)
        for place, link in enumerate(links):
            if link.device_name is not None:
                adding[_key(link)].append(place)
        found = {}
        for key, places in adding.items():
            good = [place for place in places if self._counting >> place & 1]
            first = links[min(good or places, key=self._rank)]
            by_root = first.kind is LinkKind.GENESIS or self._granting[first.signer, _Role.ROOT] & 1
            found[device_id(account, key)] = Device(
                device_id(account, key),
                key,
                first.device_name or "",
                admin=any(links[place].admin for place in good),
                active=bool(good) and key not in removed,
                added_by=None if by_root else device_id(account, DeviceKey(first.signer)),
            )
        return found

    def _nickname(self) -> str:
        named = [place for place in places_of(self._counting) if self._ancestry.links[place].nickname]
        return self._ancestry.links[max(named, key=self._rank)].nickname or ""

    def _rank(self, place: int) -> tuple[int, ChainLinkId]:
        return self._ancestry.above[place].bit_count(), self._ancestry.links[place].id

    def _side_by_side(self) -> int:
        """Return the links that stand beside another one of the same signer: those of an honest device form a line."""
        found = 0
        for signed in self._signed.values():
            earlier = 0
            for place in places_of(signed):
                if beside := earlier & ~self._ancestry.above[place]:
                    found |= beside | 1 << place
                earlier |= 1 << place
        return found


_REMOVING = (LinkKind.REVOKE, LinkKind.REROOT)


def _key(link: ChainLink) -> DeviceKey:
    assert link.device_key is not None  # by crypto.chain.parse
    return link.device_key
