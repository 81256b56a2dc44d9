"""What replication knows of one open link; dies with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pmsg.config import limits
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, LinkNumber

LogKey = tuple[ConversationId, bytes]
"""A log: its conversation, and the first 8 bytes of its device's id."""


@dataclass(slots=True)
class Giving:
    """A log, or branch, that the peer asked for and gets piece by piece."""

    locator: tuple[Claim, ...]
    head: Claim
    loading: bool = False
    reserved_bytes: int = 0
    """What storage was asked for counts as on its way."""
    asked: Claim | None = None
    """The head that storage was asked for last."""


@dataclass(slots=True)
class Peer:
    """One open link: claims, what is on its way, what is owed."""

    link: LinkNumber
    account: AccountId
    device: DeviceId
    compare_at: float
    compared: bool = False
    """The peer has claimed what it holds: before that nothing is handed over, so that an old copy finds out first."""
    held: bool = False
    kept: bool = False
    """Nothing is handed over until my user has looked at what became of the account."""
    claims: dict[LogKey, tuple[Claim, ...]] = field(default_factory=dict)
    position: dict[LogKey, Claim] = field(default_factory=dict)
    """Up to where each log was handed over or is claimed."""
    acked: dict[LogKey, int] = field(default_factory=dict)
    giving: deque[tuple[LogKey, Giving]] = field(default_factory=deque)
    unacknowledged: deque[tuple[LogKey, int, int]] = field(default_factory=deque)
    unacknowledged_bytes: int = 0
    receiving_bytes: int = 0
    ack_due: set[LogKey] = field(default_factory=set)
    untold: set[LogKey] = field(default_factory=set)
    tell_at: float | None = None
    looking: dict[LogKey, bool] = field(default_factory=dict)
    """Logs whose ids are being looked up for this peer, and whether it claimed more of them meanwhile."""
    withheld: set[LogKey] = field(default_factory=set)
    """Logs of which this peer left something out: it is not asked for them again on this link."""
    unstored: set[LogKey] = field(default_factory=set)
    """Logs of which something could not be stored; they are asked for again at `store_at`."""
    store_at: float | None = None
    store_failures: int = 0

    @property
    def blocked(self) -> bool:
        """Nothing more may be handed over until acknowledgements, the channel's renewal, or my user's look come."""
        return self.held or self.kept or self.room_bytes <= 0

    @property
    def room_bytes(self) -> int:
        """How much more may be on its way."""
        reserved = sum(giving.reserved_bytes for _, giving in self.giving)
        return limits.UNACKNOWLEDGED_BYTES - self.unacknowledged_bytes - reserved

    def claim(self, key: LogKey, claim: Claim) -> None:
        """Note a claim: the newest of each branch, at most 4."""
        kept = [c for c in self.claims.get(key, ()) if c.seq >= claim.seq and c != claim]
        self.claims[key] = (*kept[: limits.BRANCHES - 1], claim)

    def tell(self, keys: Iterable[LogKey], at: float) -> None:
        """Have these logs' ends told to the peer at a time, together with what else is due by then."""
        self.untold.update(keys)
        if self.untold:
            self.tell_at = at if self.tell_at is None else min(at, self.tell_at)

    def give(self, key: LogKey, giving: Giving, *, whole: bool) -> None:
        """Take a request on in place of a standing one for the same branch; `whole`: of a log that has one line only.

        It starts from what it says is held, whatever was read for the one before.
        Raises:
            PeerMisbehaved: more requests stand than there can be logs.
        """
        self.giving = deque(item for item in self.giving if item[0] != key or (not whole and item[1].head.id != giving.head.id))
        branches = [each for each_key, each in self.giving if each_key == key]
        if len(branches) >= limits.BRANCHES:
            self.stop_giving(key, branches[0])  # a log has no more: the oldest request is made up, or old
        if len(self.giving) >= limits.HAVE_LOGS * limits.BRANCHES:
            raise PeerMisbehaved("too many logs asked for at once")
        self.giving.append((key, giving))

    def giving_of(self, key: LogKey) -> Giving | None:
        """Return a request of a log that stands."""
        return next((giving for each, giving in self.giving if each == key), None)

    def loaded_for(self, key: LogKey, locator: tuple[Claim, ...], head: Claim) -> Giving | None:
        """Return the request for which these events were read; None where another one has taken its place."""
        matching = (giving for each, giving in self.giving if each == key and giving.loading)
        return next((giving for giving in matching if (giving.locator, giving.asked) == (locator, head)), None)

    def stop_giving(self, key: LogKey, giving: Giving) -> None:
        self.giving = deque(item for item in self.giving if item[1] is not giving)

    def release(self, key: LogKey, seq: int) -> None:
        """Events of a log up to a number are acknowledged, or asked for anew: they are no longer on their way."""
        while self.unacknowledged and self.unacknowledged[0][0] == key and self.unacknowledged[0][1] <= seq:
            self.unacknowledged_bytes -= self.unacknowledged.popleft()[2]
        if not self.unacknowledged or self.unacknowledged[0][0] == key:
            return
        kept = deque(item for item in self.unacknowledged if item[0] != key or item[1] > seq)
        self.unacknowledged = kept
        self.unacknowledged_bytes = sum(item[2] for item in kept)
