"""Two contacts on an open link compare what both machines show, so that each knows the other's account for who he is.

    asks    COMMIT         REVEAL   [own yes] YES
    asked            NONCE                         [own yes] YES

Who asks is bound to his nonce before he sees the other, as where strangers compare (`comparing`); who sits between two links of his own
cannot make both see the same. A peer's YES never stands for my own. Pure: one object for each time that somebody asks.
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import Final

from p2pmsg.crypto import safety
from p2pmsg.crypto.sas import NONCE_BYTES, Strings
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.proofs import require
from p2pmsg.protocol.wire import Verify

_COMMIT_BYTES: Final = 32


class Step(IntEnum):
    """What a VERIFY says."""

    COMMIT = 1
    NONCE = 2
    REVEAL = 3
    YES = 4
    NO = 5


class Verification:
    """One side of it. `strings` is set once there is something to compare; `agreed` once both have said yes; `over` once one said no."""

    def __init__(self, *, asks: bool, x: bytes, mine: AccountId, theirs: AccountId, nonce: bytes) -> None:
        """`x` is the link's id; `nonce` is 32 fresh random bytes."""
        self.strings: Strings | None = None
        self.over = False
        self._asks, self._x, self._nonce = asks, x, nonce
        self._mine, self._theirs = mine, theirs
        self._committed: bytes | None = None
        self._my_yes = self._their_yes = False

    @property
    def agreed(self) -> bool:
        return self._my_yes and self._their_yes

    def start(self) -> Verify:
        """Return the first frame of who asks."""
        return Verify(Step.COMMIT, safety.commitment(self._x, self._nonce, self._mine))

    def receive(self, frame: Verify) -> Verify | None:
        """Take a frame of the peer's, and return the answer if there is one.

        Raises:
            PeerMisbehaved: it is out of turn, of another length, or shows another nonce than it was bound to.
        """
        step, data = frame.step, frame.data
        if step == Step.NO:
            self.over = True
        elif step == Step.YES:
            require(self.strings is not None and not self._their_yes, "a yes to nothing")
            self._their_yes = True
        elif self._asks:
            require(step == Step.NONCE and self.strings is None and len(data) == NONCE_BYTES, "no NONCE")
            self.strings = self._compare(self._nonce, data)
            return Verify(Step.REVEAL, self._nonce)
        elif self._committed is None:
            require(step == Step.COMMIT and len(data) == _COMMIT_BYTES, "no COMMIT")
            self._committed = data
            return Verify(Step.NONCE, self._nonce)
        else:
            require(step == Step.REVEAL and self.strings is None and len(data) == NONCE_BYTES, "no REVEAL")
            expected = safety.commitment(self._x, data, self._theirs)
            require(hmac.compare_digest(expected, self._committed), "another nonce than it was bound to")
            self.strings = self._compare(data, self._nonce)
        return None

    def consent(self) -> Verify:
        """Return what says that my own user sees the same. Call it once, when there are strings."""
        if self.strings is None or self._my_yes:
            raise RuntimeError("nothing is being compared")
        self._my_yes = True
        return Verify(Step.YES, b"")

    def refuse(self) -> Verify:
        """Return what says that he does not, or has gone."""
        self.over = True
        return Verify(Step.NO, b"")

    def _compare(self, asker: bytes, asked: bytes) -> Strings:
        accounts = (self._mine, self._theirs) if self._asks else (self._theirs, self._mine)
        return safety.strings(self._x, (asker, asked), accounts)
