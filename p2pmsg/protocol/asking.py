"""Who is asked for what: one giver a log, the next one after half a second without progress (DESIGN 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from p2pmsg.config import limits
from p2pmsg.model.events import Claim, Conversation
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber
from p2pmsg.protocol import wire
from p2pmsg.protocol.messages import SendMessage
from p2pmsg.protocol.peers import LogKey, Peer


@dataclass(frozen=True, slots=True)
class Stored:
    """What storage made of events that a peer gave."""

    tips: tuple[Claim, ...]
    """The ends of the log now: one, or one a branch."""
    accepted: int = 0
    gap: bool = False
    withheld: bool = False
    """The giver left something out: a body, or links of the author's chain."""


@dataclass(slots=True)
class Shared:
    """A conversation as replication knows it."""

    value: Conversation
    devices: dict[bytes, DeviceId]
    owners: dict[bytes, AccountId]
    tips: dict[bytes, tuple[Claim, ...]]

    def top(self, device: bytes) -> int:
        return max((tip.seq for tip in self.tips.get(device, ())), default=0)


@dataclass(slots=True)
class _Ask:
    """One log asked for from one giver."""

    link: LinkNumber
    head: Claim
    deadline: float
    parked: bool = False
    """The giver was given up, and nobody else has the log: it may still answer, and whoever else comes is asked."""


class Asks:
    """The logs asked for, each from one peer."""

    def __init__(
        self, conversations: Mapping[ConversationId, Shared], peers: Mapping[LinkNumber, Peer], send: Callable[[SendMessage], None]
    ) -> None:
        self._conversations = conversations
        self._peers = peers
        self._send = send
        self._asks: dict[LogKey, _Ask] = {}

    def stands(self, key: LogKey) -> bool:
        """Say whether somebody is being asked for a log and may be expected to answer."""
        ask = self._asks.get(key)
        return ask is not None and not ask.parked

    def seek(self, key: LogKey, now: float) -> bool:
        """Ask a peer that claims more of a log than I hold; say whether somebody is asked now."""
        ask = self._asks.get(key)
        if ask is not None and not ask.parked:
            return True
        shared = self._conversations[key[0]]
        top = shared.top(key[1])
        for peer in self._peers.values():
            best = max(peer.claims.get(key, ()), key=lambda claim: claim.seq, default=None)
            given_up = ask is not None and peer.link == ask.link
            if best is not None and best.seq > top and not given_up and key not in peer.withheld:
                self.ask(peer, key, best, shared.tips.get(key[1], ()), now)
                return True
        return False

    def ask(self, peer: Peer, key: LogKey, head: Claim, locator: Iterable[Claim], now: float) -> None:
        """Ask a peer for a log up to `head`, from the highest entry of the locator that it knows."""
        self._asks[key] = _Ask(peer.link, head, now + limits.ASK_PATIENCE_S)
        entries = list(locator)[: limits.LOCATOR_ENTRIES]
        asked = wire.Range(key[0], wire.pack_claims(entries), wire.pack_claims((head,)))
        self._send(SendMessage(peer.link, wire.Want([asked])))

    def answered(self, key: LogKey, giver: Peer | None, stored: Stored, now: float) -> bool:
        """Events of a log were stored: the ask is over, goes on, or goes to somebody else. Say whether a gap is left to be looked at."""
        ask = self._asks.get(key)
        if ask is None:
            return stored.gap
        useless = stored.gap and not stored.accepted and giver is not None and giver.link == ask.link
        if useless and giver is not None:
            giver.withheld.add(key)
        if useless or stored.withheld or any(tip.seq >= ask.head.seq for tip in stored.tips):
            del self._asks[key]
            self.seek(key, now)
        elif stored.accepted:
            ask.deadline, ask.parked = now + limits.ASK_PATIENCE_S, False
        return False

    def link_closed(self, link: LinkNumber, now: float) -> None:
        """Ask others for what this peer was asked for."""
        for key in [key for key, ask in self._asks.items() if ask.link == link]:
            del self._asks[key]
            self.seek(key, now)

    def poll(self, now: float) -> None:
        """Give up givers that make no progress; after a while whoever has the log is asked once more, they too."""
        for key, ask in list(self._asks.items()):
            if ask.deadline > now:
                continue
            if ask.parked:
                del self._asks[key]
            ask.parked, ask.deadline = True, now + limits.ASK_AGAIN_S
            if not self.seek(key, now) and ask.link not in self._peers:
                self._asks.pop(key, None)

    def failed(self, peer: Peer, key: LogKey) -> None:
        """What a peer gave of a log could not be stored: it is not asked for it until `again`."""
        peer.withheld.add(key)
        if (ask := self._asks.get(key)) is not None and ask.link == peer.link:
            del self._asks[key]

    def again(self, peer: Peer, keys: Iterable[LogKey], now: float) -> None:
        """Ask once more for what could not be stored."""
        for key in keys:
            peer.withheld.discard(key)
            self.seek(key, now)

    @property
    def deadline(self) -> float | None:
        return min((ask.deadline for ask in self._asks.values()), default=None)


def samples(top: int) -> Iterable[int]:
    """Return numbers back from the end of a log with steps that double: a locator of them finds where two branches part."""
    step = 1
    while top > 0:
        yield top
        top -= step
        step *= 2
