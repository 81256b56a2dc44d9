"""The channel of an open link: each frame under a key of its own, each direction renewed by a fresh X-Wing seal.

A frame is `type(1) length(4) ciphertext`, the length with its tag, ChaCha20-Poly1305 (RFC 8439), `type || length` as associated
data. After each frame the key steps through a hash; after 50 frames or 10 minutes the receiver of a direction sends a fresh
public key (KEY), the sender answers with a seed sealed to it (NEXT), which steps the key once more and ends the epoch. So who
reads the memory today opens no frame of the past and nothing beyond the current epochs.

Knows no frame numbers but those two, no sockets and no clock: `now` is a monotonic time in seconds.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2pmsg.config import limits
from p2pmsg.crypto import domains, kem
from p2pmsg.crypto.hashing import DIGEST_BYTES, digest, mac, wipe
from p2pmsg.errors import PeerMisbehaved

KEY: Final = 15
NEXT: Final = 16
TAG_BYTES: Final = 16
_NONCE_BYTES: Final = 12


class _Direction:
    """One direction's key, and how many frames its epoch has had."""

    __slots__ = ("frames", "key", "since")

    def __init__(self, key: bytes, now: float) -> None:
        self.key = bytearray(key)
        self.frames = 0
        self.since = now

    def seal(self, frame_type: int, payload: bytes) -> bytes:
        header = bytes((frame_type,)) + (len(payload) + TAG_BYTES).to_bytes(4, "big")
        ciphertext = ChaCha20Poly1305(self.key).encrypt(self.frames.to_bytes(_NONCE_BYTES, "big"), payload, header)
        self._step()
        return header + ciphertext

    def open(self, frame_type: int, ciphertext: bytes) -> bytes:
        header = bytes((frame_type,)) + len(ciphertext).to_bytes(4, "big")
        plaintext = ChaCha20Poly1305(self.key).decrypt(self.frames.to_bytes(_NONCE_BYTES, "big"), ciphertext, header)
        self._step()
        return plaintext

    def renew(self, seed: bytes | bytearray, now: float) -> None:
        self.key[:] = mac(self.key, domains.CHANNEL_NEXT, seed)
        self.frames = 0
        self.since = now

    def _step(self) -> None:
        self.key[:] = blake2b(domains.CHANNEL_STEP, key=self.key, digest_size=DIGEST_BYTES).digest()
        self.frames += 1


class Channel:
    """Seals and opens the frames of one link, in order. After an error it is shut: the link is to be closed.

    Not safe for concurrent use. All bytes returned must be written in the order in which they were returned.
    """

    __slots__ = ("_asked", "_entropy", "_held", "_held_bytes", "_held_since", "_in", "_out")

    def __init__(self, send_key: bytes, receive_key: bytes, now: float, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._out = _Direction(send_key, now)
        self._in = _Direction(receive_key, now)
        self._entropy = entropy
        self._asked: kem.PrivateKey | None = None
        """The key of a KEY that is not answered yet."""
        self._held: deque[tuple[int, bytes]] = deque()
        self._held_bytes = 0
        self._held_since = 0.0

    @property
    def holding(self) -> bool:
        """Say whether frames wait because the peer has not renewed a direction of 200 frames."""
        return bool(self._held)

    @property
    def deadline(self) -> float:
        """When to call `tick` next."""
        renewal = float("inf") if self._asked else self._in.since + limits.RENEW_S
        return min(renewal, self._held_since + limits.HOLD_S) if self._held else renewal

    def send(self, frame_type: int, payload: bytes, now: float) -> bytes:
        """Return the bytes to write for a frame; empty while the channel holds: then a later `receive` returns them, in order.

        Raises:
            PeerMisbehaved: more than `limits.OUTPUT_BYTES` would be held.
            ValueError: the payload is longer than a frame may be.
        """
        if len(payload) > limits.FRAME_BYTES - TAG_BYTES:
            raise ValueError("a payload longer than a frame may be")
        if self._out.frames < limits.HOLD_FRAMES:
            return self._out.seal(frame_type, payload)
        if not self._held:
            self._held_since = now
        self._held.append((frame_type, payload))
        self._held_bytes += len(payload)
        if self._held_bytes > limits.OUTPUT_BYTES:
            raise self._shut("more is held than a link may have unsent")
        return b""

    def receive(self, frame_type: int, ciphertext: bytes, now: float) -> tuple[bytes | None, bytes]:
        """Return (payload, bytes to write at once). The payload is None for KEY and NEXT, which end here.

        Raises:
            PeerMisbehaved: the frame does not open as the next one of this direction; a KEY before its time; a NEXT that nobody
                asked for; an epoch that goes on without the NEXT that was asked for.
        """
        try:
            payload = self._in.open(frame_type, ciphertext)
        except (InvalidTag, ValueError) as error:
            raise self._shut("a frame does not open") from error
        if frame_type == KEY:
            return None, self._answer_key(payload, now)
        if frame_type == NEXT:
            self._take_next(payload, now)
            return None, b""
        return payload, self._ask_when_due(now)

    def tick(self, now: float) -> bytes:
        """Return the bytes to write at a deadline; to call it too early does no harm.

        Raises:
            PeerMisbehaved: frames were held for 10 s.
        """
        if self._held and now >= self._held_since + limits.HOLD_S:
            raise self._shut("the peer renews no keys")
        return self._ask_when_due(now)

    def _ask_when_due(self, now: float) -> bytes:
        if self._asked is not None:
            if self._in.frames > limits.HOLD_FRAMES:  # only KEY and NEXT may come after the 200th
                raise self._shut("a KEY was not answered")
            return b""
        if self._in.frames < limits.RENEW_FRAMES and now < self._in.since + limits.RENEW_S:
            return b""
        seed = bytearray(self._entropy(kem.SEED_BYTES))
        self._asked = kem.PrivateKey.from_seed(seed)
        wipe(seed)
        return self._out.seal(KEY, self._asked.public)

    def _answer_key(self, public: bytes, now: float) -> bytes:
        if self._out.frames < limits.RENEW_FRAMES and now < self._out.since + limits.EARLIEST_KEY_S:
            raise self._shut("a KEY came before its time")
        seed = bytearray(self._entropy(kem.SEED_BYTES))
        try:
            sealed = kem.seal(public, seed, _seal_info(public))
        except PeerMisbehaved as error:
            raise self._shut("a KEY is none") from error
        answer = self._out.seal(NEXT, sealed)
        self._out.renew(seed, now)
        wipe(seed)
        return answer + self._release(now)

    def _take_next(self, sealed: bytes, now: float) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            raise self._shut("a NEXT came unasked")
        try:
            seed = bytearray(asked.open(sealed, _seal_info(asked.public)))
        except PeerMisbehaved as error:
            raise self._shut("a NEXT does not open") from error
        if len(seed) != kem.SEED_BYTES:
            raise self._shut("a NEXT holds no seed")
        self._in.renew(seed, now)
        wipe(seed)

    def _release(self, now: float) -> bytes:
        frames: list[bytes] = []
        while self._held and self._out.frames < limits.HOLD_FRAMES:
            frame_type, payload = self._held.popleft()
            self._held_bytes -= len(payload)
            frames.append(self._out.seal(frame_type, payload))
        self._held_since = now
        return b"".join(frames)

    def _shut(self, reason: str) -> PeerMisbehaved:
        """Make every later frame fail, whatever it is, and forget what was secret."""
        self._in.key[:] = os.urandom(DIGEST_BYTES)
        self._out.key[:] = os.urandom(DIGEST_BYTES)
        self._asked = None
        self._held.clear()
        self._held_bytes = 0
        return PeerMisbehaved(reason)


def _seal_info(public: bytes) -> bytes:
    return digest(domains.CHANNEL_SEAL, public)
