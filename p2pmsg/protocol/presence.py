"""Whom to dial, where and when (DESIGN 9). An address is a hint; presence is the live link.

Contacts that announce themselves are dialled at once, before all others; those seen within the last hour are redialled every 5 s
where they were last; a failure counts against its address only, never against the account.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.messages import Dial

SOON_S: Final = 0.2
"""A network that has lost one packet often loses the next."""
UNREACHABLE_S: Final = 2 * limits.HANDSHAKE_TIMEOUT_S
LATELY_S: Final = limits.ANNOUNCE_MIN_S * 1.25
"""Who announces himself is heard within this time."""
_HEARD: Final = frozenset({Path.MDNS, Path.BEACON})
_FOR_EVER: Final = frozenset({Path.STATIC, Path.DNS_SD})
"""Paths whose addresses stay until they are replaced, though nobody was ever seen there."""
_ASKED_FOR: Final = frozenset({Path.SWEEP})
"""Paths that no setting switches: the user asks for each use of them."""


@dataclass(frozen=True, slots=True)
class Whereabout:
    """Where a contact may be, as others are told."""

    address: Address
    path: Path
    refusals: int
    """In a row: somebody is there."""


@dataclass(slots=True)
class _Place:
    """One address where a contact may be."""

    path: Path
    seen: float
    """When something last pointed there: an announcement, or a link."""
    due: float
    dialled: float = 0.0
    redial: bool = False
    dialling: bool = False
    refusals: int = 0

    @property
    def turn(self) -> tuple[bool, float]:
        return (True, self.due) if self.redial else (False, -self.seen)


@dataclass(slots=True)
class _Whereabouts:
    places: dict[Address, _Place] = field(default_factory=dict)
    links: int = 0
    silent: float = -math.inf
    """When the last link ended without a goodbye."""
    called: tuple[float, float] | None = None
    """When he was first and last heard announcing since the last link."""


class Presence:
    """What is known of where contacts are; `poll` says whom to dial now."""

    def __init__(self, paths: frozenset[Path]) -> None:
        self._paths = paths | _ASKED_FOR
        self._contacts: dict[AccountId, _Whereabouts] = {}
        self._anybody: dict[Path, tuple[Address, ...]] = {}
        """Addresses where any contact may be: configured ones, and those that the site's DNS names."""
        self._recent: deque[float] = deque(maxlen=limits.DIALS_PER_S)

    def switch(self, paths: frozenset[Path]) -> None:
        """Use these paths from now on: what is known of the others is kept, and not dialled."""
        self._paths = paths | _ASKED_FOR

    def uses(self, path: Path) -> bool:
        """Say whether addresses learnt by this path are dialled. What an invite or a peer itself told of one is something last known."""
        return path in self._paths or (path in (Path.INVITE, Path.INCOMING) and Path.LAST_KNOWN in self._paths)

    # -- what happened

    def contact_added(self, account: AccountId, now: float) -> None:
        whereabouts = self._contacts.setdefault(account, _Whereabouts())
        for path, addresses in self._anybody.items():
            for address in addresses:
                self._place(whereabouts, address, path, now)

    def met(self, account: AccountId, address: Address, path: Path, now: float) -> None:
        """The contact was at an address, though that link may end before it is open: it is tried there again."""
        if (whereabouts := self._contacts.get(account)) is not None:
            whereabouts.places.setdefault(address, _Place(path, now, now + limits.REDIAL_EVERY_S, redial=True))
            self._trim(whereabouts)

    def contact_removed(self, account: AccountId) -> None:
        self._contacts.pop(account, None)

    def anybody_found(self, addresses: Iterable[Address], path: Path, now: float) -> None:
        """These addresses are configured (STATIC), or named by the site's DNS (DNS_SD): any contact may be at each of them."""
        if path not in self._paths:
            return
        gone = set(self._anybody.get(path, ()))
        self._anybody[path] = tuple(addresses)
        gone.difference_update(self._anybody[path])
        for whereabouts in self._contacts.values():
            for address in gone & whereabouts.places.keys():
                if whereabouts.places[address].path is path and not whereabouts.places[address].dialling:
                    del whereabouts.places[address]
            for address in self._anybody[path]:
                self._place(whereabouts, address, path, now)

    @property
    def missing(self) -> bool:
        """Say whether there is a contact without a link."""
        return any(not whereabouts.links for whereabouts in self._contacts.values())

    def seeking(self, now: float) -> bool:
        """Say whether a contact has fallen silent in the last hour and is not back."""
        return any(not each.links and each.silent + limits.REDIAL_FOR_S > now for each in self._contacts.values())

    def sighted(self, account: AccountId, addresses: Iterable[Address], path: Path, now: float) -> None:
        """Something points at a contact's addresses: an announcement, or what was last known on this network."""
        whereabouts = self._contacts.get(account)
        if whereabouts is not None and path in self._paths:
            if path in _HEARD and not whereabouts.links:
                whereabouts.called = (whereabouts.called or (now, now))[0], now
            for address in list(addresses)[: limits.ADDRESSES_PER_CONTACT]:
                self._place(whereabouts, address, path, now)

    def link_opened(self, account: AccountId, address: Address, path: Path, now: float) -> None:
        """A link to the contact stands: it is not dialled while it does, and there first when it no longer does."""
        whereabouts = self._contacts.get(account)
        if whereabouts is None:
            return
        whereabouts.links += 1
        whereabouts.called = None
        place = whereabouts.places.get(address)
        if place is None:
            whereabouts.places[address] = place = _Place(path, now, now)
            self._trim(whereabouts)
        place.seen, place.redial = now, True

    def link_closed(self, account: AccountId, address: Address, now: float, *, said_goodbye: bool, dialled: bool = True) -> None:
        """The link ended: redial after a moment, later if one of the two closed it for a reason.

        Both ends notice silence at about the same time. So that their redials, and those to one contact's addresses, do not fall together
        ever after, who had dialled begins, and the other follows half a period later.
        """
        whereabouts = self._contacts.get(account)
        if whereabouts is None:
            return
        whereabouts.links = max(0, whereabouts.links - 1)
        whereabouts.silent = -math.inf if said_goodbye else now
        whereabouts.called = None
        for at, place in whereabouts.places.items():
            apart = (0.0 if dialled else 0.5) + (0.0 if at == address else 0.25)
            place.due = now + (limits.REDIAL_EVERY_S if said_goodbye else SOON_S + apart * limits.REDIAL_EVERY_S)
            if at == address:
                place.seen, place.redial = now, True

    def dial_ended(self, account: AccountId, address: Address, now: float, *, refused: bool = False) -> None:
        """A dial became a link, or did not: the address is due again 5 s after that dial, later after each refusal."""
        whereabouts = self._contacts.get(account)
        if whereabouts is not None and (place := whereabouts.places.get(address)) is not None:
            place.refusals = place.refusals + 1 if refused else 0
            rest_s = limits.REDIAL_EVERY_S * (1 << min(place.refusals, 4))
            place.dialling, place.redial, place.due = False, True, max(now, place.dialled + rest_s)

    def moved(self, account: AccountId, now: float) -> None:
        """A link ended because an address of mine is gone: its other end does not know, so the contact is sought as if just heard."""
        if (whereabouts := self._contacts.get(account)) is not None:
            for place in whereabouts.places.values():
                place.due, place.redial = now, False

    def network_changed(self, reachable: Iterable[AccountId], now: float) -> None:
        """Addresses of mine changed: everybody not linked is tried again soon, wherever they were."""
        for account in reachable:
            if (whereabouts := self._contacts.get(account)) is not None:
                for place in whereabouts.places.values():
                    place.due = min(place.due, now)

    def unreachable(self, now: float) -> list[AccountId]:
        """Return the contacts who announce themselves here, and to whom no dial has led for a while, not even to a refusal."""
        return [
            account
            for account, each in self._contacts.items()
            if each.called is not None
            and each.called[0] + UNREACHABLE_S <= now <= each.called[1] + LATELY_S
            and not any(place.refusals for place in each.places.values())
        ]

    def places(self, account: AccountId) -> list[Whereabout]:
        """Return where a contact may be, the places that were pointed at last first."""
        known = self._contacts.get(account, _Whereabouts()).places
        return [Whereabout(at, known[at].path, known[at].refusals) for at in sorted(known, key=lambda at: -known[at].seen)]

    # -- what is due

    def poll(self, now: float) -> list[Dial]:
        """Return the dials due, at most 20 a second: first where somebody was just heard, then redials, the longest overdue first."""
        apart = [(account, whereabouts) for account, whereabouts in self._contacts.items() if not whereabouts.links]
        due = [(account, address, place) for account, whereabouts in apart for address, place in self._due(whereabouts, now)]
        out: list[Dial] = []
        for account, address, place in sorted(due, key=lambda item: item[2].turn):
            if self._spent(now):
                break
            place.dialling, place.dialled = True, now
            self._recent.append(now)
            out.append(Dial(account, address, place.path, place.redial))
        return out

    @property
    def deadline(self) -> float | None:
        """When `poll` is to be called at the latest."""
        due = [p.due for w in self._contacts.values() if not w.links for p in w.places.values() if not p.dialling and self.uses(p.path)]
        earliest = min(due, default=None)
        if earliest is not None and len(self._recent) == limits.DIALS_PER_S:
            earliest = max(earliest, self._recent[0] + 1.0)
        return earliest

    # -- inside

    def _place(self, whereabouts: _Whereabouts, address: Address, path: Path, now: float) -> None:
        place = whereabouts.places.get(address)
        if place is None:
            whereabouts.places[address] = _Place(path, now, now)
            self._trim(whereabouts)
            return
        place.seen = now
        place.redial = place.redial and path in (*_FOR_EVER, Path.LAST_KNOWN)
        if place.path is Path.LAST_KNOWN or place.path not in self._paths:
            place.path = path
        if path not in _FOR_EVER:
            place.due = min(place.due, now)

    def _trim(self, whereabouts: _Whereabouts) -> None:
        """Keep what is static and the newest few; one replayed announcement cannot make a thousand dials."""
        moving = [(place.seen, address) for address, place in whereabouts.places.items() if place.path not in _FOR_EVER]
        for _, address in sorted(moving)[: -2 * limits.ADDRESSES_PER_CONTACT]:
            if not whereabouts.places[address].dialling:
                del whereabouts.places[address]

    def _due(self, whereabouts: _Whereabouts, now: float) -> list[tuple[Address, _Place]]:
        """Return the places that are due, and forget those where nobody was seen for an hour."""
        gone = [
            address
            for address, place in whereabouts.places.items()
            if not place.dialling and place.path not in _FOR_EVER and place.seen + limits.REDIAL_FOR_S < now
        ]
        for address in gone:
            del whereabouts.places[address]
        return [item for item in whereabouts.places.items() if item[1].due <= now and not item[1].dialling and self.uses(item[1].path)]

    def _spent(self, now: float) -> bool:
        return len(self._recent) == limits.DIALS_PER_S and self._recent[0] > now - 1.0
