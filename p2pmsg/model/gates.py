"""Gate keys: what the other side must hold before this node says anything to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Final

from p2pmsg.model.ids import ID_BYTES, AccountId

NOBODY: Final = AccountId(bytes(ID_BYTES))
"""Stands where an account is named, and nobody is known yet."""


class Purpose(Enum):
    """What a gate key is for; it is not visible on the wire."""

    PAIR = auto()
    INVITE = auto()
    SAS = auto()
    """Of two who compared strings: serves one link, and is never stored."""


class Ended(IntEnum):
    """Why an invite opens nothing any more, in the numbers of the frame GONE."""

    EXPIRED = 1
    USED = 2
    WITHDRAWN = 3


@dataclass(frozen=True, slots=True)
class GateRow:
    """A gate key: live, retired, or of an ended invite, which is kept to answer GONE.

    Of a pair's live keys the oldest is the one that the other side is known to hold; where there are newer ones, it has not said so yet.
    """

    key: bytes = field(repr=False)
    purpose: Purpose
    account: AccountId | None
    """The other account of a pair; None where anybody may prove himself who holds the key."""
    ended: Ended | None = None
    spent_by: AccountId | None = None
    """Who used the invite; he may come again, as our WELCOME may have been lost."""
    retired: bool = False
    """Replaced by a newer key of the pair that the other side is known to hold; still good for who lags behind."""
    reference: str = ""
    """The row's name in storage."""

    def opens_for(self, account: AccountId, me: AccountId) -> bool:
        """Say whether this account may prove itself under the key: of a pair the one named, else anybody but me."""
        if self.purpose is Purpose.PAIR:
            return account == self.account
        return account not in (NOBODY, me)

    def ended_for(self, account: AccountId) -> Ended | None:
        """Say why the row admits this account no more; None where it does."""
        if self.ended is Ended.WITHDRAWN:
            return Ended.WITHDRAWN
        if self.spent_by is not None:
            return None if self.spent_by == account else Ended.USED
        return self.ended
