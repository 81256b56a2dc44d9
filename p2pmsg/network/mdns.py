"""One zeroconf object on a given set of interfaces: the only file that knows zeroconf.

What is heard comes from the TXT records themselves, not from a browser's callbacks: those are silent when an unchanged
announcement is repeated, and repeating is how a healed network is noticed. The browser is here for its questions alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from zeroconf import (  # type: ignore[attr-defined]  # DNSText: documented, and forgotten in __all__
    DNSOutgoing,
    DNSQuestion,
    DNSQuestionType,
    DNSText,
    Error,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import SERVICE, Announcement, instance_name, text_properties
from p2pmsg.network.multicast import PORT_TAKEN

RECEIVE_BUFFER_BYTES = 4 << 20
"""A thousand answers at once overrun the usual 208 KiB; the kernel caps this at net.core.rmem_max."""
CLOSE_TIMEOUT_S = 2.0

_PTR, _TXT, _INTERNET, _QUERY = 12, 16, 1, 0


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
        self._listener = _TextListener(heard, gone)
        self._zeroconf: AsyncZeroconf | None = None
        self._confined = False
        self._interfaces: tuple[Interface, ...] = ()
        self._browser: AsyncServiceBrowser | None = None
        self._published: dict[str, tuple[Publication, AsyncServiceInfo]] = {}
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

    async def ask(self) -> None:
        """Ask who is there: four questions within 14 s.

        By multicast (QM) from the first on: an answer to a QU question reaches one of the processes on port 5353 only.
        """
        if self._zeroconf is None:
            return
        old, self._browser = (
            self._browser,
            AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE, handlers=[_ignore], question_type=DNSQuestionType.QM),
        )
        if old is not None:
            await old.async_cancel()

    async def close(self) -> None:
        """Say goodbye and close the sockets: a quarter of a second, CLOSE_TIMEOUT_S at the most."""
        zeroconf, self._zeroconf = self._zeroconf, None
        browser, self._browser = self._browser, None
        self._published = {}
        self._interfaces = ()
        if zeroconf is None:
            return
        with contextlib.suppress(OSError, RuntimeError, Error, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if browser is not None:
                    await browser.async_cancel()
                await zeroconf.async_close()

    async def _open(self, interfaces: tuple[Interface, ...], confined: bool) -> None:
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what matters of it is raised or told by us
        kind = _LoopbackZeroconf if confined else Zeroconf
        zeroconf = AsyncZeroconf(zc=kind(interfaces=_choices(interfaces), ip_version=_ip_version()))
        # Before the first packet: what went into the cache unheard would be named as known in every question, and stay unheard.
        zeroconf.zeroconf.async_add_listener(self._listener, None)
        self._zeroconf, self._confined, self._interfaces = zeroconf, confined, interfaces
        await zeroconf.zeroconf.async_wait_for_start()
        self._tune(zeroconf)

    async def _move(self, zeroconf: AsyncZeroconf, interfaces: tuple[Interface, ...]) -> bool:
        if interfaces != self._interfaces:
            for _, info in self._published.values():
                zeroconf.zeroconf.registry.async_remove(info)
                zeroconf.zeroconf.async_send(zeroconf.zeroconf.generate_service_broadcast(info, 0))
            self._published = {}
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
        for reader in zeroconf.zeroconf.engine.readers:
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if self._confined:
                _bind_to_device(reader.sock, self._interfaces[0].name)

    @staticmethod
    def _ways(zeroconf: AsyncZeroconf) -> set[tuple[str, int]]:
        return {sender.interface_key for sender in zeroconf.zeroconf.engine.senders}


class _TextListener(RecordUpdateListener):
    """Hands on the TXT records of our service, new and repeated ones alike, and their goodbyes."""

    def __init__(self, heard: Callable[[str, bytes], None], gone: Callable[[str], None]) -> None:
        super().__init__()
        self._heard, self._gone = heard, gone

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        for update in records:
            record = update.new
            if record.type != _TXT or not isinstance(record, DNSText):
                continue
            if record.is_expired(now):
                self._gone(record.name)
            else:
                self._heard(record.name, record.text)


class _LoopbackZeroconf(Zeroconf):
    """Never sends off this machine, even where its wildcard listener could not be bound to the loopback device.

    Multicast goes out by the senders, which are loopback's; an answer to a unicast question would go by the routing table.
    """

    def async_send(
        self,
        out: object,
        addr: str | None = None,
        port: int = 5353,
        v6_flow_scope: tuple[()] | tuple[int, int] = (),
        transport: object | None = None,
    ) -> None:
        if addr is None or ip_address(addr.partition("%")[0]).is_loopback:
            super().async_send(out, addr, port, v6_flow_scope, transport)  # type: ignore[arg-type]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what zeroconf raises while interfaces come and go into one error of ours."""
    try:
        yield
    except (OSError, RuntimeError, Error) as fault:
        if isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE:
            raise MdnsUnavailable("Another program keeps UDP port 5353 (mDNS) to itself.", hint=PORT_TAKEN) from fault
        raise MdnsUnavailable(f"mDNS does not work: {fault or type(fault).__name__}") from fault


def _ignore(**_change: object) -> None:
    """Take a browser's callback; the TXT listener knows already."""


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
