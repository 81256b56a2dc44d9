"""A node that does nothing but discovery: run by the LAN tests in a process of its own.

    python -m tests.lan.discovery_node NAME ANNOUNCE_MIN_S [INTERFACE ...]

Prints one JSON object a line: {"ready": …}, {"heard": NAME, "addresses": HEX, "at": monotonic seconds}, {"interfaces": […]},
{"problem": …}. Reads commands from standard input: "refresh", "rotate"; ends with a goodbye at its end. The tags carry the
name, so that the tests see who was heard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import sys
import time

from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import TAGS_BYTES
from p2pmsg.network.discovery import Discovery

PORT = 4433


class Node:
    def __init__(self, name: str, announce_min_s: float, allowed: list[str]) -> None:
        self.name = name
        self.discovery = Discovery(self, allowed, announce_min_s=announce_min_s)

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        say(heard=tags.rstrip(b"\0").decode(errors="replace"), addresses=addresses.hex())

    def network_returned(self, slept_s: float) -> None:
        pass

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        say(interfaces=[interface.name for interface in interfaces])
        self.rotate(interfaces)

    def mdns_changed(self, problem: MdnsUnavailable | None) -> None:
        say(problem=problem and str(problem))

    def rotate(self, interfaces: tuple[Interface, ...]) -> None:
        own = [host for i in interfaces for host, _ in (*i.ipv4, *i.ipv6)]
        packed = b"".join(ipaddress.ip_address(host).packed + PORT.to_bytes(2, "big") for host in own) or b"\0"
        self.discovery.publish(os.urandom(10), PORT, packed[:128], self.name.encode().ljust(TAGS_BYTES, b"\0"), interfaces)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            await self.discovery.start(tasks)
            say(ready=self.name)
            await self.obey()
            await self.discovery.close()

    async def obey(self) -> None:
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            if line == b"rotate\n":
                self.rotate(self.discovery.interfaces)
            elif line == b"refresh\n":
                self.discovery.refresh()


def say(**what: object) -> None:
    sys.stdout.write(json.dumps({**what, "at": time.monotonic()}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the node that the command line names."""
    asyncio.run(Node(sys.argv[1], float(sys.argv[2]), sys.argv[3:]).run())


if __name__ == "__main__":
    main()
