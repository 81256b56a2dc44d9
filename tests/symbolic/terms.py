"""Terms of the symbolic model: what messages are made of. A variable is an int, everything else an interned `Term`.

Interned means: equal terms are the same object, so that they compare and hash in no time however deep they are. Negative variables
stand for "whatever there may be" and occur in disequalities alone.
"""

from __future__ import annotations

from typing import Any, ClassVar

Binding = dict[int, Any]


class Term:
    """A function with its arguments; without arguments a name."""

    __slots__ = ("args", "head", "size", "symbols", "variables")
    _all: ClassVar[dict[tuple[str, tuple[Any, ...]], Term]] = {}
    _bits: ClassVar[dict[str, int]] = {}

    head: str
    args: tuple[Any, ...]
    size: int
    symbols: int
    """A bit for each function or name that stands anywhere in it."""
    variables: frozenset[int]

    def __new__(cls, head: str, *args: Any) -> Term:
        found = cls._all.get((head, args))
        if found is None:
            found = super().__new__(cls)
            found.head, found.args = head, args
            found.size = 1 + sum(1 if isinstance(arg, int) else arg.size for arg in args)
            found.variables = frozenset().union(*(frozenset((arg,)) if isinstance(arg, int) else arg.variables for arg in args))
            found.symbols = cls._bits.setdefault(head, 1 << len(cls._bits))
            for arg in args:
                if not isinstance(arg, int):
                    found.symbols |= arg.symbols
            cls._all[head, args] = found
        return found

    def __repr__(self) -> str:
        return f"{self.head}({', '.join(map(show, self.args))})" if self.args else self.head


def show(term: Term | int) -> str:
    """Return a term as people read it."""
    if isinstance(term, int):
        return f"?{term}" if term >= 0 else "_"
    if term.head == "tuple":
        return f"<{', '.join(map(show, term.args))}>"
    return repr(term)


def variables(term: Term | int) -> frozenset[int]:
    return frozenset((term,)) if isinstance(term, int) else term.variables


def contains(term: Term | int, name: Term) -> bool:
    return term is name or (not isinstance(term, int) and any(contains(arg, name) for arg in term.args))


def walk(term: Any, bound: Binding) -> Any:
    while isinstance(term, int) and term in bound:
        term = bound[term]
    return term


def unify(a: Any, b: Any, bound: Binding) -> bool:
    """Extend `bound` so that both become equal; say whether that can be. After a False it is of no use any more."""
    stack = [(a, b)]
    while stack:
        a, b = stack.pop()
        a, b = walk(a, bound), walk(b, bound)
        if a is b or a == b:
            continue
        if isinstance(b, int) and (not isinstance(a, int) or b < a):
            a, b = b, a  # where both are variables a negative one is bound first
        if isinstance(a, int):
            if not isinstance(b, int) and _occurs(a, b, bound):
                return False
            bound[a] = b
        elif a.head != b.head or len(a.args) != len(b.args):
            return False
        else:
            stack.extend(zip(a.args, b.args, strict=True))
    return True


def _occurs(variable: int, term: Term, bound: Binding) -> bool:
    stack, seen = [term], set()
    while stack:
        for found in stack.pop().variables:
            if found == variable:
                return True
            if found in bound and found not in seen:
                seen.add(found)
                inner = walk(found, bound)
                if inner == variable:
                    return True
                if not isinstance(inner, int):
                    stack.append(inner)
    return False


def match(pattern: Any, term: Any, bound: Binding) -> bool:
    """Extend `bound` so that the pattern becomes the term, whose own variables stay as they are."""
    stack = [(pattern, term)]
    while stack:
        pattern, term = stack.pop()
        if isinstance(pattern, int):
            if bound.setdefault(pattern, term) != term:
                return False
        elif not pattern.variables:
            if pattern is not term:
                return False
        elif isinstance(term, int) or pattern.symbols & ~term.symbols or pattern.head != term.head or len(pattern.args) != len(term.args):
            return False
        else:
            stack.extend(zip(pattern.args, term.args, strict=True))
    return True


class Substitution:
    """Applies a binding, each inner term once."""

    def __init__(self, bound: Binding) -> None:
        self._bound = bound
        self._done: dict[Any, Any] = {}

    def __call__(self, term: Any) -> Any:
        if isinstance(term, int):
            found = walk(term, self._bound)
            return found if isinstance(found, int) else self(found)
        if not term.variables:
            return term
        done = self._done.get(term)
        if done is None:
            done = self._done[term] = Term(term.head, *map(self, term.args))
        return done


class Renaming:
    """Numbers the variables anew in the order in which they come, from `first` on."""

    def __init__(self, first: int = 0) -> None:
        self.next = first
        self._names: dict[int, int] = {}
        self._done: dict[Term, Term] = {}

    def __call__(self, term: Any) -> Any:
        if isinstance(term, int):
            if term < 0:
                return term
            if term not in self._names:
                self._names[term] = self.next
                self.next += 1
            return self._names[term]
        if not term.variables:
            return term
        done = self._done.get(term)
        if done is None:
            done = self._done[term] = Term(term.head, *map(self, term.args))
        return done
