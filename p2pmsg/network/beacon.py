"""The announcement as a UDP broadcast, for networks that drop multicast: the same nonce, addresses and tags as in mDNS.

A datagram is `P2PM version(1) nonce(10) length(1) addresses tags(64)`, at most 208 bytes. Like every announcement it is an unproved
hint; it is answered by dialling, never by a datagram, so it cannot be used to make this node send to third parties.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import socket
from collections.abc import Callable, Sequence
from typing import Final

from p2pmsg.config import limits
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import NONCE_BYTES, TAGS_BYTES, Announcement
from p2pmsg.network.heard import Heard

PORT: Final = 47_474
"""IANA has nobody there; both sides must agree on it beforehand, as on 5353."""
_MAGIC: Final = b"P2PM"
_HEAD: Final = len(_MAGIC) + 1 + NONCE_BYTES + 1
_MOST: Final = _HEAD + limits.ANNOUNCED_BYTES + TAGS_BYTES
_FIRST_S: Final = (0.0, 0.5, 2.0)
"""Repeated, since a broadcast on Wi-Fi is not acknowledged."""

log = logging.getLogger(__name__)


def encode(announcement: Announcement) -> bytes:
    """Return the datagram of an announcement."""
    head = _MAGIC + bytes((announcement.version,)) + announcement.nonce + bytes((len(announcement.addresses),))
    return head + announcement.addresses + announcement.tags


def decode(data: bytes) -> Announcement | None:
    """Return the announcement of a datagram; None for anything else."""
    if not data.startswith(_MAGIC) or not _HEAD < len(data) <= _MOST:
        return None
    size = data[_HEAD - 1]
    if not 0 < size <= limits.ANNOUNCED_BYTES or len(data) != _HEAD + size + TAGS_BYTES or data[len(_MAGIC)] == 0:
        return None
    nonce = data[len(_MAGIC) + 1 : _HEAD - 1]
    return Announcement(nonce, data[_HEAD : _HEAD + size], data[_HEAD + size :], data[len(_MAGIC)])


def targets(interfaces: Sequence[Interface]) -> list[tuple[str, str]]:
    """Return (own address, broadcast address) of each IPv4 network in use."""
    found: list[tuple[str, str]] = []
    for interface in interfaces:
        for host, prefix in interface.ipv4:
            network = ipaddress.ip_network(f"{host}/{prefix}", strict=False)
            if network.prefixlen < 31:
                found.append((host, str(network.broadcast_address)))
    return found


class Beacon:
    """Broadcasts one announcement, and hears those of others; silent and deaf where the port is not to be had."""

    def __init__(self, listener: Callable[[Announcement], None], missing: Callable[[], bool]) -> None:
        """`missing` says whether somebody is still looked for: only then is the announcement repeated once a minute."""
        self._listener = listener
        self._heard = Heard()
        self._missing = missing
        self._wanted: tuple[bytes, tuple[Interface, ...]] | None = None
        self._own: bytes = b""
        self._wake = asyncio.Event()
        self._socket: socket.socket | None = None

    def publish(self, announcement: Announcement, interfaces: tuple[Interface, ...]) -> None:
        """Announce this from now on."""
        self._wanted, self._own = (encode(announcement), interfaces), announcement.nonce
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; may be run again."""
        if self._wanted is not None:
            self._wake.set()
        loop = asyncio.get_running_loop()
        self._socket = _open()
        if self._socket is None:
            return
        loop.add_reader(self._socket, self._readable)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._announce()
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def _announce(self) -> None:
        """Send three times, then once a minute while somebody is missing, until there is something new to say."""
        for wait_s in _FIRST_S:
            if await self._interrupted(wait_s):
                return
            self._send()
        while not await self._interrupted(limits.ANNOUNCE_MIN_S * random.uniform(0.75, 1.25)):
            if self._missing():
                self._send()

    async def _interrupted(self, wait_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        return self._wake.is_set()

    def _send(self) -> None:
        """Broadcast on each network by its own address, so that a datagram leaves by no other interface."""
        if self._socket is None or self._wanted is None:
            return
        data, interfaces = self._wanted
        for own, broadcast in targets(interfaces):
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                out.bind((own, 0))
                out.sendto(data, (broadcast, PORT))

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(limits.RECEIVE_BATCH):
            try:
                data = self._socket.recv(2048)
            except OSError:
                return
            found = decode(data)
            if found is not None and found.nonce != self._own and self._heard.note(found, asyncio.get_running_loop().time()):
                self._listener(found)


def _open() -> socket.socket | None:
    """Return a socket that hears broadcasts beside those of other processes; None where the port cannot be shared."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(("", PORT))
    except OSError as error:
        log.warning("no beacons are heard: port %d is not to be had (%s)", PORT, error)
        opened.close()
        return None
    return opened
