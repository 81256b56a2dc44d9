"""The string that two people compare who meet without an invite: commitment, transcript, and what of it is shown.

Letters as in the protocol's description: X the exporter of the TLS session, n a side's nonce, T the transcript. D dials, R responds.
Nicknames are in the form of their frames, 64 bytes padded with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2pmsg.crypto import domains
from p2pmsg.crypto.hashing import digest
from p2pmsg.model.emoji import WORDS

NONCE_BYTES: Final = 32
_NUMBERS, _NUMBER_BITS, _LEAST = 3, 13, 1000
_SYMBOLS, _SYMBOL_BITS = 7, 6
_HEAD_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Strings:
    """What both see if nobody sits between them: three numbers from 1000 to 9191, or the words of seven symbols."""

    numbers: tuple[int, ...]
    emoji: tuple[str, ...]


def commitment(x: bytes, nonce: bytes, nick: bytes) -> bytes:
    """Return what D says first: it binds D to its nonce before it sees R's."""
    return digest(domains.SAS_COMMIT, x, nonce, nick)


def transcript(x: bytes, nonces: tuple[bytes, bytes], nicks: tuple[bytes, bytes]) -> bytes:
    """Return T; both pairs are D's and R's."""
    return digest(domains.SAS, x, *nonces, *nicks)


def strings(t: bytes) -> Strings:
    """Return what is shown of T: bits 0 to 38 as numbers, bits 0 to 41 as symbols, the highest bit of the first byte being bit 0."""
    head = int.from_bytes(t[:_HEAD_BYTES], "big")
    numbers = (_LEAST + _bits(head, number * _NUMBER_BITS, _NUMBER_BITS) for number in range(_NUMBERS))
    symbols = (WORDS[_bits(head, number * _SYMBOL_BITS, _SYMBOL_BITS)] for number in range(_SYMBOLS))
    return Strings(tuple(numbers), tuple(symbols))


def _bits(head: int, start: int, count: int) -> int:
    return head >> (_HEAD_BYTES * 8 - start - count) & ((1 << count) - 1)
