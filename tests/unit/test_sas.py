from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.crypto import sas
from p2pmsg.model.emoji import WORDS
from tests.unit.people import seeded

X, N_D, N_R, NICK_D, NICK_R = seeded("x"), seeded("n d"), seeded("n r"), b"Bob".ljust(64, b"\0"), b"Ann".ljust(64, b"\0")
T = sas.transcript(X, (N_D, N_R), (NICK_D, NICK_R))


def bits(t: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in t)


@given(st.binary(min_size=32, max_size=32))
def test_what_is_shown_are_the_first_bits(t: bytes) -> None:
    shown, written = sas.strings(t), bits(t)
    assert [f"{number - 1000:013b}" for number in shown.numbers] == [written[0:13], written[13:26], written[26:39]]
    assert [f"{WORDS.index(word):06b}" for word in shown.emoji] == [written[at : at + 6] for at in range(0, 42, 6)]


def test_the_least_and_the_greatest() -> None:
    assert sas.strings(bytes(32)) == sas.Strings((1000,) * 3, ("Dog",) * 7)
    assert sas.strings(b"\xff" * 32) == sas.Strings((9191,) * 3, ("Pin",) * 7)


def test_everything_counts_and_so_does_whose_it_is() -> None:
    others = {
        sas.transcript(seeded("other x"), (N_D, N_R), (NICK_D, NICK_R)),
        sas.transcript(X, (N_R, N_D), (NICK_D, NICK_R)),
        sas.transcript(X, (N_D, N_R), (NICK_R, NICK_D)),
        sas.transcript(X, (N_R, N_D), (NICK_R, NICK_D)),
        sas.transcript(X, (N_D, seeded("other")), (NICK_D, NICK_R)),
        sas.transcript(X, (N_D, N_R), (NICK_D, b"Anna".ljust(64, b"\0"))),
    }
    assert len(others) == 6 and T not in others


def test_a_commitment_binds_session_nonce_and_name() -> None:
    made = sas.commitment(X, N_D, NICK_D)
    assert made not in (sas.commitment(seeded("y"), N_D, NICK_D), sas.commitment(X, N_R, NICK_D), sas.commitment(X, N_D, NICK_R))
