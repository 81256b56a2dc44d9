"""Asks every address of the own /24 whether a node is there: a question of multicast DNS, by unicast, to each.

The last resort, for networks that carry neither multicast nor broadcast, or a firewall that lets only answers in. On the user's
request alone: to ask 254 machines the kernel looks for 254 neighbours, which costs a Wi-Fi more than multicast, and looks like a scan.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from p2pmsg.config import limits
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.multicast import PORT
from p2pmsg.network.questions import ID_BYTES, PACKET_BYTES, answers, question

_WIDEST: Final = 24

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """The neighbours of one own address."""

    own: str
    network: str
    hosts: tuple[str, ...]


def grounds(interfaces: Sequence[Interface]) -> list[Ground]:
    """Return whom to ask: for each own IPv4 address its network, of a wider one the /24 around it; nobody twice, and not ourselves.

    Never loopback: there all nodes have one address and port, and a question reaches but one of them, maybe ourselves.
    """
    used = [interface for interface in interfaces if not interface.loopback]
    asked = {host for interface in used for host, _ in interface.ipv4}
    found: list[Ground] = []
    for own, prefix in (address for interface in used for address in interface.ipv4):
        network = IPv4Network((own, max(prefix, _WIDEST)), strict=False)
        hosts = tuple(host for host in map(str, _hosts(own, prefix, network)) if host not in asked)
        asked.update(hosts)
        if hosts:
            found.append(Ground(own, str(network), hosts))
    return found


def _hosts(own: str, prefix: int, near: IPv4Network) -> list[IPv4Address]:
    """Return the addresses near one's own but for the two of the whole network that mean everybody."""
    whole = IPv4Network((own, prefix), strict=False)
    everybody = (whole.network_address, whole.broadcast_address) if prefix < 31 else ()
    return [host for host in near if host not in everybody]


async def sweep(found: Sequence[Ground], heard: Callable[[Announcement], None], enough: asyncio.Event, *, port: int = PORT) -> int:
    """Ask all once, `limits.SWEEP_EVERY_S` apart, tell `heard` of each announcement they answer with, and return how many were asked.

    Ends `limits.SWEEP_LISTEN_S` after the last question, or as soon as `enough` is set. Cancelled: asks no more.
    """
    asking = question()
    asked: set[str] = set()
    with contextlib.ExitStack() as ending:
        for ground in found:
            try:
                own = _open(ground.own)
            except OSError as fault:  # the address went away since
                log.info("%s cannot be searched from: %s", ground.network, fault.strerror or fault)
                continue
            ending.enter_context(own)
            _listen(own, asking[:ID_BYTES], asked, heard, ending)
            for host in ground.hosts:
                asked.add(host)
                with contextlib.suppress(OSError):  # no way to there, or no room for it: as a packet lost
                    own.sendto(asking, (host, port))
                if await _set_within(enough, limits.SWEEP_EVERY_S):
                    return len(asked)
        await _set_within(enough, limits.SWEEP_LISTEN_S if asked else 0.0)
    return len(asked)


def _open(own: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        # What waits for a neighbour to be found counts against the socket, and most are never found.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SOCKET_BUFFER_BYTES)
        opened.bind((own, 0))
    except BaseException:
        opened.close()
        raise
    return opened


def _listen(
    own: socket.socket, number: bytes, asked: set[str], heard: Callable[[Announcement], None], ending: contextlib.ExitStack
) -> None:
    """Take answers in until the end: only from who was asked, only few from each."""
    taken: Counter[str] = Counter()

    def readable() -> None:
        for _ in range(limits.RECEIVE_BATCH):
            try:
                data, (host, _) = own.recvfrom(PACKET_BYTES)
            except OSError:
                return
            if host not in asked or data[:ID_BYTES] != number or taken[host] >= limits.SWEEP_ANSWERS:
                continue
            taken[host] += 1
            for announcement in answers(data):
                heard(announcement)

    loop = asyncio.get_running_loop()
    loop.add_reader(own, readable)
    ending.callback(loop.remove_reader, own)


async def _set_within(event: asyncio.Event, wait_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    return event.is_set()
