"""The local API's methods: what a person, through a face, asks of the node. One method per use case, by its name in `rpc.api`."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from p2pmsg import PROTOCOL_VERSION, __version__
from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import chain
from p2pmsg.daemon import objects
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.deleting import Deleting
from p2pmsg.daemon.encounters import Encounters
from p2pmsg.daemon.health import Health
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.messaging import Messaging
from p2pmsg.daemon.names import check_own_name
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.notices import Notices
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.relations import Relations
from p2pmsg.daemon.usage import disk_bytes
from p2pmsg.daemon.watching import Watching
from p2pmsg.errors import NotPermitted, P2pmsgError, UsageError
from p2pmsg.model.accounts import ChainLink
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol import authority
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import FrameType
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call
from p2pmsg.storage import people as people_store
from p2pmsg.storage import queries
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.worker import Worker

_ASKING = ("watch", "delete", "contact.add", "contact.accept")
"""What says something to its caller, or asks, before it answers."""


class Api:
    """Performs the methods of the local API."""

    socket = ""
    settings_problem: Callable[[], P2pmsgError | None] = staticmethod(lambda: None)
    """Says why the settings file as it is now does not count."""

    def __init__(
        self,
        profile: Profile,
        settings: Settings,
        node: Node,
        worker: Worker,
        announcer: Announcer,
        endpoint: Endpoint,
        started_at: datetime,
        warnings: list[dict[str, str]],
    ) -> None:
        self._profile = profile
        self._settings = settings
        self._node = node
        self._worker = worker
        self._announcer = announcer
        self._endpoint = endpoint
        self._started_at = started_at
        self._warnings = warnings
        relations = Relations(node, worker, announcer, endpoint)
        encounters = Encounters(node, announcer)
        messaging = Messaging(node, worker, settings)
        self._messaging = messaging
        watching = Watching(node, worker)
        self.deleting = Deleting(node, settings)
        self.notices = Notices(node, settings)
        self._health = Health(node, worker, announcer, endpoint, settings)
        self._methods: dict[str, Callable[..., Awaitable[object]]] = {
            "whoami": self.whoami,
            "profile.set": self.profile_set,
            "status": self.status,
            "doctor": self._health.doctor,
            "peers": self.peers,
            "contact.invite": relations.invite,
            "contact.invites": relations.invites,
            "contact.uninvite": relations.uninvite,
            "contact.add": partial(_add, relations, encounters),
            "visible.on": encounters.visible_on,
            "visible.off": encounters.visible_off,
            "contact.nearby": encounters.nearby,
            "contact.requests": encounters.requests,
            "contact.accept": encounters.accept,
            "contact.decline": encounters.decline,
            "contact.list": relations.list,
            "contact.show": relations.show,
            "contact.rename": relations.rename,
            "contact.remove": relations.remove,
            "send": messaging.send,
            "inbox": messaging.inbox,
            "history": messaging.history,
            "read": messaging.read,
            "delete": self.deleting.delete,
            "watch": watching.watch,
        }

    async def call(self, method: str, params: api.Params, call: Call) -> object:
        """Perform a method. Raises: P2pmsgError for what the user should read."""
        perform = self._methods[method]
        return await (perform(params, call) if method in _ASKING else perform(params))

    def settings_changed(self, settings: Settings) -> None:
        """These hold from now on."""
        self._settings = settings
        self._messaging.settings_changed(settings)
        self.deleting.settings_changed(settings)
        self.notices.settings_changed(settings)
        self._health.settings_changed(settings)

    async def whoami(self, params: api.Whoami) -> Json:
        return self._identity()

    async def profile_set(self, params: api.ProfileSet) -> Json:
        """Sign a profile link, store it, and show it to everybody linked."""
        if params.name is not None:
            links = await self._worker.run(partial(self._sign_name, name=check_own_name(params.name)), room_bytes=limits.DISK_REFUSE_BYTES)
            if links != self._node.people.links_of(self._node.people.me.account):
                self._node.people.learn_chain(links)
                self._spread_chain()
                self._node.visibility.renamed()
        return self._identity()

    def _sign_name(self, db: Db, name: str) -> tuple[ChainLink, ...]:
        """Sign and store a link, and return my whole chain, of which memory may lack what a call stored whose client went away.

        It stands on the heads of this transaction: two links side by side would be the proof of a copied device.
        """
        node, me = self._node, self._node.people.me
        node.check_may_write()
        links = people_store.chains(db)[me.account]
        mine = authority.resolve(links)
        if mine.nickname == name:
            return authority.in_order(links)
        link = chain.parse(chain.profile(me.secret, me.device_key, me.account, mine.heads, name))
        grown = authority.in_order((*links, link))
        if len(grown) > limits.CHAIN_LINKS or sum(map(len, encode_chain(grown))) > limits.CHAIN_BYTES:
            raise NotPermitted("The name was changed too often: others would not take a longer chain.", hint="Keep the name as it is.")
        people_store.add_links(db, (link,), node.clock.wall_ms())
        return grown

    def _spread_chain(self) -> None:
        node = self._node
        for opened in list(node.links):
            link = node.linkage.get(opened.link)
            for page in encode_chain(node.people.chains[node.people.me.account]):
                if link is not None:
                    node.linkage.send_frame(link, FrameType.CHAIN, page)

    def _identity(self) -> Json:
        people = self._node.people
        account = people.me.account.hex()
        return {
            "account": account,
            "device": people.me.device.hex(),
            "name": people.mine.nickname,
            "device_name": people.mine.devices[people.me.device].name,
            "fingerprint": " ".join(account[at : at + 4] for at in range(0, 32, 4)),
            "home": str(self._profile.home),
        }

    async def peers(self, params: api.Peers) -> list[Json]:
        return objects.peers(self._node)

    async def status(self, params: api.Status) -> Json:
        counts = await self._worker.ask(queries.counts)
        free = await asyncio.to_thread(_free_bytes, self._profile)
        used = await asyncio.to_thread(disk_bytes, self._profile.folder)
        return {
            "running": True,
            "pid": os.getpid(),
            "version": __version__,
            "protocol": PROTOCOL_VERSION,
            "socket": self.socket,
            "home": str(self._profile.home),
            "log": str(self._profile.log),
            "started_at": objects.time(int(self._started_at.timestamp() * 1000)),
            "port": self._endpoint.port,
            "interfaces": [interface.name for interface in self._announcer.interfaces],
            "visible_until": objects.time(self._node.visibility.until_ms),
            "vault": "open",
            "unread": counts.unread,
            "queued": counts.undelivered,
            "disk_bytes": used,
            "warnings": self._warnings + self._present_warnings(free) + self.notices.warnings(),
        }

    def _present_warnings(self, free_bytes: int) -> list[Json]:
        found: list[Json] = []

        def warn(code: str, message: str, hint: str) -> None:
            found.append({"code": code, "message": message, "hint": hint})

        node = self._node
        if not self._announcer.interfaces:
            warn("no_network", "No network is in use: nobody can be reached.", "Join a network; it is noticed by itself.")
        if (problem := self.settings_problem()) is not None:
            warn("settings_invalid", f"{problem} The settings from before hold on.", problem.hint)
        if self._announcer.problem is not None:
            warn("mdns_unavailable", str(self._announcer.problem), "p2pmsg config get discovery.interfaces")
        if free_bytes < limits.DISK_REFUSE_BYTES:
            warn("disk_full", "The disk is nearly full: nothing more is stored.", "Free some space.")
        elif free_bytes < limits.DISK_WARN_BYTES:
            warn("disk_low", f"Only {free_bytes // 1_000_000} MB are left on the disk.", "Free some space.")
        if node.storage_error is not None:
            warn("storage_failed", f"What others send cannot be stored: {node.storage_error}", "p2pmsg daemon logs")
        if node.old_copy:
            warn("old_copy", "This folder is an old copy of this device. It writes nothing more.", "Use the newer copy.")
        for device in node.people.forked:
            name = objects.name_of(node.people, node.people.account_of(device) or node.people.me.account)
            warn("forked", f"A device of {name} was copied: two of it are at work, so it gets no link.", "Ask its owner.")
        if ahead := node.links.clock_ahead_ms():
            warn("clock_off", f"This machine's clock is {abs(ahead) // 60000} min off those of the others.", "Set the clock.")
        for words in self._newer_peers():
            warn("newer_version", words, "Install the newest p2pmsg on both machines.")
        return found

    def _newer_peers(self) -> list[str]:
        """Say who seems to use a newer version than this one."""
        people = self._node.people
        names = [objects.name_of(people, account) for account in sorted(self._node.linkage.not_understood & people.contacts.keys())]
        found = [f"{name} uses a newer p2pmsg and sent something this version cannot show." for name in names]
        return ["A contact uses a newer protocol.", *found] if self._announcer.newer_version_seen else found


async def _add(relations: Relations, encounters: Encounters, params: api.ContactAdd, call: Call) -> Json:
    """Become a contact by an invite, or of somebody nearby."""
    given = [word for word in (params.invite, params.nickname, params.id) if word is not None]
    if len(given) != 1:
        raise UsageError("Say one of invite, nickname and id.", hint="p2pmsg contact add INVITE, or NICKNAME of somebody nearby")
    return await (relations.add(params) if params.invite is not None else encounters.add(given[0], params, call))


def _free_bytes(profile: Profile) -> int:
    try:
        return shutil.disk_usage(profile.folder).free
    except OSError:
        return 0
