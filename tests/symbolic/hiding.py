"""Whether the attacker can tell two worlds apart that differ in who the people are (observational equivalence).

Both worlds run in step: in one Ann dials Bob, in the other Carl dials Dave, with everything else alike. A fact "both(a, b)" says that
the attacker has a in the one and b in the other, by the same way. He tells them apart if two things are equal in one world only, if he
can open something in one only, or if somebody takes his message in one only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.symbolic.handshake import SESSION, World, dialler, responder
from tests.symbolic.horn import BEGIN, Clause, rule
from tests.symbolic.notation import (
    ANN,
    BOB,
    CARL,
    CONSTRUCTORS,
    DAVE,
    EVE,
    SIGNATURES,
    everyone_knows,
    frame,
    invite_gate,
    pair_gate,
    public,
    seal,
)
from tests.symbolic.terms import Substitution, Term, variables

BAD = Term("bad")
_OTHER = 1000
"""The variables of the other world are those of the one plus this; sessions have the same number in both."""


def both(one: Any, other: Any) -> Term:
    return Term("both", one, other)


def strangers(world: World) -> Iterator[Clause]:
    """Yield the two worlds as whoever has no gate key of theirs meets them."""
    yield from _in_step(_people(world, ANN, BOB), _people(world, CARL, DAVE))
    for me in (ANN, BOB, CARL, DAVE):  # Eve's own dealings with each of them, alike in both worlds
        eve = list(dialler(world, me, EVE, pair_gate(me, EVE), "the pair key"))
        eve += responder(world, me, pair_gate(me, EVE), EVE, "the pair key with eve")
        yield from _in_step(eve, eve)
    yield from observer(world)


def without_eve(world: World) -> Iterator[Clause]:
    """Yield the same without Eve's dealings: a stranger who knows nobody."""
    yield from _in_step(_people(world, ANN, BOB), _people(world, CARL, DAVE))
    yield from observer(world)


def guests(world: World) -> Iterator[Clause]:
    """Yield two worlds in which Bob has invited Ann in the one and Carl in the other, and nobody else has the secret."""
    gate = invite_gate(BOB, ANN)
    answers = list(responder(world, BOB, gate, None, "an invite"))
    yield from _in_step(dialler(world, ANN, BOB, gate, "an invite"), dialler(world, CARL, BOB, gate, "an invite"))
    yield from _in_step(answers, answers)
    yield from observer(world)


def _people(world: World, caller: Term, called: Term) -> list[Clause]:
    gate = pair_gate(caller, called)
    return [*dialler(world, caller, called, gate, "the pair key"), *responder(world, called, gate, caller, f"the pair key with {caller}")]


def observer(world: World) -> Iterator[Clause]:
    """Yield what the attacker can do in both worlds at once, and how he tells them apart."""
    a, b, c, d, e = range(5)
    a2, b2, c2, d2 = range(10, 14)
    for head, parts in CONSTRUCTORS.items():
        yield rule([both(n, n + 10) for n in range(parts)], both(Term(head, *range(parts)), Term(head, *range(10, 10 + parts))))
    for head, parts in SIGNATURES.items():
        signed = both(Term(head, *range(parts)), Term(head, *range(10, 10 + parts)))
        yield from (rule([signed], both(part, part + 10)) for part in range(1, parts))
        yield rule([signed], both(public(0), public(10)))
        yield from _only_in_one([], Term(head, *range(parts)), Term(head, *range(10, 10 + parts)), "a signature is one")
    for parts in range(2, 7):
        yield from _only_in_one([], Term("tuple", *range(parts)), Term("tuple", *range(10, 10 + parts)), "a list has as many parts")
    opened, opened2 = seal(public(a), b, c, d), seal(public(a2), b2, c2, d2)
    yield rule([both(opened, opened2), both(a, a2)], both(b, b2), "the attacker opens a SEAL to a key that he has")
    yield from _only_in_one([both(a, a2)], opened, opened2, "a SEAL opens")
    framed, framed2 = frame(a, b, c), frame(a2, b2, c2)
    yield rule([both(framed, framed2), both(a, a2)], both(c, c2), "the attacker opens a frame with its key")
    yield rule([both(framed, framed2)], both(b, b2))
    yield from _only_in_one([both(a, a2)], framed, framed2, "a frame opens")
    yield rule([both(e, d), both(e, d2)], BAD, "two things are equal in one world", [(d, d2)])
    yield rule([both(d, e), both(d2, e)], BAD, "two things are equal in one world", [(d, d2)])
    lost = (*everyone_knows(), Term("X", SESSION), Term("X.d", SESSION), Term("X.r", SESSION), *world.lost)
    yield from (rule([], both(each, each)) for each in lost)


def _only_in_one(given: Sequence[Term], one: Term, other: Term, what: str) -> Iterator[Clause]:
    """Yield that it tells the worlds apart if what the attacker has is of this form in one of them alone."""
    known = frozenset().union(*(each.variables for each in given))
    y = 2 * _OTHER
    yield rule([*given, both(one, y)], BAD, f"{what} in one world", [(y, _whatever(other, known))])
    yield rule([*given, both(y, other)], BAD, f"{what} in one world", [(y, _whatever(one, known))])


def _whatever(pattern: Any, known: frozenset[int]) -> Any:
    """Return the pattern with variables that stand for anything, but for those that are known."""
    return Substitution({each: -1 - each for each in variables(pattern) if each not in known})(pattern)


def _in_step(one: Any, other: Any) -> Iterator[Clause]:
    """Yield what the same people's steps do in both worlds, and that it shows if a message is taken in one alone."""
    steps, steps2 = ([each for each in clauses if each.conclusion.head == "att"] for clauses in (one, other))
    for left, right in zip(steps, steps2, strict=True):
        read = [fact for fact in left.hypotheses if fact.head != BEGIN]
        read2 = [_renamed(fact) for fact in right.hypotheses if fact.head != BEGIN]
        pairs = [(a.args[0], b.args[0]) for fact, fact2 in zip(read, read2, strict=True) for a, b in _parts(fact, fact2)]
        given = [both(a, b) for a, b in pairs]
        yield rule(given, both(left.conclusion.args[0], _renamed(right.conclusion).args[0]), left.label)
        for number, (a, b) in enumerate(pairs):
            if not isinstance(a, int):
                yield from _only_in_one(given[:number], a, b, f"{left.label}: message {number + 1} is taken")


def _parts(one: Term, other: Term) -> Iterator[tuple[Term, Term]]:
    """Yield the parts of a message one by one, as they are read."""
    a, b = one.args[0], other.args[0]
    if isinstance(a, int) or a.head != "tuple":
        yield one, other
    else:
        yield from ((Term("att", x), Term("att", y)) for x, y in zip(a.args, b.args, strict=True))


def _renamed(term: Any) -> Any:
    return Substitution({each: each + _OTHER for each in term.variables if each != SESSION})(term)
