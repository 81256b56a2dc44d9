from dataclasses import replace

from p2pmsg.model.events import Claim, Event, Header, Kind
from p2pmsg.model.ids import NO_EVENT, ConversationId, DeviceId, EventId

HEADER = Header(1, ConversationId(b"c" * 32), DeviceId(b"d" * 32), 1, NO_EVENT, 1, (), Kind.TEXT, (), (), 0, b"h" * 32)
EVENT = Event(EventId(b"e" * 32), HEADER, b"header", b"s" * 64, b"body")


def test_the_size_of_an_event_is_what_travels() -> None:
    assert EVENT.size == 6 + 64 + 4 and replace(EVENT, body=None).size == 6 + 64


def test_claims_of_one_log_are_ordered_by_number() -> None:
    claims = [Claim(b"d" * 8, seq, b"i" * 8) for seq in (3, 1, 2)]
    assert [claim.seq for claim in sorted(claims)] == [1, 2, 3]
