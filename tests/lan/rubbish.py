"""Malformed, false and hostile mDNS packets, as anybody on the link can send them (notes/threats.md, row 26).

    python -m tests.lan.rubbish COUNT PER_S

Listens beside, so that it can name those who are really there: in goodbyes, in pointers without records, in announcements that say
that they are elsewhere. Prints "ready" when it has heard two of them, and "done" at the end.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from zeroconf import DNSIncoming, DNSText

from p2pmsg.network.announcements import TAGS_BYTES, instance_name
from tests.lan.strangers import GROUPS, PORT, sockets

FOREIGN: Final = ("203.0.113.7", "198.51.100.9", "10.99.0.1", "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0")
"""Where nobody shall send anything because a stranger says so."""
_SERVICE: Final = b"\x07_p2pmsg\x04_udp\x05local\x00"
_PTR, _TXT, _SRV, _A, _AAAA, _FLUSH = 12, 16, 33, 1, 28, 0x8001
_HEARD_ENOUGH: Final = 2

Heard = dict[str, bytes]
"""The TXT data of those who are there, by name."""


def response(*records: bytes, count: int | None = None) -> bytes:
    return struct.pack(">6H", 0, 0x8400, 0, len(records) if count is None else count, 0, 0) + b"".join(records)


def record(name: bytes, kind: int, data: bytes, ttl_s: int = 4500, cls: int = _FLUSH) -> bytes:
    return name + struct.pack(">HHIH", kind, cls, ttl_s, len(data) & 0xFFFF) + data


def instance(label: bytes) -> bytes:
    return bytes((len(label),)) + label + _SERVICE


def pointer(label: bytes, ttl_s: int = 4500) -> bytes:
    return record(_SERVICE, _PTR, instance(label), ttl_s, 1)


def pairs(**values: bytes) -> bytes:
    return b"".join(bytes((len(key) + 1 + len(value),)) + key.encode() + b"=" + value for key, value in values.items())


def someone() -> bytes:
    return instance_name(os.urandom(10)).encode()


def foreign() -> bytes:
    return b"\x01" + socket.inet_aton(random.choice(FOREIGN)) + random.choice((40_000, 22, 65_535)).to_bytes(2, "big")


def full(label: bytes, text: bytes) -> bytes:
    """Return a whole announcement."""
    server = bytes((len(label),)) + label + b"\x05local\x00"
    srv = record(instance(label), _SRV, struct.pack(">HHH", 0, 0, 40_000) + server)
    host = record(server, _A, socket.inet_aton(random.choice(FOREIGN)), 120)
    return response(pointer(label), srv, record(instance(label), _TXT, text), host)


# -- the kinds


def loops(heard: Heard) -> bytes:
    to_itself, to_each_other = b"\xc0\x0c", b"\xc0\x0e\xc0\x0c"
    stairs = b"".join(struct.pack(">H", 0xC00C + 2 * step) for step in range(1, 600)) + b"\xc0\x0c"
    head = random.choice((to_itself, to_each_other, stairs, b"\x01a\xc0\x0c"))
    return response(
        head + struct.pack(">HHIH", random.choice((_PTR, _TXT, _SRV)), 1, 4500, 2) + b"\xc0\x0c", count=random.choice((1, 65_535))
    )


def long_names(heard: Heard) -> bytes:
    many = b"\x01a" * 255 + b"\x00"
    reserved = bytes((random.randrange(64, 192),)) + os.urandom(63) + _SERVICE
    longest = (b"\x3f" + b"x" * 63) * 4 + _SERVICE
    return response(record(random.choice((many, reserved, longest)), random.choice((_PTR, _TXT)), random.choice((many, reserved, longest))))


def long_texts(heard: Heard) -> bytes:
    size = random.choice((1200, 8700, 8700, 8700, 60_000))
    text = pairs(v=b"1", a=foreign(), t=os.urandom(TAGS_BYTES)) + (b"\xff" + b"x" * 255) * (size // 256)
    label = random.choice((*heard, "x")).partition(".")[0].encode() if size < 8700 else someone()
    return response(pointer(label), record(instance(label), _TXT, text, random.choice((4500, 2**31 - 1))))


def cut_texts(heard: Heard) -> bytes:
    return response(
        record(instance(someone()), _TXT, b"\xff" * random.randrange(300))[: random.randrange(12, 300)], count=random.choice((1, 2))
    )


def goodbyes(heard: Heard) -> bytes:
    name = random.choice((*heard, someone().decode())).partition(".")[0].encode()
    return response(pointer(name, 0), record(instance(name), _TXT, heard.get(f"{name.decode()}._p2pmsg._udp.local.", b"\x00"), 0))


def strangers(heard: Heard) -> bytes:
    return full(someone(), pairs(v=b"1", a=foreign(), t=os.urandom(TAGS_BYTES)))


def visible_strangers(heard: Heard) -> bytes:
    return full(someone(), pairs(v=b"1", a=foreign(), t=os.urandom(TAGS_BYTES), n=os.urandom(12)))


def pointers_alone(heard: Heard) -> bytes:
    names = [name.partition(".")[0].encode() for name in heard] or [someone()]
    return response(pointer(random.choice(names)), pointer(someone()), pointer(someone(), 2**31 - 1))


def odd_names(heard: Heard) -> bytes:
    label = random.choice((b"a.b.c", b"\\046\\", b"\xff\xfe\x80", "é漢🦊".encode(), b"\x00\x1b[2J", b"", b"=" * 16, b" ", os.urandom(30)))
    return full(label, pairs(v=b"1", a=foreign(), t=os.urandom(TAGS_BYTES)))


def moved(heard: Heard) -> bytes:
    """Those who are there, with their own tags, and another address."""
    if not heard:
        return strangers(heard)
    name, text = random.choice(list(heard.items()))
    tags = text[text.index(b"t=") + 2 :][:TAGS_BYTES]
    return full(name.partition(".")[0].encode(), pairs(v=b"1", a=foreign(), t=tags))


def emptied(heard: Heard) -> bytes:
    """Those who are there, with a text that says nothing."""
    return full(random.choice((*heard, "x")).partition(".")[0].encode(), random.choice((b"\x00", pairs(v=b"999"), os.urandom(200))))


def noise(heard: Heard) -> bytes:
    return os.urandom(random.randrange(1, 1400))


def questions(heard: Heard) -> bytes:
    """From a port that is not 5353 each would be answered by a datagram of its own."""
    return struct.pack(">6H", 7, 0, 1, 0, 0, 0) + _SERVICE + struct.pack(">HH", random.choice((_PTR, 255)), random.choice((1, 0x8001)))


KINDS: Final[list[Callable[[Heard], bytes]]] = [
    loops, long_names, long_texts, cut_texts, goodbyes, strangers, strangers, strangers, visible_strangers,
    pointers_alone, odd_names, moved, emptied, noise, questions,
]  # fmt: skip


def listen(readers: list[socket.socket]) -> Iterator[tuple[str, bytes]]:
    """Yield the names and texts of those who are heard now."""
    for reader in readers:
        while True:
            try:
                data = reader.recv(9000)
            except BlockingIOError:
                break
            for found in DNSIncoming(data).answers():
                if isinstance(found, DNSText) and b"t=" in found.text:
                    yield found.name, found.text


def ask(writers: list[socket.socket]) -> None:
    for writer in writers:
        writer.sendto(struct.pack(">6H", 0, 0, 1, 0, 0, 0) + _SERVICE + struct.pack(">HH", _PTR, 1), (GROUPS[writer.family], PORT))


def main() -> None:
    count, per_s = int(sys.argv[1]), float(sys.argv[2])
    right = sockets()
    wrong = [socket.socket(each.family, socket.SOCK_DGRAM) for each in right]
    wrong[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
    heard: Heard = {}
    ask(right)
    while len(heard) < _HEARD_ENOUGH:
        heard |= dict(listen(right))
        time.sleep(0.01)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    begun = time.monotonic()
    for number in range(count):
        heard |= dict(listen(right))
        out = random.choice((*right, *right, *right, *wrong))
        out.sendto(random.choice(KINDS)(heard), (GROUPS[out.family], PORT))
        time.sleep(max(0.0, begun + number / per_s - time.monotonic()))
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
