"""A question for nodes of ours as a packet, and what an answer's packet says: for those who ask by a socket of their own.

Sockets that take part in multicast DNS are zeroconf's, and `mdns` has them.
"""

from __future__ import annotations

import os
from typing import Final

from zeroconf import DNSIncoming, DNSOutgoing, DNSQuestion, DNSText  # type: ignore[attr-defined]  # DNSText: as in `mdns`

from p2pmsg.network.announcements import SERVICE, Announcement, parse

PACKET_BYTES: Final = 9000
"""No packet of multicast DNS is longer (RFC 6762, 17)."""
ID_BYTES: Final = 2
_ANNOUNCEMENTS: Final = 8
"""A node has one, and a second one while it is visible."""
_QUERY, _PTR, _INTERNET = 0, 12, 1


def question() -> bytes:
    """Return a question for who is there, with a random id, which answers to a port other than 5353 repeat (RFC 6762, 6.7)."""
    packet = DNSOutgoing(_QUERY, multicast=False)
    packet.add_question(DNSQuestion(SERVICE, _PTR, _INTERNET))
    return os.urandom(ID_BYTES) + packet.packets()[0][ID_BYTES:]


def answers(data: bytes) -> list[Announcement]:
    """Return the announcements in an answer's packet, the first few; none in anything else, whatever it is."""
    packet = DNSIncoming(data)
    if not packet.valid or not packet.is_response():
        return []
    texts = [(record.name, record.text) for record in packet.answers() if isinstance(record, DNSText) and record.ttl]
    return [found for name, text in texts[:_ANNOUNCEMENTS] if (found := parse(name, text)) is not None]
