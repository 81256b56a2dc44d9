"""Unicast DNS-SD: what the site's own DNS says of nodes (RFC 6763, browsing by unicast queries).

The domains asked are those that the DNS recommends for each own network (section 11, `lb._dns-sd._udp.<reversed network>`), and the
machine's search domains. Nothing is ever published. What is found may be anybody's: a hint like all others.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address, Interface

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

_SERVICE: Final = "_p2pmsg._udp"
_PATIENCE_S: Final = 3.0
_DOMAINS: Final = 4
_INSTANCES: Final = 32

log = logging.getLogger(__name__)


async def browse(interfaces: Sequence[Interface]) -> list[Address]:
    """Return the addresses of the nodes that the site's DNS names, at most 4 for each of 32 names; none where there is no DNS.

    Cancelled: asks no more.
    """
    resolver = _resolver()
    if resolver is None or not interfaces or all(interface.loopback for interface in interfaces):
        return []
    found: dict[Address, None] = {}
    for domain in await _domains(resolver, interfaces):
        for instance in (await _names(resolver, f"{_SERVICE}.{domain}", "PTR"))[:_INSTANCES]:
            found.update(dict.fromkeys(await _located(resolver, instance)))
    return list(found)


def recommendations(interfaces: Iterable[Interface]) -> list[str]:
    """Return the names whose PTR records recommend domains to browse on these networks: of whole octets, as reverse zones are cut."""
    names: list[str] = []
    for interface in interfaces:
        for host, prefix in interface.ipv4:
            octets = str(ipaddress.ip_network(f"{host}/{prefix}", strict=False).network_address).split(".")
            names.append("lb._dns-sd._udp." + ".".join(reversed(octets)) + ".in-addr.arpa")
    return list(dict.fromkeys(names))


def _resolver() -> Resolver | None:
    from dns.asyncresolver import Resolver
    from dns.exception import DNSException

    try:
        resolver = Resolver()
    except DNSException as error:
        log.debug("no unicast DNS: %s", error)
        return None
    resolver.lifetime = _PATIENCE_S
    return resolver


async def _domains(resolver: Resolver, interfaces: Sequence[Interface]) -> list[str]:
    domains = [domain for name in recommendations(interfaces) for domain in await _names(resolver, name, "PTR")]
    domains += [str(domain).rstrip(".") for domain in [*resolver.search, resolver.domain]]
    return [domain for domain in dict.fromkeys(domains) if domain and domain != "local"][:_DOMAINS]


async def _names(resolver: Resolver, name: str, kind: str) -> list[str]:
    return [str(record.target).rstrip(".") for record in await _ask(resolver, name, kind)]


async def _located(resolver: Resolver, instance: str) -> list[Address]:
    found: list[Address] = []
    for service in list(await _ask(resolver, instance, "SRV"))[:1]:
        for kind in ("A", "AAAA"):
            found += [Address(str(record.address), service.port) for record in await _ask(resolver, str(service.target).rstrip("."), kind)]
    return found[: limits.ADDRESSES_PER_CONTACT]


async def _ask(resolver: Resolver, name: str, kind: str) -> list[Any]:
    """Return the records of a name; an answer of another kind, or none in time, is none."""
    from dns.exception import DNSException

    with contextlib.suppress(DNSException, OSError, ValueError):
        return list(await resolver.resolve(name + ".", kind, search=False))
    return []
