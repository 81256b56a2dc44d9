"""Terms are unified and matched as they should be: this is what the whole model rests on."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.symbolic.terms import Renaming, Substitution, Term, contains, match, show, unify

A, B = Term("a"), Term("b")
TERMS = st.recursive(
    st.sampled_from([A, B]) | st.integers(0, 3),
    lambda inner: st.builds(lambda head, args: Term(head, *args), st.sampled_from("fg"), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=8,
)


def f(*args: Any) -> Term:
    return Term("f", *args)


def test_equal_terms_are_one_object() -> None:
    assert f(A, f(B)) is f(A, f(B))
    assert f(A, 1) is not f(A, 2)


@given(TERMS, TERMS)
def test_what_is_unified_becomes_equal(one: Any, other: Any) -> None:
    bound: dict[int, Any] = {}
    if unify(one, other, bound):
        put = Substitution(bound)
        assert put(one) == put(other)


@given(TERMS, TERMS, st.lists(TERMS, min_size=4, max_size=4))
def test_whatever_makes_two_equal_is_found(one: Any, other: Any, values: list[Any]) -> None:
    put = Substitution({number: Renaming(10)(value) for number, value in enumerate(values)})
    if put(one) == put(other):
        assert unify(one, other, {})


@given(TERMS, st.lists(TERMS, min_size=4, max_size=4))
def test_an_instance_matches_its_pattern(pattern: Any, values: list[Any]) -> None:
    put = Substitution({number: Renaming(10)(value) for number, value in enumerate(values)})
    assert match(pattern, put(pattern), {})


@given(TERMS, TERMS)
def test_what_matches_is_an_instance(pattern: Any, term: Any) -> None:
    bound: dict[int, Any] = {}
    renamed = Renaming(10)(term)
    if match(pattern, renamed, bound):
        assert Substitution(bound)(pattern) == renamed


def test_a_variable_is_never_part_of_its_own_value() -> None:
    assert not unify(0, f(0), {})
    assert not unify(f(0, 1), f(Term("g", 1), Term("g", 0)), {})


def test_names_are_found_at_any_depth() -> None:
    assert contains(f(f(0, f(A))), A)
    assert not contains(f(f(0, f(A))), B)


def test_people_can_read_it() -> None:
    assert show(Term("tuple", A, f(0))) == "<a, f(?0)>"
