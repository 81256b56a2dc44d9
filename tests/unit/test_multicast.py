"""The question that hears itself: on loopback, beside others on the same port."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from p2pmsg.model.addresses import Interface
from p2pmsg.network import multicast
from p2pmsg.network.interfaces import usable

SOON_S = 0.2
NOWHERE = Interface("gone0", 4000, (("203.0.113.9", 24),), ())


@pytest.fixture
def neighbour() -> Iterator[socket.socket]:
    """Another program on the port that has joined on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("", multicast.PORT))
        other.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1"))
        other.settimeout(5)
        yield other


def test_our_own_question_comes_back(neighbour: socket.socket) -> None:
    ears = multicast.listen(usable(["lo"]), SOON_S)
    assert [(ear.interface, ear.echo, ear.others, ear.fault) for ear in ears] == [("lo", True, set(), None)]
    while True:
        packet = neighbour.recv(9000)
        if struct.unpack(">HHHHH", packet[2:12]) == (0, 1, 0, 0, 0) and packet[12:] == b"\x07_p2pmsg\x04_udp\x05local\x00\x00\x0c\x00\x01":
            return


def test_no_interface_takes_no_time() -> None:
    assert multicast.listen([], 60) == []


def test_an_interface_that_went_says_so() -> None:
    ear = multicast.listen([NOWHERE], SOON_S)[0]
    assert not ear.echo and ear.fault


def test_a_port_that_is_not_shared_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
        alone.bind(("", 0))
        monkeypatch.setattr(multicast, "PORT", alone.getsockname()[1])
        ear = multicast.listen(usable(["lo"]), SOON_S)[0]
    assert ear.fault is not None and "is not to be had" in ear.fault
