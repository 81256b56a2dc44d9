from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.model.addresses import Address, Interface
from p2pmsg.network import interfaces
from p2pmsg.network.interfaces import acceptable, network_ids, on_link, present, usable

LO = Interface("lo", 1, (("127.0.0.1", 8),), (("::1", 128),), loopback=True)
ETH0 = Interface("eth0", 2, (("10.77.0.5", 24),), (("2001:db8:1::5", 64), ("fe80::5", 64)))
WIFI = Interface("wlan0", 3, (("192.168.7.9", 22), ("203.0.113.9", 29)), (("fe80::9", 64),))
TUNNEL = Interface("p2p0", 4, (("10.200.0.1", 31),), ())
BOTH = (ETH0, WIFI)


def at(host: str, port: int = 4433, scope: int = 0) -> Address:
    return Address(host, port, scope)


@pytest.mark.parametrize("host", ["10.77.0.1", "10.77.0.5", "192.168.4.1", "203.0.113.10", "2001:db8:1::77", "fe80::1"])
def test_on_link_within_a_subnet(host: str) -> None:
    assert on_link(at(host), BOTH)


@pytest.mark.parametrize("host", ["10.77.1.1", "192.168.8.1", "8.8.8.8", "2001:db8:2::1", "127.0.0.1", "::1"])
def test_not_on_link_behind_a_router(host: str) -> None:
    assert not on_link(at(host), BOTH)


@pytest.mark.parametrize("host", ["", "localhost", "example.org", "10.77.0", "10.77.0.01", "fe80::1%eth0", "1" * 5000, "10.77.0.1\0"])
def test_what_is_no_literal_is_neither_on_link_nor_acceptable(host: str) -> None:
    assert not on_link(at(host), BOTH)
    assert not acceptable(at(host), BOTH)


def test_a_scope_names_the_interface() -> None:
    assert on_link(at("fe80::1", scope=3), BOTH)
    assert not on_link(at("fe80::1", scope=9), BOTH)
    assert not on_link(at("2001:db8:1::1", scope=3), BOTH)


def test_nothing_is_on_link_without_interfaces() -> None:
    assert not on_link(at("10.77.0.1"), ())
    assert not acceptable(at("127.0.0.1"), ())


@pytest.mark.parametrize(
    "host",
    ["10.77.0.1", "10.77.0.254", "203.0.113.10", "2001:db8:1::77", "fe80::77",  # on-link
     "10.1.2.3", "172.16.0.1", "172.31.255.254", "192.168.200.1", "169.254.1.1", "fd00::1"],
)  # fmt: skip
def test_unicast_addresses_of_local_networks_are_acceptable(host: str) -> None:
    assert acceptable(at(host), BOTH)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "0.1.2.3", "::", "255.255.255.255", "240.0.0.1", "224.0.0.251", "239.1.1.1", "ff02::fb", "ff0e::1",
     "8.8.8.8", "172.32.0.1", "100.64.0.1", "198.18.0.1", "2001:4860::8888", "2002:a00:1::1", "fec0::1", "64:ff9b::a00:1",
     "::ffff:10.77.0.1", "::ffff:224.0.0.1", "::ffff:127.0.0.1", "::10.77.0.1"],
)  # fmt: skip
def test_other_addresses_are_not(host: str) -> None:
    assert not acceptable(at(host), BOTH)


@pytest.mark.parametrize("host", ["10.77.0.255", "10.77.0.0", "192.168.7.255", "192.168.4.0", "203.0.113.15", "203.0.113.8"])
def test_the_first_and_last_address_of_an_own_subnet_are_not_acceptable(host: str) -> None:
    assert not acceptable(at(host), BOTH)


def test_a_31_bit_subnet_has_no_broadcast() -> None:
    assert acceptable(at("10.200.0.0"), [TUNNEL])
    assert acceptable(at("10.200.0.1"), [TUNNEL])


@pytest.mark.parametrize("port", [-1, 0, 22, 1023, 65536, 1 << 40])
def test_ports_outside_the_range_are_not_acceptable(port: int) -> None:
    assert not acceptable(at("10.77.0.1", port), BOTH)


@pytest.mark.parametrize("port", [1024, 65535])
def test_ports_at_the_ends_of_the_range_are(port: int) -> None:
    assert acceptable(at("10.77.0.1", port), BOTH)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1"])
def test_loopback_is_acceptable_only_where_it_is_in_use(host: str) -> None:
    assert not acceptable(at(host), BOTH)
    assert acceptable(at(host), [LO])
    assert acceptable(at(host), [LO, ETH0])


@pytest.mark.parametrize("host", ["10.1.2.3", "192.168.1.1", "fd00::1", "fe80::1", "169.254.1.1", "127.255.255.255"])
def test_on_loopback_alone_nothing_else_is_acceptable(host: str) -> None:
    assert not acceptable(at(host), [LO])


def test_link_local_ipv6_needs_the_right_interface() -> None:
    assert acceptable(at("fe80::77", scope=2), BOTH)
    assert not acceptable(at("fe80::77", scope=9), BOTH)
    assert not acceptable(at("fe80::77"), [TUNNEL])


@given(st.text(max_size=60), st.integers(), st.integers())
def test_any_address_is_judged_without_an_error(host: str, port: int, scope: int) -> None:
    assert acceptable(Address(host, port, scope), BOTH) in (True, False)


@given(st.ip_addresses())
def test_what_is_acceptable_is_never_multicast_unspecified_or_loopback(host: object) -> None:
    if acceptable(at(str(host)), BOTH):
        assert not (host.is_multicast or host.is_unspecified or host.is_loopback)  # type: ignore[attr-defined]


# -- what there is


def test_loopback_is_used_when_it_is_named() -> None:
    (lo,) = usable(["lo"])
    assert lo.loopback
    assert ("127.0.0.1", 8) in lo.ipv4
    assert lo.index == socket.if_nametoindex("lo")


def test_a_name_that_does_not_exist_is_no_interface() -> None:
    assert usable(["nosuch0"]) == ()


def pretend(monkeypatch: pytest.MonkeyPatch, *present: tuple[Interface, int]) -> None:
    monkeypatch.setattr(interfaces, "_present", lambda: list(present))


UP, MULTICAST, LOOPBACK, POINT_TO_POINT = 0x1, interfaces._MULTICAST, 0x8, 0x10


def test_local_networks_are_used_and_loopback_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (LO, UP | LOOPBACK), (ETH0, UP | MULTICAST), (WIFI, UP | MULTICAST))
    assert usable() == (ETH0, WIFI)


def test_present_is_what_is_up_used_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (LO, UP | LOOPBACK), (ETH0, MULTICAST), (TUNNEL, UP | POINT_TO_POINT))
    assert present() == (LO, TUNNEL)


def test_an_interface_that_is_down_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (ETH0, MULTICAST), (WIFI, UP | MULTICAST))
    assert usable() == (WIFI,)
    assert usable(["eth0"]) == ()


def test_loopback_is_used_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (LO, UP | LOOPBACK), (ETH0, MULTICAST), (TUNNEL, UP | POINT_TO_POINT | MULTICAST))
    assert usable() == (LO,)


@pytest.mark.parametrize("name", ["docker0", "br-1f2e", "veth12", "virbr0", "tun0", "wg0", "tailscale0", "awdl0"])
def test_virtual_interfaces_are_used_only_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    virtual = Interface(name, 9, (("172.17.0.1", 16),), ())
    pretend(monkeypatch, (ETH0, UP | MULTICAST), (virtual, UP | MULTICAST))
    assert usable() == (ETH0,)
    assert usable([name]) == (virtual,)


def test_a_gone_interface_has_no_flags() -> None:
    assert interfaces.interface_flags("nosuch0") == 0
    assert interfaces.interface_flags("x" * 40) == 0
    assert interfaces.interface_flags("lo") & LOOPBACK


# -- which network it is


def routers(monkeypatch: pytest.MonkeyPatch, **known: str) -> None:
    monkeypatch.setattr(interfaces, "_routers", lambda patience_s: known)


def test_a_network_is_told_by_prefix_and_router(monkeypatch: pytest.MonkeyPatch) -> None:
    routers(monkeypatch, eth0="02:00:00:00:00:01")
    assert network_ids(BOTH) == {"eth0": "10.77.0.0/24 02:00:00:00:00:01", "wlan0": "192.168.4.0/22"}


def test_a_network_without_ipv4_is_told_by_its_global_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    routers(monkeypatch)
    six = Interface("eth0", 2, (), (("2001:db8:1::5", 64), ("fe80::5", 64)))
    local = Interface("eth1", 3, (), (("fe80::5", 64),))
    assert network_ids([six, local]) == {"eth0": "2001:db8:1::/64", "eth1": "fe80::/64"}


def test_on_loopback_alone_no_router_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "_routers", lambda patience_s: pytest.fail("asked"))
    assert network_ids([LO], patience_s=5) == {"lo": "127.0.0.0/8"}


def test_the_networks_of_this_machine_have_ids() -> None:
    assert set(network_ids(usable())) == {interface.name for interface in usable()}
