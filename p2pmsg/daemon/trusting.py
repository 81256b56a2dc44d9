"""How far I trust a contact: `contact verify`, live or by the safety number."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from p2pmsg.crypto import safety
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.attempts import confirm
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.saying import say
from p2pmsg.daemon.verifying import Comparison
from p2pmsg.errors import P2pmsgError, SasMismatch, TimedOut, UsageError
from p2pmsg.model.accounts import Contact
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call

_ANSWER_S: Final = 10.0
"""For the other machine to answer, which needs no person."""


class Trusting:
    """The method `contact.verify` of the local API, and the requests to compare that others make of me."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def verify(self, params: api.ContactVerify, call: Call) -> Json:
        """Compare with a contact: live, or by the safety number, which is returned, or compared with the one given.

        Raises:
            ContactNotFound, Ambiguous. SasMismatch: it is not the same, or one of the two said no; nothing was changed.
            PeerUnreachable, TimedOut: live, but he is not there, or somebody was too slow.
        """
        contact = names.find_contact(self._node.people, params.name)
        if params.number is True:
            return {"number": safety.number(self._node.people.me.account, contact.account)}
        if isinstance(params.number, str):
            return await self._by_number(contact, params.number)
        return await self.compare(await self._begun(contact), call)

    async def _by_number(self, contact: Contact, given: str) -> Json:
        digits = "".join(given.split())
        if len(digits) != safety.DIGITS or not (digits.isascii() and digits.isdecimal()):
            raise UsageError(
                f"A safety number has {safety.DIGITS} digits.", hint="The other one types: p2pmsg contact verify NAME --number"
            )
        if digits != safety.number(self._node.people.me.account, contact.account):
            raise SasMismatch(f"This is not the number of you and {contact.shown}. Nothing was changed.")
        await say(self._node, contact, verified_by="number")
        return objects.contact(self._node, self._node.people.contacts[contact.account])

    async def _begun(self, contact: Contact) -> Comparison:
        verifying = self._node.verifying
        comparison = verifying.ask(contact.account)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await comparison.known.wait()
                comparison = verifying.current(comparison)
                await comparison.known.wait()
        except TimeoutError:
            verifying.refuse(comparison)
            raise TimedOut(
                f"{contact.shown}'s machine does not answer.", hint="It may use an older p2pmsg: compare the number instead, with --number."
            ) from None
        return comparison

    async def compare(self, comparison: Comparison, call: Call) -> Json:
        """Show my user what there is to compare, and store that the contact is verified once both have said yes.

        Raises: as of `verify`. Cancelled: it is a no.
        """
        node, account = self._node, comparison.account
        strings = comparison.machine.strings
        try:
            if strings is None:
                raise _ended(comparison)
            await confirm(call, strings, comparison.outcome, partial(node.verifying.consent, comparison))
        finally:
            node.verifying.refuse(comparison)
        await say(node, names.find_contact(node.people, account.hex()), verified_by="sas")
        return objects.contact(node, node.people.contacts[account])


def _ended(comparison: Comparison) -> P2pmsgError:
    error = comparison.outcome.result() if comparison.outcome.done() else None
    return error or SasMismatch(f"{comparison.nickname} has taken it back. Nothing was changed.")
