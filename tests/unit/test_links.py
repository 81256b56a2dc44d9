"""Which of two links to one device stays, and whose clock counts."""

from __future__ import annotations

from itertools import count

import pytest

from p2pmsg.config import limits
from p2pmsg.model.ids import AccountId, DeviceId, LinkNumber
from p2pmsg.protocol.links import Links, Opened
from p2pmsg.protocol.messages import NEWER_LINK_KEPT, CloseLink

LOW, HIGH = DeviceId(b"a" * 32), DeviceId(b"b" * 32)
BOB = AccountId(b"B" * 32)
numbers = count(1)


def link(device: DeviceId, *, dialled: bool, instance: bytes = b"1" * 8, ahead_ms: int = 0) -> Opened:
    number = next(numbers)
    return Opened(LinkNumber(number), BOB, device, instance, dialled, ahead_ms, number.to_bytes(8, "big"))


def test_a_first_link_stays() -> None:
    links = Links(LOW)
    assert links.opened(link(HIGH, dialled=True), (), None, 0.0) is None
    assert len(links.of_account(BOB)) == 1


@pytest.mark.parametrize("me,peer", [(LOW, HIGH), (HIGH, LOW)])
def test_when_both_dial_at_once_both_keep_the_lower_ones_dial(me: DeviceId, peer: DeviceId) -> None:
    for first_dialled in (True, False):
        links = Links(me)
        first, second = link(peer, dialled=first_dialled), link(peer, dialled=not first_dialled)
        links.opened(first, (), None, 0.0)
        closed = links.opened(second, (), 0.0, 0.0)
        loser = first if first_dialled != (me < peer) else second
        assert closed == CloseLink(loser.link, NEWER_LINK_KEPT)


def test_two_dials_of_one_side_keep_the_elder() -> None:
    links = Links(LOW)
    links.opened(link(HIGH, dialled=True), (), None, 0.0)
    second = link(HIGH, dialled=True)
    assert links.opened(second, (), 0.0, 0.0) == CloseLink(second.link, NEWER_LINK_KEPT)
    assert second not in list(links)


def test_a_restarted_process_replaces_its_old_link_at_once() -> None:
    links = Links(LOW)
    old = link(HIGH, dialled=True)
    links.opened(old, (), None, 0.0)
    assert links.opened(link(HIGH, dialled=False, instance=b"2" * 8), (), 0.0, 0.0) == CloseLink(old.link, NEWER_LINK_KEPT)
    assert links.closed(old.link) == old
    assert len(links.of_account(BOB)) == 1


def test_a_link_that_has_gone_silent_gives_way() -> None:
    links = Links(LOW)
    old = link(HIGH, dialled=True)
    links.opened(old, (), None, 0.0)
    assert links.opened(link(HIGH, dialled=False), (), 0.0, limits.PING_AFTER_S + 2) == CloseLink(old.link, NEWER_LINK_KEPT)


@pytest.mark.parametrize("dialled", [True, False])
@pytest.mark.parametrize("me,peer", [(LOW, HIGH), (HIGH, LOW)])
def test_a_link_that_is_over_for_the_other_gives_way_at_once(me: DeviceId, peer: DeviceId, dialled: bool) -> None:
    links = Links(me)
    old = link(peer, dialled=True)
    links.opened(old, (), None, 0.0)
    assert links.opened(link(peer, dialled=dialled), (b"another.", old.id), 0.0, 0.0) == CloseLink(old.link, NEWER_LINK_KEPT)


def test_what_is_over_is_told_to_that_device_alone_the_last_ones() -> None:
    links = Links(LOW)
    ended = [link(HIGH, dialled=True) for _ in range(limits.LINKS_OVER + 1)]
    for each in ended:
        links.opened(each, (), None, 0.0)
        links.closed(each.link)
    links.opened(link(HIGH, dialled=True), (), None, 0.0)
    assert links.over(HIGH) == [each.id for each in ended[1:]]
    assert links.over(DeviceId(b"c" * 32)) == []
    assert links.closed(LinkNumber(0)) is None and len(links.over(HIGH)) == limits.LINKS_OVER


def test_devices_do_not_replace_each_other() -> None:
    links = Links(LOW)
    links.opened(link(HIGH, dialled=True), (), None, 0.0)
    assert links.opened(link(DeviceId(b"c" * 32), dialled=True), (), None, 0.0) is None


@pytest.mark.parametrize(
    "others,expected",
    [((), 0), ((3_600_000,), 0), ((3_600_000, 3_600_000), 3_600_000), ((3_600_000, -3_600_000), 0), ((500_000, 500_000), 0)],
)
def test_my_clock_yields_only_to_a_median_over_ten_minutes_off(others: tuple[int, ...], expected: int) -> None:
    links = Links(LOW)
    for index, ahead in enumerate(others):
        links.opened(link(DeviceId(bytes([98 + index]) * 32), dialled=True, ahead_ms=ahead), (), None, 0.0)
    assert links.clock_ahead_ms() == expected
    assert links.skew_ms(DeviceId(b"?" * 32)) is None
