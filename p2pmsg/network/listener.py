"""What goes between links, their endpoint and the node: callbacks, periods, and what a link asks of its endpoint."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from p2pmsg.config import limits
from p2pmsg.protocol.wire import Frame

if TYPE_CHECKING:
    from p2pmsg.network.connection import Connection


class Listener(Protocol):
    """Who is told what happens on links: always from the event loop, never from inside a call of the listener's own."""

    def connection_ready(self, connection: Connection, exporter: bytes) -> None:
        """TLS is complete; `exporter` is the 32 bytes that bind what follows to this connection. Frames may be written."""

    def frame_received(self, connection: Connection, frame: Frame) -> None:
        """A whole frame came. PeerMisbehaved, raised here, closes the link and is followed by `connection_lost`."""

    def connection_lost(self, connection: Connection, code: int | None) -> None:
        """It is over: `code` where the peer's application closed with one, else None. Nothing follows.

        Told once of each connection that was dialled or was ready, unless the listener closed or refused it itself.
        """


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Periods and limits of links; tests shorten them."""

    idle_timeout_s: float = limits.IDLE_TIMEOUT_S
    ping_after_s: float = limits.PING_AFTER_S
    handshake_timeout_s: float = limits.HANDSHAKE_TIMEOUT_S
    failure_tick_s: float = limits.FAILURE_TICK_S
    linger_s: float = limits.LINGER_S
    output_bytes: int = limits.OUTPUT_BYTES
    half_open_per_address: int = limits.HALF_OPEN_PER_ADDRESS
    half_open: int = limits.HALF_OPEN
    retry_above: int = limits.RETRY_ABOVE


class Router(Protocol):
    """What a connection asks of its endpoint."""

    listener: Listener
    settings: LinkSettings
    loop: asyncio.AbstractEventLoop

    def route(self, cid: bytes, connection: Connection) -> None:
        """Lead datagrams with this connection id to the connection."""

    def unroute(self, cid: bytes) -> None:
        """Forget a connection id."""

    def proven(self, connection: Connection) -> None:
        """Count the connection as half-open no more."""

    def left(self, connection: Connection) -> None:
        """Forget the connection: nothing will be sent on it any more."""
