"""How strangers nearby become contacts: two people compare a string before either machine says who its owner is (case C).

    D  COMMIT       REVEAL   [own yes] GATE                                         PROVE …
    R         NONCE                         [own yes, and GATE came] READY

D is bound to its nonce before it sees R's, and R to its own before it sees D's: whoever sits between the two cannot choose what
they see. Names only are said before both have said yes, and a frame of the peer's never stands for my own yes. Pure, as `handshake`.
"""

from __future__ import annotations

import hmac
from enum import Enum, auto
from typing import Final

from p2pmsg.config import limits
from p2pmsg.crypto import gates, sas
from p2pmsg.crypto.hashing import DIGEST_BYTES
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.gates import NOBODY, GateRow, Purpose
from p2pmsg.model.names import fault_of_name, nick_of
from p2pmsg.protocol import handshake
from p2pmsg.protocol.handshake import Dialler, Responder
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import CompareStrings, HandshakeCommand, SendBytes
from p2pmsg.protocol.proofs import require
from p2pmsg.protocol.wire import Frame, FrameType, plain_frame

ENTROPY_BYTES: Final = handshake.ENTROPY_BYTES + sas.NONCE_BYTES
_OPENING_BYTES: Final = sas.NONCE_BYTES + limits.NICK_BYTES
_NO_GATE: Final = GateRow(b"", Purpose.SAS, None)


class _Step(Enum):
    COMMIT = auto()
    NONCE = auto()
    REVEAL = auto()
    COMPARE = auto()
    AGREED = auto()
    """From here on it is a handshake as any other, under the gate key that the string has made."""


def encode_nick(name: str) -> bytes:
    """Return a name as COMMIT, NONCE and REVEAL have it: as much as goes into 64 bytes, padded with zeros."""
    return nick_of(name, limits.NICK_BYTES).encode().ljust(limits.NICK_BYTES, b"\0")


def decode_nick(data: bytes) -> str:
    """Return the name in a frame. Raises: PeerMisbehaved where it is none, or zeros stand within."""
    try:
        name = data.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise PeerMisbehaved("a nickname is not UTF-8") from error
    require(fault_of_name(name, limits.NAME_CHARACTERS) is None, "a nickname is no name")
    return name


class _Opening:
    """A side's nonce and nickname."""

    def __init__(self, nonce: bytes, nick: bytes) -> None:
        self.nonce, self.nick = nonce, nick

    @classmethod
    def of(cls, frame: Frame, expected: FrameType) -> _Opening:
        require(frame.type == expected and len(frame.body) == _OPENING_BYTES, f"no {expected.name}, or of another length")
        return cls(frame.body[: sas.NONCE_BYTES], frame.body[sas.NONCE_BYTES :])

    def frame(self, frame_type: FrameType) -> SendBytes:
        return SendBytes(plain_frame(frame_type, self.nonce + self.nick))


def _compare(exporter: bytes, d: _Opening, r: _Opening, peer: str) -> tuple[GateRow, CompareStrings]:
    t = sas.transcript(exporter, (d.nonce, r.nonce), (d.nick, r.nick))
    return GateRow(gates.sas_gate(t, exporter), Purpose.SAS, None), CompareStrings(sas.strings(t), peer)


class ComparingDialler(Dialler):
    """The side that chose a visible node by its nickname."""

    def __init__(self, knowledge: Knowledge, exporter: bytes, entropy: bytes, now: float) -> None:
        """`exporter` is the TLS session's; `entropy` is at least ENTROPY_BYTES fresh random bytes."""
        super().__init__(knowledge, exporter, _NO_GATE, NOBODY, entropy, now)
        self._own = _Opening(entropy[handshake.ENTROPY_BYTES : ENTROPY_BYTES], encode_nick(knowledge.nick))
        self._step = _Step.NONCE

    def start(self) -> list[HandshakeCommand]:
        """Return the first commands; call it once."""
        committed = sas.commitment(self._exporter, self._own.nonce, self._own.nick)
        return [SendBytes(plain_frame(FrameType.COMMIT, committed))]

    def consent(self, now: float) -> list[HandshakeCommand]:
        """Go on because my own user said yes; call it once, after CompareStrings."""
        if self._step is not _Step.COMPARE:
            raise RuntimeError("nothing is being compared")
        self._step = _Step.AGREED
        return super().start()

    def _take(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        if self._step is _Step.NONCE:
            return self._reveal(frame, now)
        require(self._step is _Step.AGREED, f"frame {frame.type} before my own yes")
        agreed_before = self.proven
        commands = super()._take(frame, now)
        if self.proven and not agreed_before:
            self.deadline = now + limits.HANDSHAKE_TIMEOUT_S  # no more people to wait for
        return commands

    def _reveal(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        theirs = _Opening.of(frame, FrameType.NONCE)
        self._gate, compare = _compare(self._exporter, self._own, theirs, decode_nick(theirs.nick))
        self._step = _Step.COMPARE
        self.deadline = now + limits.COMPARE_TIMEOUT_S
        return [self._own.frame(FrameType.REVEAL), compare]


class ComparingResponder(Responder):
    """The side that was dialled: a responder as any other, unless its node is visible and the first frame is COMMIT."""

    def __init__(self, knowledge: Knowledge, exporter: bytes, entropy: bytes, now: float) -> None:
        """`exporter` is the TLS session's; `entropy` is at least ENTROPY_BYTES fresh random bytes."""
        super().__init__(knowledge, exporter, entropy, now)
        self.admitted = False
        """Whether this is the attempt that `Knowledge.admit` began: whoever let it begin must hear of its end."""
        self._admit = knowledge.admit
        self._own = _Opening(entropy[handshake.ENTROPY_BYTES : ENTROPY_BYTES], encode_nick(knowledge.nick))
        self._committed = b""
        self._step = _Step.COMMIT
        self._gate_came = self._consented = False

    def consent(self, now: float) -> list[HandshakeCommand]:
        """Go on because my own user said yes, as soon as the other's yes is there; after CompareStrings. Again it changes nothing."""
        if self._consented:
            return []
        if self._step is not _Step.COMPARE:
            raise RuntimeError("nothing is being compared")
        self._consented = True
        return self._agree(now)

    def _take(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        match self._step:
            case _Step.COMMIT if frame.type == FrameType.COMMIT:
                return self._nonce(frame)
            case _Step.COMMIT:
                self._step = _Step.AGREED
            case _Step.REVEAL:
                return self._revealed(frame, now)
            case _Step.COMPARE:
                require(not self._gate_came, f"frame {frame.type} before my own yes")
                self._check_gate(frame)
                self._gate_came = True
                return self._agree(now)
        return super()._take(frame, now)

    def _nonce(self, frame: Frame) -> list[HandshakeCommand]:
        require(len(frame.body) == DIGEST_BYTES, "COMMIT has another length")
        self.admitted = self._admit()
        require(self.admitted, "not visible, or another attempt is under way")
        self._committed = frame.body
        self._step = _Step.REVEAL
        return [self._own.frame(FrameType.NONCE)]

    def _revealed(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        theirs = _Opening.of(frame, FrameType.REVEAL)
        committed = sas.commitment(self._exporter, theirs.nonce, theirs.nick)
        require(hmac.compare_digest(committed, self._committed), "REVEAL is not what COMMIT bound")
        gate, compare = _compare(self._exporter, theirs, self._own, decode_nick(theirs.nick))
        self._rows = lambda: (gate,)
        self._step = _Step.COMPARE
        self.deadline = now + limits.COMPARE_TIMEOUT_S
        return [compare]

    def _agree(self, now: float) -> list[HandshakeCommand]:
        """Answer once both have said yes. Before, the peer is nobody: anybody can make the string's key, so it earns no trust."""
        if not (self._consented and self._gate_came):
            return []
        self._step = _Step.AGREED
        self.deadline = now + limits.HANDSHAKE_TIMEOUT_S
        return self._ready()
