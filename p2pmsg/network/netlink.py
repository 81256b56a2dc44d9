"""What only Linux tells: changes of links and addresses as they happen (rtnetlink(7)), and who the default router is.

Imported on Linux alone; elsewhere interfaces are polled and networks are told apart by prefix.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_NEIGHBOURS = 0x4  # RTMGRP_NEIGH
_NEW_LINK, _DEL_LINK = 16, 17
_RUNNING = 0x40
_HEADER = struct.Struct("=LHHLL")
_LINK = struct.Struct("=BxHiI")
_READ_BYTES = 65536
_DISCARD_PORT = 9


class LinkWatch:
    """A socket that is readable when a link or an address changed. Raises OSError where the kernel refuses it."""

    def __init__(self, dark: set[int]) -> None:
        """Start to listen; `dark` holds the indexes of the interfaces that have no carrier now."""
        self._dark = dark
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, _GROUPS))

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def carrier_returned(self) -> bool:
        """Read all that waits; say whether an interface got its carrier back. Overrun counts as yes: nobody knows."""
        returned = False
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return returned
            except OSError:
                return True
            for index, running in link_states(data):
                returned |= running and index in self._dark
                (self._dark.discard if running else self._dark.add)(index)


def link_states(data: bytes) -> Iterator[tuple[int, bool]]:
    """Yield (interface index, has carrier) for each link message of a netlink datagram; ends at the first malformed one."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        if kind in (_NEW_LINK, _DEL_LINK) and length >= _HEADER.size + _LINK.size:
            _, _, index, flags = _LINK.unpack_from(data, at + _HEADER.size)
            yield index, kind == _NEW_LINK and bool(flags & _RUNNING)
        at += (length + 3) & ~3


def routers(patience_s: float = 0.0) -> dict[str, str]:
    """Return for each interface name its default router: MAC address (IPv4), else the router's IPv6 address.

    With `patience_s` routers whose MAC is not known are sent one empty datagram, and the answer to the kernel's ARP
    request is waited for.
    """
    gateways = _gateways(Path("/proc/net/route").read_text())
    macs = _macs(Path("/proc/net/arp").read_text())
    unmet = {gateway for gateway in gateways.values() if gateway not in macs}
    if unmet and patience_s:
        macs |= _meet(unmet, patience_s)
    found = _gateways_v6(_read("/proc/net/ipv6_route"))
    return found | {name: macs[gateway] for name, gateway in gateways.items() if macs.get(gateway)}


def _meet(unmet: set[str], patience_s: float) -> dict[str, str]:
    """Make the kernel ask for the MACs, and wait until all are there or the time is over."""
    deadline = time.monotonic() + patience_s
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as watch,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as poke,
    ):
        watch.bind((0, _NEIGHBOURS))
        for gateway in unmet:
            _poke(poke, gateway)
        while (left_s := deadline - time.monotonic()) > 0:
            macs = _macs(Path("/proc/net/arp").read_text())
            if all(macs.get(gateway) for gateway in unmet):
                return macs
            watch.settimeout(left_s)
            try:
                watch.recv(_READ_BYTES)
            except OSError:
                break
    return _macs(Path("/proc/net/arp").read_text())


def _poke(sender: socket.socket, gateway: str) -> None:
    try:
        sender.sendto(b"", (gateway, _DISCARD_PORT))
    except OSError:
        return


def _read(path: str) -> str:
    """Return the file's text, nothing where IPv6 is not in the kernel."""
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def _gateways(table: str) -> dict[str, str]:
    """Read /proc/net/route: the default routes' gateways by interface name; addresses are hexadecimal in host order."""
    found: dict[str, str] = {}
    for line in table.splitlines()[1:]:
        name, destination, gateway, *_ = line.split()
        if int(destination, 16) == 0 and int(gateway, 16) != 0:
            found.setdefault(name, socket.inet_ntoa(struct.pack("=L", int(gateway, 16))))
    return found


def _gateways_v6(table: str) -> dict[str, str]:
    """Read /proc/net/ipv6_route: the default routes' gateways by interface name."""
    found: dict[str, str] = {}
    for line in table.splitlines():
        destination, prefix, _, _, gateway, *_, name = line.split()
        if int(destination, 16) == 0 and int(prefix, 16) == 0 and int(gateway, 16) != 0:
            found.setdefault(name, str(IPv6Address(int(gateway, 16))))
    return found


def _macs(table: str) -> dict[str, str]:
    """Read /proc/net/arp: MAC by address; empty where the neighbour was asked and did not answer."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {row[0]: row[3] if int(row[2], 16) & 0x2 else "" for row in rows}
