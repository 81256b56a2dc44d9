"""Whether a log takes an event, and how clocks and orders are made (DESIGN 5); stateless.

A log takes an event on: its signature, known heads, an author active under them, heads no older and a clock greater than in the
predecessor, and the predecessor's id. Missing parents hold back the view, never the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from p2pmsg.config import limits
from p2pmsg.crypto import domains, signing
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import Membership
from p2pmsg.model.events import Event, Header, Tip
from p2pmsg.model.ids import NO_EVENT, ChainLinkId, ConversationId, DeviceId, DeviceKey, EventId
from p2pmsg.protocol import wire


class Verdict(Enum):
    """What becomes of one event that a peer gave."""

    ACCEPT = "accept"
    KNOWN = "known"
    """Held already: nothing changes."""
    FORK = "fork"
    """Another event stands at this number: kept as a branch, and a proof against its device."""
    OLD_COPY = "old copy"
    """An event of my own log that I lack: I am a copy that must write nothing more under this key."""
    HOLD_GAP = "gap"
    """Its predecessor is not held: ask for what lies between."""
    HOLD_HEADS = "heads"
    """It names links of its author's chain that are not known yet."""
    HOLD_REMOVED = "removed"
    """Its device was put out of its account: what I did not hold by then may have been written since, by whoever has the device."""
    HOLD_BODY = "body"
    """Its body was left out though nothing I know of ended it: sought from others, as long as there are any."""


@dataclass(frozen=True, slots=True)
class Held:
    """What storage holds around an event."""

    at_seq: frozenset[EventId]
    """Ids of events of this log with this number."""
    predecessor: Tip | None
    """The event named as previous, where it is held and has the number before."""


def check(event: Event, held: Held, author: Membership, *, mine: bool, now_ms: int, gone: bool = False) -> Verdict:
    """Say what becomes of an event; `mine` where its device is this one, `now_ms` is my wall clock.

    `gone` where a body that was left out is not worth seeking: I hold what deleted it, or its author left it out and nobody else has it.
    The signature is not checked here but once for a whole run, by `verify_run`.

    Raises:
        PeerMisbehaved: no honest device makes such an event, whatever else is known.
    """
    header = event.header
    if event.id in held.at_seq:
        return Verdict.KNOWN
    if header.version != 1 or (header.seq == 1) != (header.previous == NO_EVENT):
        raise PeerMisbehaved("an event has another version, or a first number with a predecessor")
    if header.seq > 1 and held.predecessor is None:
        return Verdict.HOLD_GAP
    if not author.links.issuperset(header.account_heads):
        return Verdict.HOLD_HEADS
    if header.device not in author.devices:
        raise PeerMisbehaved("an event's device may not speak for its account")
    if not author.active(header.device):
        return Verdict.HOLD_REMOVED
    _check_growth(header, held, author)
    if mine:
        return Verdict.OLD_COPY
    if event.body is None and not gone and not _lifetime_over(header, now_ms):
        return Verdict.HOLD_BODY
    return Verdict.FORK if held.at_seq else Verdict.ACCEPT


def _check_growth(header: Header, held: Held, author: Membership) -> None:
    """Along a log clocks and heads only grow."""
    before = held.predecessor
    if before is not None and header.hlc <= before.hlc:
        raise PeerMisbehaved("an event's clock does not exceed its predecessor's")
    if not header.account_heads:
        raise PeerMisbehaved("an event names no heads of its author's chain")
    if before is not None and not author.cover(header.account_heads, before.account_heads):
        raise PeerMisbehaved("an event names older heads than its predecessor")


def _lifetime_over(header: Header, now_ms: int) -> bool:
    return header.lifetime_s > 0 and (header.hlc >> 16) + header.lifetime_s * 1000 <= now_ms


def runs(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cut events of one log into runs in which each names the one before it as its predecessor."""
    start = 0
    for at in range(1, len(events) + 1):
        if at == len(events) or events[at].header.previous != events[at - 1].id:
            yield events[start:at]
            start = at


def verify_run(run: Sequence[Event], key: DeviceKey) -> None:
    """Check the last signature of a run: it covers the run, as each event names the hash of the one before.

    Raises:
        PeerMisbehaved: the signature is not the device's.
    """
    last = run[-1]
    signing.verify(key, last.signature, domains.EVENT + last.header_bytes)


def next_hlc(wall_ms: int, adopted: int, previous: int) -> int:
    """Return a hybrid logical clock later than the log's last and all adopted ones (Kulkarni et al., 2014).

    `adopted` is the greatest clock seen that was not too far ahead (`may_adopt`); all are milliseconds << 16 | counter.
    """
    return max(wall_ms << 16, adopted + 1, previous + 1)


def may_adopt(hlc: int, wall_ms: int) -> bool:
    """Say whether a clock is at most 10 minutes ahead of mine; others are stored but not followed."""
    return hlc >> 16 <= wall_ms + limits.CLOCK_AHEAD_MS


def write(
    tip: Tip | None,
    conversation: ConversationId,
    device: DeviceId,
    kind: int,
    body: bytes,
    *,
    hlc: int,
    account_heads: tuple[ChainLinkId, ...],
    sign: Callable[[bytes], bytes],
    parents: Sequence[EventId] = (),
) -> Event:
    """Return the signed event that follows `tip` in my log of a conversation."""
    header = Header(
        version=1,
        conversation=conversation,
        device=device,
        seq=tip.seq + 1 if tip else 1,
        previous=tip.id if tip else NO_EVENT,
        hlc=hlc,
        parents=tuple(sorted(parents)),
        kind=kind,
        heads=(),
        account_heads=account_heads,
        lifetime_s=0,
        body_hash=wire.body_hash(body),
    )
    data = wire.encode_header(header)
    return Event(wire.event_id(data), header, data, sign(domains.EVENT + data), body)


def order_key(hlc: int, parent_orders: Sequence[int]) -> int:
    """Return where an event is shown: its clock, but below all its parents."""
    return min(max((hlc, *(order + 1 for order in parent_orders))), 2**63 - 1)
