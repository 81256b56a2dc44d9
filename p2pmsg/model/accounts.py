"""Who somebody is: chain links, what a chain says, and what I keep about a contact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId, DeviceKey


class LinkKind(StrEnum):
    """Kinds of account chain link that this version understands; others are refused."""

    GENESIS = "genesis"
    PROFILE = "profile"
    ADD = "add"
    REVOKE = "revoke"
    REROOT = "reroot"


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One signed link of an account chain; `body` holds the exact bytes that were signed."""

    id: ChainLinkId
    kind: LinkKind
    signature: bytes
    body: bytes
    account: AccountId
    previous: tuple[ChainLinkId, ...]
    """Sorted; empty in genesis only."""
    signer: bytes
    """The Ed25519 key that signed: the recovery root's or a device's."""
    nickname: str | None = None
    device_key: DeviceKey | None = None
    """Who is named: in genesis the first device, in `add` the new one, in `revoke` who is put out, in `reroot` the admin that signs too."""
    device_name: str | None = None
    backup_key: bytes | None = None
    root_key: bytes | None = None
    """In `reroot`: the recovery root from now on."""
    admin: bool = False
    """In `add`: the new device may add and remove others."""
    second: bytes = b""
    """The other signature: in `add` the new device's, in `reroot` the admin's."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its account's chain tells it."""

    id: DeviceId
    key: DeviceKey
    name: str
    admin: bool
    active: bool
    added_by: DeviceId | None = None
    """Who signed its `add`; None where the recovery root did."""


class Alarm(StrEnum):
    """What says that an account may be in other hands than it was."""

    WENT_BACK = "went_back"
    """A device shows the chain without a link of its own: it was put back from an old copy."""
    SIDE_BY_SIDE = "side_by_side"
    """Two links of one signer side by side: a copied device, or a key in two hands."""
    BY_ROOT = "by_root"
    """The recovery words were used."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What an account chain says once resolved: the answer of `authority.resolve`."""

    account: AccountId
    heads: tuple[ChainLinkId, ...]
    """Sorted ids of the links that no other link names as predecessor."""
    links: frozenset[ChainLinkId]
    devices: dict[DeviceId, Device]
    nickname: str
    previous: Mapping[ChainLinkId, tuple[ChainLinkId, ...]] = field(default_factory=dict, repr=False)
    """The predecessors that each link names."""
    side_by_side: frozenset[ChainLinkId] = frozenset()
    """Links that stand beside another one of the same signer: an honest device makes none."""
    by_root: frozenset[ChainLinkId] = frozenset()
    """Links after genesis that the recovery root signed alone."""

    def cover(self, heads: Iterable[ChainLinkId], older: Iterable[ChainLinkId]) -> bool:
        """Say whether each link in `older` is one of `heads` or an ancestor of one."""
        sought = set(older)
        seen = set(heads)
        stack = list(seen)
        while stack and not sought <= seen:
            fresh = set(self.previous.get(stack.pop(), ())) - seen
            seen |= fresh
            stack += fresh
        return sought <= seen

    def active(self, device: DeviceId) -> bool:
        """Say whether the device may speak for the account now."""
        known = self.devices.get(device)
        return known is not None and known.active


class Trust(StrEnum):
    """How sure I am that a contact is who the name says."""

    UNVERIFIED = "unverified"
    INVITED = "invited"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody I talk to. `name` is the local name, or None where only the nickname counts."""

    account: AccountId
    name: str | None
    nickname: str
    trust: Trust
    verified_by: str | None
    pair_key: bytes | None = field(repr=False)
    """The newest key from which the pair's gate key is made; None once he was blocked, until we become contacts again."""
    presence_key: bytes | None = field(default=None, repr=False)
    """Recognises the contact's announcements; None until the first HELLO."""
    presence_number: int = 0
    holds: int = 0
    """The number of my presence key that he is known to hold; 0: nobody knows."""
    alert: str | None = None
    blocked: bool = False
    last_seen_ms: int | None = None

    @property
    def shown(self) -> str:
        """The local name, else the nickname."""
        return self.name or self.nickname
