"""Gate keys: what the other side must hold before this node says anything to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from p2pmsg.model.ids import ID_BYTES, AccountId


class Purpose(Enum):
    """What a gate key is for; it is not visible on the wire."""

    PAIR = auto()
    INVITE = auto()


class Ended(IntEnum):
    """Why an invite opens nothing any more, in the numbers of the frame GONE."""

    EXPIRED = 1
    USED = 2
    WITHDRAWN = 3


@dataclass(frozen=True, slots=True)
class GateRow:
    """A gate key: live, retired, or of an ended invite, which is kept to answer GONE."""

    key: bytes = field(repr=False)
    purpose: Purpose
    account: AccountId | None
    """The other account of a pair; None for an invite."""
    ended: Ended | None = None
    spent_by: AccountId | None = None
    """Who used the invite; he may come again, as our WELCOME may have been lost."""
    reference: str = ""
    """The row's name in storage."""

    def opens_for(self, account: AccountId, me: AccountId) -> bool:
        """Say whether this account may prove itself under the key: of a pair the one named, of an invite anybody but me."""
        if self.purpose is Purpose.PAIR:
            return account == self.account
        return account not in (bytes(ID_BYTES), me)

    def ended_for(self, account: AccountId) -> Ended | None:
        """Say why the row admits this account no more; None where it does."""
        if self.ended is Ended.WITHDRAWN:
            return Ended.WITHDRAWN
        if self.spent_by is not None:
            return None if self.spent_by == account else Ended.USED
        return self.ended
