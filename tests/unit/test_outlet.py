"""What leaves on one link, to a socket and from a connection that are written down by the test."""

from __future__ import annotations

import errno
from typing import Any

from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE

from p2pmsg.config import limits
from p2pmsg.network.outlet import Outlet
from p2pmsg.network.udp import Local

PEER, OLD = ("10.0.0.2", 4000), ("10.0.0.3", 4000)
HERE = Local(b"\x0a\0\0\1", 2)


class Quic:
    """aioquic with these datagrams to send."""

    def __init__(self, *sent: tuple[bytes, tuple[str, int]]) -> None:
        self.sent = list(sent)
        self.peer: tuple[str, int] | None = PEER
        self.datagram_bytes = 1452

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        found, self.sent = self.sent, []
        return found

    def get_peer_address(self) -> tuple[str, int] | None:
        return self.peer


class Socket:
    """Notes what is sent, and answers as the kernel would."""

    def __init__(self, answer: int = 0) -> None:
        self.answer = answer
        self.sent: list[tuple[list[bytes], tuple[str, int], Local | None]] = []
        self.answered: list[bool] = []

    def send(self, datagrams: list[bytes], to: tuple[str, int], source: Local | None, *, answered: bool = False) -> int:
        self.sent.append((datagrams, to, source))
        self.answered.append(answered)
        return self.answer


def outlet(quic: Any, socket: Any, *, dialled: bool = False) -> Outlet:
    found = Outlet(quic, socket, dialled=dialled)
    found.local = HERE
    return found


def test_what_goes_to_one_address_leaves_at_once() -> None:
    quic, socket = Quic((b"1", PEER), (b"2", PEER), (b"3", OLD), (b"4", PEER)), Socket()
    assert outlet(quic, socket).transmit(0.0) == [b"1", b"2", b"3", b"4"]
    assert [(datagrams, to) for datagrams, to, _ in socket.sent] == [([b"1", b"2"], PEER), ([b"3"], OLD), ([b"4"], PEER)]


def test_the_kernel_is_told_of_a_peer_that_was_heard_just_now_at_the_address_it_has() -> None:
    quic, socket = Quic((b"1", PEER), (b"2", OLD)), Socket()
    found = outlet(quic, socket)
    found.answered_until = 10.0
    found.transmit(9.9)
    quic.sent = [(b"3", PEER)]
    found.transmit(10.0)
    assert socket.answered == [True, False, False]


def test_who_was_dialled_answers_from_where_he_was_asked() -> None:
    for dialled, sources in ((False, [HERE, None]), (True, [None, None])):
        socket = Socket()
        outlet(Quic((b"1", PEER), (b"2", OLD)), socket, dialled=dialled).transmit(0.0)
        assert [source for _, _, source in socket.sent] == sources


def test_what_does_not_pass_becomes_smaller() -> None:
    quic = Quic((b"1", PEER))
    way_out = outlet(quic, Socket(errno.EMSGSIZE))
    way_out.transmit(0.0)
    assert way_out.error == errno.EMSGSIZE and quic.datagram_bytes == SMALLEST_MAX_DATAGRAM_SIZE


def test_without_a_socket_there_is_no_way() -> None:
    way_out = outlet(Quic((b"1", PEER)), None)
    way_out.transmit(0.0)
    assert way_out.error == errno.ENETUNREACH


def test_the_farewell_is_repeated_and_not_for_ever() -> None:
    quic, socket = Quic((b"bye", PEER)), Socket()
    way_out = outlet(quic, socket)
    way_out.repeat_farewell()
    assert socket.sent == [] and not way_out.parted
    way_out.part(0.0)
    assert way_out.parted
    for _ in range(limits.FAREWELLS + 1):
        way_out.repeat_farewell()
    assert [datagrams for datagrams, _, _ in socket.sent] == [[b"bye"]] * (1 + limits.FAREWELLS)
    quic.peer = None
    way_out.repeat_farewell()


def test_who_has_nothing_to_say_parts_too() -> None:
    socket = Socket()
    way_out = outlet(Quic(), socket)
    way_out.part(0.0)
    way_out.repeat_farewell()
    assert way_out.parted and socket.sent == []
