"""A checker for protocols written as Horn clauses: what can the attacker come to know, in any number of sessions at once?

The method is that of ProVerif (Blanchet, "An efficient cryptographic protocol verifier based on Prolog rules", CSFW 2001; with
disequalities and pairs of terms for equivalence: Blanchet, Abadi, Fournet, LICS 2005). A clause says: who has all of its hypotheses has
its conclusion. Clauses are resolved with each other until nothing new comes; a hypothesis "the attacker has x", with x a variable, is
left alone, as he always has something. What then concludes a goal is a way to it; where nothing does, there is none. Fresh values are
functions of what was seen before they were made, so the answer "no way" is right for every run, while a way that is found may be none
in reality and is to be read by people.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.symbolic.terms import Binding, Renaming, Substitution, Term, match, show, unify, variables, walk

KNOWN = frozenset(("att", "att1", "att2", "late", "both"))
"""The attacker has it, from the beginning or from a later moment on; after the keys were lost; the one in this world, the other in that."""
BEGIN = "begin"
"""Hypotheses that stay: that something happened before."""


class TooLong(Exception):
    """The search was given up: it says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    hypotheses: tuple[Term, ...]
    conclusion: Term
    differ: tuple[tuple[Any, Any], ...] = ()
    """Pairs that must not be equal, whatever their negative variables stand for."""
    label: str = ""
    parents: tuple[Clause, ...] = field(default=(), repr=False)
    variables: int = 0
    symbols: int = 0
    """What stands in the hypotheses: what makes a clause needless has nothing else."""
    outline: frozenset[str] = frozenset()
    """The outer functions there, likewise."""

    def __str__(self) -> str:
        given = [show(each) for each in self.hypotheses] + [f"{show(a)} != {show(b)}" for a, b in self.differ]
        return f"{show(self.conclusion)}" + (f" <- {', '.join(given)}" if given else "")

    def steps(self) -> list[str]:
        """Return the labels of the protocol's and the attacker's steps that this clause stands for, each once, in the order of use."""
        found: dict[str, None] = {}
        seen: set[int] = set()
        stack: list[tuple[Clause, bool]] = [(self, False)]
        while stack:
            clause, left = stack.pop()
            if left:
                if clause.label:
                    found.setdefault(clause.label)
            elif id(clause) not in seen:
                seen.add(id(clause))
                stack.append((clause, True))
                stack.extend((parent, False) for parent in reversed(clause.parents))
        return list(found)


def rule(hypotheses: Sequence[Term], conclusion: Term, label: str = "", differ: Sequence[tuple[Any, Any]] = ()) -> Clause:
    return Clause(tuple(hypotheses), conclusion, tuple(differ), label)


class Saturation:
    """All that follows from clauses, as far as it must be known. `solved` are the clauses that nothing more can be put into."""

    def __init__(self, clauses: Iterable[Clause], limit: int = 20_000, enough: Callable[[Clause], bool] = lambda clause: False) -> None:
        """Stop early where a solved clause is `enough`.

        Raises:
            TooLong: after `limit` clauses were kept.
        """
        self._queue: list[tuple[int, int, Clause]] = []
        self._numbers = itertools.count()
        self._kept: dict[tuple[str, ...], list[Clause]] = defaultdict(list)
        self._open: dict[str, list[tuple[Clause, int]]] = defaultdict(list)
        self._solved: dict[str, list[Clause]] = defaultdict(list)
        self._facts: dict[tuple[str, str], list[Clause]] = defaultdict(list)
        self._makes: set[tuple[str, str, int]] = set()
        self._dead: set[int] = set()
        self.kept = 0
        self._enough = enough
        self.stopped = False
        for clause in clauses:
            self._add(clause)
        while self._queue and not self.stopped:
            if self.kept > limit:
                raise TooLong(f"more than {limit} clauses")
            self._take(heapq.heappop(self._queue)[-1])

    def ways_to(self, goal: str) -> list[Clause]:
        """Return the clauses, without hypotheses but "has something" and "happened before", that conclude the predicate `goal`."""
        return [clause for clause in self._solved[goal] if id(clause) not in self._dead]

    def _add(self, clause: Clause) -> None:
        for each in simplified(clause):
            weight = each.conclusion.size + sum(fact.size for fact in each.hypotheses)
            heapq.heappush(self._queue, (weight, next(self._numbers), each))

    def _take(self, clause: Clause) -> None:
        clause = self._without_what_is_had(clause)
        if self._is_redundant(clause):
            return
        self._drop_weaker(clause)
        self._kept[_family(clause.conclusion)].append(clause)
        self.kept += 1
        chosen = self._select(clause)
        if chosen is None:
            self._take_solved(clause)
        else:
            self._open[clause.hypotheses[chosen].head].append((clause, chosen))
            for other in list(self._solved[clause.hypotheses[chosen].head]):
                if id(other) not in self._dead:
                    self._resolve(other, clause, chosen)

    def _take_solved(self, clause: Clause) -> None:
        conclusion = clause.conclusion
        self._solved[conclusion.head].append(clause)
        self.stopped = self.stopped or self._enough(clause)
        if conclusion.head in KNOWN and not isinstance(conclusion.args[0], int):
            head = conclusion.args[0].head
            if not clause.hypotheses and not clause.differ:
                self._facts[conclusion.head, head].append(clause)
            elif _makes_all(clause):
                self._makes.add((conclusion.head, head, len(conclusion.args[0].args)))
        for other, at in list(self._open[conclusion.head]):
            if id(other) not in self._dead:
                self._resolve(clause, other, at)

    def _resolve(self, giver: Clause, taker: Clause, at: int) -> None:
        if not _may_fit(giver.conclusion, taker.hypotheses[at]):
            return
        shift = Renaming(taker.variables)
        conclusion = shift(giver.conclusion)
        bound: Binding = {}
        if not unify(conclusion, taker.hypotheses[at], bound):
            return
        put = Substitution(bound)
        hypotheses = [put(each) for number, each in enumerate(taker.hypotheses) if number != at]
        hypotheses += [put(shift(each)) for each in giver.hypotheses]
        differ = [(put(a), put(b)) for a, b in taker.differ] + [(put(shift(a)), put(shift(b))) for a, b in giver.differ]
        self._add(Clause(tuple(hypotheses), put(taker.conclusion), tuple(differ), "", (giver, taker)))

    def _select(self, clause: Clause) -> int | None:
        """Return the hypothesis to resolve on, the one that the fewest clauses fit; None where the conclusion's turn is."""
        best, fewest = None, 0
        for number, each in enumerate(clause.hypotheses):
            if each.head != BEGIN and not _is_always_had(each, clause):
                fits = sum(1 for other in self._solved[each.head] if id(other) not in self._dead and _may_fit(other.conclusion, each))
                if best is None or fits < fewest:
                    best, fewest = number, fits
        return best

    def _without_what_is_had(self, clause: Clause) -> Clause:
        """Leave out hypotheses that the attacker can make of the others."""
        left = list(clause.hypotheses)
        parents = list(clause.parents)
        for each in clause.hypotheses:
            if each.head in KNOWN and len(each.args) == 1 and not isinstance(each.args[0], int):
                others = [other for other in left if other is not each]
                used: list[Clause] = []
                if self._has(each.head, each.args[0], others, used):
                    left = others
                    parents += used
        if len(left) == len(clause.hypotheses):
            return clause
        reduced = Clause(tuple(left), clause.conclusion, clause.differ, clause.label, tuple(parents))
        return next(simplified(reduced), reduced)

    def _has(self, knows: str, term: Any, given: Sequence[Term], used: list[Clause]) -> bool:
        if Term(knows, term) in given:
            return True
        if isinstance(term, int):
            return False
        for fact in self._facts[knows, term.head]:
            if match(fact.conclusion.args[0], term, {}):
                used.append(fact)
                return True
        makes = (knows, term.head, len(term.args)) in self._makes
        return makes and all(self._has(knows, arg, given, used) for arg in term.args)

    def _is_redundant(self, clause: Clause) -> bool:
        return any(
            id(other) not in self._dead and subsumes(other, clause)
            for family in _families(clause.conclusion)
            for other in self._kept.get(family, ())
        )

    def _drop_weaker(self, clause: Clause) -> None:
        for other in self._kept[_family(clause.conclusion)]:
            if id(other) not in self._dead and subsumes(clause, other):
                self._dead.add(id(other))  # it stays in memory, so its id stays its own


def _makes_all(clause: Clause) -> bool:
    """Say whether the clause lets the attacker apply a function to whatever he has."""
    (made, *rest), knows = clause.conclusion.args, clause.conclusion.head
    return (
        not rest
        and not clause.differ
        and len(set(made.args)) == len(made.args)
        and all(isinstance(arg, int) for arg in made.args)
        and all(each.head == knows for each in clause.hypotheses)
    )


def _may_fit(a: Term, b: Term, depth: int = 3) -> bool:
    """Say quickly whether the two could be made equal: their outer functions are alike, some levels deep."""
    for one, other in zip(a.args, b.args, strict=True):
        if isinstance(one, int) or isinstance(other, int) or one is other:
            continue
        if one.head != other.head or len(one.args) != len(other.args):
            return False
        if depth and not _may_fit(one, other, depth - 1):
            return False
    return True


def _family(conclusion: Term) -> tuple[str, ...]:
    """Return where clauses of like conclusions are kept."""
    return conclusion.head, *("" if isinstance(arg, int) else arg.head for arg in conclusion.args[:1])


def _families(conclusion: Term) -> set[tuple[str, ...]]:
    return {_family(conclusion), (conclusion.head, "") if conclusion.args else (conclusion.head,)}


def _is_always_had(hypothesis: Term, clause: Clause) -> bool:
    if hypothesis.head not in KNOWN or not all(isinstance(arg, int) for arg in hypothesis.args):
        return False
    if hypothesis.head == "both" and clause.conclusion.head == "bad":
        return not any(hypothesis.variables & other for other in _others(hypothesis, clause))
    return True


def _others(hypothesis: Term, clause: Clause) -> Iterator[frozenset[int]]:
    yield from (each.variables for each in clause.hypotheses if each is not hypothesis)
    yield from (variables(a) | variables(b) for a, b in clause.differ)


def simplified(clause: Clause) -> Iterator[Clause]:
    """Yield what a clause comes to: lists taken apart, what is always so or said twice left out; nothing if it says nothing."""
    hypotheses: dict[Term, None] = {}
    for each in clause.hypotheses:
        _take_apart(each, hypotheses)
    for differ in _alternatives(clause.differ):
        conclusions: dict[Term, None] = {}
        _take_apart(clause.conclusion, conclusions)
        for conclusion in conclusions:
            if conclusion not in hypotheses:
                yield _numbered(_needed(hypotheses, conclusion, differ), conclusion, differ, clause)


def _take_apart(fact: Term, found: dict[Term, None]) -> None:
    parts = [arg for arg in fact.args if not isinstance(arg, int) and arg.head == "tuple"]
    if fact.head in KNOWN and len(parts) == len(fact.args) and len({len(part.args) for part in parts}) == 1:
        for each in zip(*(part.args for part in parts), strict=True):
            _take_apart(Term(fact.head, *each), found)
    else:
        found.setdefault(fact)


def _needed(hypotheses: Iterable[Term], conclusion: Term, differ: Sequence[tuple[Any, Any]]) -> list[Term]:
    """Leave out "has x" where x stands nowhere else: he always has something."""
    counts: dict[int, int] = defaultdict(int)
    for each in (*hypotheses, conclusion, *(side for pair in differ for side in pair)):
        for variable in variables(each):
            counts[variable] += 1
    return [
        each for each in hypotheses if each.head not in KNOWN or not all(isinstance(arg, int) and counts[arg] == 1 for arg in each.args)
    ]


def _numbered(hypotheses: Sequence[Term], conclusion: Term, differ: Sequence[tuple[Any, Any]], of: Clause) -> Clause:
    anew = Renaming()
    conclusion = anew(conclusion)
    ordered = tuple(anew(each) for each in hypotheses)
    apart = tuple((anew(a), anew(b)) for a, b in differ)
    symbols = 0
    for each in ordered:
        symbols |= each.symbols
    outline = frozenset(arg.head for each in ordered for arg in each.args if not isinstance(arg, int))
    return Clause(ordered, conclusion, apart, of.label, of.parents, anew.next, symbols, outline)


def _alternatives(differ: Sequence[tuple[Any, Any]]) -> Iterator[tuple[tuple[Any, Any], ...]]:
    """Yield the ways in which all pairs can differ, each as pairs that cannot be told simpler; none if a pair is equal."""
    ways: list[list[tuple[Any, Any]]] = [[]]
    for a, b in differ:
        bound: Binding = {}
        if not unify(a, b, bound):
            continue
        needed = [(variable, walk(variable, bound)) for variable in bound if variable >= 0]
        put = Substitution(bound)
        whatever = any(side < 0 for pair in needed for side in variables(put(pair[0])) | variables(put(pair[1])))
        if not needed:
            return
        if whatever:
            ways = [[*way, (a, b)] for way in ways]
        else:
            ways = [
                [*way, (variable, Substitution({k: v for k, v in bound.items() if k != variable})(value))]
                for way in ways
                for variable, value in needed
            ]
    yield from (tuple(dict.fromkeys(way)) for way in ways)


def subsumes(general: Clause, special: Clause) -> bool:
    """Say whether `general` makes `special` needless: it concludes as much from no more."""
    if len(general.hypotheses) > len(special.hypotheses) or general.symbols & ~special.symbols or not general.outline <= special.outline:
        return False
    bound: Binding = {}
    if not match(general.conclusion, special.conclusion, bound):
        return False
    ordered = sorted(general.hypotheses, key=lambda each: -each.size)
    return _covers(ordered, 0, special, bound, general.differ)


def _covers(ordered: list[Term], at: int, special: Clause, bound: Binding, differ: Sequence[tuple[Any, Any]]) -> bool:
    if at == len(ordered):
        return _differ_alike(differ, special.differ, bound)
    wanted = ordered[at]
    for each in special.hypotheses:
        if each.head == wanted.head:
            further = dict(bound)
            if match(wanted, each, further) and _covers(ordered, at + 1, special, further, differ):
                return True
    return False


def _differ_alike(general: Sequence[tuple[Any, Any]], special: Sequence[tuple[Any, Any]], bound: Binding) -> bool:
    for a, b in general:
        if not any(match(Term("pair", a, b), Term("pair", *pair), dict(bound)) for pair in (*special, *((y, x) for x, y in special))):
            return False
    return True
