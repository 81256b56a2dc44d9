"""Delivery is replication: who lacks what, who asks whom, what may be on its way (DESIGN 2 and 8).

Two devices that share a conversation compare version vectors when their link opens, after a gap and on a slow timer. Backlog is
pulled, from one giver a log; the writing device pushes a new event at once to everybody who holds all before it; others only tell.
Claims live and die with their link and decide what is sent; acknowledgements are stored and decide what is shown as delivered.

What happened goes in by the methods with past-tense names; commands come out of `poll`, which is to be called after each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Conversation, Event
from p2pmsg.model.ids import PREFIX_BYTES, AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import authority, version_vectors, wire
from p2pmsg.protocol.asking import Asks, Shared, Stored, samples
from p2pmsg.protocol.giving import Gives
from p2pmsg.protocol.messages import (
    LoadEvents,
    LookUpIds,
    MarkQueued,
    ReceiveEvents,
    ReplicationCommand,
    SendMessage,
    StoreAck,
)
from p2pmsg.protocol.peers import Giving, Peer


class Replication:
    """The state of replication on all open links of this device."""

    def __init__(self, account: AccountId, device: DeviceId) -> None:
        self._account = account
        self._me = device[:PREFIX_BYTES]
        self._conversations: dict[ConversationId, Shared] = {}
        self._peers: dict[LinkNumber, Peer] = {}
        self._kept: set[AccountId] = set()
        self._asks = Asks(self._conversations, self._peers, lambda command: self._out.append(command))
        self._gives = Gives(account, self._me, self._conversations, self._peers, lambda command: self._out.append(command))
        self._out: list[ReplicationCommand] = []

    # -- what I hold

    def conversation_opened(
        self, conversation: Conversation, devices: Mapping[DeviceId, AccountId], tips: Mapping[DeviceId, Iterable[Claim]] | None
    ) -> None:
        """Take a conversation on, or learn of its devices anew; with `tips` None what I hold stays. Links that share it are told."""
        known = {device[:PREFIX_BYTES]: device for device in devices}
        owners = {device[:PREFIX_BYTES]: account for device, account in devices.items()}
        if tips is not None or conversation.id not in self._conversations:
            held = {device[:PREFIX_BYTES]: tuple(claims) for device, claims in (tips or {}).items()}
        else:
            held = self._conversations[conversation.id].tips
        self._conversations[conversation.id] = Shared(conversation, known, owners, held)
        for peer in self._peers.values():
            if authority.may_have(conversation, peer.account):
                peer.tell({(conversation.id, device) for device in held}, 0.0)
                peer.withheld = {key for key in peer.withheld if key[0] != conversation.id}

    def events_appended(self, conversation: ConversationId, events: Sequence[Event], now: float) -> None:
        """My device committed events, in order: push them to every peer that holds all before them; tell the others."""
        shared = self._conversations[conversation]
        key = (conversation, self._me)
        before = shared.tips.get(self._me, ())
        last = events[-1]
        tip = wire.claim_of(last.header.device, last.header.seq, last.id)
        shared.tips[self._me] = (tip,)
        for peer in self._sharing(shared):
            position = peer.position.get(key)
            if giving := peer.giving_of(key):
                giving.head = tip
            elif not peer.compared or ((position,) != before and (position or before)):
                peer.tell({key}, now + limits.HAVE_DELAY_S if peer.compared else now)
            elif peer.held or peer.kept or peer.room_bytes < sum(event.size for event in events):
                peer.give(key, Giving((position,) if position else (), tip), whole=True)
            else:
                self._gives.hand_over(peer, key, events)

    def handed(self, account: AccountId, conversation: ConversationId, seq: int) -> bool:
        """Say whether my event with this number is on its way to, or with, a device of the account on a live link."""
        key = (conversation, self._me)
        return any(
            peer.account == account and (at := peer.position.get(key)) is not None and at.seq >= seq for peer in self._peers.values()
        )

    def is_last_resort(self, link: LinkNumber, conversation: ConversationId, device: DeviceId) -> bool:
        """Say whether a peer gives a log of its own account that nobody else linked claims to have more of than I hold.

        What it leaves out of that log its author has erased, and it is sought in vain: the log is to go on without.
        """
        shared, giver = self._conversations.get(conversation), self._peers.get(link)
        key = (conversation, device[:PREFIX_BYTES])
        if shared is None or giver is None or not shared.owners.get(key[1]) == giver.account != self._account:
            return False
        top = shared.top(key[1])
        others = (peer for peer in self._peers.values() if peer.account != giver.account)
        return all(claim.seq <= top for peer in others for claim in peer.claims.get(key, ()))

    # -- links

    def link_opened(self, link: LinkNumber, account: AccountId, device: DeviceId, now: float) -> None:
        """Compare vectors of all shared conversations with the peer."""
        peer = self._peers[link] = Peer(link, account, device, compare_at=now + limits.COMPARE_EVERY_S, kept=account in self._kept)
        self._compare(peer)

    def link_closed(self, link: LinkNumber, now: float) -> None:
        """Forget what the peer claimed; ask others for what it was asked for."""
        peer = self._peers.pop(link, None)
        if peer is None:
            return
        for key, position in peer.position.items():
            acked = peer.claims.get(key, ())
            after = max((claim.seq for claim in acked), default=0)
            if key[1] == self._me and after < position.seq and not self.handed(peer.account, key[0], position.seq):
                self._out.append(MarkQueued(peer.account, key[0], after, position.seq))
        self._asks.link_closed(link, now)

    def hold_changed(self, link: LinkNumber, holding: bool) -> None:
        """The link's channel holds frames back until it is renewed, or no longer does."""
        if peer := self._peers.get(link):
            peer.held = holding

    def kept_back(self, account: AccountId, kept: bool) -> None:
        """Whether what is written waits on this side for all devices of an account, linked now or later; what they write is taken on."""
        (self._kept.add if kept else self._kept.discard)(account)
        for peer in self._peers.values():
            if peer.account == account:
                peer.kept = kept

    # -- what peers say

    def have_received(self, link: LinkNumber, have: wire.Have, now: float) -> None:
        """The peer claims to hold these; what it does not share with me is passed over as if it did not exist."""
        peer = self._peers[link]
        if len({entry.conversation for entry in have.conversations}) < len(have.conversations):
            raise PeerMisbehaved("a conversation stands twice in one HAVE")
        for entry in have.conversations:
            shared = self._shared_with(peer, entry.conversation)
            if shared is None:
                continue
            acked: dict[DeviceId, Claim] = {}
            for claim in wire.unpack_claims(entry.vector):
                self._claimed(peer, shared, claim, acked, now)
            self._acknowledged(peer, shared, acked)
        peer.compared = peer.compared or have.complete

    def want_received(self, link: LinkNumber, want: wire.Want) -> None:
        """The peer asks for logs. Raises: PeerMisbehaved before it has compared."""
        self._gives.wanted(self._peers[link], want)

    def events_received(self, link: LinkNumber, message: wire.Events) -> None:
        """The peer hands over events; they are acknowledged when stored.

        Raises:
            PeerMisbehaved: malformed, of a conversation or device that we do not share, or more than may be on its way.
        """
        peer = self._peers[link]
        run: list[Event] = []
        for sent in message.events:
            event = wire.decode_event(sent.header, sent.signature, sent.body)
            if run and (event.header.conversation, event.header.device) != (run[-1].header.conversation, run[-1].header.device):
                self._receive(peer, run)
                run = []
            run.append(event)
        if run:
            self._receive(peer, run)

    def ack_received(self, link: LinkNumber, ack: wire.Ack) -> None:
        """The peer has committed these: more may be sent, and what is mine counts as delivered once that is stored."""
        peer = self._peers[link]
        for entry in ack.conversations:
            shared = self._shared_with(peer, entry.conversation)
            if shared is None:
                continue
            acked: dict[DeviceId, Claim] = {}
            for claim in wire.unpack_claims(entry.vector):
                device = shared.devices.get(claim.device)
                if device is None:
                    continue
                key = (shared.value.id, claim.device)
                peer.release(key, claim.seq)  # also by who has more of the log by now than is here
                if claim.seq > shared.top(claim.device):
                    continue
                peer.claim(key, claim)
                acked[device] = claim
            self._acknowledged(peer, shared, acked)

    # -- what storage answered

    def events_stored(
        self, link: LinkNumber, conversation: ConversationId, device: DeviceId, size_bytes: int, stored: Stored, now: float
    ) -> None:
        """Events of a ReceiveEvents command are committed: acknowledge, tell others, go on asking."""
        shared = self._conversations[conversation]
        key = (conversation, device[:PREFIX_BYTES])
        shared.tips[key[1]] = stored.tips
        giver = self._peers.get(link)
        if giver is not None:
            giver.receiving_bytes -= size_bytes
            giver.store_failures = 0
            giver.ack_due.add(key)
            for tip in stored.tips:
                giver.claim(key, tip)
            if stored.withheld:
                giver.withheld.add(key)
        if stored.accepted:
            for peer in self._sharing(shared):
                if peer is not giver:  # the author is told, too: the link by which he gave it may have ended
                    peer.tell({key}, now + limits.HAVE_DELAY_S)
        if self._asks.answered(key, giver, stored, now) and giver is not None:
            self._look_up(giver, shared, device)

    def events_failed(self, link: LinkNumber, conversation: ConversationId, device: DeviceId, size_bytes: int, now: float) -> None:
        """Storage could not take events: nothing is acknowledged, and they are asked for again later, each time later than before."""
        peer = self._peers.get(link)
        if peer is None:
            return
        key = (conversation, device[:PREFIX_BYTES])
        peer.receiving_bytes -= size_bytes
        self._asks.failed(peer, key)
        peer.unstored.add(key)
        if peer.store_at is None:
            peer.store_at = now + min(limits.STORE_AGAIN_S * (1 << min(peer.store_failures, 8)), limits.STORE_AGAIN_MAX_S)
            peer.store_failures += 1

    def ack_failed(self, command: StoreAck) -> None:
        """An acknowledgement could not be stored: it is tried again when its peer next claims as much."""
        for peer in self._peers.values():
            if peer.device == command.device:
                for claim in command.vector.values():
                    peer.acked.pop((command.conversation, claim.device), None)

    def events_loaded(self, command: LoadEvents, events: Sequence[Event]) -> None:
        """The events of a LoadEvents command were read."""
        self._gives.loaded(command, events)

    def ids_found(self, command: LookUpIds, found: Mapping[int, bytes], now: float) -> None:
        """The ids of a LookUpIds command were read: claims that they do not confirm are branches that I lack."""
        peer = self._peers.get(command.link)
        shared = self._conversations[command.conversation]
        if peer is None:
            return
        key = (command.conversation, command.device[:PREFIX_BYTES])
        if peer.looking.pop(key, False):  # more was claimed since
            self._look_up(peer, shared, command.device)
            return
        locator = [Claim(key[1], seq, event) for seq, event in sorted(found.items(), reverse=True)]
        for claim in peer.claims.get(key, ()):
            if found.get(claim.seq) == claim.id:
                self._acknowledged(peer, shared, {command.device: claim})
            elif claim not in shared.tips.get(key[1], ()) and key not in peer.withheld and not self._asks.stands(key):
                self._asks.ask(peer, key, claim, locator, now)

    # -- what is due

    def poll(self, now: float) -> list[ReplicationCommand]:
        """Return what is to be done now, in order."""
        self._asks.poll(now)
        for peer in self._peers.values():
            if peer.store_at is not None and peer.store_at <= now:
                keys, peer.unstored, peer.store_at = peer.unstored, set(), None
                self._asks.again(peer, keys, now)
            if peer.compare_at <= now:
                peer.compare_at = now + limits.COMPARE_EVERY_S
                peer.looking.clear()  # a look that storage could not take is made good now
                self._compare(peer)
            self._flush(peer, now)
            self._gives.pump(peer)
        out, self._out = self._out, []
        return out

    @property
    def deadline(self) -> float | None:
        """When `poll` is to be called at the latest, even if nothing happens."""
        times = [] if self._asks.deadline is None else [self._asks.deadline]
        for peer in self._peers.values():
            times.append(peer.compare_at)
            times += [at for at in (peer.tell_at, peer.store_at) if at is not None]
        return min(times, default=None)

    # -- inside

    def _sharing(self, shared: Shared) -> Iterator[Peer]:
        return (peer for peer in self._peers.values() if authority.may_have(shared.value, peer.account))

    def _shared_with(self, peer: Peer, conversation: bytes) -> Shared | None:
        shared = self._conversations.get(ConversationId(conversation))
        return shared if shared is not None and authority.may_have(shared.value, peer.account) else None

    def _compare(self, peer: Peer) -> None:
        shared = (each for each in self._conversations.values() if authority.may_have(each.value, peer.account))
        self._out += [SendMessage(peer.link, have) for have in version_vectors.whole(shared)]

    def _claimed(self, peer: Peer, shared: Shared, claim: Claim, acked: dict[DeviceId, Claim], now: float) -> None:
        device = shared.devices.get(claim.device)
        if device is None:
            return
        key = (shared.value.id, claim.device)
        peer.claim(key, claim)
        if claim in shared.tips.get(claim.device, ()):
            acked[device] = claim
        elif claim.seq > shared.top(claim.device):
            self._asks.seek(key, now)
        else:
            self._look_up(peer, shared, device)

    def _look_up(self, peer: Peer, shared: Shared, device: DeviceId) -> None:
        """Have the ids read that tell whether the peer's claims of a log hold. One look a log at a time: a flood of claims costs two."""
        key = (shared.value.id, device[:PREFIX_BYTES])
        if key in peer.looking:
            peer.looking[key] = True
            return
        peer.looking[key] = False
        top = shared.top(key[1])
        claimed = (claim.seq for claim in peer.claims.get(key, ()) if claim.seq <= top)
        self._out.append(LookUpIds(peer.link, key[0], device, (*claimed, *samples(top))))

    def _acknowledged(self, peer: Peer, shared: Shared, acked: Mapping[DeviceId, Claim]) -> None:
        """Note what of my account's logs the device of another account holds."""
        news: dict[DeviceId, Claim] = {}
        for device, claim in acked.items():
            key = (shared.value.id, claim.device)
            position = peer.position.get(key)
            if position is None or position.seq < claim.seq:
                peer.position[key] = claim
            if shared.owners.get(claim.device) == self._account and peer.account != self._account and peer.acked.get(key, 0) < claim.seq:
                peer.acked[key] = claim.seq
                news[device] = claim
        if news:
            self._out.append(StoreAck(peer.account, peer.device, shared.value.id, news))

    def _receive(self, peer: Peer, run: Sequence[Event]) -> None:
        header = run[0].header
        shared = self._shared_with(peer, header.conversation)
        if shared is None or shared.devices.get(header.device[:PREFIX_BYTES]) != header.device:
            raise PeerMisbehaved("events of a conversation or a device that we do not share")
        peer.receiving_bytes += sum(event.size for event in run)
        if peer.receiving_bytes > 2 * limits.UNACKNOWLEDGED_BYTES:
            raise PeerMisbehaved("more events on their way than are allowed")
        last = run[-1]
        peer.claim((header.conversation, header.device[:PREFIX_BYTES]), wire.claim_of(header.device, last.header.seq, last.id))
        self._out.append(ReceiveEvents(peer.link, header.conversation, header.device, tuple(run)))

    def _flush(self, peer: Peer, now: float) -> None:
        """Send acknowledgements, and news of what I hold that is due to be told."""
        if peer.ack_due:
            self._out.append(SendMessage(peer.link, wire.Ack(version_vectors.of_logs(self._conversations, peer.ack_due))))
            peer.ack_due = set()
        if peer.tell_at is not None and peer.tell_at <= now and peer.untold:
            self._out.append(SendMessage(peer.link, wire.Have(False, version_vectors.of_logs(self._conversations, peer.untold))))
            peer.untold, peer.tell_at = set(), None
