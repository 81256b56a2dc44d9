from __future__ import annotations

from p2pmsg.config import limits
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.heard import KEPT_S, REPEAT_S, Heard


def announcement(number: int, addresses: bytes = b"addresses") -> Announcement:
    return Announcement(number.to_bytes(10, "big"), addresses, bytes(64))


def test_the_first_time_is_news_and_the_copies_are_not() -> None:
    heard = Heard()
    assert heard.note(announcement(1), 100.0)
    assert not heard.note(announcement(1), 100.1)
    assert not heard.note(announcement(1), 100.0 + REPEAT_S - 0.01)


def test_a_repetition_is_news_again() -> None:
    heard = Heard()
    heard.note(announcement(1), 100.0)
    assert heard.note(announcement(1), 100.0 + REPEAT_S)


def test_copies_do_not_put_off_the_next_news() -> None:
    heard = Heard()
    assert [heard.note(announcement(1), 100 + tenth / 10) for tenth in range(0, 41, 5)].count(True) == 3


def test_other_addresses_under_the_same_nonce_are_news() -> None:
    heard = Heard()
    heard.note(announcement(1), 100.0)
    assert heard.note(announcement(1, b"forged"), 100.0)
    assert heard.count(100.0) == 1


def test_whoever_was_silent_no_longer_counts() -> None:
    heard = Heard()
    heard.note(announcement(1), 100.0)
    heard.note(announcement(2), 200.0)
    assert list(heard.lately(100.0 + KEPT_S)) == [announcement(2)]
    assert heard.count(100.0 + KEPT_S) == 1


def test_the_latest_are_remembered_and_no_more() -> None:
    heard = Heard()
    for number in range(limits.STRANGERS_REMEMBERED + 1):
        heard.note(announcement(number), 100.0)
    assert heard.count(100.0) == limits.STRANGERS_REMEMBERED
    assert announcement(0) not in heard.lately(100.0)


def test_a_flood_makes_a_good_one_news_again_not_silent() -> None:
    heard = Heard()
    heard.note(announcement(0), 100.0)
    for number in range(1, limits.STRANGERS_REMEMBERED + 1):
        heard.note(announcement(number), 100.0)
    assert heard.note(announcement(0), 100.1)
