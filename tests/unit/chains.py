"""Account chains in the abstract: links without bytes and signatures; and the rules of removals once more, by brute force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import strategies as st

from p2pmsg.crypto.chain import device_id
from p2pmsg.model.accounts import ChainLink, LinkKind, Membership
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceKey

ROOT = b"root".ljust(32)
KEYS = tuple(DeviceKey(f"device {n}".encode().ljust(32)) for n in range(12))
ROOTS = (ROOT, b"root 1".ljust(32), b"root 2".ljust(32))
Chain = list[ChainLink]


def link_id(number: int) -> ChainLinkId:
    return ChainLinkId((number * 7919 % 65_536).to_bytes(2, "big") * 16)  # ids come in another order than links


ACCOUNT = AccountId(link_id(0))
GENESIS = ChainLink(ACCOUNT, LinkKind.GENESIS, b"", b"", ACCOUNT, (), ROOT, "Ann", KEYS[0], "laptop", b"", admin=True)


def link(kind: LinkKind, number: int, signer: bytes, *previous: ChainLink, **fields: object) -> ChainLink:
    before = tuple(sorted({each.id for each in previous}))
    return replace(ChainLink(link_id(number), kind, b"", b"", ACCOUNT, before, signer), **fields)  # type: ignore[arg-type]


def add(number: int, signer: bytes, key: DeviceKey, *previous: ChainLink, admin: bool = True) -> ChainLink:
    return link(LinkKind.ADD, number, signer, *previous, device_key=key, device_name=f"name {key[7:9].decode().strip()}", admin=admin)


def revoke(number: int, signer: bytes, key: DeviceKey, *previous: ChainLink) -> ChainLink:
    return link(LinkKind.REVOKE, number, signer, *previous, device_key=key)


def reroot(number: int, signer: bytes, admin: DeviceKey, root: bytes, *previous: ChainLink) -> ChainLink:
    return link(LinkKind.REROOT, number, signer, *previous, device_key=admin, root_key=root, backup_key=b"")


def profile(number: int, signer: bytes, nickname: str, *previous: ChainLink) -> ChainLink:
    return link(LinkKind.PROFILE, number, signer, *previous, nickname=nickname)


def active(membership: Membership) -> set[DeviceKey]:
    return {device.key for device in membership.devices.values() if device.active}


def named(membership: Membership, key: DeviceKey) -> object:
    return membership.devices.get(device_id(ACCOUNT, key))


# -- the rules by brute force

Seat = tuple[bytes, str]


@dataclass
class Model:
    """What a chain says, link by link from the definitions; where a choice does not matter it is drawn."""

    links: Sequence[ChainLink]
    random: Random
    alone: set[ChainLinkId] = field(default_factory=set)
    ringed: set[ChainLinkId] = field(default_factory=set)
    ancestors: dict[ChainLinkId, set[ChainLinkId]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_id = {each.id: each for each in self.links}

    def decide(self) -> Model:
        self.strikes = {r.id: {x.id for x in self.links if self.does_strike(r, x)} for r in self.links if self.removed(r)}
        self.support = {x.id: self.all_power_of(x) for x in self.links}
        undecided = set(self.strikes)
        while undecided := {r for r in undecided if not self.fallen(r)}:
            far = {r: self.reachable(r, undecided) for r in undecided}
            ring = self.random.choice([ring for r in undecided if (ring := self.ring_of(r, far)) and self.is_first(ring, far)])
            led = any(self.strikes[soft] & ({r} | self.support[r]) for soft in self.ringed for r in ring)
            (self.ringed if led or len(ring) > 1 else self.alone).update(ring)
            undecided -= ring
        return self

    def active(self) -> set[DeviceKey]:
        removed = {x.device_key for x in self.links if x.kind is LinkKind.REVOKE and x.id in self.alone | self.ringed}
        added = {x.device_key for x in self.links if x.device_name is not None and self.counts(x.id)}
        return {key for key in added if key is not None} - removed

    def before(self, x: ChainLink) -> set[ChainLinkId]:
        if x.id not in self.ancestors:
            self.ancestors[x.id] = {each for p in x.previous for each in (p, *self.before(self.by_id[p]))}
        return self.ancestors[x.id]

    def gives(self, x: ChainLink) -> set[Seat]:
        given = {(x.device_key, "device")} if x.admin else set()
        if x.kind is LinkKind.GENESIS:
            given |= {(x.signer, "root")}
        return given | ({(x.root_key, "root")} if x.root_key else set())  # type: ignore[return-value]

    def power(self, x: ChainLink, seat: Seat) -> set[ChainLinkId]:
        return {each for each in self.before(x) if seat in self.gives(self.by_id[each])}

    def seats(self, x: ChainLink) -> list[Seat]:
        if x.kind is LinkKind.GENESIS:
            return []
        own = (x.signer, "root") if self.power(x, (x.signer, "root")) else (x.signer, "device")
        return [own, *([(x.device_key, "device")] if x.kind is LinkKind.REROOT else [])]  # type: ignore[list-item]

    def removed(self, x: ChainLink) -> Seat | None:
        if x.kind is LinkKind.REROOT:
            return x.signer, "root"
        return (x.device_key, "device") if x.kind is LinkKind.REVOKE else None  # type: ignore[return-value]

    def does_strike(self, r: ChainLink, x: ChainLink) -> bool:
        return self.removed(r) in self.seats(x) and x.id != r.id and x.id not in self.before(r)

    def all_power_of(self, x: ChainLink) -> set[ChainLinkId]:
        found: set[ChainLinkId] = set()
        for seat in self.seats(x):
            for each in self.power(x, seat):
                found |= {each} | self.all_power_of(self.by_id[each])
        return found

    def fallen(self, x: ChainLinkId) -> bool:
        if any(x in self.strikes[r] for r in self.alone):
            return True
        link = self.by_id[x]
        return any(all(self.fallen(each) for each in self.power(link, seat)) for seat in self.seats(link))

    def counts(self, x: ChainLinkId) -> bool:
        if any(x in self.strikes[r] for r in self.alone | self.ringed):
            return False
        link = self.by_id[x]
        return all(any(self.empowers(each) for each in self.power(link, seat)) for seat in self.seats(link))

    def empowers(self, x: ChainLinkId) -> bool:
        return self.counts(x) and (self.by_id[x].kind is not LinkKind.REROOT or x in self.alone)

    def touches(self, r: ChainLinkId, q: ChainLinkId) -> bool:
        return r != q and bool(self.strikes[r] & ({q} | self.support[q]))

    def reachable(self, r: ChainLinkId, among: set[ChainLinkId]) -> set[ChainLinkId]:
        found, edge = {r}, {r}
        while edge:
            edge = {q for q in among for e in edge if self.touches(e, q)} - found
            found |= edge
        return found

    def ring_of(self, r: ChainLinkId, far: dict[ChainLinkId, set[ChainLinkId]]) -> set[ChainLinkId]:
        return {q for q in far[r] if r in far[q]}

    def is_first(self, ring: set[ChainLinkId], far: dict[ChainLinkId, set[ChainLinkId]]) -> bool:
        return all(q in ring for q, reached in far.items() if reached & ring)


# -- chains drawn


@dataclass
class Scribe:
    """Draws links that a chain may go on with: each signer has power among the ancestors that are drawn, whatever else is known of him."""

    draw: st.DrawFn
    links: Chain = field(default_factory=lambda: [GENESIS])

    def grow(self, count: int, signers: Sequence[bytes], kinds: Sequence[LinkKind], fresh: Sequence[DeviceKey]) -> None:
        for _ in range(count):
            before = self.draw(st.lists(st.sampled_from(self.links), min_size=1, max_size=3))
            model = Model([*self.links, probe := link(LinkKind.PROFILE, 9_000, ROOT, *before)], Random(0))
            able = [key for key in signers if model.power(probe, (key, "root")) or model.power(probe, (key, "device"))]
            if able:
                self.links.append(self._one(self.draw(st.sampled_from(able)), kinds, fresh, before, model, probe))

    def _one(
        self,
        signer: bytes,
        kinds: Sequence[LinkKind],
        fresh: Sequence[DeviceKey],
        before: Iterable[ChainLink],
        model: Model,
        probe: ChainLink,
    ) -> ChainLink:
        number, kind = len(self.links), self.draw(st.sampled_from(kinds))
        admins = [key for key in KEYS if model.power(probe, (key, "device"))]
        if kind is LinkKind.ADD:
            return add(number, signer, self.draw(st.sampled_from(fresh)), *before, admin=self.draw(st.integers(0, 3)) > 0)
        if kind is LinkKind.REROOT and admins and model.power(probe, (signer, "root")):
            return reroot(number, signer, self.draw(st.sampled_from(admins)), self.draw(st.sampled_from(ROOTS)), *before)
        if kind is LinkKind.PROFILE:
            return profile(number, signer, f"name {number}", *before)
        return revoke(number, signer, self.draw(st.sampled_from(KEYS[:6])), *before)
