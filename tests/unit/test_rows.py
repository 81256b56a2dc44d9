from __future__ import annotations

import pytest

from p2pmsg.daemon.rows import Row, merged


def test_as_the_contract_has_it() -> None:
    assert Row("disk", True, "fine").as_json() == {"check": "disk", "ok": True, "detail": "fine", "hint": None}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [(True, None, True), (None, None, None), (True, False, False), (None, False, False), (True, True, True)],
)
def test_rows_of_one_check_become_one(one: bool | None, other: bool | None, both: bool | None) -> None:
    assert merged([Row("a", one, "x."), Row("b", None, "-"), Row("a", other, "y.")]) == [Row("a", both, "x. y."), Row("b", None, "-")]


def test_the_hint_is_that_of_the_fault() -> None:
    assert merged([Row("a", None, "", "perhaps"), Row("a", False, "", "do this")])[0].hint == "do this"
    assert merged([Row("a", True, ""), Row("a", None, "", "perhaps")])[0].hint == "perhaps"
