import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.cli import times

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One hour ahead of UTC until the night after NOON, then two."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        *[("10m", 600), ("2h", 7200), ("7d", 604800), ("90", 90), ("0", 0), ("1.5h", 5400), ("250ms", 0.25), ("1w", 604800)],
        *[("13:30", 1800), ("12:00", 23 * 3600 - 3600), ("2026-03-28T12:00:30Z", 30), ("2026-03-28T14:00:00.5+01:00", 3600.5)],
    ],
)
def test_how_long(words: str, seconds: float) -> None:
    assert times.seconds(words, NOON) == seconds


@pytest.mark.parametrize("words", ["2026-03-28T11:59:59Z", "", "m", "-5", "5 m", "10x", "24:00", "12:60", "1e3", "nan", "2026-03-28", "٣m"])
def test_no_time_or_one_that_has_passed(words: str) -> None:
    with pytest.raises(ValueError):
        times.seconds(words, NOON)


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("10m", "2026-03-28T11:50:00.000Z"),
        ("60", "2026-03-28T11:59:00.000Z"),
        ("12:30", "2026-03-28T11:30:00.000Z"),
        ("13:00", "2026-03-28T12:00:00.000Z"),
        ("13:01", "2026-03-27T12:01:00.000Z"),
        ("2026-03-28T13:00:00+01:00", "2026-03-28T12:00:00.000Z"),
        ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00.000Z"),
    ],
)
def test_since_when(words: str, moment: str) -> None:
    assert times.instant(words, NOON) == moment


@pytest.mark.parametrize("words", ["2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "x", "999999999d"])
def test_no_such_moment(words: str) -> None:
    with pytest.raises(ValueError):
        times.instant(words, NOON)


@given(st.text(max_size=20))
def test_rubbish_is_a_value_error_and_nothing_else(words: str) -> None:
    for read in (times.seconds, times.instant):
        try:
            read(words, NOON)
        except ValueError:
            pass


def test_today_is_the_time_alone() -> None:
    assert times.shown("2026-03-28T08:05:59.999Z", NOON) == "09:05"
    assert times.shown("2026-03-27T22:59:00.000Z", NOON) == "2026-03-27 23:59"
    assert times.shown("2026-03-27T23:00:00.000Z", NOON) == "00:00"
    assert times.shown(None, NOON) == "-"


def test_yesterday_has_its_date_though_it_was_an_hour_ago() -> None:
    after_midnight = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)  # 00:30 here
    assert times.shown("2026-03-28T22:45:00.000Z", after_midnight) == "2026-03-28 23:45"
    assert times.shown("2026-03-28T23:15:00.000Z", after_midnight) == "00:15"


def test_a_day_with_another_number_of_hours_is_one_day() -> None:
    evening = datetime(2026, 3, 29, 18, 0, tzinfo=UTC)  # 20:00 here, in the night before the clocks were put forward
    assert times.shown("2026-03-28T23:00:00.000Z", evening) == "00:00"
    assert times.shown("2026-03-29T00:59:00.000Z", evening) == "01:59" and times.shown("2026-03-29T01:01:00.000Z", evening) == "03:01"
    autumn = datetime(2026, 10, 25, 22, 0, tzinfo=UTC)
    assert (
        times.shown("2026-10-24T22:00:00.000Z", autumn) == "00:00" and times.shown("2026-10-24T21:59:00.000Z", autumn) == "2026-10-24 23:59"
    )


def test_what_our_clock_said_then() -> None:
    assert times.shown(times.by_our_clock("2026-03-28T11:03:00.000Z", 7200), NOON) == "10:03"
    assert times.by_our_clock("9999-12-31T00:00:00Z", -1e12) == "9999-12-31T00:00:00Z"


def test_what_ends_soon_is_shown_to_the_second(berlin: None) -> None:
    here = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
    assert times.until("2026-01-31T12:01:05.005Z", here) == "13:01:05"
    assert times.until("2026-01-31T12:01:31Z", here) == "13:01"
    assert times.until("2026-02-01T12:01:31Z", here) == "2026-02-01 13:01"


def test_how_much_later() -> None:
    assert times.seconds_after("2026-01-31T12:00:01.500Z", "2026-01-31T12:00:00.000Z") == 1.5
    assert times.seconds_after("2026-01-31T12:00:00.000Z", "2026-01-31T13:00:00+00:00") == -3600
