"""Two machines that compare, back to back, and whoever sits between them or does not keep to the turn."""

from __future__ import annotations

import pytest

from p2pmsg.errors import PeerMisbehaved
from p2pmsg.protocol.verifying import Step, Verification
from p2pmsg.protocol.wire import Verify
from tests.unit.people import Person, seeded

ANN, BOB, EVE = (Person(name).account for name in ("Ann", "Bob", "Eve"))
X, ELSEWHERE = seeded("link"), seeded("another link")


def ann(x: bytes = X, to: bytes = BOB) -> Verification:
    return Verification(asks=True, x=x, mine=ANN, theirs=to, nonce=seeded("a"))  # type: ignore[arg-type]


def bob(x: bytes = X, of: bytes = ANN) -> Verification:
    return Verification(asks=False, x=x, mine=BOB, theirs=of, nonce=seeded("b"))  # type: ignore[arg-type]


def both_see(asks: Verification, asked: Verification) -> None:
    nonce = asked.receive(asks.start())
    assert nonce is not None
    reveal = asks.receive(nonce)
    assert reveal is not None and asked.receive(reveal) is None
    assert asks.strings is not None and asked.strings is not None


def test_both_see_the_same_and_agree_once_both_have_said_yes() -> None:
    one, other = ann(), bob()
    both_see(one, other)
    assert one.strings == other.strings
    assert other.receive(one.consent()) is None
    assert not one.agreed and not other.agreed
    one.receive(other.consent())
    assert one.agreed and other.agreed


def test_a_no_ends_it_on_both_sides() -> None:
    one, other = ann(), bob()
    both_see(one, other)
    other.receive(one.consent())
    one.receive(other.refuse())
    assert one.over and other.over and not one.agreed and not other.agreed


def test_who_sits_between_two_links_makes_both_see_something_else() -> None:
    """Eve is "Bob" to Ann and "Ann" to Bob. She passes on all that is said."""
    one, other = ann(to=EVE), bob(ELSEWHERE, of=EVE)
    with pytest.raises(PeerMisbehaved):  # Ann's commitment is of another link and account
        both_see(one, other)
    assert other.strings is None


def test_who_sits_between_with_numbers_of_her_own_cannot_choose_what_they_see() -> None:
    to_ann = Verification(asks=False, x=X, mine=EVE, theirs=ANN, nonce=seeded("e1"))
    to_bob = Verification(asks=True, x=ELSEWHERE, mine=EVE, theirs=BOB, nonce=seeded("e2"))
    one, other = ann(to=EVE), bob(ELSEWHERE, of=EVE)
    both_see(one, to_ann)
    both_see(to_bob, other)
    assert one.strings != other.strings


@pytest.mark.parametrize("same", ["link", "account"])
def test_the_link_and_the_accounts_count(same: str) -> None:
    one = ann(to=BOB)
    other = bob(X if same == "link" else ELSEWHERE, of=ANN if same == "account" else EVE)
    with pytest.raises(PeerMisbehaved):
        both_see(one, other)


def test_another_nonce_than_it_was_bound_to_is_found_out() -> None:
    one, other = ann(), bob()
    nonce = other.receive(one.start())
    assert nonce is not None
    with pytest.raises(PeerMisbehaved, match="another nonce"):
        other.receive(Verify(Step.REVEAL, seeded("a better one")))


OUT_OF_TURN = [(Step.NONCE, 32), (Step.REVEAL, 32), (Step.YES, 0), (Step.COMMIT, 31), (Step.COMMIT, 0)]


@pytest.mark.parametrize(("step", "size"), OUT_OF_TURN)
def test_what_is_out_of_turn_is_refused(step: Step, size: int) -> None:
    with pytest.raises(PeerMisbehaved):
        bob().receive(Verify(step, bytes(size)))


@pytest.mark.parametrize("step", [Step.COMMIT, Step.NONCE, Step.REVEAL])
def test_nothing_is_said_twice(step: Step) -> None:
    one, other = ann(), bob()
    both_see(one, other)
    with pytest.raises(PeerMisbehaved):
        (one if step is Step.NONCE else other).receive(Verify(step, bytes(32)))
    other.receive(one.consent())
    with pytest.raises(PeerMisbehaved):
        other.receive(Verify(Step.YES, b""))


def test_my_yes_needs_something_to_compare() -> None:
    with pytest.raises(RuntimeError):
        ann().consent()
