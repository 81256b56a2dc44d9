"""Two people who compare strings (case C) as clauses.

Here TLS protects a session between two honest ends, as the attacker would know the string's key otherwise; one that ends at him he has.
A person says yes if the string on the other one's screen looks like mine. Strings are short, so that whoever knows all that goes into
one can try until it looks like another, if something that goes into it is still his to choose: `forged` is what he chooses then.

What a dialler says in REVEAL must not be known before it has read NONCE. Clauses know no order within a session, so time is cut at the
REVEAL of each dialler that is looked at: the attacker has "att" before the first, "att1" after it, "att2" after the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.symbolic.handshake import SESSION, World, dial, exporters, respond
from tests.symbolic.horn import Clause, rule
from tests.symbolic.notation import ANN, BOB, COMMIT, EVE, NOBODY, NONCE, NOTHING, REVEAL, att, attacker, nick
from tests.symbolic.terms import Substitution, Term

PHASES = ("att", "att1", "att2")
PARTS = 5
"""What goes into the string: X, n_D, n_R, nick_D, nick_R."""
Pairs = Sequence[tuple[Term, Term]]


def compared(world: World, diallers: Pairs = ((ANN, BOB),), responders: Pairs = ((BOB, ANN),)) -> Iterator[Clause]:
    """Yield case C. `diallers` are one session each, at most two, in the order in which they reveal; of all else there is any number."""
    last = len(diallers)
    for number, (me, other) in enumerate(diallers):
        yield from _dials(world, me, other, number, last)
    everywhere = [each for me, other in responders for each in _is_dialled(world, me, other)]
    everywhere += [
        *attacker("att"),
        rule(
            [att(part) for part in range(PARTS + 1)], att(Term("forged", *range(PARTS + 1))), "the attacker tries until strings look alike"
        ),
    ]
    for phase in range(last + 1):
        yield from (_at(each, phase) for each in everywhere)
        if phase:
            yield rule([Term(PHASES[phase - 1], 0)], Term(PHASES[phase], 0))
    yield rule([Term(PHASES[last], 0)], Term("late", 0))


def _at(clause: Clause, phase: int, then: int | None = None) -> Clause:
    """Return what a clause says from a moment on; its conclusion may come at a later one."""
    hypotheses = tuple(_fact_at(each, phase) for each in clause.hypotheses)
    return replace(clause, hypotheses=hypotheses, conclusion=_fact_at(clause.conclusion, phase if then is None else then))


def _fact_at(fact: Term, phase: int) -> Term:
    return Term(PHASES[phase], *fact.args) if fact.head == "att" else fact


def _commitment(world: World, exporter: Any, nonce: Any, name: Any) -> Any:
    parts = world.part("X in COMMIT", exporter), world.part("n_D in COMMIT", nonce), world.part("nick in COMMIT", name)
    return world.part("COMMIT", Term("sas/commit", *parts))


def _string(world: World, exporter: Any, *parts: Any) -> Term:
    return Term("sas", world.part("X in T", exporter), *parts)


def _dials(world: World, me: Term, other: Term, number: int, last: int) -> Iterator[Clause]:
    this_session = Substitution({SESSION: Term(f"session {number}")})
    for session, each in exporters("d"):
        exporter = this_session(each)
        name = f"{me} compares with {other}, dialling{session}"
        own = (me, other, exporter)
        n_d, n_r, nick_r = Term("n_D", *own), 10, 11
        yield rule([], world.sent(exporter, COMMIT, _commitment(world, exporter, n_d, nick(me))), f"{name}: sends COMMIT")
        read = [world.sent(exporter, NONCE, n_r, nick_r)]
        revealed = "REVEAL after NONCE" in world.without
        yield _at(
            rule(read, world.sent(exporter, REVEAL, n_d, nick(me)), f"{name}: reads NONCE, sends REVEAL"),
            number,
            number if revealed else number + 1,
        )
        string = _string(world, exporter, n_d, n_r, nick(me), nick_r)
        yield _at(rule(read, Term("shown", me, string), f"{name}: shows a string"), number)
        yield from (_at(clause, number) for clause in _agree("d", me, other, own, read, string, name))
        t = 12
        gate = Term("gate/sas", t, world.part("X in G", exporter))
        seen = (exporter, [Term("agreed d", *own, t)], (*own, t))
        yield from (_at(clause, last) for clause in dial(world, (me, (20, 21), NOBODY), gate, seen, name, other is not EVE))


def _is_dialled(world: World, me: Term, other: Term) -> Iterator[Clause]:
    for session, exporter in exporters("r"):
        name = f"{me} compares with {other}, dialled{session}"
        commitment, n_d, nick_d = 13, 10, 11
        n_r = Term("n_R", me, other, exporter, commitment)
        yield rule(
            [world.sent(exporter, COMMIT, commitment)], world.sent(exporter, NONCE, n_r, nick(me)), f"{name}: reads COMMIT, sends NONCE"
        )
        bound = _commitment(world, exporter, n_d, nick_d)
        own = (me, other, exporter, bound)
        read = [world.sent(exporter, COMMIT, bound), world.sent(exporter, REVEAL, n_d, nick_d)]
        string = _string(world, exporter, n_d, Term("n_R", *own), nick_d, nick(me))
        yield rule(read, Term("shown", me, string), f"{name}: reads REVEAL, shows a string")
        yield from _agree("r", me, other, own, read, string, name)
        t, before = 12, (me, other, exporter, commitment)
        gate = Term("gate/sas", t, world.part("X in G", exporter))
        seen = (exporter, [Term("agreed r", *before, t)], (*before, t))
        yield from respond(world, me, gate, None, seen, name, EVE if other is EVE else NOBODY)


def _agree(side: str, me: Term, other: Term, own: tuple[Any, ...], read: list[Term], mine: Term, name: str) -> Iterator[Clause]:
    """Yield that I say yes: the other one's screen shows what mine does, or what looks like it. Eve says whatever is wanted."""
    agreed = Term(f"agreed {side}", *own, mine)
    if other is EVE:
        yield rule(read, agreed, f"{name}: yes")
        return
    yield rule([*read, Term("shown", other, mine)], agreed, f"{name}: the strings are equal, yes")
    for at in range(1, PARTS):
        theirs: list[Any] = [30, 31, 32, 33, 34]
        theirs[at] = forged(mine, theirs, at)
        yield rule([*read, Term("shown", other, Term("sas", *theirs))], agreed, f"{name}: their string looks like mine, yes")
    target = 35
    for at, part in enumerate(mine.args):
        # If another part was made after this one was bound, it cannot be chosen any more.
        if isinstance(part, int) and part not in (chosen := forged(target, mine.args, at)).variables:
            put = Substitution({part: chosen})
            yield rule([*map(put, read), Term("shown", other, target)], put(agreed), f"{name}: my string looks like theirs, yes")


def forged(target: Any, parts: Iterable[Any], at: int) -> Term:
    """Return what stands at `at` so that these parts make a string that looks like `target`."""
    return Term("forged", target, *(NOTHING if n == at else part for n, part in enumerate(parts)))
