"""The recovery words: 24 words (BIP-39, English) hold 256 bits, from which the account's root and backup keys are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from mnemonic import Mnemonic

from p2pmsg.crypto import domains, kem, signing
from p2pmsg.crypto.hashing import digest
from p2pmsg.errors import UsageError

ENTROPY_BYTES: Final = 32
WORDS: Final = 24


def new(entropy: bytes) -> list[str]:
    """Return the 24 words of 32 random bytes; the last one holds a checksum."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError("recovery words hold 32 bytes")
    return _list().to_mnemonic(entropy).split(" ")


def entropy(words: Sequence[str]) -> bytes:
    """Return the 32 bytes that the words hold; case does not matter.

    Raises:
        UsageError: not 24 words, one that is not on the list, or a wrong checksum. The message repeats none of them.
    """
    if len(words) != WORDS:
        raise UsageError(f"There are 24 recovery words, not {len(words)}.", hint="Type them in their order, with blanks between them.")
    known = _list().wordlist
    lower = [word.lower() for word in words]
    for number, word in enumerate(lower, 1):
        if word not in known:
            raise UsageError(f"Word {number} is none of the words that recovery words are made of.", hint="Check its spelling.")
    try:
        return bytes(_list().to_entropy(lower))
    except ValueError as error:
        raise UsageError("These are not 24 words that belong together.", hint="Check their order and spelling.") from error


def root_keypair(entropy: bytes) -> tuple[bytes, bytes]:
    """Return (public key, 64-byte secret) of the recovery root, which signs the genesis of the account's chain."""
    return signing.keypair(digest(domains.WORDS_ROOT, entropy))


def backup_public(entropy: bytes) -> bytes:
    """Return the X-Wing key (1216 bytes) that backups are sealed to; only the words open them."""
    return kem.PrivateKey.from_seed(digest(domains.WORDS_BACKUP, entropy)).public


@cache
def _list() -> Mnemonic:
    return Mnemonic("english")
