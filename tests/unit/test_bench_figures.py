"""A figure is told as what it is: reached, eased, or missed."""

from __future__ import annotations

import pytest

from tests.bench.figures import Figure, ease, number, quantile, table


@pytest.mark.parametrize(("value", "verdict"), [(0.5, "aim"), (1.0, "must"), (1.1, "NO")])
def test_a_figure_reaches_what_it_does_not_exceed(value: float, verdict: str) -> None:
    assert Figure("start", value, "s", must=1.0, aim=0.5).verdict(1.0) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(4000, "aim"), (1500, "must"), (1400, "NO")])
def test_a_rate_reaches_what_it_does_not_fall_below(value: float, verdict: str) -> None:
    assert Figure("rate", value, "/s", must=1500, aim=4000, least=True).verdict(1.0) == verdict


def test_only_messages_are_eased() -> None:
    asked = {"must": 10.0, "aim": 4.0}
    assert Figure("send", 15, "ms", of_messages=True, **asked).verdict(2.0) == "must"
    assert Figure("start", 15, "s", **asked).verdict(2.0) == "NO"
    assert Figure("rate", 800, "/s", must=1500, least=True, of_messages=True).verdict(2.0) == "must"


def test_a_machine_as_planned_eases_nothing() -> None:
    assert ease(0.3, 0.05) == ease(0.0, 0.0) == 1.0
    assert ease(0.6, 0.15) == pytest.approx(3.0)


def test_quantiles_are_values_that_were_measured() -> None:
    assert [quantile([5, 1, 4, 2, 3], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 3, 5, 5]


def test_the_table_stays_straight() -> None:
    rows = table([Figure("a", 1, "ms", must=2), Figure("longer name", 12345, "/s")], 1.0).splitlines()
    assert rows[2].index("1 ms") == rows[3].index("12,345") == rows[0].index("value")


@pytest.mark.parametrize(("value", "text"), [(0.0123, "0.012"), (1.5, "1.5"), (12.34, "12.3"), (4449.0, "4,449")])
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
