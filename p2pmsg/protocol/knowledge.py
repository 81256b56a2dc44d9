"""What a handshake is told of this node: who I am, whom I know, which gate keys there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2pmsg.crypto import chain
from p2pmsg.model.accounts import ChainLink, Membership
from p2pmsg.model.gates import GateRow
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId, DeviceKey
from p2pmsg.protocol.proofs import Proof


@dataclass(frozen=True, slots=True)
class Identity:
    """Who I am. `sign` returns my device's signature of a message."""

    account: AccountId
    device_key: DeviceKey
    device_id: DeviceId
    sign: Callable[[bytes], bytes] = field(repr=False)
    links: tuple[ChainLink, ...] = field(repr=False)
    """My whole chain, predecessors first."""
    heads: tuple[ChainLinkId, ...]

    def prove(self, text: Callable[[bytes], bytes]) -> Proof:
        """Return my signed proof; `text` gives what is signed for the digest of my heads."""
        heads = chain.heads_digest(self.heads)
        return Proof(self.account, self.device_key, heads, self.sign(text(heads)))


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What this node knows, as the machines ask for it; nothing here may change state."""

    me: Identity
    rows: Callable[[], Sequence[GateRow]]
    """All gate keys: live, retired, and of ended invites."""
    known: Callable[[AccountId], Membership | None]
    """What is stored of an account; None where nothing is."""
    links_of: Callable[[AccountId], tuple[ChainLink, ...]]
    """The stored links of an account."""
    may_link: Callable[[AccountId, DeviceId], bool]
    """False for who is kept out: a blocked account, a forked device."""
    hello: Callable[[DeviceId], bytes]
    """Makes HELLO's payload for a device when it is due."""
    nick: str = ""
    """What I call myself to people nearby."""
    admit: Callable[[], bool] = lambda: False
    """Asked once when a stranger wants to compare strings: True begins the one attempt that may be under way."""
