"""The local API's methods: what a person, through a face, asks of the node. One method per use case, by its name in `rpc.api`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import chain
from p2pmsg.daemon import objects
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.deleting import Deleting
from p2pmsg.daemon.encounters import Encounters
from p2pmsg.daemon.finding import Finding
from p2pmsg.daemon.health import Health
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.messaging import Messaging
from p2pmsg.daemon.names import check_own_name
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.notices import Notices
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.relations import Relations
from p2pmsg.daemon.running import Running
from p2pmsg.daemon.trusting import Trusting
from p2pmsg.daemon.watching import Watching
from p2pmsg.errors import NotPermitted, UsageError
from p2pmsg.model.accounts import ChainLink
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol import authority
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import FrameType
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.worker import Worker

_ASKING = ("watch", "delete", "contact.add", "contact.accept", "contact.verify")
"""What says something to its caller, or asks, before it answers."""


class Api:
    """Performs the methods of the local API."""

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
        self._node = node
        self._worker = worker
        relations = Relations(node, worker, announcer, endpoint)
        trusting = Trusting(node)
        encounters = Encounters(node, announcer, trusting)
        node.typists.settings_changed(settings)
        messaging = Messaging(node, worker, settings)
        self._messaging = messaging
        watching = Watching(node, worker)
        self.deleting = Deleting(node, settings)
        self.notices = Notices(node, settings)
        self._health = Health(node, worker, announcer, endpoint, settings)
        self.running = Running(profile, node, worker, announcer, endpoint, self.notices, started_at, warnings)
        self._methods: dict[str, Callable[..., Awaitable[object]]] = {
            "whoami": self.whoami,
            "profile.set": self.profile_set,
            "status": self.running.status,
            "daemon.status": self.running.status,
            "doctor": self._health.doctor,
            "peers": self.peers,
            "contact.invite": relations.invite,
            "contact.invites": relations.invites,
            "contact.uninvite": relations.uninvite,
            "contact.add": partial(_add, relations, encounters),
            "visible.on": encounters.visible_on,
            "visible.off": encounters.visible_off,
            "contact.nearby": encounters.nearby,
            "contact.find": Finding(node, announcer).find,
            "contact.requests": encounters.requests,
            "contact.accept": encounters.accept,
            "contact.decline": encounters.decline,
            "contact.list": relations.list,
            "contact.show": relations.show,
            "contact.verify": trusting.verify,
            "contact.rename": relations.rename,
            "contact.block": relations.block,
            "contact.unblock": relations.unblock,
            "contact.remove": relations.remove,
            "send": messaging.send,
            "inbox": messaging.inbox,
            "history": messaging.history,
            "read": messaging.read,
            "delete": self.deleting.delete,
            "watch": watching.watch,
            "chat.typing": node.typists.typed,
        }

    async def call(self, method: str, params: api.Params, call: Call) -> object:
        """Perform a method. Raises: P2pmsgError for what the user should read."""
        perform = self._methods[method]
        return await (perform(params, call) if method in _ASKING else perform(params))

    def settings_changed(self, settings: Settings) -> None:
        """These hold from now on."""
        self._messaging.settings_changed(settings)
        self._node.typists.settings_changed(settings)
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
        return objects.peers(self._node)[params.skip : params.skip + limits.RPC_LIST]


async def _add(relations: Relations, encounters: Encounters, params: api.ContactAdd, call: Call) -> Json:
    """Become a contact by an invite, or of somebody nearby."""
    given = [word for word in (params.invite, params.nickname, params.id) if word is not None]
    if len(given) != 1:
        raise UsageError("Say one of invite, nickname and id.", hint="p2pmsg contact add INVITE, or NICKNAME of somebody nearby")
    return await (relations.add(params) if params.invite is not None else encounters.add(given[0], params, call))
