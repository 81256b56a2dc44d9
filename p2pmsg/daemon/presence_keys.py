"""The keys by which announcements are recognised: mine is renewed when somebody shall recognise me no more, and all others get it.

Who may not have the newest one yet is known by what he says to hold; until then the pair's key recognises me (DESIGN 9).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from p2pmsg.model.accounts import Contact
from p2pmsg.model.ids import AccountId, LinkNumber
from p2pmsg.protocol.bodies import SettingBody
from p2pmsg.protocol.wire import PresenceKey
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node

PRESENCE_KEY: Final = "presence_key"
"""The travelling setting that holds [key, number]."""


class PresenceKeys:
    """My presence key, and those of contacts."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def next(self, db: Db) -> SettingBody:
        """Return what `self` says of a new key of mine; once it is stored it is given to `renewed`.

        Its number follows that of the newest stored: of two under one number a contact would keep one, and I would use the other.
        """
        stored = people_store.settings(db)[PRESENCE_KEY]
        assert isinstance(stored, list)
        return SettingBody(PRESENCE_KEY, [os.urandom(32), stored[1] + 1])

    def renewed(self, body: SettingBody) -> None:
        """My key is another one: what is announced from now on is tagged under it."""
        key, number = body.value
        self._node.people.me = replace(self._node.people.me, presence_key=key, presence_number=number)

    def tell(self) -> None:
        """Give my key to all who are linked."""
        node = self._node
        for opened in list(node.links):
            self._tell(opened.link, opened.account)

    def held(self, account: AccountId) -> int:
        """Return the number of a contact's key that is stored here; 0 where there is none."""
        contact = self._node.people.contacts.get(account)
        return contact.presence_number if contact is not None and contact.presence_key is not None else 0

    def received(self, number: LinkNumber, message: PresenceKey) -> None:
        """A contact's key is another one, or he says that he holds mine."""
        opened = self._node.links.get(number)
        contact = self._node.people.contacts.get(opened.account) if opened is not None else None
        if opened is None or contact is None:
            return
        self.holds(contact, message.holds)
        if message.number > self.held(contact.account):
            self._store(number, contact.account, message)

    def holds(self, contact: Contact, number: int) -> None:
        """A contact says which of my keys he holds; what is kept of that grows only."""
        node, account = self._node, contact.account
        if not contact.holds < number <= node.people.me.presence_number:
            return
        node.people.contacts[account] = replace(node.people.contacts[account], holds=number)
        node.storage.submit(lambda db: people_store.set_holds(db, account, number), lambda result: None)

    def lagging(self) -> list[Contact]:
        """Return the contacts who may not hold my newest key."""
        people = self._node.people
        return [who for who in people.contacts.values() if who.pair_key is not None and who.holds < people.me.presence_number]

    def _store(self, number: LinkNumber, account: AccountId, message: PresenceKey) -> None:
        node = self._node

        def job(db: Db) -> None:
            people_store.set_presence(db, account, message.key, message.number)

        def done(result: Any) -> None:
            contact = node.people.contacts.get(account)
            if isinstance(result, BaseException) or contact is None:
                return  # it comes again with the next link
            if message.number > contact.presence_number:
                node.people.contacts[account] = replace(contact, presence_key=message.key, presence_number=message.number)
                node.recognises_more()
            self._tell(number, account)

        node.storage.submit(job, done)

    def _tell(self, number: LinkNumber, account: AccountId) -> None:
        me = self._node.people.me
        self._node.linkage.send(number, PresenceKey(me.presence_key, me.presence_number, self.held(account)))
