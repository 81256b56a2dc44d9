"""What a peer shows of itself in a handshake: a proof signed by its device, and its account's chain; how both are checked.

Knows no stages and no channel: `handshake` says when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pmsg.config import limits
from p2pmsg.crypto import chain, signing
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink, Membership
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId, DeviceKey
from p2pmsg.protocol import authority

PROOF_BYTES: Final = 32 + 32 + 32 + 64
_FRAMES: Final = limits.CHAIN_BYTES // limits.CHAIN_FRAME_BYTES + 2
"""A sender that fills its frames needs no more; so no renewal of keys ever falls due before a link is open."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The body of WELCOME, and of PROVE behind its seed: `account(32) device key(32) heads(32) signature(64)`."""

    account: AccountId
    device: DeviceKey
    heads: bytes
    signature: bytes

    @classmethod
    def unpack(cls, data: bytes) -> Proof:
        require(len(data) == PROOF_BYTES, "a proof has another length")
        return cls(AccountId(data[:32]), DeviceKey(data[32:64]), data[64:96], data[96:])

    def pack(self) -> bytes:
        return self.account + self.device + self.heads + self.signature

    @property
    def device_id(self) -> DeviceId:
        return chain.device_id(self.account, self.device)


@dataclass(frozen=True, slots=True)
class ShownChain:
    """A chain that a peer showed, together with what was known of it."""

    membership: Membership
    new_links: tuple[ChainLink, ...]
    """Those not stored yet, predecessors first."""
    went_back: ChainLinkId | None
    """A link that the peer's device signed and does not show any more."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks peers against what is stored."""

    own_device: DeviceKey
    known: Callable[[AccountId], Membership | None]
    links_of: Callable[[AccountId], tuple[ChainLink, ...]] = field(repr=False)
    may_link: Callable[[AccountId, DeviceId], bool]

    def check_signed(self, proof: Proof, text: bytes) -> None:
        """Check in this order: not kept out, not my own device, signature of `text`.

        Raises:
            PeerMisbehaved: one of them fails.
        """
        require(self.may_link(proof.account, proof.device_id), "this account or device is kept out")
        require(proof.device != self.own_device, "the peer uses my own device's key")
        signing.verify(proof.device, proof.signature, text)

    def check_chain(self, proof: Proof, forms: Sequence[bytes]) -> ShownChain:
        """Return what the account's chain says with what is stored of it.

        Where the heads are known, `forms` stay unread. A device may not have heard yet of what others of its account have signed; that it
        lacks what it signed itself is told. Only for a proof whose signature is good.

        Raises:
            PeerMisbehaved: the chain is not the account's, has other heads than were signed, or the device is not active in the account.
        """
        shown = self._shown(proof, forms)
        require(shown.membership.active(proof.device_id), "the peer's device is not active in its account")
        return shown

    def _shown(self, proof: Proof, forms: Sequence[bytes]) -> ShownChain:
        stored = self.known(proof.account)
        if stored is not None and chain.heads_digest(stored.heads) == proof.heads:
            return ShownChain(stored, (), None)
        held = self.links_of(proof.account)
        forms_held = {chain.wire_form(link): link for link in held}
        links = [forms_held.get(form) or chain.parse(form) for form in forms]
        membership = authority.resolve(links)
        require(membership.account == proof.account, "a chain does not begin with the account's genesis")
        require(chain.heads_digest(membership.heads) == proof.heads, "a chain has other heads than were signed")
        mine = {link.id for link in held}
        new = tuple(link for link in authority.in_order(links) if link.id not in mine)
        if not mine <= membership.links:
            membership = authority.resolve([*held, *new])
        return ShownChain(membership, new, authority.went_back(held, (link.id for link in links), proof.device))


def encode_chain(links: Sequence[ChainLink]) -> list[bytes]:
    """Return the payloads of the CHAIN frames of a chain: `last(1)`, then `length(2) || link` of each, at most 60,000 bytes a frame."""
    pages = [b""]
    for link in links:
        form = chain.wire_form(link)
        entry = len(form).to_bytes(2, "big") + form
        if len(pages[-1]) + len(entry) >= limits.CHAIN_FRAME_BYTES:
            pages.append(b"")
        pages[-1] += entry
    return [bytes((number == len(pages),)) + page for number, page in enumerate(pages, 1)]


class ChainReader:
    """Collects the wire forms of links from CHAIN frames, within their limits."""

    def __init__(self) -> None:
        self.forms: list[bytes] = []
        self._frames = 0
        self._bytes = 0

    def read(self, payload: bytes) -> bool:
        """Take a frame's payload; say whether it was the last.

        Raises:
            PeerMisbehaved: it has another form, or a limit is passed: of a frame, a link, the links' number, or the whole.
        """
        self._frames += 1
        self._bytes += len(payload)
        require(0 < len(payload) <= limits.CHAIN_FRAME_BYTES and payload[0] < 2, "a CHAIN frame is too long or has another form")
        require(self._frames <= _FRAMES and self._bytes <= limits.CHAIN_BYTES, "a chain is too long")
        at = 1
        while at < len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            at += 2 + size
            require(
                signing.SIGNATURE_BYTES < size <= limits.CHAIN_LINK_BYTES and at <= len(payload), "a link of a chain is cut or too long"
            )
            self.forms.append(payload[at - size : at])
        require(len(self.forms) <= limits.CHAIN_LINKS, "a chain has too many links")
        return payload[0] == 1


def require(holds: bool, fault: str) -> None:
    """Raise `PeerMisbehaved` with `fault` unless `holds`."""
    if not holds:
        raise PeerMisbehaved(fault)
