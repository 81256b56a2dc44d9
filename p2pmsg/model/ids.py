"""Identifiers: 32 raw bytes each, lower-case hex where people or JSON meet them."""

from __future__ import annotations

from typing import NewType

AccountId = NewType("AccountId", bytes)
"""Hash of an account chain's genesis link."""
DeviceKey = NewType("DeviceKey", bytes)
"""A device's Ed25519 public key."""
DeviceId = NewType("DeviceId", bytes)
"""Hash of account id and device key; a key is never copied, rotated or restored."""
ConversationId = NewType("ConversationId", bytes)
EventId = NewType("EventId", bytes)
ChainLinkId = NewType("ChainLinkId", bytes)
"""Hash of the body of a link of an account or conversation chain."""
LinkNumber = NewType("LinkNumber", int)
"""A network link of this process; counted from 1, never used again."""

ID_BYTES = 32
PREFIX_BYTES = 8
"""Devices and events are named by this much of their id inside one conversation's vectors."""
NO_EVENT = EventId(bytes(ID_BYTES))
"""Stands where the first event of a log names its predecessor."""


def short(value: bytes) -> str:
    """Return the first 8 hex characters: enough to tell ids apart in a log line or a name, proof of nothing."""
    return value[:4].hex()
