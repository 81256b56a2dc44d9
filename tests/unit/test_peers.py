"""What replication knows of one link: claims, room, what is owed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol.peers import Giving, LogKey, Peer

KEY: LogKey = (ConversationId(b"c" * 32), b"d" * 8)
OTHER: LogKey = (ConversationId(b"c" * 32), b"e" * 8)


def claim(seq: int, name: bytes = b"i") -> Claim:
    return Claim(KEY[1], seq, name * 8)


@pytest.fixture
def peer() -> Peer:
    return Peer(LinkNumber(1), AccountId(b"a" * 32), DeviceId(b"d" * 32), compare_at=0.0)


def on_its_way(peer: Peer, *items: tuple[LogKey, int, int]) -> None:
    peer.unacknowledged.extend(items)
    peer.unacknowledged_bytes = sum(size for _, _, size in peer.unacknowledged)


def test_a_newer_claim_replaces_the_older(peer: Peer) -> None:
    peer.claim(KEY, claim(3))
    peer.claim(KEY, claim(7))
    assert peer.claims[KEY] == (claim(7),)


def test_claims_of_branches_stand_side_by_side(peer: Peer) -> None:
    peer.claim(KEY, claim(7, b"x"))
    peer.claim(KEY, claim(7, b"y"))
    peer.claim(KEY, claim(7, b"x"))
    assert set(peer.claims[KEY]) == {claim(7, b"x"), claim(7, b"y")}


def test_claims_of_a_log_are_limited(peer: Peer) -> None:
    for n in range(20):
        peer.claim(KEY, claim(7, bytes((n,))))
    assert len(peer.claims[KEY]) == limits.BRANCHES and claim(7, bytes((19,))) in peer.claims[KEY]


def test_a_mebibyte_may_be_on_its_way(peer: Peer) -> None:
    on_its_way(peer, (KEY, 1, limits.UNACKNOWLEDGED_BYTES - 1))
    assert not peer.blocked and peer.room_bytes == 1
    on_its_way(peer, (KEY, 2, 1))
    assert peer.blocked and peer.room_bytes == 0


def test_what_storage_was_asked_for_counts_as_on_its_way(peer: Peer) -> None:
    peer.give(KEY, Giving((), claim(9), reserved_bytes=1000), whole=False)
    assert peer.room_bytes == limits.UNACKNOWLEDGED_BYTES - 1000


def test_a_held_channel_blocks(peer: Peer) -> None:
    peer.held = True
    assert peer.blocked


def test_what_is_to_be_told_waits_for_the_earliest(peer: Peer) -> None:
    peer.tell({KEY}, 5.0)
    peer.tell({OTHER}, 3.0)
    peer.tell({KEY}, 9.0)
    assert (peer.untold, peer.tell_at) == ({KEY, OTHER}, 3.0)


def test_a_repeated_request_starts_anew(peer: Peer) -> None:
    peer.give(KEY, Giving((claim(1),), claim(9)), whole=False)
    peer.give(KEY, Giving((claim(4),), claim(9)), whole=False)
    ((key, giving),) = peer.giving
    assert key == KEY and giving.locator == (claim(4),)


def test_a_repeated_request_is_not_answered_with_what_was_read_for_the_one_before(peer: Peer) -> None:
    first = Giving((claim(4),), claim(9), loading=True, asked=claim(9))
    peer.give(KEY, first, whole=True)
    peer.give(KEY, Giving((claim(1),), claim(9)), whole=True)
    assert len(peer.giving) == 1 and peer.loaded_for(KEY, (claim(4),), claim(9)) is None


def test_of_a_log_with_one_line_one_request_stands_whatever_its_head(peer: Peer) -> None:
    peer.give(KEY, Giving((), claim(5)), whole=True)
    peer.give(KEY, Giving((), claim(9)), whole=True)
    assert [giving.head for _, giving in peer.giving] == [claim(9)]


def test_branches_and_logs_are_given_side_by_side(peer: Peer) -> None:
    for key, head in ((KEY, claim(9, b"x")), (KEY, claim(9, b"y")), (OTHER, claim(9, b"x"))):
        peer.give(key, Giving((), head, loading=True, asked=head), whole=False)
    assert len(peer.giving) == 3
    found = peer.loaded_for(KEY, (), claim(9, b"y"))
    assert found is not None and found.head == claim(9, b"y")
    assert peer.loaded_for(KEY, (), claim(8, b"z")) is None


def test_made_up_branches_push_each_other_out(peer: Peer) -> None:
    for number in range(20):
        peer.give(KEY, Giving((), claim(9, bytes([number]))), whole=False)
    assert len(peer.giving) == limits.BRANCHES


def test_a_request_ends(peer: Peer) -> None:
    giving, same = Giving((), claim(9)), Giving((), claim(9, b"y"))
    peer.give(KEY, giving, whole=False)
    peer.give(KEY, same, whole=False)
    peer.stop_giving(KEY, giving)
    assert peer.giving_of(KEY) is same


def test_requests_at_once_are_limited(peer: Peer) -> None:
    most = limits.HAVE_LOGS * limits.BRANCHES
    peer.giving.extend(
        ((KEY[0], n.to_bytes(8, "big")), Giving((), replace(claim(1), device=n.to_bytes(8, "big")))) for n in range(most - 1)
    )
    peer.give(KEY, Giving((), claim(1)), whole=False)
    with pytest.raises(PeerMisbehaved):
        peer.give(OTHER, Giving((), claim(1)), whole=False)


def test_acknowledged_events_are_no_longer_on_their_way(peer: Peer) -> None:
    on_its_way(peer, (KEY, 1, 10), (KEY, 2, 20), (KEY, 3, 40))
    peer.release(KEY, 2)
    assert list(peer.unacknowledged) == [(KEY, 3, 40)] and peer.unacknowledged_bytes == 40


def test_logs_are_acknowledged_apart(peer: Peer) -> None:
    on_its_way(peer, (KEY, 1, 10), (OTHER, 1, 20), (KEY, 2, 40))
    peer.release(OTHER, 5)
    assert list(peer.unacknowledged) == [(KEY, 1, 10), (KEY, 2, 40)] and peer.unacknowledged_bytes == 50
    peer.release(KEY, 1)
    assert peer.unacknowledged_bytes == 40
    peer.release(KEY, 2)
    peer.release(KEY, 2)
    assert not peer.unacknowledged and peer.unacknowledged_bytes == 0


def test_nothing_to_tell_is_due_at_no_time(peer: Peer) -> None:
    """Once: the node woke a thousand times a second for it."""
    peer.tell((), 0.0)
    assert peer.tell_at is None
