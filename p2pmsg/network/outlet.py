"""What leaves on one link: aioquic's datagrams in batches, and the last ones again for a peer that missed them."""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence

from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE

from p2pmsg.config import limits
from p2pmsg.network.quic import Quic
from p2pmsg.network.udp import Local, UdpSocket


class Outlet:
    """The way out of one connection."""

    def __init__(self, quic: Quic, socket: UdpSocket | None, *, dialled: bool) -> None:
        self.socket = socket
        """The socket that datagrams leave by; None where there is none of the peer's family."""
        self.local: Local | None = None
        """Where the peer's last packet came in."""
        self.error = 0
        """What the kernel said of the last datagrams; 0 where it took them."""
        self.answered_until = -math.inf
        """Until then the peer counts as heard just now, and the kernel need not ask by ARP whether it is there."""
        self._quic = quic
        self._dialled = dialled
        self._farewell: list[bytes] | None = None
        self._farewells_left = limits.FAREWELLS

    @property
    def parted(self) -> bool:
        """Whether the farewell was said: nothing new leaves after it."""
        return self._farewell is not None

    def transmit(self, now: float) -> list[bytes]:
        """Send what aioquic has to send; return the datagrams."""
        sent = self._quic.datagrams_to_send(now)
        start = 0
        while start < len(sent):
            to, stop = sent[start][1], start + 1
            while stop < len(sent) and sent[stop][1] == to:
                stop += 1
            self._send([data for data, _ in sent[start:stop]], to, answered=now < self.answered_until)
            start = stop
        return [data for data, _ in sent]

    def part(self, now: float) -> None:
        """Send the last that there is, the close among it."""
        self._farewell = self.transmit(now)

    def repeat_farewell(self) -> None:
        """Send it again to a peer that goes on talking, `limits.FAREWELLS` times at most."""
        if self._farewell and self._farewells_left > 0 and (peer := self._quic.get_peer_address()) is not None:
            self._farewells_left -= 1
            self._send(self._farewell, peer)

    def _send(self, datagrams: Sequence[bytes], to: tuple[str, int], *, answered: bool = False) -> None:
        # Who was dialled answers from where he was asked; who dials leaves the choice to the routes, which may change.
        usual = to == self._quic.get_peer_address()
        source = self.local if usual and not self._dialled else None
        if self.socket is None:
            self.error = errno.ENETUNREACH
        else:
            self.error = self.socket.send(datagrams, to, source, answered=answered and usual)
        if self.error == errno.EMSGSIZE:
            self._quic.datagram_bytes = SMALLEST_MAX_DATAGRAM_SIZE
