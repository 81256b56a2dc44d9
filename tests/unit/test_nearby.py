from dataclasses import replace

from p2pmsg.config import limits
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.nearby import Nearby


def visible(number: int, nickname: str = "Ann") -> Announcement:
    return Announcement(number.to_bytes(10, "big"), b"at %d" % number, bytes(64), nickname=nickname)


def test_those_heard_since_then_oldest_first() -> None:
    nearby = Nearby()
    for number, at in ((1, 1.0), (2, 2.0), (3, 3.0), (2, 4.0)):
        nearby.note(visible(number), at)
    assert nearby.since(2.0) == [visible(3), visible(2)]
    assert nearby.since(5.0) == []


def test_a_node_that_began_anew_is_one() -> None:
    nearby, old, other = Nearby(), visible(1), replace(visible(3), nickname="Bob", addresses=visible(1).addresses)
    new = replace(visible(2), addresses=old.addresses)
    for each in (old, other, new, old):  # the old one is answered once more
        nearby.note(each, 1.0)
    assert nearby.since(0.0) == [other, new]
    nearby.gone(old.nonce)
    assert nearby.since(0.0) == [other, new]
    nearby.gone(new.nonce)
    assert nearby.since(0.0) == [other] and len(nearby._numbers) == 1


def test_a_goodbye_counts_and_a_stray_one_harms_nobody() -> None:
    nearby = Nearby()
    nearby.note(visible(1), 0.0)
    nearby.gone(visible(2).nonce)
    assert nearby.since(0.0) == [visible(1)]
    nearby.gone(visible(1).nonce)
    assert nearby.since(0.0) == []


def test_another_name_under_a_nonce_replaces_the_one_before() -> None:
    nearby = Nearby()
    nearby.note(visible(1), 0.0)
    nearby.note(visible(1, "Anna"), 0.0)
    assert [each.nickname for each in nearby.since(0.0)] == ["Anna"]


def test_at_the_limit_and_one_above() -> None:
    nearby = Nearby()
    for number in range(limits.VISIBLE_REMEMBERED):
        nearby.note(visible(number), 0.0)
    assert visible(0) in nearby.since(0.0)
    nearby.note(visible(limits.VISIBLE_REMEMBERED), 0.0)
    assert len(nearby.since(0.0)) == limits.VISIBLE_REMEMBERED and visible(0) not in nearby.since(0.0)
