"""Who may begin a connection: half-open limits, Retry, other versions, rubbish."""

from __future__ import annotations

import pytest
from aioquic.quic.packet import QuicHeader, QuicPacketType, encode_quic_version_negotiation
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.network.admission import Admission, Admitted, parse
from p2pmsg.network.udp import SocketAddress
from tests.unit.ends import Memory

HERE: SocketAddress = ("127.0.0.1", 5000)
THERE: SocketAddress = ("127.0.0.2", 5000)


def first_packet() -> tuple[QuicHeader, int]:
    [(data, _), *_] = Memory().dialler.datagrams_to_send(0.0)
    header = parse(data)
    assert header is not None
    return header, len(data)


def crowd(admission: Admission, size: int) -> None:
    for number in range(size):
        admission.entered(f"10.0.0.{number}")


def test_first_packet_is_admitted() -> None:
    header, size = first_packet()
    assert Admission().answer(header, size, HERE, 0.0) == Admitted(header.destination_cid, header.destination_cid, None)


def test_one_address_may_have_eight_half_open() -> None:
    admission = Admission()
    header, size = first_packet()
    for _ in range(limits.HALF_OPEN_PER_ADDRESS - 1):
        admission.entered("127.0.0.1")
    assert isinstance(admission.answer(header, size, HERE, 0.0), Admitted)
    admission.entered("127.0.0.1")
    assert admission.answer(header, size, HERE, 0.0) is None
    assert isinstance(admission.answer(header, size, THERE, 0.0), Admitted)
    admission.left("127.0.0.1")
    assert isinstance(admission.answer(header, size, HERE, 0.0), Admitted)


def test_all_together_may_have_sixty_four() -> None:
    admission = Admission()
    header, size = first_packet()
    crowd(admission, limits.HALF_OPEN - 1)
    assert isinstance(admission.answer(header, size, HERE, 0.0), bytes) and not admission.full
    admission.entered("10.0.1.1")
    assert isinstance(admission.answer(header, size, HERE, 0.0), bytes) and admission.full


def test_in_a_crowd_the_address_is_to_be_shown_first() -> None:
    admission = Admission()
    crowd(admission, limits.RETRY_ABOVE - 1)
    header, size = first_packet()
    assert isinstance(admission.answer(header, size, HERE, 0.0), Admitted)
    crowd(admission, 1)
    answer = admission.answer(header, size, HERE, 0.0)
    assert isinstance(answer, bytes) and len(answer) < size
    retry = parse(answer)
    assert retry is not None and retry.packet_type is QuicPacketType.RETRY


@pytest.mark.parametrize(("sender", "now", "admitted"), [(HERE, 1.0, True), (THERE, 1.0, False), (HERE, 31.0, False)])
def test_token_is_good_for_its_address_and_a_while(sender: SocketAddress, now: float, admitted: bool) -> None:
    admission = Admission()
    crowd(admission, limits.RETRY_ABOVE)
    header, size = first_packet()
    original = header.destination_cid
    answer = admission.answer(header, size, HERE, 0.0)
    assert isinstance(answer, bytes)
    retry = parse(answer)
    assert retry is not None
    header.token, header.destination_cid = retry.token, retry.source_cid
    got = admission.answer(header, size, sender, now)
    assert got == (Admitted(retry.source_cid, original, retry.source_cid) if admitted else None)


def test_token_of_somebody_else_is_refused() -> None:
    header, size = first_packet()
    header.token = bytes(60)
    assert Admission().answer(header, size, HERE, 0.0) is None


def test_other_version_is_told_ours() -> None:
    admission = Admission()
    header, size = first_packet()
    header.version = 0x6B3343CF
    answer = admission.answer(header, size, HERE, 0.0)
    assert isinstance(answer, bytes) and len(answer) < size
    told = parse(answer)
    assert told is not None and told.supported_versions == [1]


def test_version_negotiation_is_never_answered() -> None:
    admission = Admission()
    header = parse(encode_quic_version_negotiation(bytes(8), bytes(8), [7]))
    assert header is not None
    assert admission.answer(header, 1200, HERE, 0.0) is None


def test_short_datagrams_get_no_answer() -> None:
    admission = Admission()
    header, _ = first_packet()
    assert admission.answer(header, 1199, HERE, 0.0) is None
    header.version = 7
    assert admission.answer(header, 1199, HERE, 0.0) is None


def test_first_id_must_be_long_enough() -> None:
    header, size = first_packet()
    header.destination_cid = bytes(7)
    assert Admission().answer(header, size, HERE, 0.0) is None


def test_only_a_first_packet_begins_a_connection() -> None:
    header, size = first_packet()
    header.packet_type = QuicPacketType.HANDSHAKE
    assert Admission().answer(header, size, HERE, 0.0) is None


@given(st.binary(max_size=1500) | st.binary(max_size=60).map(lambda tail: b"\xc0\0\0\0\1" + tail + bytes(1200)))
def test_rubbish_has_an_answer_or_none(data: bytes) -> None:
    header = parse(data)
    if header is not None:
        assert not isinstance(Admission().answer(header, len(data), HERE, 0.0), Exception)
