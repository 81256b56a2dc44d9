import pytest

from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.ids import ID_BYTES, AccountId

ME, BOB, EVE = (AccountId(bytes((n,)) * ID_BYTES) for n in (1, 2, 3))
PAIR = GateRow(b"secret", Purpose.PAIR, BOB)


def invite(ended: Ended | None = None, spent_by: AccountId | None = None) -> GateRow:
    return GateRow(b"secret", Purpose.INVITE, None, ended, spent_by)


def test_a_pair_opens_for_its_other_half_alone() -> None:
    assert PAIR.opens_for(BOB, ME)
    assert not PAIR.opens_for(EVE, ME) and not PAIR.opens_for(ME, ME)


def test_an_invite_opens_for_anybody_but_me_and_nobody() -> None:
    assert invite().opens_for(BOB, ME) and invite().opens_for(EVE, ME)
    assert not invite().opens_for(ME, ME) and not invite().opens_for(AccountId(bytes(ID_BYTES)), ME)


@pytest.mark.parametrize(
    "row,reason",
    [
        (invite(), None),
        (invite(Ended.EXPIRED), Ended.EXPIRED),
        (invite(Ended.WITHDRAWN), Ended.WITHDRAWN),
        (invite(Ended.USED, spent_by=EVE), Ended.USED),
        (invite(Ended.USED, spent_by=BOB), None),
        (invite(Ended.EXPIRED, spent_by=BOB), None),
        (invite(Ended.WITHDRAWN, spent_by=BOB), Ended.WITHDRAWN),
        (PAIR, None),
    ],
)
def test_why_a_row_admits_bob_no_more(row: GateRow, reason: Ended | None) -> None:
    assert row.ended_for(BOB) is reason


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(PAIR)
