"""Everything that the protocol's machines tell the node to do: the table of contents of `protocol`.

What happened goes in as method calls with past-tense names (`have_received`, `link_opened`, …); what is to be done
comes out as these commands, which `daemon.node` performs in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2pmsg.model.accounts import ChainLink, Membership
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.events import Claim, Event
from p2pmsg.model.ids import AccountId, ChainLinkId, ConversationId, DeviceId, DeviceKey, LinkNumber
from p2pmsg.protocol.wire import Hello, Message

if TYPE_CHECKING:
    from p2pmsg.crypto.channel import Channel
    from p2pmsg.crypto.sas import Strings
    from p2pmsg.model.gates import GateRow


# -- handshake: one link until it is open


@dataclass(frozen=True, slots=True)
class SendBytes:
    """Write these bytes on the control stream."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CompareStrings:
    """Show the strings to the own user, who asks the other person for theirs; `consent` follows only if he says yes."""

    strings: Strings
    nick: str
    """What the peer calls itself: unproved, and of any meaning only once the strings agree."""


@dataclass(frozen=True, slots=True)
class Peering:
    """Whom a handshake has proven, and what the link means."""

    account: AccountId
    device_key: DeviceKey
    device_id: DeviceId
    membership: Membership
    new_links: tuple[ChainLink, ...]
    """Links of the peer's chain that are not stored yet, predecessors first."""
    gate: GateRow
    pair_key: bytes | None = field(repr=False)
    """A new one, where the two become contacts on this link."""
    dialled: bool
    went_back: ChainLinkId | None = None
    """A link that the peer's device signed and does not show any more."""


@dataclass(frozen=True, slots=True)
class CommitPeering:
    """Store what the link means, in one transaction; then call `committed`."""

    peering: Peering


@dataclass(frozen=True, slots=True)
class OpenLink:
    """The link is open: hand it to replication."""

    peering: Peering
    channel: Channel = field(repr=False)
    hello: Hello


# -- replication


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Encode, seal and write a message on an open link."""

    link: LinkNumber
    message: Message


@dataclass(frozen=True, slots=True)
class LoadEvents:
    """Read events of one log after the locator up to `head`, at most `limit_bytes`; then call `events_loaded`."""

    link: LinkNumber
    conversation: ConversationId
    device: DeviceId
    locator: tuple[Claim, ...]
    head: Claim
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class LookUpIds:
    """Read the ids that my copy of a log has at these numbers; then call `ids_found`."""

    link: LinkNumber
    conversation: ConversationId
    device: DeviceId
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReceiveEvents:
    """Check and store events of one log in one transaction; then call `events_stored`."""

    link: LinkNumber
    conversation: ConversationId
    device: DeviceId
    events: tuple[Event, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoreAck:
    """Store what a recipient's device has committed of my account's logs: durable, only grows."""

    account: AccountId
    device: DeviceId
    conversation: ConversationId
    vector: Mapping[DeviceId, Claim]


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close with an application code: 0x101 bye, 0x102 newer link kept, 0x104 limit, 0x105 misbehaved."""

    link: LinkNumber
    code: int


@dataclass(frozen=True, slots=True)
class MarkSent:
    """My log's events after `after` up to `upto` are on their way to an account's device on a live link."""

    account: AccountId
    conversation: ConversationId
    after: int
    upto: int


@dataclass(frozen=True, slots=True)
class MarkQueued:
    """They were on their way, and the link ended before they were acknowledged: durable here only, as before."""

    account: AccountId
    conversation: ConversationId
    after: int
    upto: int


# -- presence


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to where a contact may be."""

    account: AccountId
    address: Address
    path: Path
    redial: bool


HandshakeCommand = SendBytes | CompareStrings | CommitPeering | OpenLink
ReplicationCommand = SendMessage | LoadEvents | LookUpIds | ReceiveEvents | StoreAck | MarkSent | MarkQueued
Command = HandshakeCommand | ReplicationCommand | CloseLink | Dial

REFUSED = 0x100
BYE = 0x101
NEWER_LINK_KEPT = 0x102
OTHER_VERSION = 0x103
LIMIT = 0x104
MISBEHAVED = 0x105
