"""Does multicast work here? One question for p2pmsg nodes on each interface, and an ear for what comes back, the question itself among it.

Beside the daemon and every other program on port 5353. Blocking, so for a thread or a program of its own; changes nothing.
Our own question comes back by the kernel's loop, through the firewall of this machine but not through the network: without it nothing
can be heard here, and with it others are heard if the network carries multicast.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import SERVICE

PORT: Final = 5353
LISTEN_S: Final = 1.6
"""Answers come within 120 ms, and a second later where the same answer was given just before."""
PORT_TAKEN: Final = (
    "Set disallow-other-stacks=no in /etc/avahi/avahi-daemon.conf and restart avahi-daemon; "
    "any other program is shown by: ss -lunp sport = 5353. What is found in other ways works on."
)
"""What to do about a program that keeps the port to itself."""
_GROUP4, _GROUP6 = "224.0.0.251", "ff02::fb"
_PTR, _INTERNET = 12, 1
_PACKET_BYTES = 9000
_ENOUGH = 4096
_IP_PKTINFO = 8 if sys.platform == "linux" else 26


@dataclass(slots=True)
class Ear:
    """What was heard on one interface."""

    interface: str
    echo: bool = False
    """Our own question came back."""
    others: set[str] = field(default_factory=set)
    """Addresses of others from which anything was heard."""
    fault: str | None = None
    """Why nothing could be sent or heard."""


def listen(interfaces: Sequence[Interface], listen_s: float = LISTEN_S) -> list[Ear]:
    """Ask on each interface, by IPv4 where it has that, else by IPv6, and return what was heard within the time."""
    ears = {interface.index: Ear(interface.name) for interface in interfaces}
    numbers = {interface.index: os.urandom(2) for interface in interfaces}
    with contextlib.ExitStack() as open_sockets:
        opened = []
        for family, group in (
            (socket.AF_INET, [i for i in interfaces if i.ipv4]),
            (socket.AF_INET6, [i for i in interfaces if not i.ipv4]),
        ):
            if group:
                opened += _open(family, group, ears, open_sockets)
        for sock in opened:
            for interface in interfaces:
                if bool(interface.ipv4) == (sock.family == socket.AF_INET):
                    _ask(sock, interface, numbers[interface.index], ears[interface.index])
        own = {host for interface in interfaces for host, _ in (*interface.ipv4, *interface.ipv6)}
        for data, sender, index in _received(opened, listen_s):
            ear = ears.get(index)
            if ear is None:
                continue
            if data[:2] == numbers[index] and data[2:] == _question():
                ear.echo = True
            elif sender not in own:
                ear.others.add(sender)
    return list(ears.values())


def _question() -> bytes:
    """Return a question for the instances of our service, without the number that stands before it (RFC 6762, 18)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in SERVICE.strip(".").split("."))
    return struct.pack(">HHHHH", 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", _PTR, _INTERNET)


def _open(
    family: socket.AddressFamily, group: Sequence[Interface], ears: dict[int, Ear], open_sockets: contextlib.ExitStack
) -> list[socket.socket]:
    """Return a socket that has joined on these interfaces; none where the port is not to be shared."""
    sock = open_sockets.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        sock.bind(("", PORT))
    except OSError as fault:
        for interface in group:
            ears[interface.index].fault = f"UDP port {PORT} is not to be had: {fault.strerror or fault}"
        return []
    return [sock]


def _ask(sock: socket.socket, interface: Interface, number: bytes, ear: Ear) -> None:
    """Join the group on an interface, and ask there."""
    try:
        if sock.family == socket.AF_INET6:
            group = socket.inet_pton(socket.AF_INET6, _GROUP6)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@I", interface.index))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
            sock.sendto(number + _question(), (_GROUP6, PORT, 0, interface.index))
        else:
            own = socket.inet_aton(interface.ipv4[0][0])
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(_GROUP4) + own)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            sock.sendto(number + _question(), (_GROUP4, PORT))
    except OSError as fault:
        ear.fault = fault.strerror or str(fault)


def _received(sockets: Sequence[socket.socket], listen_s: float) -> Iterator[tuple[bytes, str, int]]:
    """Yield (data, sender's address, interface index) until the time is over, or for _ENOUGH packets."""
    if not sockets:
        return
    deadline = time.monotonic() + listen_s
    for _ in range(_ENOUGH):
        left_s = deadline - time.monotonic()
        ready = select.select(sockets, [], [], max(0.0, left_s))[0] if left_s > 0 else []
        if not ready:
            return
        for sock in ready:
            with contextlib.suppress(OSError):
                data, control, _, sender = sock.recvmsg(_PACKET_BYTES, 128)
                yield data, sender[0].partition("%")[0], _interface(control)


def _interface(control: list[tuple[int, int, bytes]]) -> int:
    """Return the index of the interface that a packet came in by, 0 where the system does not tell."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return int(struct.unpack_from("@I", data)[0])
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return int(struct.unpack_from("@I", data, 16)[0])
    return 0
