"""People as the protocol knows them: a root, a device, a chain. Made from a seed, so that a failing test fails again."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from hashlib import blake2b

from p2pmsg.crypto import chain, gates, signing, words
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import AccountId, DeviceId, DeviceKey
from p2pmsg.protocol import authority
from p2pmsg.protocol.knowledge import Identity


def seeded(text: str, size: int = 32) -> bytes:
    """Return bytes that look random and are the same each time."""
    return b"".join(blake2b(f"{text}/{n}".encode()).digest() for n in range(size // 64 + 1))[:size]


@dataclass(slots=True)
class Person:
    """Somebody with one device. Everything is here, what is secret too: an attacker may be given any part."""

    name: str
    nicknames: tuple[str, ...] = ()
    seed: str = ""
    root: tuple[bytes, bytes] = field(init=False, repr=False)
    key: DeviceKey = field(init=False)
    secret: bytes = field(init=False, repr=False)
    links: tuple[ChainLink, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seed = self.seed or self.name
        entropy = seeded(f"{seed}/words")
        self.root = words.root_keypair(entropy)
        self.key, self.secret = signing.keypair(seeded(f"{seed}/device"))
        backup = words.backup_public(entropy)
        first = chain.genesis(self.root[1], self.root[0], self.key, f"{self.name}'s laptop", self.name, backup, seeded(f"{seed}/salt", 16))
        self.links = (chain.parse(first),)
        for nickname in self.nicknames:
            self.rename(nickname)

    def rename(self, nickname: str) -> None:
        heads = authority.heads(self.links)
        self.links = (*self.links, chain.parse(chain.profile(self.secret, self.key, self.account, heads, nickname)))

    def sign(self, message: bytes) -> bytes:
        return signing.sign(self.secret, message)

    @property
    def account(self) -> AccountId:
        return self.links[0].account

    @property
    def device(self) -> DeviceId:
        return chain.device_id(self.account, self.key)

    @property
    def identity(self) -> Identity:
        return Identity(self.account, self.key, self.device, self.sign, self.links, authority.heads(self.links))


def pair_row(a: Person, b: Person, key: bytes = b"\x11" * 32) -> tuple[GateRow, GateRow]:
    """Return the gate row of two contacts as `a` and as `b` have it."""
    gate = gates.pair_gate(key, a.account, b.account)
    return GateRow(gate, Purpose.PAIR, b.account), GateRow(gate, Purpose.PAIR, a.account)


def invite_row(inviter: Person, secret: bytes = b"\x22" * 16) -> GateRow:
    """Return the gate row of an invite, the same for its maker and its user."""
    return GateRow(gates.invite_gate(secret, inviter.account), Purpose.INVITE, None, reference=gates.invite_id(secret))


def join(owner: Person, device: str, *, admin: bool = True, by_root: bool = False, on: tuple[ChainLink, ...] | None = None) -> Person:
    """Return a new device of somebody's account: both hold the chain with the link by which `owner`, or the words, took it in."""
    new = copy(owner)
    new.key, new.secret = signing.keypair(seeded(f"{owner.seed or owner.name}/{device}"))
    secret, signer = (owner.root[1], owner.root[0]) if by_root else (owner.secret, owner.key)
    heads = authority.heads(owner.links if on is None else on)
    body = chain.adding(signer, owner.account, heads, new.key, device, admin=admin)
    owner.links = new.links = (*owner.links, chain.parse(chain.complete(secret, body, chain.agree(new.secret, body))))
    return new


def put_out(owner: Person, other: Person, *, by_root: bool = False, on: tuple[ChainLink, ...] | None = None) -> None:
    """Have `owner`, or the words, put out another device; only `owner` holds the link."""
    secret, signer = (owner.root[1], owner.root[0]) if by_root else (owner.secret, owner.key)
    heads = authority.heads(owner.links if on is None else on)
    owner.links = (*owner.links, chain.parse(chain.revoke(secret, signer, owner.account, heads, other.key)))
