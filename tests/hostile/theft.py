"""What attackers have beside their own wits: the secrets of somebody whose disk they copied, and a voice on the local network."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2pmsg.config import limits
from p2pmsg.crypto import gates, signing, vault
from p2pmsg.model.accounts import ChainLink, Contact
from p2pmsg.model.addresses import Interface
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import AccountId
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.discovery import Discovery
from p2pmsg.protocol import authority
from p2pmsg.protocol.addresses import encode_announced
from p2pmsg.protocol.knowledge import Identity
from p2pmsg.storage import doors, people
from p2pmsg.storage.database import close_database, open_database
from p2pmsg.storage.people import OwnIdentity
from tests.integration.daemons import Somebody

Dump = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Stolen:
    """All that somebody's folder held when it was copied."""

    me: OwnIdentity
    chains: dict[AccountId, tuple[ChainLink, ...]]
    contacts: dict[AccountId, Contact]
    gates: tuple[GateRow, ...]
    settings: dict[str, object]
    tables: Dump = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        return signing.sign(self.me.device_secret, message)

    @property
    def identity(self) -> Identity:
        me, links = self.me, self.chains[self.me.account]
        return Identity(me.account, me.device_key, me.device, self.sign, links, authority.heads(links))

    @property
    def presence_key(self) -> bytes:
        value = self.settings["presence_key"]
        assert isinstance(value, list)
        return bytes(value[0])

    def gate_with(self, account: AccountId) -> bytes:
        """Return the newest key of the door between the two."""
        return next(row.key for row in self.gates if row.purpose is Purpose.PAIR and row.account == account)


def steal(victim: Somebody) -> Stolen:
    """Copy the folder of somebody, whose daemon may run, and read all of it."""
    with tempfile.TemporaryDirectory(prefix="p2p-") as folder:
        for path in victim.folder.glob("data.db*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, folder)
        opened = open_database(Path(folder) / "data.db", vault.database_key(vault.open_key(victim.folder / "key")), existing=True)
        assert [warning.code for warning in opened.warnings] == []
        db = opened.db
        try:
            contacts = {contact.account: contact for contact in people.contacts(db)}
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
            tables = {name: sorted(map(tuple, db.execute(f'SELECT * FROM "{name}"')), key=repr) for name in names}
            return Stolen(people.identity(db), people.chains(db), contacts, doors.gates(db, 0), people.settings(db), tables)
        finally:
            close_database(db)


class Voice:
    """Announces on loopback what it likes, under one name after the other, and hears what others announce."""

    def __init__(self) -> None:
        self.heard: list[Announcement] = []
        self._news = asyncio.Event()
        self._discovery = Discovery(self, ["lo"])

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        await self._discovery.start(tasks)

    async def close(self) -> None:
        await self._discovery.close()

    def say(self, said: Announcement) -> None:
        port = int.from_bytes(said.addresses[-2:], "big")
        self._discovery.publish(said.nonce, port, said.addresses, said.tags, self._discovery.interfaces)

    async def hears(self, fits: Callable[[Announcement], bool]) -> Announcement:
        """Wait until such an announcement was on the network, for all to hear, and return it."""
        async with asyncio.timeout(10):
            while (found := next(filter(fits, self.heard), None)) is None:
                self._news.clear()
                await self._news.wait()
        return found

    # discovery's listener

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        self.heard.append(Announcement(nonce, addresses, tags, version))
        self._news.set()

    def network_returned(self, slept_s: float) -> None:
        """There is one network here."""

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        """Loopback stays."""

    def mdns_changed(self, problem: object) -> None:
        """Then nobody is dialled, and the test fails."""


@asynccontextmanager
async def voices(count: int) -> AsyncIterator[list[Voice]]:
    """Give as many who speak and hear."""
    made = [Voice() for _ in range(count)]
    async with asyncio.TaskGroup() as tasks:
        for voice in made:
            await voice.start(tasks)
        try:
            yield made
        finally:
            for voice in made:
                await voice.close()


def announcement(key: bytes, port: int, hosts: Sequence[str] = ("127.0.0.1",), *, nonce: bytes = b"") -> Announcement:
    """Return a fresh announcement of these addresses as the owner of the presence key would make it."""
    nonce, addresses = nonce or os.urandom(10), encode_announced(hosts, port)
    tags = [gates.tag(key, nonce, addresses), *(os.urandom(gates.TAG_BYTES) for _ in range(limits.TAGS - 1))]
    random.shuffle(tags)
    return Announcement(nonce, addresses, b"".join(tags))
