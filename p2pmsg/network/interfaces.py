"""Which network interfaces to use, and which addresses a peer may make us send to.

Asks the operating system; knows nothing of mDNS, contacts or connections.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import ifaddr

from p2pmsg.model.addresses import Address, Interface

LOWEST_PORT = 1024
"""Below it live other people's services: no peer talks us into poking those."""
VIRTUAL = (
    "docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "lxc", "lxdbr", "incusbr", "podman", "cni", "flannel", "cali",
    "tun", "tap", "wg", "tailscale", "zt", "nebula", "ham", "utun", "ppp", "ipsec", "awdl", "llw", "anpi",
)  # fmt: skip
"""Names of interfaces that lead to containers, tunnels and Apple's own radios; used only where the user names them."""

_LINUX = sys.platform == "linux"
_GET_FLAGS = 0x8913 if _LINUX else 0xC0206911
_UP, _LOOPBACK, _POINT_TO_POINT, _RUNNING = 0x1, 0x8, 0x10, 0x40
_MULTICAST = 0x1000 if _LINUX else 0x8000

_PRIVATE = [ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7")]
_NEVER = [ip_network(n) for n in ("0.0.0.0/8", "240.0.0.0/4", "::ffff:0:0/96", "::/128")]

Host = IPv4Address | IPv6Address


def usable(allowed: Sequence[str] = ()) -> tuple[Interface, ...]:
    """Return the interfaces that are up and have an address, sorted by index.

    Names in `allowed` are used whatever they are, and nothing else is. Without names: all but loopback, point-to-point
    and virtual ones; loopback where there is nothing else.
    """
    up = [(interface, flags) for interface, flags in _present() if flags & _UP]
    if allowed:
        return tuple(interface for interface, _ in up if interface.name in allowed)
    chosen = tuple(interface for interface, flags in up if _is_local_network(interface.name, flags))
    return chosen or tuple(interface for interface, _ in up if interface.loopback)


def present() -> tuple[Interface, ...]:
    """Return all interfaces that are up, whether they are to be used or not."""
    return tuple(interface for interface, flags in _present() if flags & _UP)


def interface_flags(name: str) -> int:
    """Return the flags of netdevice(7), 0 where the interface is gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _GET_FLAGS, struct.pack("16sH14x", name.encode()[:15], 0))
        except OSError:
            return 0
    return int(struct.unpack_from("H", answer, 16)[0])


def without_carrier() -> set[int]:
    """Return the indexes of the interfaces whose cable is out or whose radio is not associated."""
    return {index for index, name in socket.if_nameindex() if not interface_flags(name) & _RUNNING}


def on_link(address: Address, interfaces: Iterable[Interface]) -> bool:
    """Say whether one of the interfaces reaches the address without a router. False for what is no IP literal."""
    host = _literal(address.host)
    return host is not None and any(_reaches(interface, host, address.scope) for interface in interfaces)


def acceptable(address: Address, interfaces: Sequence[Interface]) -> bool:
    """Say whether a packet may be sent to an address that a peer named, in an announcement or an invite.

    Only unicast on a local network: on-link, private or link-local, with a port from LOWEST_PORT on; never an own subnet's
    broadcast address; loopback only where a loopback interface is in use, and nothing but loopback where it is alone.
    """
    host = _literal(address.host)
    if host is None or not LOWEST_PORT <= address.port <= 65535:
        return False
    if host.is_multicast or _within(host, _NEVER) or _is_broadcast(host, interfaces):
        return False
    if host.is_loopback:
        return any(interface.loopback for interface in interfaces)
    if on_link(address, interfaces):
        return True
    return _within(host, _PRIVATE) and not all(interface.loopback for interface in interfaces)


def network_ids(interfaces: Iterable[Interface], patience_s: float = 0.0) -> dict[str, str]:
    """Return for each interface's name what tells its network from others: prefix, and the default router where one is known.

    The router is told by its MAC address, or in a network without IPv4 by its link-local address. With `patience_s` a
    router that the kernel has not met yet is asked once and waited for that long: blocking, so from a thread.
    """
    routers = _routers(patience_s) if any(not interface.loopback for interface in interfaces) else {}
    return {interface.name: _network_id(interface, routers) for interface in interfaces}


def _present() -> list[tuple[Interface, int]]:
    """Merge what getifaddrs(3) lists, and add the flags; an alias such as eth0:1 is another address of eth0."""
    ipv4: dict[tuple[int, str], set[tuple[str, int]]] = {}
    ipv6: dict[tuple[int, str], set[tuple[str, int]]] = {}
    for adapter in ifaddr.get_adapters():
        if adapter.index is None:
            continue
        key = (adapter.index, adapter.name.split(":")[0])
        ipv4.setdefault(key, set()).update((str(ip.ip), ip.network_prefix) for ip in adapter.ips if ip.is_IPv4)
        ipv6.setdefault(key, set()).update((ip.ip[0], ip.network_prefix) for ip in adapter.ips if ip.is_IPv6)
    return [_described(key, ipv4[key], ipv6[key]) for key in sorted(ipv4)]


def _described(key: tuple[int, str], ipv4: set[tuple[str, int]], ipv6: set[tuple[str, int]]) -> tuple[Interface, int]:
    index, name = key
    flags = interface_flags(name)
    return Interface(name, index, tuple(sorted(ipv4)), tuple(sorted(ipv6)), bool(flags & _LOOPBACK)), flags


def _is_local_network(name: str, flags: int) -> bool:
    return bool(flags & _MULTICAST) and not flags & (_LOOPBACK | _POINT_TO_POINT) and not name.startswith(VIRTUAL)


def _literal(host: str) -> Host | None:
    """Parse an IP literal; zones are refused, since an Address carries its scope apart."""
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def _networks(interface: Interface, version: int) -> list[IPv4Network | IPv6Network]:
    own = interface.ipv4 if version == 4 else interface.ipv6
    return [ip_network(address, strict=False) for address in own]


def _reaches(interface: Interface, host: Host, scope: int) -> bool:
    return scope in (0, interface.index) and _within(host, _networks(interface, host.version))


def _within(host: Host, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(host in network for network in networks)


def _is_broadcast(host: Host, interfaces: Iterable[Interface]) -> bool:
    """Whoever names a subnet's first or last address wants all its machines to answer."""
    networks = [n for interface in interfaces for n in _networks(interface, 4) if n.prefixlen < 31]
    return any(host in (n.network_address, n.broadcast_address) for n in networks)


def _routers(patience_s: float) -> dict[str, str]:
    if not _LINUX:
        return {}
    from p2pmsg.network import netlink

    return netlink.routers(patience_s)


def _network_id(interface: Interface, routers: dict[str, str]) -> str:
    networks = sorted(_networks(interface, 4)) or sorted(_networks(interface, 6), key=lambda n: (n.is_link_local, n))
    prefix = str(networks[0]) if networks else "none"
    router = routers.get(interface.name)
    return f"{prefix} {router}" if router else prefix
