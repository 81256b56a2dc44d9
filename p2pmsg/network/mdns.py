"""One zeroconf object on a given set of interfaces: with `questions` the only file that knows zeroconf.

What is heard comes from the TXT records themselves, not from a browser of zeroconf's: that is silent when an unchanged announcement is
repeated, and repeating is how a healed network is noticed; and it remembers every name that it ever hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, cast

from zeroconf import (  # type: ignore[attr-defined]  # documented, and forgotten in __all__
    DNSOutgoing,
    DNSQuestion,
    Error,
    IPVersion,
    Zeroconf,
    current_time_millis,
)
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Address, Interface
from p2pmsg.network.announcements import SERVICE, Announcement, instance_name, text_properties
from p2pmsg.network.interfaces import on_link
from p2pmsg.network.multicast import PORT_TAKEN
from p2pmsg.network.records import Records

RECEIVE_BUFFER_BYTES = 4 << 20
"""A thousand answers at once overrun the usual 208 KiB; the kernel caps this at net.core.rmem_max."""
CLOSE_TIMEOUT_S = 2.0

FIRST_QUESTION_S = 0.02, 0.12
FURTHER_QUESTIONS_S = 1.0, 5.0, 14.0
_PTR, _INTERNET, _QUERY = 12, 1, 0
_ANSWER_BIT, _MDNS_PORT = 0x80, 5353
_IP_MULTICAST_ALL = 49
"""Off: of IPv4 a socket hears what came by an interface on which it has joined itself, not by those on which any program has."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published, and the interfaces whose addresses its host name resolves to."""

    announcement: Announcement
    port: int
    interfaces: tuple[Interface, ...]


class Mdns:
    """Publishes announcements and hears everybody's: `heard(instance name, TXT data)` for each TXT record received.

    `gone(instance name)` is told of goodbyes.

    All methods are called by one task. They raise MdnsUnavailable where sockets cannot be had; calling again tries again.
    """

    def __init__(self, heard: Callable[[str, bytes], None], gone: Callable[[str], None] = lambda name: None) -> None:
        self._zeroconf: AsyncZeroconf | None = None
        self._confined = False
        self._interfaces: tuple[Interface, ...] = ()
        self._published: dict[str, tuple[Publication, AsyncServiceInfo]] = {}
        self._records = Records(heard, gone, self._published)
        self._questions: list[asyncio.TimerHandle] = []
        self._broadcasts: list[Awaitable[object]] = []

    async def use(self, interfaces: tuple[Interface, ...]) -> bool:
        """Send and hear on these interfaces from now on; say whether that opened a way that was not there before.

        Where they differ from before, what was published is withdrawn first: a name never moves to another network.
        """
        confined = all(interface.loopback for interface in interfaces)
        if self._zeroconf is not None and (not interfaces or confined != self._confined):
            await self.close()
        if not interfaces:
            return False
        try:
            with _explained():
                if self._zeroconf is None:
                    await self._open(interfaces, confined)
                    return True
                return await self._move(self._zeroconf, interfaces)
        except MdnsUnavailable:
            await self.close()
            raise

    async def publish(self, *wanted: Publication | None) -> bool:
        """Make the announcements known and say goodbye to those before; say whether there was anything to do."""
        if self._zeroconf is None:
            return False
        names = {instance_name(each.announcement.nonce): each for each in wanted if each is not None}
        new = {name: each for name, each in names.items() if name not in self._published or self._published[name][0] != each}
        old = [name for name in self._published if name not in names]
        with _explained():
            for name, each in new.items():
                await self._register(self._zeroconf, name, each)
            for name in old:
                self._keep(await self._zeroconf.async_unregister_service(self._published.pop(name)[1]))
        return bool(new or old)

    def announce(self) -> None:
        """Send the present announcements once more: one packet an interface each."""
        if self._zeroconf is not None:
            zeroconf = self._zeroconf.zeroconf
            for _, info in self._published.values():
                zeroconf.async_send(zeroconf.generate_service_broadcast(info, None))

    def ask_all(self) -> None:
        """Ask who is there without naming those we know of, so that they answer too: one packet an interface."""
        if self._zeroconf is not None:
            question = DNSOutgoing(_QUERY)
            question.add_question(DNSQuestion(SERVICE, _PTR, _INTERNET))
            self._zeroconf.zeroconf.async_send(question)

    def ask(self) -> None:
        """Ask who is there: four questions within 14 s.

        By multicast (QM) from the first on: an answer to a QU question reaches one of the processes on port 5353 only.
        """
        self._ask_no_more()
        if self._zeroconf is None:
            return
        loop, first_s = asyncio.get_running_loop(), random.uniform(*FIRST_QUESTION_S)
        self._questions = [loop.call_later(first_s, self._question, self._zeroconf.zeroconf, True)]
        self._questions += [loop.call_later(first_s + s, self._question, self._zeroconf.zeroconf, False) for s in FURTHER_QUESTIONS_S]

    def _question(self, zeroconf: Zeroconf, first: bool) -> None:
        """Ask, naming those who need not answer; not if another has just asked the same, unless that would be all."""
        now = current_time_millis()
        question, known = DNSQuestion(SERVICE, _PTR, _INTERNET), self._records.known(now)
        if not first and zeroconf.question_history.suppresses(question, now, set(known)):
            return
        zeroconf.question_history.add_question_at_time(question, now, set(known))
        packet = DNSOutgoing(_QUERY)
        packet.add_question(question)
        for each in known:
            packet.add_answer_at_time(each, now)
        zeroconf.async_send(packet)

    def _ask_no_more(self) -> None:
        for each in self._questions:
            each.cancel()
        self._questions.clear()

    async def close(self) -> None:
        """Say goodbye and close the sockets: a quarter of a second, CLOSE_TIMEOUT_S at the most."""
        zeroconf, self._zeroconf = self._zeroconf, None
        self._ask_no_more()
        self._published.clear()
        self._interfaces = ()
        if zeroconf is None:
            return
        with contextlib.suppress(OSError, RuntimeError, Error, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await zeroconf.async_close()

    async def _open(self, interfaces: tuple[Interface, ...], confined: bool) -> None:
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what matters of it is raised or told by us
        zeroconf = AsyncZeroconf(zc=_LinkZeroconf(interfaces=_choices(interfaces), ip_version=_ip_version()))
        # Before the first packet: what went into the cache unheard would be named as known in every question, and stay unheard.
        zeroconf.zeroconf.async_add_listener(self._records, None)
        self._zeroconf, self._confined, self._interfaces = zeroconf, confined, interfaces
        await zeroconf.zeroconf.async_wait_for_start()
        self._tune(zeroconf)

    async def _move(self, zeroconf: AsyncZeroconf, interfaces: tuple[Interface, ...]) -> bool:
        if interfaces != self._interfaces:
            for _, info in self._published.values():
                zeroconf.zeroconf.registry.async_remove(info)
                zeroconf.zeroconf.async_send(zeroconf.zeroconf.generate_service_broadcast(info, 0))
            self._published.clear()
        before = self._ways(zeroconf)
        await zeroconf.async_update_interfaces(_choices(interfaces), _ip_version())
        self._interfaces = interfaces
        self._tune(zeroconf)
        return bool(self._ways(zeroconf) - before)

    async def _register(self, zeroconf: AsyncZeroconf, name: str, wanted: Publication) -> None:
        info = _service_info(wanted)
        if name in self._published:
            self._keep(await zeroconf.async_update_service(info))
        else:  # 80 random bits do not collide: cooperating_responders skips 1.2 s of probing for the name
            self._keep(await zeroconf.async_register_service(info, cooperating_responders=True))
        self._published[name] = wanted, info

    def _keep(self, broadcast: Awaitable[object]) -> None:
        """Hold on to the task that repeats a packet for half a second: the loop itself would let it be collected."""
        self._broadcasts = [*self._broadcasts[-7:], broadcast]

    def _tune(self, zeroconf: AsyncZeroconf) -> None:
        assert isinstance(zeroconf.zeroconf, _LinkZeroconf)
        zeroconf.zeroconf.here = self._interfaces
        for reader in zeroconf.zeroconf.engine.readers:
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if sys.platform == "linux":
                reader.sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            transport = reader.transport
            listener = cast("asyncio.DatagramProtocol", transport.get_protocol())  # zeroconf's has all methods of it
            if not isinstance(listener, _Door):
                transport.set_protocol(_Door(listener, zeroconf.zeroconf))
            if self._confined:
                _bind_to_device(reader.sock, self._interfaces[0].name)

    @staticmethod
    def _ways(zeroconf: AsyncZeroconf) -> set[tuple[str, int]]:
        return {sender.interface_key for sender in zeroconf.zeroconf.engine.senders}


class _LinkZeroconf(Zeroconf):
    """Answers nobody who is not on a link in use: whatever sender a question names, no packet leaves for elsewhere.

    Multicast goes out by the senders, each of which is of one interface; an answer to one asker would go by the routing table.
    """

    _here: tuple[Interface, ...] = ()
    indexes: frozenset[int] = frozenset()

    @property
    def here(self) -> tuple[Interface, ...]:
        """The interfaces in use."""
        return self._here

    @here.setter
    def here(self, interfaces: tuple[Interface, ...]) -> None:
        self._here, self.indexes = interfaces, frozenset(interface.index for interface in interfaces)

    def async_send(
        self,
        out: object,
        addr: str | None = None,
        port: int = 5353,
        v6_flow_scope: tuple[()] | tuple[int, int] = (),
        transport: object | None = None,
    ) -> None:
        if addr is None or self._is_near(addr, v6_flow_scope[1] if v6_flow_scope else 0):
            super().async_send(out, addr, port, v6_flow_scope, transport)  # type: ignore[arg-type]

    def _is_near(self, addr: str, scope: int) -> bool:
        host = ip_address(addr.partition("%")[0])
        mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
        return on_link(Address(str(mapped or host), 0, 0 if mapped else scope), self.here)


class _Door(asyncio.DatagramProtocol):
    """Lets in what came by an interface in use, and answers from port 5353 alone, as RFC 6762 wants it (section 6).

    For IPv6 Linux asks whether the group was joined, not where. Whoever sends from a link-local address, as all do, tells where.
    """

    def __init__(self, listener: asyncio.DatagramProtocol, zeroconf: _LinkZeroconf) -> None:
        self._listener, self._zeroconf = listener, zeroconf

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if len(addr) == 4 and addr[3] and addr[3] not in self._zeroconf.indexes:
            return
        if addr[1] != _MDNS_PORT and len(data) > 2 and data[2] & _ANSWER_BIT:
            return
        self._listener.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._listener.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connection_lost(exc)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what zeroconf raises while interfaces come and go into one error of ours."""
    try:
        yield
    except (OSError, RuntimeError, Error) as fault:
        if isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE:
            raise MdnsUnavailable("Another program keeps UDP port 5353 (mDNS) to itself.", hint=PORT_TAKEN) from fault
        raise MdnsUnavailable(f"mDNS does not work: {fault or type(fault).__name__}") from fault


def _choices(interfaces: Sequence[Interface]) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """Name the interfaces as zeroconf wants them: IPv4 by address, IPv6 by index. No route leads ff02::fb over loopback."""
    choices: list[str | int | tuple[tuple[str, int, int], int]] = []
    choices += [address for interface in interfaces for address, _ in interface.ipv4]
    choices += [interface.index for interface in interfaces if interface.ipv6 and not interface.loopback]
    return choices


def _ip_version() -> IPVersion:
    """Both families wherever the kernel has IPv6 at all, so that its listener never needs to be rebuilt."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return IPVersion.V4Only
    return IPVersion.All


def _service_info(wanted: Publication) -> AsyncServiceInfo:
    name = instance_name(wanted.announcement.nonce)
    return AsyncServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=wanted.port,
        server=f"{name}.local.",
        properties=text_properties(wanted.announcement),
        parsed_addresses=_host_addresses(wanted.interfaces),
    )


def _host_addresses(interfaces: Sequence[Interface]) -> list[str]:
    """Return what the host name resolves to, for other people's tools; ours dial what the TXT record says."""
    ipv4 = [address for interface in interfaces for address, _ in interface.ipv4]
    ipv6 = [address for interface in interfaces for address, _ in interface.ipv6]
    local = [address for address in ipv6 if ip_address(address).is_link_local]
    return ipv4[:4] + (local or ipv6)[:4]


def _bind_to_device(sock: socket.socket, name: str) -> None:
    """Let the kernel keep the socket to one device: since Linux 5.7 ordinary users may ask for it once."""
    option = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        return
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, option, name.encode() + b"\0")
