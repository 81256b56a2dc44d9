"""One link until it is open: two machines that prove account, device and gate key to each other, bound to the TLS session.

Pure: frames and `now` (monotonic seconds) go in, commands come out. Whatever goes wrong raises `HandshakeRefused` and ends the
machine; the peer is told nothing but a close with 0x100 at the next tick. Nothing changes outside but by `CommitPeering`, which
comes after every check; a machine goes on only when `committed` says that it was done.

    D  GATE         PROVE CHAIN..                            [commit] HELLO    open on R's HELLO
    R         READY               [commit] WELCOME CHAIN.. HELLO               open on D's HELLO
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from p2pmsg.config import limits
from p2pmsg.crypto import agreement, gates, kem
from p2pmsg.crypto.channel import Channel
from p2pmsg.crypto.hashing import DIGEST_BYTES, wipe
from p2pmsg.errors import HandshakeRefused, InviteExpired, InviteUsed, InviteWithdrawn, PeerMisbehaved, Refused
from p2pmsg.model.gates import NOBODY, Ended, GateRow, Purpose
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import wire
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import CommitPeering, HandshakeCommand, OpenLink, Peering, SendBytes
from p2pmsg.protocol.proofs import PROOF_BYTES, ChainReader, Proof, Verifier, encode_chain, require
from p2pmsg.protocol.wire import Frame, FrameType, Hello, plain_frame

ENTROPY_BYTES: Final = 64
GONE_PATIENCE_S: Final = 1.0
"""The dialler closes when it reads GONE; else the responder does after this time."""
_VERSION: Final = b"\x01"
_SEED_BYTES: Final = 32
_GATE_BYTES: Final = 1 + kem.PUBLIC_BYTES + DIGEST_BYTES
_SEALED_SEED_BYTES: Final = _SEED_BYTES + kem.OVERHEAD_BYTES
_READY_BYTES: Final = kem.PUBLIC_BYTES + _SEALED_SEED_BYTES + DIGEST_BYTES
_PROVE_BYTES: Final = _SEED_BYTES + PROOF_BYTES + kem.OVERHEAD_BYTES


class _Stage(Enum):
    GATE = auto()
    READY = auto()
    PROVE = auto()
    WELCOME = auto()
    CHAIN = auto()
    COMMIT = auto()
    HELLO = auto()
    ENDED = auto()


class _Machine:
    """What both sides share: secrets and their end, the channel, the peer's chain, the time."""

    def __init__(self, knowledge: Knowledge, stage: _Stage, entropy: bytes, now: float) -> None:
        if len(entropy) < ENTROPY_BYTES:
            raise ValueError(f"a handshake needs {ENTROPY_BYTES} random bytes")
        self.deadline = now + limits.HANDSHAKE_TIMEOUT_S
        """When to call `tick`."""
        self.proven = False
        """Whether the peer's MAC has verified: until then it may send no frame over `limits.UNPROVEN_BYTES`."""
        self._me = knowledge.me
        self._hello = knowledge.hello
        self._verifier = Verifier(knowledge.me.device_key, knowledge.known, knowledge.links_of, knowledge.may_link)
        self._stage = stage
        self._ephemeral: kem.PrivateKey | None = kem.PrivateKey.from_seed(entropy[:_SEED_BYTES])
        self._seed = bytearray(entropy[_SEED_BYTES:ENTROPY_BYTES])
        self._reader = ChainReader()
        self._proof: Proof | None = None
        self._master = bytearray()
        self._pair_key: bytes | None = None
        self._channel: Channel | None = None
        self._peering: Peering | None = None

    def receive(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        """Take the next frame of the control stream; return what to do, in order.

        Raises:
            HandshakeRefused: whatever is wrong with it. The machine has ended.
            InviteExpired, InviteUsed, InviteWithdrawn: only at the dialler: the responder says so. The machine has ended.
        """
        try:
            return self._take(frame, now)
        except PeerMisbehaved as error:
            self._end()
            raise HandshakeRefused(str(error)) from error
        except Refused:
            self._end()
            raise

    def tick(self, now: float) -> None:
        """Look at the clock; to call it too early does no harm.

        Raises:
            HandshakeRefused: the deadline is over. The machine has ended.
        """
        if now >= self.deadline:
            self._end()
            raise HandshakeRefused("the peer took too long")

    def _take(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        raise NotImplementedError

    def _secure(self, gate: GateRow, seeds: tuple[bytes | bytearray, bytes | bytearray], t2: bytes) -> tuple[bytes, bytes]:
        """Return the keys of D's and R's direction; the ephemeral secrets end here. `seeds` are D's and R's."""
        self._master = agreement.master_key(gate.key, *seeds, t2)
        self._forget()
        return agreement.channel_keys(self._master)

    def _pair_up(self, gate: GateRow, peer: AccountId) -> None:
        """Make the key of the pair, if the two become contacts on this link; the master key ends here."""
        if gate.purpose is not Purpose.PAIR:
            self._pair_key = gates.pair_key(self._master, self._me.account, peer)
        wipe(self._master)

    def _open_frame(self, frame: Frame, expected: FrameType, now: float) -> bytes:
        require(frame.type == expected and self._channel is not None, f"frame {frame.type} in place of {expected.name}")
        assert self._channel is not None
        payload, _ = self._channel.receive(frame.type, frame.body, now)
        assert payload is not None  # no KEY or NEXT is ever expected here
        return payload

    def _seal(self, frame_type: FrameType, payload: bytes, now: float) -> bytes:
        assert self._channel is not None
        return self._channel.send(frame_type, payload, now)

    def _seal_chain(self, now: float) -> bytes:
        return b"".join(self._seal(FrameType.CHAIN, page, now) for page in encode_chain(self._me.links))

    def _check_chain(self, gate: GateRow, dialled: bool) -> Peering:
        assert self._proof is not None
        proof = self._proof
        shown = self._verifier.check_chain(proof, self._reader.forms)
        return Peering(
            account=proof.account,
            device_key=proof.device,
            device_id=proof.device_id,
            membership=shown.membership,
            new_links=shown.new_links,
            gate=gate,
            pair_key=self._pair_key,
            dialled=dialled,
            went_back=shown.went_back,
        )

    def _commit(self, peering: Peering) -> list[HandshakeCommand]:
        self._peering = peering
        self._stage = _Stage.COMMIT
        self.deadline = float("inf")  # my own disk's time, not the peer's
        return [CommitPeering(peering)]

    def _commit_done(self, now: float) -> None:
        if self._stage is not _Stage.COMMIT:
            raise RuntimeError("nothing waits for a commit")
        self._stage = _Stage.HELLO
        self.deadline = now + limits.HANDSHAKE_TIMEOUT_S

    def _greeting(self, now: float) -> bytes:
        assert self._peering is not None
        return self._seal(FrameType.HELLO, self._hello(self._peering.device_id), now)

    def _read_hello(self, frame: Frame, now: float) -> Hello:
        hello = wire.decode(FrameType.HELLO, self._open_frame(frame, FrameType.HELLO, now))
        assert isinstance(hello, Hello)
        return hello

    def _open(self, hello: Hello) -> list[HandshakeCommand]:
        assert self._peering is not None and self._channel is not None
        opened = OpenLink(self._peering, self._channel, hello)
        self._end()
        return [opened]

    def _end(self) -> None:
        self._stage = _Stage.ENDED
        self.deadline = float("inf")
        self._channel = None
        wipe(self._master)
        self._pair_key = None
        self._peering = None
        self._forget()

    def _forget(self) -> None:
        self._ephemeral = None
        wipe(self._seed)


class Dialler(_Machine):
    """The side that dialled `to`, with a gate key that both hold."""

    def __init__(self, knowledge: Knowledge, exporter: bytes, gate: GateRow, to: AccountId, entropy: bytes, now: float) -> None:
        """`exporter` is the TLS session's; `entropy` is at least 64 fresh random bytes."""
        super().__init__(knowledge, _Stage.READY, entropy, now)
        self._gate = gate
        self._to = to
        self._exporter = exporter
        self._t0 = b""
        self._t2 = b""
        self._early_hello: Hello | None = None

    def start(self) -> list[HandshakeCommand]:
        """Return the first commands; call it once."""
        assert self._ephemeral is not None
        self._t0 = agreement.t0(self._exporter, _VERSION, self._ephemeral.public)
        body = _VERSION + self._ephemeral.public + agreement.gate_mac(self._gate.key, self._t0)
        return [SendBytes(plain_frame(FrameType.GATE, body))]

    def committed(self, now: float) -> list[HandshakeCommand]:
        """Go on after `CommitPeering` was performed."""
        self._commit_done(now)
        return [SendBytes(self._greeting(now)), *(self._open(self._early_hello) if self._early_hello else ())]

    def _take(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        match self._stage:
            case _Stage.READY:
                return self._ready(frame, now)
            case _Stage.WELCOME if frame.type == FrameType.GONE and self._gate.purpose is Purpose.INVITE:
                raise _gone_error(self._open_frame(frame, FrameType.GONE, now))
            case _Stage.WELCOME:
                return self._welcome(frame, now)
            case _Stage.CHAIN:
                last = self._reader.read(self._open_frame(frame, FrameType.CHAIN, now))
                return self._commit(self._check_chain(self._gate, dialled=True)) if last else []
            case _Stage.COMMIT if self._early_hello is None:
                self._early_hello = self._read_hello(frame, now)
                return []
            case _Stage.HELLO:
                return self._open(self._read_hello(frame, now))
        raise HandshakeRefused(f"frame {frame.type} out of turn")

    def _ready(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        body = frame.body
        require(frame.type == FrameType.READY and len(body) == _READY_BYTES, "no READY, or of another length")
        ek_r, sealed, mac = body[: kem.PUBLIC_BYTES], body[kem.PUBLIC_BYTES : -DIGEST_BYTES], body[-DIGEST_BYTES:]
        t1 = agreement.t1(self._t0, ek_r, sealed)
        require(hmac.compare_digest(mac, agreement.ready_mac(self._gate.key, t1)), "the MAC of READY does not verify")
        assert self._ephemeral is not None
        self.proven = True
        seed_r = bytearray(self._ephemeral.open(sealed, self._t0))
        proof = self._me.prove(lambda heads: agreement.prove_text(t1, self._to, self._me.account, self._me.device_key, heads))
        plain = self._seed + proof.pack()
        prove = kem.seal(ek_r, plain, t1)
        self._t2 = agreement.t2(t1, prove)
        k_d, k_r = self._secure(self._gate, (self._seed, seed_r), self._t2)
        wipe(seed_r, plain)
        self._channel = Channel(k_d, k_r, now)
        self._stage = _Stage.WELCOME
        return [SendBytes(plain_frame(FrameType.PROVE, prove) + self._seal_chain(now))]

    def _welcome(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        proof = Proof.unpack(self._open_frame(frame, FrameType.WELCOME, now))
        dialled = proof.account == self._to if self._to != NOBODY else self._gate.opens_for(proof.account, self._me.account)
        require(dialled, "another account answers than was dialled")
        self._verifier.check_signed(proof, agreement.welcome_text(self._t2, self._me.account, proof.account, proof.device, proof.heads))
        self._pair_up(self._gate, proof.account)
        self._proof = proof
        self._stage = _Stage.CHAIN
        return []


class Responder(_Machine):
    """The side that was dialled, by somebody who holds one of its gate keys."""

    def __init__(self, knowledge: Knowledge, exporter: bytes, entropy: bytes, now: float) -> None:
        """`exporter` is the TLS session's; `entropy` is at least 64 fresh random bytes."""
        super().__init__(knowledge, _Stage.GATE, entropy, now)
        self._exporter = exporter
        self._rows = knowledge.rows
        self._gate: GateRow | None = None
        self._ek_d = b""
        self._t0 = b""
        self._t1 = b""
        self._t2 = b""

    def start(self) -> list[HandshakeCommand]:
        """Return the first commands: a responder has none."""
        return []

    def committed(self, now: float) -> list[HandshakeCommand]:
        """Go on after `CommitPeering` was performed."""
        self._commit_done(now)
        assert self._proof is not None
        peer = self._proof.account
        proof = self._me.prove(lambda heads: agreement.welcome_text(self._t2, peer, self._me.account, self._me.device_key, heads))
        welcome = self._seal(FrameType.WELCOME, proof.pack(), now)
        return [SendBytes(welcome + self._seal_chain(now) + self._greeting(now))]

    def gone(self, reason: Ended, now: float) -> list[HandshakeCommand]:
        """Say that the invite has ended, in place of `committed`: the transaction of `CommitPeering` found it so."""
        self._stage = _Stage.ENDED
        self.deadline = now + GONE_PATIENCE_S
        return [SendBytes(self._seal(FrameType.GONE, bytes((reason,)), now))]

    def _take(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        match self._stage:
            case _Stage.GATE:
                self._check_gate(frame)
                return self._ready()
            case _Stage.PROVE:
                return self._prove(frame, now)
            case _Stage.CHAIN:
                last = self._reader.read(self._open_frame(frame, FrameType.CHAIN, now))
                return self._decide(now) if last else []
            case _Stage.HELLO:
                return self._open(self._read_hello(frame, now))
        raise HandshakeRefused(f"frame {frame.type} out of turn")

    def _check_gate(self, frame: Frame) -> None:
        body = frame.body
        require(frame.type == FrameType.GATE and len(body) == _GATE_BYTES, "no GATE, or of another length")
        version, self._ek_d, mac = body[:1], body[1:-DIGEST_BYTES], body[-DIGEST_BYTES:]
        require(version == _VERSION, "another version")
        self._t0 = agreement.t0(self._exporter, version, self._ek_d)
        self._gate = _gate_of(self._rows(), self._t0, mac)
        require(self._gate is not None, "the MAC of GATE verifies under no gate key")

    def _ready(self) -> list[HandshakeCommand]:
        gate = self._gate
        assert gate is not None and self._ephemeral is not None
        self.proven = True
        sealed = kem.seal(self._ek_d, self._seed, self._t0)
        self._t1 = agreement.t1(self._t0, self._ephemeral.public, sealed)
        self._stage = _Stage.PROVE
        return [SendBytes(plain_frame(FrameType.READY, self._ephemeral.public + sealed + agreement.ready_mac(gate.key, self._t1)))]

    def _prove(self, frame: Frame, now: float) -> list[HandshakeCommand]:
        assert self._gate is not None and self._ephemeral is not None
        gate, t1, me = self._gate, self._t1, self._me.account
        require(frame.type == FrameType.PROVE and len(frame.body) == _PROVE_BYTES, "no PROVE, or of another length")
        opened = self._ephemeral.open(frame.body, t1)
        seed_d, proof = bytearray(opened[:_SEED_BYTES]), Proof.unpack(opened[_SEED_BYTES:])
        self._t2 = agreement.t2(t1, frame.body)
        require(gate.opens_for(proof.account, me), "this gate key is not for this account")
        to = NOBODY if gate.purpose is Purpose.SAS else me
        self._verifier.check_signed(proof, agreement.prove_text(t1, to, proof.account, proof.device, proof.heads))
        k_d, k_r = self._secure(gate, (seed_d, self._seed), self._t2)
        self._pair_up(gate, proof.account)
        wipe(seed_d)
        self._channel = Channel(k_r, k_d, now)
        self._proof = proof
        self._stage = _Stage.CHAIN
        return []

    def _decide(self, now: float) -> list[HandshakeCommand]:
        assert self._gate is not None
        peering = self._check_chain(self._gate, dialled=False)
        reason = self._gate.ended_for(peering.account)
        return self._commit(peering) if reason is None else self.gone(reason, now)


def _gate_of(rows: Sequence[GateRow], t0: bytes, mac: bytes) -> GateRow | None:
    """Return the row whose key made this MAC; all are tried every time, so that the time tells nothing."""
    found = None
    for row in rows:
        if hmac.compare_digest(agreement.gate_mac(row.key, t0), mac):
            found = row
    return found


def _gone_error(payload: bytes) -> Refused | HandshakeRefused:
    match payload:
        case b"\x01":
            return InviteExpired("This invite has expired.")
        case b"\x02":
            return InviteUsed("Somebody has used this invite already.")
        case b"\x03":
            return InviteWithdrawn("This invite was withdrawn.")
    return HandshakeRefused("a GONE without a reason")
