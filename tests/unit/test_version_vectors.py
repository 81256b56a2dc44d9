"""What a device says that it holds."""

from __future__ import annotations

from p2pmsg.config import limits
from p2pmsg.model.events import Claim, Conversation, ConversationKind
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
from p2pmsg.protocol import version_vectors, wire
from p2pmsg.protocol.asking import Shared

MEMBERS = (AccountId(b"a" * 32), AccountId(b"b" * 32))


def claim(device: bytes, seq: int) -> Claim:
    return Claim(device, seq, seq.to_bytes(8, "big"))


def shared(number: int, *claims: Claim) -> Shared:
    tips: dict[bytes, tuple[Claim, ...]] = {}
    for each in claims:
        tips[each.device] = (*tips.get(each.device, ()), each)
    value = Conversation(ConversationId(number.to_bytes(32, "big")), ConversationKind.DIRECT, MEMBERS)
    return Shared(value, {device: DeviceId(device * 4) for device in tips}, {}, tips)


def said(entries: list[wire.LogClaims]) -> dict[int, list[Claim]]:
    return {int.from_bytes(entry.conversation, "big"): list(wire.unpack_claims(entry.vector)) for entry in entries}


def test_all_ends_of_all_logs_are_said() -> None:
    a, b = claim(b"a" * 8, 3), claim(b"b" * 8, 9)
    branches = claim(b"c" * 8, 5), claim(b"c" * 8, 4)
    (have,) = version_vectors.whole([shared(1, a, *branches), shared(2), shared(3, b)])
    assert have.complete
    assert said(have.conversations) == {1: [a, *branches], 2: [], 3: [b]}


def test_nothing_shared_is_said_too() -> None:
    assert version_vectors.whole([]) == [wire.Have(True, [])]


def test_pages_have_a_number_of_conversations_and_the_last_says_so() -> None:
    for count, pages in ((limits.HAVE_CONVERSATIONS, 1), (limits.HAVE_CONVERSATIONS + 1, 2)):
        found = version_vectors.whole(shared(number, claim(b"a" * 8, 1)) for number in range(count))
        assert [have.complete for have in found] == [False] * (pages - 1) + [True]
        assert [number for have in found for number in said(have.conversations)] == list(range(count))


def test_pages_have_a_size() -> None:
    long = [claim(number.to_bytes(8, "big"), 1) for number in range(limits.HAVE_LOGS)]
    found = version_vectors.whole(shared(number, *long) for number in range(12))
    assert len(found) > 1 and all(len(wire.encode(have)[1]) < limits.EVENTS_FRAME_BYTES for have in found)


def test_single_logs_are_said_by_conversation() -> None:
    conversations = {each.value.id: each for each in (shared(1, claim(b"a" * 8, 3), claim(b"b" * 8, 4)), shared(2, claim(b"a" * 8, 5)))}
    one, two = conversations
    found = version_vectors.of_logs(conversations, {(two, b"a" * 8), (one, b"b" * 8), (one, b"?" * 8)})
    assert said(found) == {1: [claim(b"b" * 8, 4)], 2: [claim(b"a" * 8, 5)]}
