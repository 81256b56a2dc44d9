"""Becoming contacts, naming them, parting from them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon import alerts, names, objects
from p2pmsg.daemon.announcer import Announcer, hosts_of, scoped
from p2pmsg.daemon.linkage import Joining, Link
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.saying import say
from p2pmsg.errors import (
    Blocked,
    InviteMalformed,
    InviteOwn,
    InviteRefused,
    InviteUsed,
    NoNetwork,
    PeerUnreachable,
    UsageError,
)
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.names import fold
from p2pmsg.network import interfaces
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol.addresses import Invite, decode_invite, encode_invite
from p2pmsg.protocol.messages import BYE
from p2pmsg.rpc import api
from p2pmsg.storage import doors
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.doors import InviteRow
from p2pmsg.storage.worker import Worker

_AGAIN_S = 1.0
_PATIENCE_S = 30.0


class Relations:
    """The methods `contact.…` of the local API."""

    def __init__(self, node: Node, worker: Worker, announcer: Announcer, endpoint: Endpoint) -> None:
        self._node = node
        self._worker = worker
        self._announcer = announcer
        self._endpoint = endpoint

    # -- invites

    async def invite(self, params: api.ContactInvite) -> Json:
        """Make a single-use invite. It ends by this process's monotonic clock: setting the wall clock neither kills nor revives it."""
        if not 1 <= params.valid_s <= limits.INVITE_VALID_MAX_S:
            raise UsageError("An invite is valid for 1 second to 7 days.", hint="p2pmsg contact invite --valid 10m")
        node, account = self._node, self._node.people.me.account
        hosts = hosts_of(self._announcer.interfaces)
        if not hosts:
            raise NoNetwork("There is no network on which somebody could use an invite.")
        secret = os.urandom(16)
        reference, text = gates.invite_id(secret), encode_invite(account, secret, self._endpoint.port, hosts)
        wall = node.clock.wall_ms()
        expires_ms = wall + round(params.valid_s * 1000)

        node.people.invite_ends[reference] = node.clock.now() + params.valid_s

        def job(db: Db) -> tuple[tuple[GateRow, ...]]:
            doors.purge(db, wall)
            doors.add_invite(db, gates.invite_gate(secret, account), reference, wall, expires_ms)
            return (doors.gates(db, 0),)

        await node.run_write(job, then=self._take_gates)
        return {"id": reference, "invite": text, "expires_at": objects.time(expires_ms)}

    async def invites(self, params: api.ContactInvites) -> list[Json]:
        """Return the invites that can still be used."""
        node = self._node
        usable = {row.reference for row in node.people.rows(node.clock.now()) if row.purpose is Purpose.INVITE and not row.ended}
        rows = await self._worker.ask(partial(doors.invites, now_ms=node.clock.wall_ms()))
        return [{"id": row.id, "invite": None, "expires_at": objects.time(row.expires_ms)} for row in rows if row.id in usable][
            : limits.RPC_LIST
        ]

    async def uninvite(self, params: api.ContactUninvite) -> Json:
        """Withdraw an invite: whoever comes with it later is told so."""
        wall = self._node.clock.wall_ms()

        def job(db: Db) -> tuple[InviteRow, tuple[GateRow, ...]]:
            found = doors.find_invite(db, params.id, wall)
            if found.spent_by is not None:
                raise InviteUsed("Somebody has used this invite already.", hint="p2pmsg contact list; p2pmsg contact remove NAME")
            doors.end_invite(db, found.id, Ended.WITHDRAWN, wall)
            return found, doors.gates(db, 0)

        found = (await self._node.run_write(job, room_bytes=0, then=self._take_gates))[0]
        return {"id": found.id, "invite": None, "expires_at": objects.time(found.expires_ms)}

    def _take_gates(self, result: Sequence[Any]) -> None:
        """Take gate rows on that a job has read last: in the order of the commits, as links change them too."""
        self._node.people.gates = result[-1]

    # -- becoming contacts

    async def add(self, params: api.ContactAdd) -> Json:
        """Use an invite; returns when both sides have stored the contact.

        Raises:
            InviteMalformed, InviteOwn, InvalidName, NameTaken: nothing was tried.
            InviteExpired, InviteUsed, InviteWithdrawn, InviteRefused: its maker, or who is at its address, says so.
            PeerUnreachable: nobody answered in time; nothing is stored.
        """
        invite = decode_invite(params.invite or "")
        people = self._node.people
        if invite.account == people.me.account:
            raise InviteOwn("This is an invite of your own.")
        if (known := people.contacts.get(invite.account)) is not None and known.blocked:
            raise Blocked(f"You have blocked {known.shown}, who made this invite.")
        name = names.check_name(people, params.name, invite.account) if params.name is not None else None
        await _Attempt(self._node, invite, self._reachable(invite), name).run(_PATIENCE_S if params.timeout_s is None else params.timeout_s)
        self._announcer.contacts_changed()
        return objects.contact(self._node, people.contacts[invite.account])

    def _reachable(self, invite: Invite) -> list[Address]:
        """Return where an invite leads: unicast, on-link or private. Anything else would make us send packets for others."""
        own = self._announcer.interfaces
        if not own:
            raise NoNetwork("There is no network on which the invite's maker could be reached.")
        found = [host for address in invite.addresses for host in scoped(address, own) if interfaces.acceptable(host, own)]
        if not found:
            raise InviteMalformed(
                "The invite names no address on this network.", hint="Join the network of its maker, or ask for a new invite."
            )
        return found

    # -- contacts

    async def list(self, params: api.ContactList) -> list[Json]:
        everybody = sorted(self._node.people.contacts.values(), key=lambda c: (fold(c.shown), c.account))
        return [objects.contact(self._node, contact) for contact in everybody[params.skip : params.skip + limits.RPC_LIST]]

    async def show(self, params: api.ContactShow) -> Json:
        """Return a contact with his devices; with `yes` my user has looked at them. Raises: IdentityChanged where that is not enough."""
        found = names.find_contact(self._node.people, params.name)
        if params.yes:
            await alerts.look(self._node, found)
        return objects.contact_whole(self._node, self._node.people.contacts[found.account])

    async def rename(self, params: api.ContactRename) -> Json:
        people = self._node.people
        found = names.find_contact(people, params.name)
        name = names.check_name(people, params.new, found.account)
        await say(self._node, found, name=name)
        return objects.contact(self._node, people.contacts[found.account])

    async def block(self, params: api.ContactBlock) -> Json:
        """Fall silent to somebody, as if my cable were pulled; the others find me at another port. Twice is once."""
        node, found = self._node, names.find_contact(self._node.people, params.name)
        if not found.blocked:
            await say(node, found, blocked=True)
        return objects.contact(node, node.people.contacts[found.account])

    async def unblock(self, params: api.ContactUnblock) -> Json:
        """Take it back. The key is gone: to talk again both become contacts again."""
        node, found = self._node, names.find_contact(self._node.people, params.name)
        if found.blocked:
            await say(node, found, blocked=False)
        return objects.contact(node, node.people.contacts[found.account])

    async def remove(self, params: api.ContactRemove) -> Json:
        """Part: the pair's key goes at once, the link ends, what was said stays unless `history`: then it goes on all my devices."""
        node = self._node
        found = names.find_contact(node.people, params.name)
        shown = objects.contact(node, found)
        await say(node, found, removed=True, history=params.history)
        return shown | {"online": False}


@dataclass(slots=True)
class _Attempt:
    """One use of an invite: its addresses are dialled, again and again until one answers or the time is over."""

    node: Node
    invite: Invite
    addresses: list[Address]
    name: str | None
    links: list[Link] = field(default_factory=list)

    async def run(self, timeout_s: float) -> None:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                while not outcome.done():
                    await self._round(outcome)
                await outcome
        except TimeoutError as error:
            if not await self._stored_after_all(outcome):
                raise PeerUnreachable(
                    f"Nobody answered at {', '.join(map(str, self.addresses))} within {timeout_s:g} s. Nothing was stored."
                ) from error

    async def _stored_after_all(self, outcome: asyncio.Future[None]) -> bool:
        """Say whether the contact is stored: the time may end when its maker has stored it and we are about to."""
        if all(link.peering is None for link in self.links):
            return False
        try:
            async with asyncio.timeout(limits.HANDSHAKE_TIMEOUT_S):
                await outcome
        except TimeoutError:
            return self.invite.account in self.node.people.contacts
        return True

    async def _round(self, outcome: asyncio.Future[None]) -> None:
        """Dial all addresses once; returns when a link is open, its maker has refused, or all came to nothing."""
        waiting = asyncio.Event()
        results: list[Exception | bool] = []
        links = self.links = []

        def opened() -> None:
            if not outcome.done():
                outcome.set_result(None)
            waiting.set()

        def failed(reason: Exception | bool) -> None:
            results.append(reason)
            if isinstance(reason, Exception) and not outcome.done():
                outcome.set_exception(reason)
            if len(results) == len(links) or isinstance(reason, Exception):
                waiting.set()

        gate = GateRow(gates.invite_gate(self.invite.secret, self.invite.account), Purpose.INVITE, None)
        joining = Joining(self.name, opened, failed)
        for address in self.addresses:
            link = self.node.dial(self.invite.account, address, Path.INVITE, gate=gate, joining=joining)
            if link is not None:
                links.append(link)
        try:
            await waiting.wait()
        finally:
            for link in links:
                if link.channel is None and link.peering is None:
                    link.joining = None
                    self.node.linkage.close(link.number, BYE)
        if outcome.done():
            return
        if results and all(reason is True for reason in results):
            raise InviteRefused("The machine at the invite's address does not accept it.")
        await asyncio.sleep(_AGAIN_S)
