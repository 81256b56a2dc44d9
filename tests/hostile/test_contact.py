"""A contact who lies on an open link: the link ends or the lie is passed over, and nothing of it is stored, shown or acknowledged."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from p2pmsg.config import limits
from p2pmsg.crypto import chain, gates
from p2pmsg.model.events import Claim, Event
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol.bodies import ContactBody, ReadBody, ReadEntry, SettingBody, TextBody, encode_body
from p2pmsg.protocol.messages import MISBEHAVED, REFUSED
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import FrameType
from tests.hostile.mallory import Mallory, Talk, mallory
from tests.integration.daemons import Json, Somebody, until
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
SOMETHING = b"\xee" * 32


@dataclass(frozen=True, slots=True)
class Scene:
    """Mallory, his open link to Ann, and what he knows of her and Bob."""

    mallory: Mallory
    talk: Talk
    ann: Somebody
    bob: Somebody

    @property
    def ours(self) -> ConversationId:
        return self.mallory.conversation(self.ann)

    @property
    def theirs(self) -> ConversationId:
        return gates.direct_conversation(account(self.ann), account(self.bob))

    @property
    def hers(self) -> ConversationId:
        return gates.self_conversation(account(self.ann))

    @property
    def device(self) -> DeviceId:
        return DeviceId(bytes.fromhex(self.ann.ask("whoami")["device"]))

    def shown(self) -> list[Json]:
        found = self.ann.ask("history", target=self.mallory.person.account.hex(), n=1000)
        return [message for message in found if message["kind"] == "text"]

    async def text(self, words: str, **changes: object) -> Event:
        """Send a message that Ann takes, and wait for her acknowledgement."""
        event = self.mallory.text(self.ann, words, **changes)
        self.talk.events(event)
        await self.acknowledged(event)
        return event

    async def acknowledged(self, event: Event) -> None:
        while True:
            ack = await self.talk.next(FrameType.ACK)
            assert isinstance(ack, wire.Ack)
            if self.mallory.claim(event) in wire.unpack_claims(ack.conversations[0].vector):
                return

    async def goes_on(self) -> None:
        """See that the link was not closed, and works: an honest message is taken."""
        await self.text(f"honest {os.urandom(4).hex()}")
        assert not self.talk.line.lost.done()


async def soon(holds: Callable[[], object]) -> None:
    """Wait until something holds, while Mallory goes on."""
    await asyncio.to_thread(until, holds, "it is so")


async def undisturbed(scene: Scene, times: int = 4) -> None:
    """See that Ann and Bob talk as ever while Mallory goes on."""
    for number in range(times):
        began = time.monotonic()
        for one, other in ((scene.ann, scene.bob), (scene.bob, scene.ann)):
            said = await asyncio.to_thread(one.say, other, f"meanwhile {number}")
            assert said["state"] in ("delivered", "read")
        assert time.monotonic() - began < 3


def account(somebody: Somebody) -> AccountId:
    return AccountId(bytes.fromhex(somebody.account))


@pytest_asyncio.fixture
async def scene(ann: Somebody, bob: Somebody) -> AsyncIterator[Scene]:
    async with mallory(f"M{os.urandom(4).hex()}") as attacker:
        talk = await attacker.join(ann)
        talk.have()
        await talk.next(FrameType.HAVE)
        yield Scene(attacker, talk, ann, bob)


Lie = Callable[[Scene], None]


def forged(scene: Scene, event: Event, **changes: object) -> Event:
    return replace(event, **changes)  # type: ignore[arg-type]


def claims(count: int, conversation: bytes, device: bytes = SOMETHING) -> wire.LogClaims:
    return wire.LogClaims(conversation, wire.pack_claims(Claim(device[:8], 1, os.urandom(8)) for _ in range(count)))


EVENTS_THAT_ARE_LIES: dict[str, Callable[[Scene], Event]] = {
    "of a conversation that is not there": lambda s: s.mallory.sign(ConversationId(SOMETHING), TextBody("x")),
    "of a conversation of others": lambda s: s.mallory.sign(s.theirs, TextBody("x")),
    "of her own conversation": lambda s: s.mallory.sign(s.hers, TextBody("x")),
    "with a forged signature": lambda s: forged(s, s.mallory.text(s.ann, "x"), signature=os.urandom(64)),
    "with another's signature": lambda s: forged(s, s.mallory.text(s.ann, "x"), signature=Person("Eve").sign(b"x")),
    "of her own device": lambda s: s.mallory.text(s.ann, "x", device=s.device),
    "of a device of nobody": lambda s: s.mallory.text(s.ann, "x", device=DeviceId(SOMETHING)),
    "of another version": lambda s: s.mallory.text(s.ann, "x", version=2),
    "first, with one before it": lambda s: s.mallory.text(s.ann, "x", previous=SOMETHING),
    "with another body": lambda s: forged(s, s.mallory.text(s.ann, "x"), body=encode_body(TextBody("y"), os.urandom(16))),
    "with a body too short": lambda s: s.mallory.write(s.ann, b"x" * 15),
    "with a body too long": lambda s: s.mallory.write(s.ann, b"x" * (limits.BODY_BYTES + 1)),
}


@pytest.mark.parametrize("kind", EVENTS_THAT_ARE_LIES)
async def test_events_that_no_honest_device_makes(scene: Scene, kind: str) -> None:
    event = EVENTS_THAT_ARE_LIES[kind](scene)
    before = scene.ann.logged("WARNING")
    scene.talk.events(event)
    assert await scene.talk.ended() == MISBEHAVED
    assert scene.shown() == []
    assert scene.ann.logged("WARNING") == before + 1  # noted, and counted
    assert "old_copy" not in [warning["code"] for warning in scene.ann.ask("status")["warnings"]]
    again = await scene.mallory.link(scene.ann)
    again.have()
    assert isinstance(await again.next(FrameType.HAVE), wire.Have)  # one link has ended, not a friendship


async def test_a_lie_behind_good_events_takes_them_along(scene: Scene) -> None:
    good = scene.mallory.text(scene.ann, "good")
    bad = scene.mallory.text(scene.ann, "bad", hlc=good.header.hlc)
    scene.talk.events(good, bad)
    assert await scene.talk.ended() == MISBEHAVED
    assert scene.shown() == []


async def test_an_event_whose_predecessor_is_missing_waits_outside(scene: Scene) -> None:
    await scene.text("first")
    stray = scene.mallory.text(scene.ann, "stray", keep=False, seq=7, previous=SOMETHING)
    scene.talk.events(stray)
    await scene.goes_on()
    assert "stray" not in [message["text"] for message in scene.shown()]


async def test_an_event_after_another_that_is_not_the_one_held(scene: Scene) -> None:
    await scene.text("first")
    scene.talk.events(scene.mallory.text(scene.ann, "stray", keep=False, previous=SOMETHING))
    await scene.goes_on()
    assert [message["text"] for message in scene.shown()][:1] == ["first"] and len(scene.shown()) == 2


async def test_an_author_who_leaves_bodies_out_has_said_nothing(scene: Scene) -> None:
    """Nobody else can have them: the log goes on without, and shows nothing of them, also if the body comes later."""
    event = scene.mallory.text(scene.ann, "what?")
    scene.talk.send(wire.Events([wire.SentEvent(event.header_bytes, event.signature, None)]))
    scene.talk.events(event)
    await scene.acknowledged(event)
    await scene.goes_on()
    assert "what?" not in [message["text"] for message in scene.shown()]


BODIES: dict[str, tuple[int, bytes]] = {
    "garbage": (1, os.urandom(40)),
    "no text": (1, encode_body(TextBody(""), bytes(16))),
    "NUL": (1, encode_body(TextBody("a\0b"), bytes(16))),
    "too long": (1, encode_body(TextBody("x" * 65_537), bytes(16))),
    "not UTF-8": (1, bytes(16) + b"\x91\xa2\xff\xfe"),
    "deep": (1, bytes(16) + b"\x91" * 900 + b"\xc0"),
    "of a kind of later": (77, os.urandom(40)),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_says_nothing_is_kept_and_not_shown(scene: Scene, name: str) -> None:
    kind, body = BODIES[name]
    event = scene.mallory.write(scene.ann, body, kind=kind)
    scene.talk.events(event)
    await scene.acknowledged(event)  # its author signed it: the log goes on
    assert scene.shown() == []
    await scene.goes_on()


async def test_a_clock_far_ahead_is_not_followed(scene: Scene) -> None:
    await scene.text("from the future", hlc=2**62)
    mine = scene.ann.ask("send", target=scene.mallory.person.account.hex(), text="from today")
    assert mine["sent_at"].startswith("202")
    assert {message["text"] for message in scene.shown()} == {"from the future", "from today"}
    last = scene.mallory.text(scene.ann, "from the end", hlc=2**63 - 1)
    scene.talk.events(last)
    await scene.acknowledged(last)
    assert scene.ann.ask("send", target="me", text="note")["sent_at"].startswith("202")


async def test_what_a_contact_says_of_contacts_settings_and_others_conversations_changes_nothing(scene: Scene) -> None:
    known = scene.ann.ask("contact.show", name=scene.bob.account)
    unread = scene.bob.say(scene.ann, "unread by Ann")
    said = scene.ann.say(scene.bob, "unread by Bob")
    who = ContactBody(account(scene.bob), "Eve", "Eve", "verified", "sas", bytes(32), "invite_mine", True)
    device = DeviceId(bytes.fromhex(unread["from"]["device"]))
    marks = [ReadEntry(scene.device, 10**6, bytes(8)), ReadEntry(device, 10**6, bytes(8))]
    bodies = [who, SettingBody("presence_key", [bytes(32), 99]), ReadBody(scene.theirs, marks), ReadBody(scene.hers, marks)]
    events = [scene.mallory.write(scene.ann, body) for body in bodies]
    scene.talk.events(*events)
    await scene.acknowledged(events[-1])
    assert {**scene.ann.ask("contact.show", name=scene.bob.account), "last_seen": 0} == {**known, "last_seen": 0}
    found = {message["id"]: message["state"] for message in scene.ann.ask("history", target=scene.bob.account, n=1000)}
    assert (found[unread["id"]], found[said["id"]]) == ("unread", "delivered")
    assert scene.shown() == []


async def test_a_receipt_for_what_was_never_sent(scene: Scene) -> None:
    mine = scene.ann.ask("send", target=scene.mallory.person.account.hex(), text="mine")
    await scene.talk.next(FrameType.EVENTS)
    entries = [ReadEntry(scene.device, seq, b"\xee" * 8) for seq in (1, 2, 2**62)]
    event = scene.mallory.write(scene.ann, ReadBody(scene.ours, entries))
    scene.talk.events(event)
    await scene.acknowledged(event)
    assert scene.ann.ask("history", target=scene.mallory.person.account.hex())[-1] | {"state": ""} == mine | {
        "state": "", "deliveries": [mine["deliveries"][0] | {"state": "sent"}],
    }  # fmt: skip


async def test_acknowledgements_of_what_is_not_so(scene: Scene) -> None:
    mine = scene.ann.ask("send", target=scene.mallory.person.account.hex(), text="mine")
    for conversation, seq in ((scene.ours, 1), (scene.ours, 2**62), (scene.theirs, 1), (scene.hers, 1), (SOMETHING, 1)):
        scene.talk.send(wire.Ack([wire.LogClaims(conversation, wire.pack_claims([Claim(scene.device[:8], seq, b"\xee" * 8)]))]))
    await scene.goes_on()
    assert scene.ann.ask("history", target=scene.mallory.person.account.hex(), n=1000)[-2]["id"] == mine["id"]
    states = {m["id"]: m["state"] for m in scene.ann.ask("history", target=scene.mallory.person.account.hex(), n=1000)}
    assert states[mine["id"]] in ("queued", "sent")


FRAMES_THAT_END_A_LINK: dict[str, Callable[[Scene], tuple[int, bytes]]] = {
    "a second HELLO": lambda s: wire.encode(s.mallory.hello()),
    "WELCOME": lambda s: (FrameType.WELCOME, bytes(160)),
    "GONE": lambda s: (FrameType.GONE, b"\x01"),
    "an early KEY": lambda s: (FrameType.KEY, bytes(1216)),
    "NEXT that nobody asked for": lambda s: (FrameType.NEXT, bytes(1168)),
    "garbage for HAVE": lambda s: (FrameType.HAVE, os.urandom(100)),
    "an empty EVENTS frame": lambda s: (FrameType.EVENTS, b""),
    "nothing but lists": lambda s: (FrameType.WANT, b"\x91" * 60_000),
    "a list of 4 billion": lambda s: (FrameType.EVENTS, b"\x91\xdd\xff\xff\xff\xff"),
    "bytes of 4 billion": lambda s: (FrameType.EVENTS, b"\x91\x91\x93\xc6\xff\xff\xff\xff"),
    "201 conversations": lambda s: wire.encode(wire.Have(True, [wire.LogClaims(os.urandom(32), b"")] * 201)),
    "513 claims of one conversation": lambda s: wire.encode(wire.Have(True, [claims(513, s.ours)])),
    "a conversation twice": lambda s: wire.encode(wire.Have(True, [claims(1, s.ours), claims(1, s.ours)])),
    "a vector that is cut": lambda s: wire.encode(wire.Have(True, [wire.LogClaims(s.ours, b"x" * 23)])),
    "a claim of number 0": lambda s: wire.encode(wire.Have(True, [wire.LogClaims(s.ours, bytes(24))])),
    "a claim of number 2**63": lambda s: wire.encode(wire.Have(True, [wire.LogClaims(s.ours, b"\xff" * 24)])),
    "65 ranges": lambda s: wire.encode(wire.Want([wire.Range(s.ours, b"", wire.pack_claims([Claim(bytes(8), 1, bytes(8))]))] * 65)),
    "a chain of another": lambda s: (FrameType.CHAIN, encode_chain(Person("Eve").links)[0]),
    "a chain that is cut": lambda s: (FrameType.CHAIN, encode_chain(s.mallory.person.links)[0][:-1]),
    "a chain of garbage": lambda s: (FrameType.CHAIN, b"\x01\x00\x64" + os.urandom(100)),
    "a HINT of garbage": lambda s: (20, os.urandom(50)),
    "a chain without a form": lambda s: (FrameType.CHAIN, b""),
}  # fmt: skip


@pytest.mark.parametrize("kind", FRAMES_THAT_END_A_LINK)
async def test_frames_that_end_the_link(scene: Scene, kind: str) -> None:
    scene.talk.frame(*FRAMES_THAT_END_A_LINK[kind](scene))
    assert await scene.talk.ended() == MISBEHAVED


RAW: dict[str, bytes] = {
    "a frame that does not open": b"\x0b" + (64).to_bytes(4, "big") + bytes(64),
    "a frame of no length": b"\x0b" + bytes(4),
    "a giant frame": b"\x0d\xff\xff\xff\xff",
    "a frame one byte too long": b"\x0d" + (limits.FRAME_BYTES + 1).to_bytes(4, "big"),
    "a frame of the time before": wire.plain_frame(FrameType.GATE, bytes(1249)),
}


@pytest.mark.parametrize("kind", RAW)
async def test_bytes_that_are_no_frames_of_this_link(scene: Scene, kind: str) -> None:
    scene.talk.line.write(RAW[kind])
    assert await scene.talk.ended() == MISBEHAVED


async def test_half_a_frame_and_then_nothing_costs_nothing(scene: Scene) -> None:
    scene.talk.line.write(b"\x0d\x00\x03\xff\xff" + bytes(100))
    assert scene.ann.say(scene.bob, "meanwhile")["state"] == "delivered"
    assert not scene.talk.line.lost.done()


async def test_frames_of_later_versions_are_passed_over(scene: Scene) -> None:
    for number in (18, 50, 99, 255):
        scene.talk.frame(number, os.urandom(50))
    await scene.goes_on()


async def test_asking_before_comparing(ann: Somebody) -> None:
    async with mallory(f"M{os.urandom(4).hex()}") as attacker:
        talk = await attacker.join(ann)
        head = wire.pack_claims([Claim(bytes(8), 1, bytes(8))])
        talk.send(wire.Want([wire.Range(attacker.conversation(ann), b"", head)]))
        assert await talk.ended() == MISBEHAVED


async def test_asking_for_what_he_may_not_have_is_like_asking_for_what_is_not(scene: Scene) -> None:
    """Conversations of others, her own and invented ones: no word comes, and the next honest question is answered."""
    real = scene.ann.say(scene.bob, "between us")
    device, event = bytes.fromhex(real["from"]["device"]), bytes.fromhex(real["id"])
    assert real["conversation"] == scene.theirs.hex()
    scene.talk.heard()
    for conversation in (scene.theirs, scene.hers, ConversationId(SOMETHING), scene.ours):
        for seq in range(1, 12):
            head = wire.pack_claims([Claim(device[:8], seq, event[:8])])
            scene.talk.send(wire.Want([wire.Range(conversation, b"", head)]))
            scene.talk.have((conversation, [Claim(device[:8], seq, event[:8])]), complete=False)
    await scene.goes_on()
    heard = scene.talk.heard()
    assert {number for number, _ in heard} <= {FrameType.WANT, FrameType.ACK}
    for conversation in (scene.theirs, scene.hers, SOMETHING):
        assert not any(conversation in payload for _, payload in heard)


async def test_ten_thousand_bogus_questions(scene: Scene) -> None:
    scene.ann.ask("send", target=scene.mallory.person.account.hex(), text="something to have")
    await scene.talk.next(FrameType.EVENTS)
    for _ in range(160):
        heads = (wire.pack_claims([Claim(scene.device[:8], 1, os.urandom(8))]) for _ in range(64))
        scene.talk.send(wire.Want([wire.Range(scene.ours, b"", head) for head in heads]))
    await undisturbed(scene)


async def test_a_flood_of_claims_does_not_stop_others(scene: Scene) -> None:
    """Each claim that differs from what is held makes the database look: thousands at once must not crowd out other people."""
    scene.ann.ask("send", target=scene.mallory.person.account.hex(), text="something to have")
    await scene.talk.next(FrameType.EVENTS)
    for _ in range(400):
        scene.talk.send(wire.Have(True, [claims(500, scene.ours, scene.device)]))
    await undisturbed(scene)


async def test_many_small_runs_of_events_do_not_stop_others(scene: Scene) -> None:
    """Events of two logs by turns are a job of the database each."""
    hers = scene.ann.ask("send", target=scene.mallory.person.account.hex(), text="hers")
    given = await scene.talk.next(FrameType.EVENTS)
    assert isinstance(given, wire.Events) and hers
    mine = wire.sent_event(await scene.text("mine"))
    for _ in range(12):
        scene.talk.send(wire.Events([mine, given.events[0]] * 250))
    await undisturbed(scene)


async def test_two_names_side_by_side_are_an_alarm(scene: Scene) -> None:
    """Links of one signer that contradict each other may be a copied device's: nothing is sent until people have looked."""
    person = scene.mallory.person
    heads = authority.heads(person.links)
    first, second = (chain.parse(chain.profile(person.secret, person.key, person.account, heads, name)) for name in ("Maria", "Marius"))
    scene.talk.frame(FrameType.CHAIN, encode_chain([*person.links, first])[0])
    await soon(lambda: scene.ann.ask("contact.show", name=person.account.hex())["nickname"] == "Maria")
    scene.talk.frame(FrameType.CHAIN, encode_chain([*person.links, second])[0])
    await soon(lambda: scene.ann.ask("contact.show", name=person.account.hex())["alert"] == "identity_changed")
    assert scene.ann.ask("contact.show", name=person.account.hex())["trust"] != "verified"
    scene.ann.fails(6, "identity_changed", "send", person.account.hex(), "--json", "secret")


async def test_the_nickname_of_a_friend_is_told_apart(scene: Scene) -> None:
    scene.mallory.person.rename("Bob")
    scene.talk.frame(FrameType.CHAIN, encode_chain(scene.mallory.person.links)[0])
    await soon(lambda: "~" in scene.ann.ask("contact.show", name=scene.bob.account)["name"])
    scene.ann.fails(5, "ambiguous", "send", "bob", "--json", "secret")
    scene.ann.ask("contact.remove", name=scene.mallory.person.account.hex())


async def test_a_fork_is_kept_as_proof_and_ends_the_link(scene: Scene) -> None:
    await scene.text("one thing")
    other = scene.mallory.sign(scene.ours, TextBody("another thing"))
    scene.talk.events(other)
    assert await scene.talk.ended() is not None
    assert "forked" in [warning["code"] for warning in scene.ann.ask("status")["warnings"]]
    line = scene.mallory.dial(scene.ann)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await scene.mallory.shake(line, scene.mallory.gate(account(scene.ann)), account(scene.ann))
    assert await line.ended() == REFUSED  # as a stranger is
