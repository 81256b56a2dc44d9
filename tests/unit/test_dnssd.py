"""What is asked of the site's DNS; the answers are tested with a real server on the LAN in a box."""

from __future__ import annotations

import pytest

from p2pmsg.model.addresses import Interface
from p2pmsg.network import dnssd


def test_the_network_address_is_asked_reversed() -> None:
    eth = Interface("eth0", 2, (("10.1.3.7", 22), ("10.1.3.8", 22)), (("fe80::1", 64),))
    assert dnssd.recommendations([eth]) == ["lb._dns-sd._udp.0.0.1.10.in-addr.arpa"]


@pytest.mark.asyncio
@pytest.mark.parametrize("interfaces", [(), (Interface("lo", 1, (("127.0.0.1", 8),), (), loopback=True),)])
async def test_nobody_is_asked_without_a_network(interfaces: tuple[Interface, ...]) -> None:
    assert await dnssd.browse(interfaces) == []
