"""One UDP socket on the event loop that takes and gives datagrams in batches.

The kernel joins and cuts runs of datagrams (GRO, GSO) and tells to which own address each came, where it can: Linux.
Elsewhere, and on paths where the kernel refuses, one datagram is one call. Knows nothing of QUIC.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from p2pmsg.config import limits

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""As the socket module has it; the flow label is always 0, the scope 0 but for link-local addresses."""
Control = list[tuple[int, int, bytes]]

_LINUX: Final = sys.platform == "linux"
# Numbers of Linux, which Python 3.11 has no names for.
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_MSG_CONFIRM: Final = getattr(socket, "MSG_CONFIRM", 0)
_IP_PKTINFO, _IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 8, 10, 23, 3
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_SEGMENTS = 64
_SEGMENTED_BYTES = 65_000
_CONTROL_BYTES = 128
_NOT_SEGMENTED = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP})


class Local(NamedTuple):
    """The own address, packed, and the index of the interface that a datagram came to."""

    address: bytes
    interface: int


class Datagram(NamedTuple):
    """A datagram as it came; `local` is None where the system does not tell."""

    data: bytes
    sender: SocketAddress
    local: Local | None


class UdpSocket:
    """A bound socket; `received` gets every batch, on the event loop.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, host: str, port: int, received: Callable[[UdpSocket, list[Datagram]], None]) -> None:
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._socket = _bound_socket(self.family, host, port)
        self.port: int = self._socket.getsockname()[1]
        self._segments = _LINUX
        self._buffer = bytearray(65_536)
        self._view = memoryview(self._buffer)
        self._queue: deque[tuple[Sequence[bytes], SocketAddress, Control]] = deque()
        self._queued = 0
        self._loop.add_reader(self._socket.fileno(), self._read)

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Free the socket at once; what waits for the kernel is dropped. May be called twice."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._queue.clear()
        self._socket.close()

    # -- sending

    def send(self, datagrams: Sequence[bytes], to: SocketAddress, source: Local | None = None, *, answered: bool = False) -> int:
        """Send datagrams to one address, from the own address `source` where that is given.

        `answered`: the receiver was heard just now, so that the kernel need not ask (by ARP) whether it is still there.
        Returns 0, or the errno with which the kernel refuses this destination; what it has no room for now waits, up to
        `limits.SOCKET_QUEUE` datagrams, and is dropped beyond. Never raises.
        """
        if self.closed:
            return errno.EBADF
        control = _control(self.family, source)
        if self._queue:
            self._enqueue(datagrams, to, control)
            return 0
        return self._send(datagrams, to, control, _MSG_CONFIRM if answered else 0)

    def _send(self, datagrams: Sequence[bytes], to: SocketAddress, control: Control, flags: int = 0) -> int:
        for start, stop in self._runs(datagrams):
            try:
                self._send_run(datagrams[start:stop], to, control, flags)
            except BlockingIOError:
                self._enqueue(datagrams[start:], to, control)
                return 0
            except OSError as error:
                return error.errno or errno.EIO
        return 0

    def _send_run(self, run: Sequence[bytes], to: SocketAddress, control: Control, flags: int) -> None:
        if len(run) == 1:
            self._socket.sendmsg(run, control, flags, to)
            return
        try:
            self._socket.sendmsg(run, [*control, (_SOL_UDP, _UDP_SEGMENT, struct.pack("H", len(run[0])))], flags, to)
        except OSError as error:
            if error.errno not in _NOT_SEGMENTED:
                raise
            for datagram in run:
                self._socket.sendmsg([datagram], control, flags, to)
            self._segments = False  # alone they pass: it is the segmenting that this path refuses

    def _runs(self, datagrams: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of runs of equal length, whose last may be shorter: what one system call can carry."""
        start, end = 0, len(datagrams)
        while start < end:
            size = len(datagrams[start])
            most = min(_SEGMENTS, _SEGMENTED_BYTES // max(size, 1)) if self._segments else 1
            stop = start + 1
            while stop < end and stop - start < most and len(datagrams[stop]) <= size:
                stop += 1
                if len(datagrams[stop - 1]) < size:
                    break
            yield start, stop
            start = stop

    def _enqueue(self, datagrams: Sequence[bytes], to: SocketAddress, control: Control) -> None:
        room = limits.SOCKET_QUEUE - self._queued
        if not self._queue:
            self._loop.add_writer(self._socket.fileno(), self._write)
        if room > 0:
            self._queue.append((datagrams[:room], to, control))
            self._queued += len(self._queue[-1][0])

    def _write(self) -> None:
        waiting, self._queue, self._queued = self._queue, deque(), 0
        self._loop.remove_writer(self._socket.fileno())
        for datagrams, to, control in waiting:
            if self._queue:
                self._enqueue(datagrams, to, control)
            else:
                self._send(datagrams, to, control)

    # -- receiving

    def _read(self) -> None:
        batch: list[Datagram] = []
        while len(batch) < limits.RECEIVE_BATCH:
            try:
                size, control, _, sender = self._socket.recvmsg_into([self._buffer], _CONTROL_BYTES)
            except OSError:  # nothing more, or the echo of an earlier send: that destination's own timers see to it
                break
            self._cut(batch, size, control, sender)
        if batch:
            self._received(self, batch)

    def _cut(self, batch: list[Datagram], size: int, control: Control, sender: SocketAddress) -> None:
        segment, local = size, None
        for level, kind, data in control:
            if level == _SOL_UDP and kind == _UDP_GRO:
                segment = int.from_bytes(data[:4], sys.byteorder)
            elif level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                local = Local(data[4:8], int.from_bytes(data[:4], sys.byteorder))
            elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                local = Local(data[:16], int.from_bytes(data[16:20], sys.byteorder))
        if len(sender) == 4:
            sender = (sender[0], sender[1], 0, sender[3])
        view = self._view
        for start in range(0, size, segment or 1):
            batch.append(Datagram(bytes(view[start : min(start + segment, size)]), sender, local))


def _bound_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, limits.SOCKET_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if _LINUX:
            _set_linux_options(sock, family)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _set_linux_options(sock: socket.socket, family: socket.AddressFamily) -> None:
    # PROBE: never fragment (RFC 9000 14), and believe no ICMP about it, which anybody can forge.
    if family == socket.AF_INET6:
        options = [(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1), (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)]
    else:
        options = [(socket.IPPROTO_IP, _IP_PKTINFO, 1), (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)]
    for level, option, value in [*options, (_SOL_UDP, _UDP_GRO, 1)]:
        try:
            sock.setsockopt(level, option, value)
        except OSError:  # an older kernel: one datagram a call, or the kernel's choice of source address
            continue


def _control(family: socket.AddressFamily, source: Local | None) -> Control:
    """Return what makes the kernel send from `source`; its interface is named only where the address alone is ambiguous."""
    if source is None or not _LINUX:
        return []
    if family == socket.AF_INET:
        return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4x", 0, source.address))]
    interface = source.interface if IPv6Address(source.address).is_link_local else 0
    return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, struct.pack("=16sI", source.address, interface))]
