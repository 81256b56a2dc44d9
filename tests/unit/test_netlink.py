from __future__ import annotations

import select
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

from p2pmsg.network.netlink import LinkWatch, _gateways, _gateways_v6, _macs, link_states, routers

RUNNING = 0x40


def message(kind: int, index: int, flags: int, extra: bytes = b"") -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0) + extra
    padding = bytes(-len(body) % 4)
    return struct.pack("=LHHLL", 16 + len(body), kind, 0, 0, 0) + body + padding


def test_link_messages_tell_the_carrier() -> None:
    data = message(16, 2, RUNNING) + message(16, 3, 0, b"abc") + message(20, 4, RUNNING) + message(17, 5, RUNNING)
    assert list(link_states(data)) == [(2, True), (3, False), (5, False)]


def test_reading_ends_at_the_first_malformed_message() -> None:
    good = message(16, 2, RUNNING)
    assert list(link_states(good + good[:-1])) == [(2, True)]
    assert list(link_states(bytes(16) + good)) == []
    assert list(link_states(struct.pack("=LHHLL", 16, 16, 0, 0, 0))) == []


@given(st.binary(max_size=200))
def test_any_datagram_is_read_without_an_error(data: bytes) -> None:
    list(link_states(data))


def test_a_watch_is_quiet_while_nothing_happens() -> None:
    watch = LinkWatch(set())
    try:
        assert not select.select([watch], [], [], 0)[0]
        assert not watch.carrier_returned()
    finally:
        watch.close()


ROUTES = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	FE004D0A	0003	0	0	0	00000000	0	0	0
eth0	00004D0A	00000000	0001	0	0	0	00FFFFFF	0	0	0
wlan0	00000000	0104A8C0	0003	0	0	600	00000000	0	0	0
"""
NEIGHBOURS = """IP address       HW type     Flags       HW address            Mask     Device
10.77.0.254      0x1         0x2         02:00:00:00:00:fe     *        eth0
192.168.4.1      0x1         0x0         00:00:00:00:00:00     *        wlan0
"""
ROUTES_V6 = (
    f"{'0' * 32} 00 {'0' * 32} 00 fe80000000000000000000000000000a 00000400 00000001 00000000 00000003     eth0\n"
    f"fe80{'0' * 28} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001     eth0\n"
    f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n"
)


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample is of a little-endian machine")
def test_default_gateways_are_read() -> None:
    assert _gateways(ROUTES) == {"eth0": "10.77.0.254", "wlan0": "192.168.4.1"}


def test_default_gateways_of_ipv6_are_read() -> None:
    assert _gateways_v6(ROUTES_V6) == {"eth0": "fe80::a"}


def test_a_neighbour_that_did_not_answer_has_no_mac() -> None:
    assert _macs(NEIGHBOURS) == {"10.77.0.254": "02:00:00:00:00:fe", "192.168.4.1": ""}


def test_the_routers_of_this_machine_are_read() -> None:
    assert all(routers().values())
