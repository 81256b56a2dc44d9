"""The node's UDP sockets and every connection on them: dials and answers by the same port.

Leads each datagram to its connection by connection id, and lets strangers begin one within limits.
Knows nothing of frames, people or discovery.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import itertools
import socket
from collections.abc import Sequence
from typing import Final

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address
from p2pmsg.model.ids import LinkNumber
from p2pmsg.network.admission import CID_BYTES, Admission, Admitted, Counters, parse
from p2pmsg.network.connection import Connection
from p2pmsg.network.listener import LinkSettings, Listener
from p2pmsg.network.quic import Quic
from p2pmsg.network.tls import dialler_configuration, responder_configuration, self_test
from p2pmsg.network.udp import Datagram, SocketAddress, UdpSocket

ANYWHERE: Final = ("0.0.0.0", "::")
LOOPBACK: Final = ("127.0.0.1", "::1")
_DRAWS = 8
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class Endpoint:
    """All links of this node. To be made and used on a running event loop.

    Raises:
        P2pmsgError: the TLS exporter does not work with the installed libraries; see `tls.self_test`.
    """

    def __init__(self, listener: Listener, settings: LinkSettings | None = None) -> None:
        self_test()
        self.listener = listener
        self.settings = settings or LinkSettings()
        self.loop = asyncio.get_running_loop()
        self._admission = Admission(self.settings.half_open_per_address, self.settings.half_open, self.settings.retry_above)
        self._responder = responder_configuration(self.settings.idle_timeout_s)
        self._numbers = itertools.count(1)
        self._sockets: list[UdpSocket] = []
        self._retired: list[UdpSocket] = []
        self._silent: list[UdpSocket] = []
        """Of the retired ones those that are kept without links."""
        self._by_cid: dict[bytes, Connection] = {}
        self._cids: dict[Connection, set[bytes]] = {}
        self._half_open_hosts: dict[Connection, str] = {}

    @property
    def port(self) -> int:
        """The UDP port of the current sockets; 0 before `bind`."""
        return self._sockets[0].port if self._sockets else 0

    @property
    def counters(self) -> Counters:
        return self._admission.counters

    @property
    def half_open(self) -> int:
        """Answered links whose peer is not proven yet."""
        return self._admission.half_open

    async def bind(self, hosts: Sequence[str], port: int = 0) -> int:
        """Dial and answer from these own addresses (`ANYWHERE`, `LOOPBACK`), all at one port; return it. 0 draws one.

        May be called again: sockets that are the same stay; others answer nobody new and are closed with their last link.
        IPv6 is left out where the machine has none.

        Raises:
            OSError: an address or the port is not to be had; what was bound before stays, unless it stood in the way.
        """
        self._rebind(hosts, port)
        return self.port

    def _rebind(self, hosts: Sequence[str], port: int) -> None:
        fresh = self._bind(hosts, port)
        self._retired += [old for old in self._sockets if old not in fresh]
        self._retired = [old for old in self._retired if old not in fresh]
        self._sockets = fresh
        self._close_unused()

    def redraw(self, hosts: Sequence[str]) -> int:
        """Draw another port, and return it. The sockets of before serve the links they have; to all others they stay silent.

        They stay open after their last link, too: where no socket is, the system says so. Only of very many the oldest are closed.

        Raises: OSError: none is to be had; all stays as it was.
        """
        before = list(self._sockets)
        self._silent += before
        try:
            self._rebind(hosts, 0)
        except OSError:
            self._silent = [own for own in self._silent if own not in before]
            raise
        self._silent = self._silent[-limits.SILENT_SOCKETS :]
        self._close_unused()
        return self.port

    def dial(self, address: Address, *, redial: bool = False) -> Connection:
        """Begin a connection; `connection_ready` or `connection_lost` follows within `handshake_timeout_s`, later than this call.

        `redial` is for a peer that is probably not there: silence then costs one packet.
        """
        configuration = dialler_configuration(self.settings.idle_timeout_s, limits.REDIAL_RTT_S if redial else None)
        quic = Quic(configuration)
        target, own = self._target(address)
        connection = Connection(self._number(), quic, self, own, address, dialled=True)
        self._cids[connection] = set()
        self.route(quic.host_cid, connection)
        quic.connect(target, now=self.loop.time())
        connection.start()
        return connection

    def new_epoch(self) -> None:
        """Show a fresh certificate to who dials from now on."""
        self._responder = responder_configuration(self.settings.idle_timeout_s)

    def nudge(self, slept_s: float = 0.0) -> None:
        """Ask on every link whether its peer is there: a cable is back, addresses changed, or the machine slept so long."""
        for connection in list(self._cids):
            connection.nudge(slept_s)

    async def close(self) -> None:
        """Say goodbye on every link, without callbacks, and free the sockets. `bind` opens it again."""
        for connection in list(self._cids):
            connection.part()
        for own in (*self._sockets, *self._retired):
            own.close()
        self._sockets, self._retired, self._silent = [], [], []

    # -- what connections ask

    def route(self, cid: bytes, connection: Connection) -> None:
        self._by_cid[cid] = connection
        self._cids[connection].add(cid)

    def unroute(self, cid: bytes) -> None:
        connection = self._by_cid.pop(cid, None)
        if connection is not None:
            self._cids[connection].discard(cid)

    def proven(self, connection: Connection) -> None:
        host = self._half_open_hosts.pop(connection, None)
        if host is not None:
            self._admission.left(host)

    def left(self, connection: Connection) -> None:
        for cid in self._cids.pop(connection, ()):
            self._by_cid.pop(cid, None)
        self._close_unused()

    # -- datagrams

    def _received(self, own: UdpSocket, batch: list[Datagram]) -> None:
        groups: dict[Connection, list[Datagram]] = {}
        for datagram in batch:
            connection = self._find(own, datagram)
            if connection is not None:
                groups.setdefault(connection, []).append(datagram)
        for connection, datagrams in groups.items():
            connection.received(own, datagrams)

    def _find(self, own: UdpSocket, datagram: Datagram) -> Connection | None:
        data = datagram.data
        if data and not data[0] & 0x80:  # a short header: no lengths to parse, the id stands at the front (RFC 9000 17.3)
            connection = self._by_cid.get(data[1 : 1 + CID_BYTES])
            if connection is None:
                self.counters.strays += 1
            return connection
        header = parse(data)
        if header is None:
            self.counters.strays += 1
            return None
        connection = self._by_cid.get(header.destination_cid)
        if connection is not None or own in self._retired:
            return connection
        answer = self._admission.answer(header, len(data), datagram.sender, self.loop.time())
        if isinstance(answer, Admitted):
            if self._admission.full and not self._make_room():
                self.counters.turned_away += 1
                return None
            return self._answer(own, datagram.sender, answer)
        if answer is not None:
            own.send([answer], datagram.sender, datagram.local)
        return None

    def _answer(self, own: UdpSocket, sender: SocketAddress, admitted: Admitted) -> Connection:
        quic = Quic(self._responder, original_cid=admitted.original_cid, retry_cid=admitted.retry_cid)
        remote = Address(sender[0], sender[1], sender[3] if len(sender) == 4 else 0)
        connection = Connection(self._number(), quic, self, own, remote, dialled=False)
        self._half_open_hosts[connection] = remote.host
        self._admission.entered(remote.host)
        self._cids[connection] = set()
        self.route(admitted.first_cid, connection)
        self.route(quic.host_cid, connection)
        return connection

    def _make_room(self) -> bool:
        """End the half-open link that has idled longest, lest strangers who only wait lock friends out; say whether there was one."""
        now = self.loop.time()
        idler = next((connection for connection in self._half_open_hosts if connection.idles(now)), None)
        if idler is not None:
            idler.give_way()
        return idler is not None

    def _number(self) -> LinkNumber:
        return LinkNumber(next(self._numbers))

    # -- sockets

    def _target(self, address: Address) -> tuple[SocketAddress, UdpSocket | None]:
        """Return an address in the socket module's form and the socket for it; None where there is none or it is no single host's."""
        ip = ipaddress.ip_address(address.host)
        target: SocketAddress = (str(ip), address.port)
        if ip.version == 6:
            target = (str(ip), address.port, 0, address.scope if ip.is_link_local else 0)
        if ip.is_multicast or ip.is_unspecified:
            return target, None
        return target, next((own for own in self._sockets if _reaches(own, ip)), None)

    def _bind(self, hosts: Sequence[str], port: int) -> list[UdpSocket]:
        if port:
            return self._bind_to(hosts, port)
        for _ in range(_DRAWS - 1):
            try:
                return self._bind_to(hosts, 0)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        return self._bind_to(hosts, 0)

    def _bind_to(self, hosts: Sequence[str], port: int) -> list[UdpSocket]:
        """Bind all hosts to one port; where it is 0, to the one that the first draws."""
        bound: list[UdpSocket] = []
        try:
            for host in hosts:
                own = self._bind_one(host, bound[0].port if bound else port)
                if own is not None:
                    bound.append(own)
            if not bound:
                raise OSError(errno.EADDRNOTAVAIL, f"none of {', '.join(hosts)} is an address of this machine")
        except OSError:
            for own in bound:
                if own not in self._sockets and own not in self._retired:
                    own.close()
            raise
        return bound

    def _bind_one(self, host: str, port: int) -> UdpSocket | None:
        own = next((s for s in (*self._sockets, *self._retired) if port and (s.host, s.port) == (host, port)), None)
        if own is not None:
            return own
        moved = self._make_way(host, port)
        try:
            own = UdpSocket(host, port, self._received)
        except OSError as error:
            if ":" in host and error.errno in _NO_SUCH_ADDRESS:
                return None
            raise
        for connection in moved:
            connection.outlet.socket = own
        return own

    def _make_way(self, host: str, port: int) -> list[Connection]:
        """Close own sockets of the same family and port; return their connections, which go on by the new one."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        in_the_way = [s for s in (*self._sockets, *self._retired) if port and s.port == port and s.family == family]
        for own in in_the_way:
            own.close()
        self._sockets = [s for s in self._sockets if s not in in_the_way]
        self._retired = [s for s in self._retired if s not in in_the_way]
        self._silent = [s for s in self._silent if s not in in_the_way]
        return [c for c in self._cids if c.outlet.socket in in_the_way]

    def _close_unused(self) -> None:
        used = {connection.outlet.socket for connection in self._cids}
        for own in [s for s in self._retired if s not in used and s not in self._silent]:
            own.close()
            self._retired.remove(own)


def _reaches(own: UdpSocket, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Say whether the socket is for this destination: what is bound to loopback alone sends nothing that leaves the machine."""
    bound = ipaddress.ip_address(own.host)
    return bound.version == ip.version and (bound.is_unspecified or bound.is_loopback == ip.is_loopback)
