"""What others get from me, and how much of it may be on its way at once.

One part of replication, beside asking: it shares the state of conversations and links with `replication`, and leaves the commands there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Event
from p2pmsg.model.ids import PREFIX_BYTES, AccountId, ConversationId, LinkNumber
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol.asking import Shared
from p2pmsg.protocol.messages import LoadEvents, MarkSent, ReplicationCommand, SendMessage
from p2pmsg.protocol.peers import Giving, LogKey, Peer


class Gives:
    """What is handed over on all links."""

    def __init__(
        self,
        account: AccountId,
        me: bytes,
        conversations: Mapping[ConversationId, Shared],
        peers: Mapping[LinkNumber, Peer],
        out: Callable[[ReplicationCommand], None],
    ) -> None:
        self._account = account
        self._me = me
        self._conversations = conversations
        self._peers = peers
        self._out = out

    def wanted(self, peer: Peer, want: wire.Want) -> None:
        """The peer asks for logs. What it may not have, and what I do not hold, are passed over alike."""
        if not peer.compared:
            raise PeerMisbehaved("a peer asked before it compared")
        for asked in want.ranges:
            shared = self._conversations.get(ConversationId(asked.conversation))
            head = wire.unpack_claims(asked.head)[0]
            if shared is None or not authority.may_have(shared.value, peer.account) or head.seq > shared.top(head.device):
                continue
            key = (shared.value.id, head.device)
            peer.release(key, 2**63)
            peer.give(key, Giving(tuple(wire.unpack_claims(asked.locator)), head), whole=len(shared.tips.get(key[1], ())) < 2)

    def loaded(self, command: LoadEvents, events: Sequence[Event]) -> None:
        """The events of a LoadEvents command were read."""
        peer = self._peers.get(command.link)
        key = (command.conversation, command.device[:PREFIX_BYTES])
        giving = peer.loaded_for(key, command.locator, command.head) if peer else None
        if peer is None or giving is None:
            return
        giving.loading, giving.reserved_bytes = False, 0
        if not events:
            peer.stop_giving(key, giving)
            return
        last = self.hand_over(peer, key, events)
        giving.locator = (last,)
        if last.seq >= giving.head.seq:
            peer.stop_giving(key, giving)

    def hand_over(self, peer: Peer, key: LogKey, events: Sequence[Event]) -> Claim:
        """Send events that follow what the peer holds; return where it stands then."""
        for frame in wire.frames_of_events(events):
            peer.unacknowledged.append((key, frame[-1].header.seq, size := sum(event.size for event in frame)))
            peer.unacknowledged_bytes += size
            self._out(SendMessage(peer.link, wire.Events([wire.sent_event(event) for event in frame])))
        first, last = events[0].header, events[-1]
        at = wire.claim_of(last.header.device, last.header.seq, last.id)
        position = peer.position.get(key)
        if position is None or position.seq < at.seq:
            peer.position[key] = at
            if key[1] == self._me and peer.account != self._account:
                self._out(MarkSent(peer.account, key[0], first.seq - 1, at.seq))
        return at

    def pump(self, peer: Peer) -> None:
        """Have read what comes next for the logs that the peer asked for, as long as more may be on its way."""
        for key, giving in list(peer.giving):
            if peer.blocked:
                return
            device = self._conversations[key[0]].devices[key[1]]
            if giving.loading:
                continue
            if key[1] == self._me:
                giving.head = max(giving.head, *self._conversations[key[0]].tips.get(self._me, ()), key=lambda tip: tip.seq)
            giving.loading = True
            giving.asked = giving.head
            giving.reserved_bytes = min(peer.room_bytes, limits.UNACKNOWLEDGED_BYTES // 4)
            self._out(LoadEvents(peer.link, key[0], device, giving.locator, giving.head, giving.reserved_bytes))
