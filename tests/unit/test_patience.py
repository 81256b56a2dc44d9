"""For how long one link waits."""

from __future__ import annotations

import math

from p2pmsg.config import limits
from p2pmsg.network.listener import LinkSettings
from p2pmsg.network.patience import ANSWER_S, WAKING_S, Patience

SETTINGS = LinkSettings(ping_after_s=3.0, handshake_timeout_s=5.0, idle_timeout_s=9.0)


def test_a_handshake_has_its_time_and_people_who_compare_have_theirs_as_well() -> None:
    patience = Patience(SETTINGS, 100.0)
    assert patience.handshake_until == 105.0
    patience.compare(104.0)
    assert patience.handshake_until == 109.0 + limits.COMPARE_TIMEOUT_S


def test_a_handshake_that_nobody_disturbs_takes_half_a_second() -> None:
    patience = Patience(SETTINGS, 100.0)
    assert not patience.undisturbed(100.0 + limits.HALF_OPEN_UNDISTURBED_S - 0.01)
    assert patience.undisturbed(100.0 + limits.HALF_OPEN_UNDISTURBED_S)


def test_a_silent_peer_is_asked_once() -> None:
    patience = Patience(SETTINGS, 100.0)
    assert patience.ping_at(101.0) == 104.0
    patience.pinged(104.0)
    assert patience.ping_at(101.0) == math.inf  # aioquic's timers follow it up
    assert patience.ping_at(104.1) == 107.1
    assert patience.answer_until(101.0) == math.inf  # and nobody gives up for it


def test_who_is_nudged_has_a_moment_to_answer() -> None:
    patience = Patience(SETTINGS, 100.0)
    assert patience.answer_until(None) == math.inf
    patience.nudged(110.0)
    assert patience.answer_until(109.9) == patience.answer_until(None) == 110.0 + ANSWER_S
    assert patience.ping_at(109.9) == math.inf
    assert patience.answer_until(110.0) == math.inf
    assert patience.ping_at(110.0) == 113.0


def test_a_link_that_was_there_before_a_long_sleep_is_over() -> None:
    patience = Patience(SETTINGS, 100.0)
    assert patience.slept_too_long(9.0, 100.1 + WAKING_S)
    assert not patience.slept_too_long(8.9, 100.1 + WAKING_S)
    assert not patience.slept_too_long(3600.0, 100.0 + WAKING_S)  # it may be younger than the sleep
