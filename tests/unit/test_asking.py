"""Who is asked for a log: one at a time, the next after half a second without progress."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.model.events import Claim, Conversation, ConversationKind
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import wire
from p2pmsg.protocol.asking import Asks, Shared, Stored, samples
from p2pmsg.protocol.messages import SendMessage
from p2pmsg.protocol.peers import LogKey, Peer

ANN, BOB = AccountId(b"a" * 32), AccountId(b"b" * 32)
TALK = Conversation(ConversationId(b"c" * 32), ConversationKind.DIRECT, (ANN, BOB))
DEVICE = DeviceId(b"d" * 32)
KEY: LogKey = (TALK.id, DEVICE[:8])


def claim(seq: int, name: bytes = b"i") -> Claim:
    return Claim(KEY[1], seq, name * 8)


class Desk:
    """The asks of one node, and what was said."""

    def __init__(self, held: int = 0) -> None:
        self.shared = Shared(TALK, {KEY[1]: DEVICE}, {KEY[1]: BOB}, {KEY[1]: (claim(held),)} if held else {})
        self.peers: dict[LinkNumber, Peer] = {}
        self.sent: list[SendMessage] = []
        self.asks = Asks({TALK.id: self.shared}, self.peers, self.sent.append)

    def peer(self, number: int, *claims: Claim) -> Peer:
        peer = self.peers[LinkNumber(number)] = Peer(LinkNumber(number), BOB, DEVICE, compare_at=0.0)
        for each in claims:
            peer.claim(KEY, each)
        return peer

    def leaves(self, number: int, now: float) -> None:
        del self.peers[LinkNumber(number)]
        self.asks.link_closed(LinkNumber(number), now)

    def asked(self) -> list[tuple[int, int]]:
        """Return (link, seq asked for) of each request so far."""
        found = []
        for command in self.sent:
            assert isinstance(command.message, wire.Want)
            (one,) = command.message.ranges
            found.append((int(command.link), wire.unpack_claims(one.head)[0].seq))
        return found


def test_who_claims_more_is_asked_from_what_is_held() -> None:
    desk = Desk(held=3)
    desk.peer(1, claim(7))
    assert desk.asks.seek(KEY, 0.0) and desk.asked() == [(1, 7)] and desk.asks.stands(KEY)
    want = desk.sent[0].message
    assert isinstance(want, wire.Want) and wire.unpack_claims(want.ranges[0].locator) == [claim(3)]


def test_nobody_is_asked_for_what_is_held() -> None:
    desk = Desk(held=7)
    desk.peer(1, claim(7))
    desk.peer(2)
    assert not desk.asks.seek(KEY, 0.0) and desk.sent == [] and desk.asks.deadline is None


def test_one_giver_at_a_time() -> None:
    desk = Desk()
    desk.peer(1, claim(7))
    desk.peer(2, claim(9))
    assert desk.asks.seek(KEY, 0.0) and desk.asks.seek(KEY, 0.1)
    assert desk.asked() == [(1, 7)]


def test_a_silent_giver_is_given_up_for_the_next() -> None:
    desk = Desk()
    desk.peer(1, claim(7))
    desk.peer(2, claim(9))
    desk.asks.seek(KEY, 0.0)
    desk.asks.poll(limits.ASK_PATIENCE_S - 0.01)
    assert len(desk.sent) == 1 and desk.asks.deadline == limits.ASK_PATIENCE_S
    desk.asks.poll(limits.ASK_PATIENCE_S)
    assert desk.asked() == [(1, 7), (2, 9)] and desk.asks.stands(KEY)


def test_a_silent_giver_who_is_the_only_one_is_parked() -> None:
    desk = Desk()
    desk.peer(1, claim(7))
    desk.asks.seek(KEY, 0.0)
    desk.asks.poll(1.0)
    assert desk.asked() == [(1, 7)] and not desk.asks.stands(KEY)
    desk.peer(2, claim(7))
    assert desk.asks.seek(KEY, 2.0) and desk.asked() == [(1, 7), (2, 7)]


def test_progress_gives_more_time() -> None:
    desk = Desk()
    desk.peer(1, claim(7))
    desk.asks.seek(KEY, 0.0)
    desk.shared.tips[KEY[1]] = (claim(2),)
    assert not desk.asks.answered(KEY, desk.peers[LinkNumber(1)], Stored((claim(2),), accepted=2), 0.4)
    assert desk.asks.deadline == 0.4 + limits.ASK_PATIENCE_S and len(desk.sent) == 1


def test_an_answered_ask_is_over_and_what_is_left_asked_for_anew() -> None:
    desk = Desk()
    peer = desk.peer(1, claim(7))
    desk.asks.seek(KEY, 0.0)
    peer.claim(KEY, claim(9))
    desk.shared.tips[KEY[1]] = (claim(7),)
    desk.asks.answered(KEY, peer, Stored((claim(7),), accepted=7), 0.1)
    assert desk.asked() == [(1, 7), (1, 9)]
    desk.shared.tips[KEY[1]] = (claim(9),)
    desk.asks.answered(KEY, peer, Stored((claim(9),), accepted=2), 0.2)
    assert len(desk.sent) == 2 and not desk.asks.stands(KEY) and desk.asks.deadline is None


def test_who_gives_what_does_not_fit_is_not_asked_for_it_again() -> None:
    desk = Desk()
    peer = desk.peer(1, claim(7))
    desk.asks.seek(KEY, 0.0)
    desk.asks.answered(KEY, peer, Stored((), gap=True), 0.1)
    assert KEY in peer.withheld and not desk.asks.stands(KEY) and len(desk.sent) == 1


def test_what_one_left_out_is_sought_from_others() -> None:
    desk = Desk()
    peer = desk.peer(1, claim(7))
    peer.withheld.add(KEY)
    desk.peer(2, claim(7))
    desk.asks.seek(KEY, 0.0)
    assert desk.asked() == [(2, 7)]


@pytest.mark.parametrize("stored,gap", [(Stored((), gap=True), True), (Stored((), accepted=1), False)])
def test_a_gap_nobody_asked_about_is_to_be_looked_at(stored: Stored, gap: bool) -> None:
    assert Desk().asks.answered(KEY, None, stored, 0.0) is gap


def test_who_leaves_is_replaced() -> None:
    desk = Desk()
    desk.peer(1, claim(7))
    desk.peer(2, claim(8))
    desk.asks.seek(KEY, 0.0)
    desk.leaves(1, 0.1)
    assert desk.asked() == [(1, 7), (2, 8)]
    desk.leaves(2, 0.2)
    assert not desk.asks.stands(KEY) and desk.asks.deadline is None


def test_a_locator_is_limited() -> None:
    desk = Desk()
    peer = desk.peer(1, claim(7))
    desk.asks.ask(peer, KEY, claim(7), [claim(n) for n in range(1, limits.LOCATOR_ENTRIES + 20)], 0.0)
    want = desk.sent[0].message
    assert isinstance(want, wire.Want) and len(wire.unpack_claims(want.ranges[0].locator)) == limits.LOCATOR_ENTRIES


@given(st.integers(0, 2**63 - 1))
def test_samples_go_back_with_steps_that_double(top: int) -> None:
    found = list(samples(top))
    assert found == sorted(set(found), reverse=True) and all(0 < seq <= top for seq in found)
    assert (not found and top == 0) or found[0] == top
    assert len(found) <= 64
    steps = [a - b for a, b in pairwise(found)]
    assert steps == [1 << n for n in range(len(steps))]


def test_a_giver_that_was_given_up_is_asked_once_more_after_a_while() -> None:
    desk = Desk()
    desk.peer(1, claim(7))
    desk.asks.seek(KEY, 0.0)
    desk.asks.poll(limits.ASK_PATIENCE_S)
    assert desk.asked() == [(1, 7)]
    desk.asks.poll(limits.ASK_PATIENCE_S + limits.ASK_AGAIN_S)
    assert desk.asked() == [(1, 7), (1, 7)]


def test_what_could_not_be_stored_is_asked_for_when_it_is_time() -> None:
    desk = Desk()
    peer = desk.peer(1, claim(7))
    desk.asks.seek(KEY, 0.0)
    desk.asks.failed(peer, KEY)
    assert not desk.asks.seek(KEY, 1.0)
    desk.asks.again(peer, [KEY], 5.0)
    assert desk.asked() == [(1, 7), (1, 7)]
