"""Questions and answers as packets: what zeroconf itself answers with is read, and rubbish is nothing."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from zeroconf import DNSOutgoing, DNSPointer, DNSText, ServiceInfo  # type: ignore[attr-defined]

from p2pmsg.network.announcements import SERVICE, Announcement, instance_name, text_properties
from p2pmsg.network.questions import ID_BYTES, answers, question

RESPONSE, QUERY, PTR, TXT, INTERNET = 0x8400, 0, 12, 16, 1


def said(number: int = 1) -> Announcement:
    return Announcement(bytes((number,)) * 10, b"\x01\x0a\x00\x00\x02\x9c\x40", os.urandom(64))


def packet(*found: Announcement, flags: int = RESPONSE, ttl: int = 4500) -> bytes:
    """Return an answer as zeroconf makes it for who asks from another port than 5353."""
    out = DNSOutgoing(flags, False, 7)
    for each in found:
        name = f"{instance_name(each.nonce)}.{SERVICE}"
        text = ServiceInfo(SERVICE, name, properties=text_properties(each)).text
        out.add_answer_at_time(DNSPointer(SERVICE, PTR, INTERNET, 4500, name), 0)
        out.add_additional_answer(DNSText(name, TXT, INTERNET, ttl, text))
    return out.packets()[0]


def test_a_question_asks_for_our_service_and_has_an_id_of_its_own() -> None:
    one, other = question(), question()
    assert one[ID_BYTES:] == bytes.fromhex("00000001000000000000") + b"\x07_p2pmsg\x04_udp\x05local\x00\x00\x0c\x00\x01"
    assert one[:ID_BYTES] != other[:ID_BYTES] or question()[:ID_BYTES] != one[:ID_BYTES]


def test_an_answer_tells_of_announcements() -> None:
    one, other = said(1), said(2)
    assert sorted(answers(packet(one, other)), key=lambda each: each.nonce) == [one, other]


def test_of_one_answer_only_a_few_announcements_are_read() -> None:
    assert len(answers(packet(*map(said, range(20))))) == 8


def test_a_goodbye_a_question_and_a_cut_packet_tell_nothing() -> None:
    assert answers(packet(said(), ttl=0)) == answers(packet(said(), flags=QUERY)) == answers(question()) == []
    whole = packet(said())
    assert all(answers(whole[:size]) == [] for size in range(len(whole)))


@given(st.binary(max_size=300), st.integers(0, 250), st.integers(0, 255))
def test_rubbish_is_nothing_and_raises_nothing(data: bytes, at: int, byte: int) -> None:
    answers(data)
    answers(bytes.fromhex("000784000000000100000000") + data)
    bent = bytearray(packet(said()))
    bent[at % len(bent)] = byte
    answers(bytes(bent))
