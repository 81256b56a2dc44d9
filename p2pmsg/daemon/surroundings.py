"""Where this node is: the networks it is on, its port on each, whom it met there, and the peers that the user configured."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from functools import partial

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings, split_address
from p2pmsg.daemon.announcer import Announcer, scoped
from p2pmsg.daemon.linkage import Link
from p2pmsg.daemon.node import Node
from p2pmsg.errors import MdnsUnavailable, NotPermitted, P2pmsgError
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.network import dnssd, interfaces
from p2pmsg.network.discovery import Listener
from p2pmsg.network.endpoint import ANYWHERE, LOOPBACK, Endpoint
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.worker import Worker

_log = logging.getLogger(__name__)
AGAIN_S = 30.0
"""Until what could not be taken on is tried again."""


class Surroundings(Listener):
    """Hears of changes of the network and keeps port, epoch and last known addresses in step with it."""

    def __init__(self, node: Node, endpoint: Endpoint, announcer: Announcer, worker: Worker, settings: Settings) -> None:
        self._node = node
        self._endpoint = endpoint
        self._announcer = announcer
        self._worker = worker
        self._settings = settings
        self._interfaces: tuple[Interface, ...] = ()
        self._networks: dict[str, str] = {}
        self.problem: Exception | None = None
        """Why the network, or a port that was configured, could not be taken on; it is tried again."""
        self._fixed_port = 0
        """`listen.port` as the sockets have it."""
        self._moved = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._browsing: asyncio.Task[None] | None = None
        node.network = self.network_of
        node.interface_name = self.interface_of
        node.hide = self.hide

    def network_of(self, address: Address) -> str:
        """Return the name of the network that an address is on; "" where it is none of ours."""
        for interface in self._interfaces:
            if interfaces.on_link(address, (interface,)):
                return self._networks.get(interface.name, "")
        return ""

    def interface_of(self, link: Link) -> str | None:
        """Return the name of the interface by which a link's packets come."""
        index = link.connection.interface
        if named := next((i.name for i in self._interfaces if i.index == index), None):
            return named
        if index:  # a link may be faster than the news of its interface
            with contextlib.suppress(OSError):
                return socket.if_indextoname(index)
        return next((i.name for i in self._interfaces if interfaces.on_link(link.address, (i,))), None)

    async def bind(self) -> None:
        """Open the sockets at the port that belongs to this network; a taken port is replaced by another.

        Raises: NotPermitted where the port that is configured cannot be had; what was open before stays.
        """
        await self._look()
        network = self._home_network()
        kept: int | None = await self._worker.ask(lambda db: people_store.network_port(db, network))
        port = self._settings.listen_port or kept or 0
        hosts = LOOPBACK if self._only_loopback() else ANYWHERE
        try:
            bound = await self._endpoint.bind(hosts, port)
        except OSError as error:
            if self._settings.listen_port:
                raise NotPermitted(
                    f"UDP port {port} (listen.port) cannot be used: {error.strerror or error}.", hint="p2pmsg config unset listen.port"
                ) from error
            _log.warning("port %d is not to be had (%s): another one is drawn", port, error)
            bound = await self._endpoint.bind(hosts, 0)
        self._fixed_port = self._settings.listen_port
        if bound != port:
            now_ms = self._node.clock.wall_ms()
            await self._worker.run(lambda db: people_store.set_network_port(db, network, bound, now_ms))

    def hide(self) -> None:
        """Be found at another port from now on, also after a restart; a port that is configured stays. A new epoch follows."""
        if not self._settings.listen_port:
            network, now_ms = self._home_network(), self._node.clock.wall_ms()
            try:
                port = self._endpoint.redraw(LOOPBACK if self._only_loopback() else ANYWHERE)
            except OSError as error:
                _log.error("no other port is to be had (%s): this one stays until the next start", error)
            else:
                self._worker.submit(lambda db: people_store.set_network_port(db, network, port, now_ms), lambda result: None)
        self._announcer.new_epoch()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to follow changes, and dial whom we met here before."""
        self._tasks = tasks
        self._following = tasks.create_task(self._follow(), name="surroundings")
        self._switch_browsing()
        self._moved.set()

    def settings_changed(self, settings: Settings) -> None:
        """Take up port, static peers and the site's DNS as they are configured now; of the interfaces discovery tells."""
        self._settings = settings
        self._switch_browsing()
        self._moved.set()

    def stop(self) -> None:
        for task in (self._following, self._browsing):
            if task is not None:
                task.cancel()

    def _switch_browsing(self) -> None:
        on = Path.DNS_SD.value in self._settings.discovery_paths
        if on and self._browsing is None:
            self._browsing = self._tasks.create_task(self._browse_dns(), name="dns-sd")
        elif not on and self._browsing is not None:
            self._browsing.cancel()
            self._browsing = None

    # -- discovery's listener

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        self._announcer.announced(nonce, addresses, tags, version)

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        self._interfaces = interfaces
        self._announcer.interfaces_changed(interfaces)
        self._moved.set()

    def network_returned(self, slept_s: float) -> None:
        self._leave_lost()
        self._endpoint.nudge(slept_s)
        self._node.network_returned()

    def mdns_changed(self, problem: MdnsUnavailable | None) -> None:
        self._announcer.mdns_changed(problem)

    # -- inside

    def _leave_lost(self) -> None:
        """End the links whose own address is gone, so that others take their place at once: HELLO tells the peer what they replace.

        One that this side dialled follows by itself to another address from which the peer is still on-link (RFC 9000, 9): in QUIC
        only the dialler can move.
        """
        here = interfaces.present()
        hosts = {host for interface in here for host, _ in (*interface.ipv4, *interface.ipv6)}
        for link in self._node.linkage:
            local = link.connection.local
            if local is None or local in hosts or (link.connection.dialled and interfaces.on_link(link.address, here)):
                continue
            _log.info("link %d is left: %s is no address of this machine any more", link.number, local)
            self._node.leave(link)

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(AGAIN_S if self.problem is not None else self._announcer.epoch_s):
                    await self._moved.wait()
            except TimeoutError:
                if self.problem is None:
                    self._announcer.new_epoch()
                    continue
            self._moved.clear()
            before, self.problem = self.problem, None
            try:
                await self._settle()
            except (P2pmsgError, OSError) as error:
                self.problem = error
            if self.problem is not None and str(self.problem) != str(before):
                _log.error("this network cannot be used as it should: %s", self.problem)

    async def _settle(self) -> None:
        """Take a changed network, or another port, on: sockets, epoch, and whom to dial here."""
        home = self._home_network()
        await self._look()
        if self._home_network() != home or self._settings.listen_port != self._fixed_port:
            try:
                await self.bind()
            except NotPermitted as error:
                self.problem = error
            else:
                self._announcer.new_epoch()
        await self._remember()
        await self._recall()
        await self._look_up_static()

    async def _remember(self) -> None:
        """Keep where those are whose links opened before this network was known: they are faster than the news of it."""
        wall_ms = self._node.clock.wall_ms()
        linked = [(link.account, self.network_of(link.address), link.address) for link in self._node.linkage if link.channel is not None]
        there = [(who, network, address) for who, network, address in linked if who and network and who in self._node.people.contacts]

        def job(db: Db) -> None:
            for account, network, address in there:
                people_store.remember_address(db, account, network, address, wall_ms)

        if there:
            await self._worker.run(job)

    async def _look(self) -> None:
        found = await asyncio.to_thread(interfaces.usable, self._settings.discovery_interfaces)
        self._interfaces = found
        self._announcer.interfaces = found
        self._networks = await asyncio.to_thread(interfaces.network_ids, found, 0.0)

    async def _recall(self) -> None:
        """Dial contacts where they were last, but only on the network where that was learnt."""
        node, now = self._node, self._node.clock.now()
        for network in set(self._networks.values()):
            for account, addresses in (await self._worker.ask(partial(people_store.last_known, network=network))).items():
                hosts = [host for address in addresses for host in scoped(address, self._interfaces)]
                here = [host for host in hosts if interfaces.on_link(host, self._interfaces)]
                node.presence.sighted(account, here, Path.LAST_KNOWN, now)
        node.presence.network_changed(list(node.people.contacts), now)
        node.wake()

    async def _look_up_static(self) -> None:
        """Dial the configured peers; names are looked up anew on each network, and only addresses are dialled."""
        if Path.STATIC.value not in self._settings.discovery_paths:
            return
        found: list[Address] = []
        for text in self._settings.discovery_static:
            found += await _addresses(*split_address(text))
        self._node.presence.anybody_found(found, Path.STATIC, self._node.clock.now())
        self._node.wake()

    async def _browse_dns(self) -> None:
        """Ask the site's DNS for nodes while a contact is missing: at start, soon again as it may be starting too, then once a minute."""
        wait_s = limits.DNS_SD_AGAIN_S
        while True:
            if self._node.presence.missing:
                found = [address for address in await dnssd.browse(self._interfaces) if interfaces.acceptable(address, self._interfaces)]
                self._node.presence.anybody_found(found, Path.DNS_SD, self._node.clock.now())
                self._node.wake()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, limits.DNS_SD_EVERY_S)

    def _home_network(self) -> str:
        return next(iter(self._networks.values()), "none")

    def _only_loopback(self) -> bool:
        return bool(self._interfaces) and all(interface.loopback for interface in self._interfaces)


async def _addresses(host: str, port: int) -> list[Address]:
    """Return what a configured host and port mean here: one address, or those that its name has."""
    literal, _, zone = host.partition("%")
    try:
        if zone:
            return [Address(literal, port, socket.if_nametoindex(zone))]
        with contextlib.suppress(ValueError):
            return [Address(str(ipaddress.ip_address(host)), port)]
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        _log.warning("the static peer %s cannot be found: %s", host, error.strerror or error)
        return []
    return [Address(str(to[0]), port, to[3] if len(to) == 4 else 0) for *_, to in found][: limits.ADDRESSES_PER_CONTACT]
