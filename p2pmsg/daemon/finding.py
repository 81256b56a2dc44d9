"""Looking for a contact by asking every address of the own network: the method `contact.find`."""

from __future__ import annotations

import asyncio
import contextlib

from p2pmsg.config import limits
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.errors import NoNetwork, PeerUnreachable
from p2pmsg.model.accounts import Contact
from p2pmsg.model.addresses import Path
from p2pmsg.model.ids import AccountId, DeviceId
from p2pmsg.network.announcements import Announcement
from p2pmsg.network.sweep import Ground, grounds, sweep
from p2pmsg.rpc import api


class Finding:
    """One search at a time: whoever wants another waits for it, and needs none where it found his contact too."""

    def __init__(self, node: Node, announcer: Announcer) -> None:
        self._node = node
        self._announcer = announcer
        self._turn = asyncio.Lock()

    async def find(self, params: api.ContactFind) -> Json:
        """Return the contact once there is a link to it: at once where there is one, else after a search of the own /24.

        Cancelled: the search ends.

        Raises:
            ContactNotFound, Ambiguous: nobody is called so, or more than one.
            NoNetwork: there is no IPv4 network to search.
            PeerUnreachable: the contact did not answer, or could not be linked with.
        """
        sought = names.find_contact(self._node.people, params.name)
        if not self._online(sought.account):
            async with self._turn:
                if not self._online(sought.account):
                    await self._search(sought)
        return objects.contact(self._node, names.find_contact(self._node.people, sought.account.hex()))

    def _online(self, account: AccountId) -> bool:
        return bool(self._node.links.of_account(account))

    async def _search(self, sought: Contact) -> None:
        node, account = self._node, sought.account
        found = grounds(self._announcer.interfaces)
        if not found:
            raise NoNetwork("There is no IPv4 network here whose addresses could be asked; on loopback alone all hear each other by mDNS.")
        enough, linked = asyncio.Event(), asyncio.Event()

        def heard(said: Announcement) -> None:
            self._announcer.announced(said.nonce, said.addresses, said.tags, said.version, Path.SWEEP)
            if node.people.recognise(said.nonce, said.addresses, said.tags) == account:
                enough.set()

        def changed(device: DeviceId) -> None:
            if self._online(account):
                enough.set()
                linked.set()

        node.peer_changed.append(changed)
        try:
            asked = await sweep(found, heard, enough)
            if enough.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limits.HANDSHAKE_TIMEOUT_S):
                        await linked.wait()
        finally:
            node.peer_changed.remove(changed)
        if linked.is_set():
            return
        name = objects.name_of(node.people, account)
        if enough.is_set():
            raise PeerUnreachable(f"{name} answered, but no link came about.", hint=f"p2pmsg doctor --with {name}")
        raise _unanswered(name, asked, found)


def _unanswered(name: str, asked: int, found: list[Ground]) -> NoNetwork | PeerUnreachable:
    where = ", ".join(ground.network for ground in found)
    if not asked:
        return NoNetwork(f"The network {where} has just gone.", hint="p2pmsg status shows the networks in use.")
    return PeerUnreachable(
        f"{name} answered at none of {asked} addresses of {where}.",
        hint=f"See that {name}'s daemon runs, has mdns in discovery.paths and is on this network: p2pmsg status, there",
    )
