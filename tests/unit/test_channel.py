import os
import struct
from hashlib import blake2b

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import channel as channels
from p2pmsg.crypto import kem
from p2pmsg.crypto.channel import KEY, NEXT, TAG_BYTES, Channel
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.protocol.wire import Frame, FrameReader, FrameType

EVENTS = 13
FOREVER = float("inf")


class Side:
    """One end of a link: a channel, what is on its way to it, and what it got."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self.channel = Channel(send_key, receive_key, 0.0, lambda size: b"\x05" * size)
        self.incoming: list[Frame] = []
        self.got: list[bytes] = []
        self._reader = FrameReader(limits.FRAME_BYTES)

    def arrive(self, data: bytes) -> None:
        self.incoming += self._reader.feed(data)

    def read(self, now: float = 0.0) -> bytes:
        """Take the next frame; return what is to be written at once."""
        frame = self.incoming.pop(0)
        payload, out = self.channel.receive(frame.type, frame.body, now)
        if payload is not None:
            self.got.append(payload)
        return out


def link(seed: bytes = b"") -> tuple[Side, Side]:
    a, b = (seed + b"a" * 32)[:32], (seed + b"b" * 32)[:32]
    return Side(a, b), Side(b, a)


def drain(a: Side, b: Side, now: float = 0.0) -> None:
    """Let both read until nothing is on its way."""
    while a.incoming or b.incoming:
        for reader, other in ((a, b), (b, a)):
            if reader.incoming:
                other.arrive(reader.read(now))


def send(a: Side, b: Side, count: int, now: float = 0.0) -> None:
    for number in range(count):
        b.arrive(a.channel.send(EVENTS, b"%d" % number, now))


def test_frame_numbers_are_the_wires() -> None:
    assert (KEY, NEXT, EVENTS) == (FrameType.KEY, FrameType.NEXT, FrameType.EVENTS)


def test_frames_arrive_as_sent_and_each_is_other_bytes() -> None:
    ann, bob = link()
    frames = [ann.channel.send(EVENTS, b"same", 0.0) for _ in range(3)]
    assert len(set(frames)) == 3
    assert frames[0][:5] == bytes((EVENTS,)) + (4 + TAG_BYTES).to_bytes(4, "big")
    for frame in frames:
        bob.arrive(frame)
    drain(ann, bob)
    assert bob.got == [b"same"] * 3


def test_bytes_on_the_wire_are_the_written_ones() -> None:
    """The specification once more, in three lines: ChaCha20-Poly1305, a nonce that counts, a key that steps."""
    ann, _ = link()
    key, header = b"a" * 32, b"\x0d\x00\x00\x00\x15"
    for counter in range(3):
        sealed = ChaCha20Poly1305(key).encrypt(struct.pack(">4xQ", counter), b"hello", header)
        assert ann.channel.send(EVENTS, b"hello", 0.0) == header + sealed
        key = blake2b(b"p2pmsg/1/ch/step\0", key=key, digest_size=32).digest()


def test_a_renewal_mixes_the_seed_into_the_key_after_next() -> None:
    ann, bob = link()
    send(ann, bob, limits.RENEW_FRAMES)
    drain(ann, bob)
    key = b"a" * 32
    for _ in range(limits.RENEW_FRAMES + 1):
        key = blake2b(b"p2pmsg/1/ch/step\0", key=key, digest_size=32).digest()
    seed = b"\x05" * 32
    assert bob.channel._in.key == blake2b(b"p2pmsg/1/ch/next\0" + seed, key=key, digest_size=32).digest()


def test_an_empty_and_the_longest_payload() -> None:
    ann, bob = link()
    longest = bytes(limits.FRAME_BYTES - TAG_BYTES)
    for payload in (b"", longest):
        bob.arrive(ann.channel.send(EVENTS, payload, 0.0))
    drain(ann, bob)
    assert bob.got == [b"", longest]
    with pytest.raises(ValueError, match="longer"):
        ann.channel.send(EVENTS, longest + b"\0", 0.0)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.booleans(), st.integers(0, 120)), max_size=30))
@settings(max_examples=40)
def test_nothing_is_lost_or_reordered_whatever_the_traffic(seed: int, bursts: list[tuple[bool, int]]) -> None:
    ann, bob = link(seed.to_bytes(8, "big"))
    sent: dict[int, list[bytes]] = {0: [], 1: []}
    for from_ann, count in bursts:
        sender, receiver = (ann, bob) if from_ann else (bob, ann)
        for _ in range(count):
            payload = os.urandom(4)
            sent[from_ann].append(payload)
            receiver.arrive(sender.channel.send(EVENTS, payload, 0.0))
        for _ in range(count // 2):
            if sender.incoming:
                receiver.arrive(sender.read())
    drain(ann, bob)
    assert (bob.got, ann.got) == (sent[1], sent[0])
    assert not ann.channel.holding and not bob.channel.holding


# -- renewal


def test_after_50_frames_the_receiver_asks_for_a_renewal() -> None:
    ann, bob = link()
    send(ann, bob, limits.RENEW_FRAMES)
    out = [bob.read() for _ in range(limits.RENEW_FRAMES)]
    assert out[:-1] == [b""] * (limits.RENEW_FRAMES - 1)
    assert out[-1][0] == KEY and len(out[-1]) == 1237
    ann.arrive(out[-1])
    answer = ann.read()
    assert answer[0] == NEXT and len(answer) == 1189
    bob.arrive(answer)
    assert bob.read() == b""
    send(ann, bob, 3)
    drain(ann, bob)
    assert bob.got[-3:] == [b"0", b"1", b"2"]


def test_after_10_minutes_too_in_each_direction() -> None:
    ann, bob = link()
    assert ann.channel.deadline == bob.channel.deadline == limits.RENEW_S
    assert ann.channel.tick(limits.RENEW_S - 1) == b""
    bob.arrive(ann.channel.tick(limits.RENEW_S))
    assert bob.incoming[0].type == KEY
    assert ann.channel.tick(limits.RENEW_S) == b""
    assert ann.channel.deadline == FOREVER
    drain(ann, bob, limits.RENEW_S)
    assert ann.channel.deadline == 2 * limits.RENEW_S


def test_a_seed_read_later_opens_nothing_of_before_and_keys_of_before_nothing_of_later() -> None:
    ann, bob = link()
    recorded = ann.channel.send(EVENTS, b"past", 0.0)
    bob.arrive(recorded)
    bob.read()
    stolen = bytes(bob.channel._in.key)
    send(ann, bob, limits.RENEW_FRAMES - 1)
    drain(ann, bob)
    assert bob.channel._in.frames == 0
    future = ann.channel.send(EVENTS, b"future", 0.0)
    for frame, counter in ((recorded, 0), (future, 0)):
        thief = channels._Direction(stolen, 0.0)
        thief.frames = counter
        for _ in range(2 * limits.RENEW_FRAMES):
            with pytest.raises(InvalidTag):
                thief.open(EVENTS, frame[5:])
            thief._step()


def test_keys_are_stepped_in_place() -> None:
    ann, _ = link()
    key = ann.channel._out.key
    before = bytes(key)
    ann.channel.send(EVENTS, b"x", 0.0)
    assert ann.channel._out.key is key and bytes(key) != before


# -- holding


def test_at_200_frames_without_a_key_the_sender_holds_and_key_and_next_still_go() -> None:
    ann, bob = link()
    for _ in range(limits.HOLD_FRAMES):
        assert ann.channel.send(EVENTS, b"x", 0.0)
    assert not ann.channel.holding
    assert ann.channel.send(EVENTS, b"held", 1.0) == b""
    assert ann.channel.holding
    send(bob, ann, limits.RENEW_FRAMES)
    assert [ann.read() for _ in range(limits.RENEW_FRAMES)][-1][0] == KEY


def test_held_frames_come_out_with_the_next_in_their_order() -> None:
    ann, bob = link()
    send(ann, bob, limits.HOLD_FRAMES + 250)
    assert ann.channel.holding
    drain(ann, bob)
    assert bob.got == [b"%d" % n for n in range(limits.HOLD_FRAMES + 250)]
    assert not ann.channel.holding


def test_after_10_seconds_of_holding_the_link_is_given_up() -> None:
    ann, _ = link()
    for _ in range(limits.HOLD_FRAMES + 1):
        ann.channel.send(EVENTS, b"x", 5.0)
    assert ann.channel.deadline == 5.0 + limits.HOLD_S
    assert ann.channel.tick(4.9 + limits.HOLD_S) == b""
    with pytest.raises(PeerMisbehaved):
        ann.channel.tick(5.0 + limits.HOLD_S)


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BYTES", 1000)
    ann, _ = link()
    for _ in range(limits.HOLD_FRAMES + 10):
        ann.channel.send(EVENTS, bytes(100), 0.0)
    with pytest.raises(PeerMisbehaved):
        ann.channel.send(EVENTS, b"x", 0.0)


# -- misbehaviour


def ask(side: Side, now: float = 0.0) -> bytes:
    """Return a KEY that comes whether it is due or not."""
    side.channel._asked = None
    return side.channel._ask_when_due(now + limits.RENEW_S)


def test_a_key_at_its_earliest_and_one_before_that() -> None:
    for frames, now, good in ((50, 0.0, True), (49, 0.0, False), (0, 540.0, True), (0, 539.9, False)):
        ann, bob = link()
        for _ in range(frames):
            ann.channel.send(EVENTS, b"", 0.0)
        ann.arrive(ask(bob))
        if good:
            assert ann.read(now)[0] == NEXT
        else:
            with pytest.raises(PeerMisbehaved, match="before its time"):
                ann.read(now)


def test_a_flood_of_keys_ends_at_the_second() -> None:
    ann, bob = link()
    send(ann, bob, limits.RENEW_FRAMES)
    ann.arrive(ask(bob) + ask(bob))
    ann.read()
    with pytest.raises(PeerMisbehaved, match="before its time"):
        ann.read()


def test_a_next_withheld_ends_the_link_with_the_201st_frame() -> None:
    ann, bob = link()
    for _ in range(limits.HOLD_FRAMES):
        bob.arrive(ann.channel._out.seal(EVENTS, b"x"))
    while bob.incoming:
        bob.read()
    bob.arrive(ann.channel._out.seal(EVENTS, b"one more"))
    with pytest.raises(PeerMisbehaved, match="not answered"):
        bob.read()


def test_a_next_nobody_asked_for() -> None:
    ann, bob = link()
    bob.arrive(ann.channel._out.seal(NEXT, bytes(1168)))
    with pytest.raises(PeerMisbehaved, match="unasked"):
        bob.read()


@pytest.mark.parametrize("sealed", [b"", bytes(1168), bytes(1200)])
def test_a_next_that_is_none(sealed: bytes) -> None:
    ann, bob = link()
    ask(bob)
    bob.arrive(ann.channel._out.seal(NEXT, sealed))
    with pytest.raises(PeerMisbehaved, match="does not open"):
        bob.read()


def test_a_next_with_a_seed_of_another_length() -> None:
    ann, bob = link()
    ask(bob)
    asked = bob.channel._asked
    assert asked is not None
    bob.arrive(ann.channel._out.seal(NEXT, kem.seal(asked.public, bytes(31), channels._seal_info(asked.public))))
    with pytest.raises(PeerMisbehaved, match="no seed"):
        bob.read()


@pytest.mark.parametrize("public", [b"", bytes(1215), b"\xff" * 1216])
def test_a_key_that_is_none(public: bytes) -> None:
    ann, bob = link()
    send(ann, bob, limits.RENEW_FRAMES)
    ann.arrive(bob.channel._out.seal(KEY, public))
    with pytest.raises(PeerMisbehaved, match="none"):
        ann.read()


def test_after_a_fault_nothing_opens_any_more() -> None:
    ann, bob = link()
    bob.arrive(ann.channel.send(EVENTS, b"good", 0.0))
    with pytest.raises(PeerMisbehaved):
        bob.channel.receive(EVENTS, bytes(20), 0.0)
    with pytest.raises(PeerMisbehaved):
        bob.read()


@given(st.integers(0, 255), st.binary(max_size=100))
def test_any_frame_gives_a_payload_or_peer_misbehaved(frame_type: int, ciphertext: bytes) -> None:
    _, bob = link()
    with pytest.raises(PeerMisbehaved):
        bob.channel.receive(frame_type, ciphertext, 0.0)


def test_the_time_of_holding_starts_anew_when_some_went_out() -> None:
    ann, bob = link()
    send(ann, bob, 2 * limits.HOLD_FRAMES + 1)
    for _ in range(limits.RENEW_FRAMES):
        ann.arrive(bob.read(9.0))
    ann.read(9.0)
    assert ann.channel.holding and ann.channel.deadline == 9.0 + limits.HOLD_S
