"""The checker gives the known answers to protocols of the textbooks, with their attacks and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.symbolic.horn import BEGIN, Clause, Saturation, TooLong, rule, subsumes
from tests.symbolic.terms import Term

ALICE, BOB, EVE = Term("alice"), Term("bob"), Term("eve")
BAD = Term("bad")


def att(term: Any) -> Term:
    return Term("att", term)


def both(one: Any, other: Any) -> Term:
    return Term("both", one, other)


def public(secret: Any) -> Term:
    return Term("public", secret)


def sealed(key: Any, *parts: Any) -> Term:
    return Term("seal", key, Term("tuple", *parts))


def key_of(who: Any) -> Term:
    return Term("secret", who)


def public_keys() -> Iterator[Clause]:
    yield rule([att(0)], att(public(0)))
    yield rule([att(0), att(1)], att(Term("seal", 0, 1)))
    yield rule([att(Term("seal", public(0), 1)), att(0)], att(1))
    for who in (ALICE, BOB, EVE):
        yield rule([], att(public(key_of(who))))
    yield rule([], att(key_of(EVE)))


def needham_schroeder(named: bool) -> Iterator[Clause]:
    """Yield the public-key protocol of 1978; with `named`, as Lowe mended it: the second message names its sender."""
    yield from public_keys()
    for peer in (BOB, EVE):
        n_a, n_b = Term("n_A", peer), 1
        begins = Term(BEGIN, Term("runs", ALICE, peer))
        yield rule([], att(sealed(public(key_of(peer)), n_a, ALICE)))
        answer = sealed(public(key_of(ALICE)), n_a, n_b, *([peer] if named else []))
        yield rule([att(answer), begins], att(sealed(public(key_of(peer)), n_b)))
    n_a = 1
    n_b = Term("n_B", n_a)
    read = [att(sealed(public(key_of(BOB)), n_a, ALICE))]
    yield rule(read, att(sealed(public(key_of(ALICE)), n_a, n_b, *([BOB] if named else []))))
    yield rule([*read, att(sealed(public(key_of(BOB)), n_b))], Term("accepts", BOB, ALICE))
    yield rule([*read, att(n_b)], Term("known", n_b))


def test_the_attack_of_lowe_is_found_and_his_mend_holds() -> None:
    old, mended = Saturation(needham_schroeder(named=False)), Saturation(needham_schroeder(named=True))
    wanted = Term(BEGIN, Term("runs", ALICE, BOB))
    assert not all(wanted in clause.hypotheses for clause in old.ways_to("accepts"))
    assert mended.ways_to("accepts")
    assert all(wanted in clause.hypotheses for clause in mended.ways_to("accepts"))


def denning_sacco(named: bool) -> Iterator[Clause]:
    """Yield: Alice sends Bob a signed key under his public key; he answers with a secret under that key, for Alice alone."""
    yield from public_keys()
    yield rule([att(0), att(1)], att(Term("sign", 0, 1)))
    yield rule([att(Term("sign", 0, 1))], att(1))
    yield rule([att(0), att(1)], att(Term("box", 0, 1)))
    yield rule([att(Term("box", 0, 1)), att(0)], att(1))
    for peer in (BOB, EVE):
        session = Term("k", peer)
        said = Term("tuple", session, peer) if named else session
        yield rule([], att(Term("seal", public(key_of(peer)), Term("sign", key_of(ALICE), said))))
    said = Term("tuple", 0, BOB) if named else 0
    yield rule([att(Term("seal", public(key_of(BOB)), Term("sign", key_of(ALICE), said)))], att(Term("box", 0, Term("s"))))
    yield rule([att(Term("s"))], BAD)


@pytest.mark.parametrize("named", [False, True])
def test_a_signed_key_is_passed_on_unless_it_names_its_reader(named: bool) -> None:
    assert bool(Saturation(denning_sacco(named)).ways_to("bad")) is not named


def observer() -> Iterator[Clause]:
    yield rule([both(0, 10), both(1, 11)], both(Term("hash", 0, 1), Term("hash", 10, 11)))
    yield rule([both(0, 1), both(0, 2)], BAD, "equal in one", [(1, 2)])
    yield rule([both(1, 0), both(2, 0)], BAD, "equal in the other", [(1, 2)])
    yield from (rule([], both(each, each)) for each in (ALICE, BOB))


def test_a_hash_of_a_name_can_be_guessed_and_a_salted_one_cannot() -> None:
    plain = rule([], both(Term("hash", ALICE, ALICE), Term("hash", BOB, BOB)))
    salt = Term("salt")
    salted = rule([], both(Term("hash", ALICE, salt), Term("hash", BOB, salt)))
    assert Saturation([*observer(), plain]).ways_to("bad")
    assert not Saturation([*observer(), salted]).ways_to("bad")
    assert Saturation([*observer(), salted, rule([], both(salt, salt))]).ways_to("bad")


def test_two_hashes_that_are_equal_in_one_world_are_seen() -> None:
    one, other = Term("salt 1"), Term("salt 2")
    seen = [
        rule([], both(Term("hash", ALICE, one), Term("hash", ALICE, one))),
        rule([], both(Term("hash", ALICE, one), Term("hash", ALICE, other))),
    ]
    assert Saturation([*observer(), *seen]).ways_to("bad")
    assert not Saturation([*observer(), seen[0]]).ways_to("bad")


def test_what_must_differ_is_never_made_equal() -> None:
    clauses = [rule([att(0)], Term("taken", 0), "", [(0, ALICE)]), rule([Term("taken", ALICE)], BAD), rule([], att(ALICE))]
    assert not Saturation(clauses).ways_to("bad")
    assert Saturation([*clauses, rule([Term("taken", BOB)], BAD), rule([], att(BOB))]).ways_to("bad")


def test_the_way_is_told_in_its_order() -> None:
    clauses = [rule([], att(ALICE), "first"), rule([att(ALICE)], Term("told", BOB), "then"), rule([Term("told", 0)], BAD, "at last")]
    (way,) = Saturation(clauses).ways_to("bad")
    assert way.steps() == ["first", "then", "at last"]


def test_what_never_ends_is_given_up() -> None:
    clauses = [rule([], Term("n", ALICE)), rule([Term("n", 0)], Term("n", Term("s", 0)))]
    with pytest.raises(TooLong):
        Saturation(clauses, limit=50)


def test_a_clause_that_needs_less_makes_another_needless() -> None:
    def clause(*hypotheses: Term) -> Clause:
        (made,) = Saturation([rule([*hypotheses, Term("never")], att(Term("f", 0)))])._kept["att", "f"]
        return made

    general, special = clause(), clause(Term("p", 0), Term("q", ALICE))
    assert subsumes(general, special)
    assert not subsumes(special, general)
