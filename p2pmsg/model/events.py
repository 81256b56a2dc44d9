"""What happened in a conversation: events, the logs they form, and the vectors that sum logs up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from p2pmsg.model.ids import AccountId, ChainLinkId, ConversationId, DeviceId, EventId


class Kind(IntEnum):
    """Kinds of event. A log keeps kinds it does not know; only views leave them out."""

    TEXT = 1
    READ = 2
    """A read mark: in `self` for me, in the conversation as the receipt."""
    CONTACT = 3
    """In `self`: what I say of a contact."""
    SETTING = 4
    """In `self`: a setting that travels among my devices."""
    DELETE = 5
    """In `self`: what is deleted on all my devices, and nowhere else."""
    SEEN = 6
    """In `self`: what I saw somebody's account chain come to say."""


class ConversationKind(StrEnum):
    SELF = "self"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation and who is in it: one account (`self`) or two (`direct`)."""

    id: ConversationId
    kind: ConversationKind
    members: tuple[AccountId, ...]
    """Sorted."""


@dataclass(frozen=True, slots=True)
class Header:
    """The signed part of an event (DESIGN 5). Ids are whole; lists are sorted."""

    version: int
    conversation: ConversationId
    device: DeviceId
    seq: int
    previous: EventId
    hlc: int
    """Hybrid logical clock: milliseconds since 1970 << 16 | counter, below 2**63."""
    parents: tuple[EventId, ...]
    kind: int
    heads: tuple[ChainLinkId, ...]
    account_heads: tuple[ChainLinkId, ...]
    lifetime_s: int
    """0: for ever."""
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """An event as received: the exact bytes stay beside what they mean."""

    id: EventId
    header: Header
    header_bytes: bytes
    signature: bytes
    body: bytes | None
    """16 random bytes and the content; None where it was erased."""

    @property
    def size(self) -> int:
        """Bytes that count towards what is unacknowledged on a link."""
        return len(self.header_bytes) + len(self.signature) + len(self.body or b"")


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of one log, or of one branch of a forked log."""

    seq: int
    id: EventId
    hlc: int
    account_heads: tuple[ChainLinkId, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """An entry of a version vector: "of this device's log I hold all up to `seq`, which has this id"."""

    device: bytes
    """First 8 bytes of the device id."""
    seq: int
    id: bytes
    """First 8 bytes of the event id."""


@dataclass(frozen=True, slots=True)
class ReadMark:
    """What was shown to its reader: of each device's log all up to (seq, first 8 bytes of the id)."""

    conversation: ConversationId
    upto: Mapping[DeviceId, tuple[int, bytes]]
