"""What a device says that it holds: version vectors, as HAVE and ACK carry them; stateless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from p2pmsg.config import limits
from p2pmsg.model.events import Claim
from p2pmsg.model.ids import PREFIX_BYTES, ConversationId
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol.asking import Shared
from p2pmsg.protocol.peers import LogKey


def whole(conversations: Iterable[Shared]) -> list[wire.Have]:
    """Return all that is held of these conversations, in as many messages as its size makes necessary; the last one says so."""
    pages: list[list[wire.LogClaims]] = [[]]
    size = 0
    for shared in conversations:
        entry = wire.LogClaims(shared.value.id, wire.pack_claims(claim for device in shared.tips for claim in _ends(shared, device)))
        if pages[-1] and (size + len(entry.vector) > limits.CHAIN_FRAME_BYTES or len(pages[-1]) == limits.HAVE_CONVERSATIONS):
            pages.append([])
            size = 0
        pages[-1].append(entry)
        size += len(entry.vector) + PREFIX_BYTES * 5
    return [wire.Have(page is pages[-1], page) for page in pages]


def of_logs(conversations: Mapping[ConversationId, Shared], keys: Iterable[LogKey]) -> list[wire.LogClaims]:
    """Return what is held of these logs, by conversation."""
    found: dict[ConversationId, list[Claim]] = {}
    for conversation, device in sorted(keys):
        found.setdefault(conversation, []).extend(_ends(conversations[conversation], device))
    return [wire.LogClaims(conversation, wire.pack_claims(claims)) for conversation, claims in found.items()]


def _ends(shared: Shared, device: bytes) -> tuple[Claim, ...]:
    """Return what a vector says of a log: its ends, at most up to its cutoff."""
    tips = shared.tips.get(device, ())
    ceiling = authority.ceiling(shared.value, shared.devices[device]) if device in shared.devices else None
    return tips if ceiling is None else (ceiling,)
