"""What two contacts compare to see that nobody sits between them: the safety number, and what a live comparison shows.

The number covers the account ids alone, so it stays the same whatever devices come and go.
"""

from __future__ import annotations

from typing import Final

from p2pmsg.crypto import domains, sas
from p2pmsg.crypto.hashing import digest
from p2pmsg.model.ids import AccountId

DIGITS: Final = 60
"""About 199 bits: who looks for two accounts of his own that give two others the same number tries 2^99 times (as Signal's)."""


def number(one: AccountId, other: AccountId) -> str:
    """Return the safety number of two accounts, 60 digits; the same whoever asks."""
    low, high = sorted((one, other))
    return f"{int.from_bytes(digest(domains.SAFETY_NUMBER, low, high), 'big') % 10**DIGITS:0{DIGITS}}"


def commitment(x: bytes, nonce: bytes, account: AccountId) -> bytes:
    """Return what the side that asks says first: it binds it to its nonce before it sees the other one's. `x` names the link."""
    return digest(domains.VERIFY_COMMIT, x, nonce, account)


def strings(x: bytes, nonces: tuple[bytes, bytes], accounts: tuple[AccountId, AccountId]) -> sas.Strings:
    """Return what both see; both pairs are of who asked and of who was asked."""
    return sas.strings(digest(domains.VERIFY, x, *nonces, *accounts))
