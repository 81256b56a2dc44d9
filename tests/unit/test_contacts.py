"""The contacts in memory, and how many go by each name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.daemon.contacts import Contacts
from p2pmsg.model.accounts import Contact, Trust
from p2pmsg.model.ids import AccountId


def contact(number: int, nickname: str, name: str | None = None) -> Contact:
    return Contact(AccountId(bytes([number]) * 32), name, nickname, Trust.VERIFIED, None, b"")


BOB = contact(1, "Bob")


def test_names_are_counted_in_whatever_case_and_by_what_is_shown() -> None:
    found = Contacts([BOB, contact(2, "BOB"), contact(3, "Bob", name="Robert"), contact(4, "Zoe\u0308")])
    assert [found.called(name) for name in ("bob", "Bob", "Robert", "Zoë", "Carl")] == [2, 2, 1, 1, 0]
    assert list(found) == [BOB.account, *(AccountId(bytes([number]) * 32) for number in (2, 3, 4))]


def test_who_is_renamed_or_removed_is_counted_no_more() -> None:
    found = Contacts([BOB])
    found[BOB.account] = replace(BOB, name="Robert")
    assert (found.called("bob"), found.called("robert")) == (0, 1)
    assert found.pop(BOB.account).name == "Robert" and found.called("robert") == 0
    assert found.pop(BOB.account, None) is None
    found[BOB.account] = BOB
    del found[BOB.account]
    assert found == {} and not found._names
    for lose in (found.pop, found.__delitem__):
        with pytest.raises(KeyError):
            lose(BOB.account)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, "a", "A", "b"]))))
def test_the_count_is_always_that_of_the_names(steps: list[tuple[int, str | None]]) -> None:
    found = Contacts()
    for number, name in steps:
        account = AccountId(bytes([number]) * 32)
        if name is None:
            found.pop(account, None)
        else:
            found[account] = contact(number, name)
        assert found._names == Counter(each.shown.casefold() for each in found.values())
