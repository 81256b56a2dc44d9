from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.crypto import safety
from p2pmsg.model.ids import AccountId
from tests.unit.people import Person, seeded

ANN, BOB, EVE = (Person(name).account for name in ("Ann", "Bob", "Eve"))
X, N_A, N_B = seeded("x"), seeded("n a"), seeded("n b")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_the_number_has_sixty_digits_and_is_the_same_on_both_sides(a: bytes, b: bytes) -> None:
    one, other = AccountId(a), AccountId(b)
    assert safety.number(one, other) == safety.number(other, one)
    assert len(safety.number(one, other)) == 60 and safety.number(one, other).isdecimal()


def test_other_people_have_other_numbers() -> None:
    assert len({safety.number(a, b) for a, b in itertools.combinations((ANN, BOB, EVE), 2)}) == 3


def test_a_known_number() -> None:
    assert safety.number(AccountId(bytes(32)), AccountId(b"\xff" * 32)) == KNOWN


KNOWN = "361688438670278702221755445027155397673557231340936042035140"


def test_everything_counts_and_so_does_whose_it_is() -> None:
    shown = safety.strings(X, (N_A, N_B), (ANN, BOB))
    others = [(seeded("y"), (N_A, N_B), (ANN, BOB)), (X, (N_B, N_A), (ANN, BOB)), (X, (N_A, N_B), (BOB, ANN)), (X, (N_A, N_B), (ANN, EVE))]
    assert all(safety.strings(*other) != shown for other in others)
    bound = safety.commitment(X, N_A, ANN)
    assert bound not in (safety.commitment(seeded("y"), N_A, ANN), safety.commitment(X, N_B, ANN), safety.commitment(X, N_A, BOB))
