"""The channel of an open link as clauses: keys that step, and their renewal by KEY and NEXT, for some epochs of some frames.

A state is a fact: "sends(who, epoch, frame, key)" says that somebody's next frame may be sent under this key. Every frame may be data,
KEY or NEXT. Honest sides take what opens under their next key, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from tests.symbolic.handshake import World
from tests.symbolic.horn import BEGIN, Clause, rule
from tests.symbolic.notation import ANN, BOB, DATA, KEY, NEXT, att, attacker, frame, public, seal, step
from tests.symbolic.terms import Term

READ, SECRET_KNOWN = "frame read", "data known"
_KEY = 3
_OTHER = {ANN: BOB, BOB: ANN}


@dataclass(frozen=True, slots=True)
class Size:
    """How many epochs of a direction, and how many frames of an epoch beside the NEXT that ends it."""

    epochs: int = 3
    frames: int = 2


def secret(who: Term, epoch: int, number: int) -> Term:
    """Return what this frame of data says."""
    return Term(f"data {epoch}.{number}", who)


def asked(who: Term, epoch: int) -> Term:
    """Return the secret key that a reader made to renew its peer's epoch."""
    return Term(f"ephemeral {epoch}", who)


def first_key(who: Term) -> Term:
    return Term("first key", who)


def channel(world: World, size: Size = Size()) -> Iterator[Clause]:
    """Yield both directions, the attacker, and what he reads of Ann's memory: `lost` is read before the end, `lost_later` after it."""
    for who in (ANN, BOB):
        yield rule([], _sends(who, 0, 0, first_key(who)))
        yield rule([], _reads(_OTHER[who], 0, 0, first_key(who)))
        for epoch, number in product(range(size.epochs), range(size.frames + 1)):
            yield from _data(world, who, epoch, number, size)
            if epoch + 1 < size.epochs:
                yield from _renewal(world, who, epoch, number, size)
    yield from attacker("att")
    yield from attacker("late")
    yield rule([att(0)], Term("late", 0))
    for knows, lost in (("att", world.lost), ("late", world.lost_later)):
        for fact in lost:
            is_state = fact.head.startswith(("sends", "reads"))
            yield rule([fact] if is_state else [], Term(knows, _KEY if is_state else fact), "Ann's memory is read")


def memory(epoch: int, number: int) -> tuple[Term, Term]:
    """Return the states whose keys are in Ann's memory at a moment: hers as sender and as reader."""
    return _sends(ANN, epoch, number, _KEY), _reads(ANN, epoch, number, _KEY)


def _sends(who: Term, epoch: int, number: int, key: Any) -> Term:
    return Term(f"sends {epoch}.{number}", who, key)


def _reads(who: Term, epoch: int, number: int, key: Any) -> Term:
    """Return that `who` reads the other's frames next under this key."""
    return Term(f"reads {epoch}.{number}", who, key)


def _data(world: World, who: Term, epoch: int, number: int, size: Size) -> Iterator[Clause]:
    key, payload, reader = _KEY, 4, _OTHER[who]
    said = secret(who, epoch, number)
    sent = frame(key, DATA, said)
    place = Term(f"{epoch}.{number}")
    here = f"{who}'s frame {place}"
    if number < size.frames:
        yield rule([_sends(who, epoch, number, key), Term(BEGIN, Term("sent", who, said))], att(sent), f"{here}: data")
        yield rule([_sends(who, epoch, number, key)], _sends(who, epoch, number + 1, _stepped(world, key)))
        got = [_reads(reader, epoch, number, key), att(frame(key, DATA, payload))]
        yield rule(got, _reads(reader, epoch, number + 1, _stepped(world, key)))
        yield rule(got, Term(READ, who, place, payload), f"{here}: is read")
    yield rule([Term("late", said)], Term(SECRET_KNOWN, who, place))


def _renewal(world: World, who: Term, epoch: int, number: int, size: Size) -> Iterator[Clause]:
    """Yield how the direction in which `who` sends is renewed: its reader asks in any of its own frames, `who` answers in this one."""
    key, own_key, ek, seed, randomness, reader = _KEY, 5, 6, 7, 8, _OTHER[who]
    ask = public(asked(reader, epoch))
    for other_epoch, other_number in product(range(size.epochs), range(size.frames)):
        sending = [_reads(reader, epoch, number, own_key), _sends(reader, other_epoch, other_number, key)]
        yield rule(sending, att(frame(key, KEY, ask)), f"{reader} sends KEY for epoch {epoch + 1} of {who}")
        asking = frame(own_key, KEY, ek)
        here = [_sends(who, epoch, number, key), _reads(who, other_epoch, other_number, own_key), att(asking)]
        fresh = Term(f"seed {epoch + 1}", who, ek)
        answer = seal(ek, fresh, Term("ch/seal", ek), Term("r", who, ek))
        yield rule(here, att(frame(key, NEXT, answer)), f"{who} sends NEXT for epoch {epoch + 1}")
        yield rule(here, _sends(who, epoch + 1, 0, _renewed(world, key, fresh)))
        yield rule(here, _reads(who, other_epoch, other_number + 1, _stepped(world, own_key)))
    given = seal(ask, seed, Term("ch/seal", ask), randomness)
    yield rule(
        [_reads(reader, epoch, number, key), att(frame(key, NEXT, given))],
        _reads(reader, epoch + 1, 0, _renewed(world, key, seed)),
        f"{reader} takes NEXT",
    )


def _renewed(world: World, key: Any, seed: Any) -> Term:
    return Term("ch/next", world.part("old key in NEXT", _stepped(world, key)), world.part("seed in NEXT", seed))


def _stepped(world: World, key: Any) -> Any:
    return key if "step" in world.without else step(key)
