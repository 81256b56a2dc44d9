"""Where a peer may be reached, and how that was learnt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Path(StrEnum):
    """How the address of a link was learnt."""

    MDNS = "mdns"
    BEACON = "beacon"
    LAST_KNOWN = "last_known"
    STATIC = "static"
    DNS_SD = "dns_sd"
    HINT = "hint"
    SWEEP = "sweep"
    INVITE = "invite"
    INCOMING = "incoming"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An IP literal and UDP port. `scope` is the interface index of a link-local IPv6 address, else 0."""

    host: str
    port: int
    scope: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Interface:
    """A usable network interface and its addresses."""

    name: str
    index: int
    ipv4: tuple[tuple[str, int], ...]
    """(address, prefix length)."""
    ipv6: tuple[tuple[str, int], ...]
    loopback: bool = False
