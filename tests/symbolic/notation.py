"""The protocol's messages as terms, in the letters of protocol.md, and what an attacker can do with them.

A domain string is part of the function's name: two domains never meet, as in the bytes. The KEM, hash, MAC, signature and AEAD are ideal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.symbolic.horn import Clause, rule
from tests.symbolic.terms import Term

ANN, BOB, CARL, DAVE, EVE = (Term(name) for name in ("ann", "bob", "carl", "dave", "eve"))
HONEST: Final = (ANN, BOB, CARL, DAVE)
"""Eve is a person, too, with an account and contacts; what she has the attacker has."""

GATE, READY, PROVE, WELCOME, CHAIN, HELLO = (Term(name) for name in ("GATE", "READY", "PROVE", "WELCOME", "CHAIN", "HELLO"))
COMMIT, NONCE, REVEAL, KEY, NEXT, DATA = (Term(name) for name in ("COMMIT", "NONCE", "REVEAL", "KEY", "NEXT", "DATA"))
FRAMES: Final = (GATE, READY, PROVE, WELCOME, CHAIN, HELLO, COMMIT, NONCE, REVEAL, KEY, NEXT, DATA)
NOBODY: Final = Term("NOBODY")
NOTHING: Final = Term("NOTHING")
"""Stands where a mutation leaves something out."""

HASHES: Final = {
    "chain": 2, "heads": 1, "hs/t0": 2, "hs/t1": 3, "hs/t2": 2, "hs/gate": 2, "hs/ready": 2, "hs/key": 4, "ch/d": 1, "ch/r": 1,
    "ch/step": 1, "ch/next": 2, "ch/seal": 1, "pair": 3, "gate/pair": 3, "gate/invite": 2, "gate/sas": 2, "sas": 5, "sas/commit": 3,
}  # fmt: skip
"""H and M by their domain, with the number of parts: whoever has all parts makes the value, and nobody gets a part back."""
SIGNATURES: Final = {"S:chain": 3, "S:hs/prove": 6, "S:hs/welcome": 6}
"""By their domain, the key counted; what is signed is readable, which is more than an attacker gets in reality."""
CONSTRUCTORS: Final = {**HASHES, **SIGNATURES, "public": 1, "SEAL": 4, "frame": 3, "TLS": 2, "tuple": 2}


def tuple_(*parts: Any) -> Term:
    return Term("tuple", *parts)


def att(term: Any) -> Term:
    return Term("att", term)


def public(secret: Any) -> Term:
    return Term("public", secret)


def seal(key: Any, message: Any, info: Any, randomness: Any) -> Term:
    return Term("SEAL", key, message, info, randomness)


def frame(key: Any, kind: Term, payload: Any) -> Term:
    """Return what the channel makes of a frame; its counter is in the key, as a key serves one frame."""
    return Term("frame", key, kind, payload)


def step(key: Any) -> Term:
    return Term("ch/step", key)


def device(person: Term) -> Term:
    return Term("device", person)


def root(person: Term) -> Term:
    return Term("root", person)


def account_of(root_key: Any, device_key: Any) -> Term:
    return Term("chain", root_key, device_key)


def account(person: Term) -> Term:
    return account_of(public(root(person)), public(device(person)))


def heads(account_id: Any) -> Term:
    return Term("heads", account_id)


def proof(account_id: Any, public_key: Any, signature: Term) -> Term:
    return tuple_(account_id, public_key, heads(account_id), signature)


def chain_of(root_secret: Any, device_key: Any) -> Term:
    """Return a chain of one genesis, as CHAIN carries it."""
    key = public(root_secret)
    return tuple_(key, device_key, Term("S:chain", root_secret, key, device_key))


def chain(person: Term) -> Term:
    return chain_of(root(person), public(device(person)))


def nick(person: Term) -> Term:
    return Term("nick", person)


def pair_secret(one: Term, other: Term) -> Term:
    return Term("k_pair", *sorted((one, other), key=repr))


def pair_gate(one: Term, other: Term) -> Term:
    lo, hi = sorted((one, other), key=repr)
    return Term("gate/pair", pair_secret(lo, hi), account(lo), account(hi))


def invite_secret(maker: Term, guest: Term) -> Term:
    """Return the secret of an invite that `maker` gave to `guest`."""
    return Term("secret", maker, guest)


def invite_gate(maker: Term, guest: Term) -> Term:
    return Term("gate/invite", invite_secret(maker, guest), account(maker))


def everyone_knows() -> Iterator[Term]:
    """Yield what is no secret; Eve's secrets are the attacker's."""
    yield from (*FRAMES, NOBODY, NOTHING, EVE, device(EVE), root(EVE), nick(EVE))
    for person in HONEST:
        yield from (person, nick(person), public(device(person)), public(root(person)), chain(person).args[2])
        yield from (pair_secret(person, EVE), invite_secret(person, EVE), invite_secret(EVE, person))


def attacker(knows: str = "att") -> Iterator[Clause]:
    """Yield what the attacker can always do; `knows` is the predicate of what he has."""

    def has(term: Any) -> Term:
        return Term(knows, term)

    for head, parts in CONSTRUCTORS.items():
        yield rule([has(part) for part in range(parts)], has(Term(head, *range(parts))))
    for head, parts in SIGNATURES.items():
        for part in range(1, parts):
            yield rule([has(Term(head, *range(parts)))], has(part))
        yield rule([has(Term(head, *range(parts)))], has(public(0)))
    yield rule([has(seal(public(0), 1, 2, 3)), has(0)], has(1), "the attacker opens a SEAL to a key that he has")
    yield rule([has(frame(0, 1, 2)), has(0)], has(2), "the attacker opens a frame with its key")
    yield rule([has(Term("TLS", 0, 1)), has(0)], has(1))
    for known in everyone_knows():
        yield rule([], has(known))
