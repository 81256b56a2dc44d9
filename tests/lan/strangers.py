"""Many announced strangers, simulated by one process: real mDNS packets, as that many nodes of ours send them.

    python -m tests.lan.strangers COUNT [PERIOD_S]

Each has a name, addresses and tags of its own; announces itself once in PERIOD_S +-25 % (by default as often as ours would among so
many) by IPv4 and IPv6; and answers a question for our service that does not name it as known, 20 to 120 ms later. Prints "ready".
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import sys
from dataclasses import dataclass, field
from typing import Any, Final

from zeroconf import DNSIncoming, DNSOutgoing, DNSPointer
from zeroconf.asyncio import AsyncServiceInfo

from p2pmsg.config import limits
from p2pmsg.network.announcements import SERVICE, TAGS_BYTES, Announcement, instance_name, text_properties

PORT: Final = 5353
GROUPS: Final = {socket.AF_INET: "224.0.0.251", socket.AF_INET6: "ff02::fb"}
_RESPONSE, _PTR = 0x8400, 12
_ANSWER_S: Final = (0.02, 0.12)


@dataclass
class Stranger:
    """One node: its packets, and whether an answer of it is due already."""

    name: str
    announcement: bytes
    answer: bytes
    due: bool = field(default=False)


def stranger(number: int) -> Stranger:
    """Make one up, at an address of the network on which nobody is."""
    host = f"10.77.{100 + number // 200}.{1 + number % 200}"
    addresses = b"\x01" + socket.inet_aton(host) + struct.pack(">H", 40_000 + number % 20_000)
    info = service_info(Announcement(os.urandom(10), addresses, os.urandom(TAGS_BYTES)), host, 40_000 + number % 20_000)
    return Stranger(info.name, packet(info, in_full=True), packet(info, in_full=False))


def service_info(announcement: Announcement, host: str, port: int) -> AsyncServiceInfo:
    """Return what a node of ours registers."""
    name = instance_name(announcement.nonce)
    properties: dict[Any, Any] = dict(text_properties(announcement))
    return AsyncServiceInfo(
        SERVICE, f"{name}.{SERVICE}", port=port, server=f"{name}.local.", properties=properties, parsed_addresses=[host]
    )


def packet(info: AsyncServiceInfo, *, in_full: bool) -> bytes:
    """Return an announcement (`in_full`), or the answer to a question for the service: there all but the PTR is additional."""
    out = DNSOutgoing(_RESPONSE)
    out.add_answer_at_time(info.dns_pointer(), 0)
    for record in (info.dns_service(), info.dns_text(), *info.dns_addresses()):
        if in_full:
            out.add_answer_at_time(record, 0)
        else:
            out.add_additional_answer(record)
    (data,) = out.packets()
    return bytes(data)


def sockets(device: str = "eth0") -> list[socket.socket]:
    """Return a socket of each family that has joined its group, and sends there with what it hears left to others."""
    index = socket.if_nametoindex(device)
    opened = []
    for family, group in GROUPS.items():
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        packed = socket.inet_pton(family, group)
        if family == socket.AF_INET:
            member = packed + struct.pack("@ii", 0, index)[:4] + struct.pack("@i", index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("@I", index))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        sock.bind(("", PORT))
        opened.append(sock)
    return opened


class Crowd:
    """All of them."""

    def __init__(self, count: int, period_s: float) -> None:
        self._all = [stranger(number) for number in range(count)]
        self._period_s = period_s
        self._sockets = sockets()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for each in self._all:
            loop.call_later(random.uniform(0, self._period_s), self._announce, each)
        for sock in self._sockets:
            loop.add_reader(sock, self._read, sock)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    def _announce(self, each: Stranger) -> None:
        self._send(each.announcement)
        asyncio.get_running_loop().call_later(self._period_s * random.uniform(0.75, 1.25), self._announce, each)

    def _read(self, sock: socket.socket) -> None:
        question = DNSIncoming(sock.recv(9000))
        if not question.is_query() or not any(each.name == SERVICE and each.type == _PTR for each in question.questions):
            return
        known = {record.alias for record in question.answers() if isinstance(record, DNSPointer)}
        for each in self._all:
            if each.name not in known and not each.due:
                each.due = True
                asyncio.get_running_loop().call_later(random.uniform(*_ANSWER_S), self._answer, each)

    def _answer(self, each: Stranger) -> None:
        each.due = False
        self._send(each.answer)

    def _send(self, data: bytes) -> None:
        for sock in self._sockets:
            sock.sendto(data, (GROUPS[sock.family], PORT))


def main() -> None:
    count = int(sys.argv[1])
    period_s = float(sys.argv[2]) if len(sys.argv) > 2 else min(max(float(count), limits.ANNOUNCE_MIN_S), limits.ANNOUNCE_MAX_S)
    asyncio.run(Crowd(count, period_s).run())


if __name__ == "__main__":
    main()
