"""What an onlooker has who records every frame, and knows QUIC: datagrams, and what anybody can open of them."""

from __future__ import annotations

import contextlib
import ipaddress
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aioquic.buffer import Buffer
from aioquic.quic.crypto import CryptoError, CryptoPair
from aioquic.quic.packet import QuicPacketType, QuicProtocolVersion, pull_quic_header

from tests.lan.lan import Lan
from tests.lan.lines import Lines

_RECORD = """
import pathlib, socket, struct, sys
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
frames.bind(("eth0", 0))
print("{}", flush=True)
with pathlib.Path(sys.argv[1]).open("wb", buffering=0) as file:
    while True:
        frame = frames.recv(1 << 16)
        file.write(struct.pack(">I", len(frame)) + frame)
"""
_UDP, _ARP, _IPV4, _IPV6 = 17, b"\x08\x06", b"\x08\x00", b"\x86\xdd"
_PTR, _TXT, _SRV = 12, 16, 33
_CID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram."""

    source: str
    source_port: int
    to: str
    port: int
    data: bytes

    @property
    def is_quic(self) -> bool:
        return min(self.source_port, self.port) >= 1024 and not self.data.startswith(b"P2PM") and self.port not in (5353, 47_474)


class Recording:
    """All frames that come to a node or leave it, from now until its LAN goes down."""

    def __init__(self, lan: Lan, node: int, file: Path) -> None:
        self._file = file
        Lines(lan.popen(node, [sys.executable, "-c", _RECORD, str(file)])).expect(lambda line: True, 10)

    def frames(self) -> list[bytes]:
        data, at, found = self._file.read_bytes(), 0, []
        while at + 4 <= len(data):
            size = struct.unpack_from(">I", data, at)[0]
            found.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        return found

    def datagrams(self) -> list[Datagram]:
        return [found for frame in self.frames() if (found := _datagram(frame)) is not None]

    def sought(self) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """Return every address that an IP packet went to, or that ARP asked for."""
        found: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
        for frame in self.frames():
            if frame[12:14] == _ARP:
                found.add(ipaddress.ip_address(frame[38:42]))
            elif frame[12:14] == _IPV4:
                found.add(ipaddress.ip_address(frame[30:34]))
            elif frame[12:14] == _IPV6:
                found.add(ipaddress.ip_address(frame[38:54]))
        return found


def _datagram(frame: bytes) -> Datagram | None:
    if frame[12:14] == _IPV4 and frame[23] == _UDP:
        source, to, at = frame[26:30], frame[30:34], 14 + 4 * (frame[14] & 15)
    elif frame[12:14] == _IPV6 and frame[20] == _UDP:
        source, to, at = frame[22:38], frame[38:54], 54
    else:
        return None
    source_port, port, size = struct.unpack_from(">HHH", frame, at)
    return Datagram(str(ipaddress.ip_address(source)), source_port, str(ipaddress.ip_address(to)), port, frame[at + 8 : at + size])


def initials(datagrams: list[Datagram]) -> Iterator[bytes]:
    """Open what anybody can open: the Initial packets of both sides, with keys from the first one's connection id (RFC 9001, 5.2)."""
    keys: dict[tuple[str, int, str, int], bytes] = {}
    for each in datagrams:
        if not (each.is_quic and each.data[0] & 0x80):
            continue
        buffer = Buffer(data=each.data)
        header = pull_quic_header(buffer, host_cid_length=_CID_BYTES)
        if header.packet_type is not QuicPacketType.INITIAL:
            continue
        way, back = (each.source, each.source_port, each.to, each.port), (each.to, each.port, each.source, each.source_port)
        of_the_dialler = back not in keys
        cid = keys.setdefault(way, header.destination_cid) if of_the_dialler else keys[back]
        pair = CryptoPair()
        pair.setup_initial(cid=cid, is_client=not of_the_dialler, version=QuicProtocolVersion.VERSION_1)
        end = header.packet_length
        with contextlib.suppress(CryptoError):  # a later dial between the same ports, under another id
            yield pair.decrypt_packet(each.data[:end], buffer.tell(), 0)[1]


def connection_ids(datagrams: list[Datagram]) -> set[bytes]:
    """Return the connection ids of all long headers, and what stands in their place in short ones."""
    found: set[bytes] = set()
    for each in datagrams:
        if each.is_quic and each.data:
            header = pull_quic_header(Buffer(data=each.data), host_cid_length=_CID_BYTES)
            found |= {header.destination_cid, header.source_cid} - {b""}
    return found


def dns_fields(data: bytes) -> list[bytes]:
    """Take a DNS message apart, whole, into the labels of names and the data of records; what is left out has at most 4 bytes a field.

    Raises: ValueError where it is not read to its end.
    """
    counts = struct.unpack_from(">4H", data, 4)
    at, fields = 12, list[bytes]()
    for _ in range(counts[0]):
        at = _labels(data, at, fields) + 4
    for _ in range(sum(counts[1:])):
        at = _labels(data, at, fields)
        kind, size = struct.unpack_from(">H6xH", data, at)
        at += 10
        _record(kind, data, at, size, fields)
        at += size
    if at != len(data):
        raise ValueError("there is more in it")
    return fields


def _labels(data: bytes, at: int, fields: list[bytes]) -> int:
    """Add the labels that stand here; return what follows. Those that a pointer leads to have been added where they stand."""
    while (size := data[at]) and size < 0xC0:
        fields.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return at + (2 if size else 1)


def _record(kind: int, data: bytes, at: int, size: int, fields: list[bytes]) -> None:
    if kind in (_PTR, _SRV):
        _labels(data, at if kind == _PTR else at + 6, fields)
        return
    if kind != _TXT:
        fields.append(data[at : at + size])
        return
    end = at + size
    while at < end:
        fields.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
