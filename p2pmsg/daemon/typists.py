"""Who types: contacts are told while my user does (TYPING), and a chat is told while they do. Kept in memory, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon import names
from p2pmsg.daemon.objects import Json
from p2pmsg.model.ids import AccountId, LinkNumber
from p2pmsg.protocol.wire import Typing
from p2pmsg.rpc import api

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node


class Typists:
    """Tells and is told; neither where the setting is off."""

    def __init__(self, node: Node) -> None:
        self.changed: list[Callable[[AccountId, bool], None]] = []
        """Called when a contact types, again while he goes on, and when he is known not to any more."""
        self._node = node
        self._on = True
        self._told: dict[AccountId, float] = {}
        self._heard: dict[AccountId, float] = {}

    def settings_changed(self, settings: Settings) -> None:
        """These hold from now on."""
        self._on = settings.typing
        for account in () if self._on else list(self._heard):
            self._forget(account)

    async def typed(self, params: api.ChatTyping) -> Json:
        """Tell the contact's linked devices, unless that was done just now. Raises: ContactNotFound, Ambiguous."""
        contact = names.find_conversation(self._node.people, params.target, past=True)[1]
        if contact is None or contact.blocked or contact.alert or not self._on:
            return {"told": 0}
        now, account = self._node.clock.now(), contact.account
        self._told = {each: at for each, at in self._told.items() if now - at < limits.TYPING_EVERY_S}
        linked = [] if account in self._told else list(self._node.links.of_account(account))
        for opened in linked:
            self._told[account] = now
            self._node.linkage.send(opened.link, Typing())
        return {"told": len(linked)}

    def received(self, number: LinkNumber) -> None:
        """A device says that its user types; one that says so all the time is not listened to."""
        opened, now = self._node.links.get(number), self._node.clock.now()
        contact = self._node.people.contacts.get(opened.account) if opened is not None else None
        if contact is None or contact.blocked or not self._on:
            return
        if now - self._heard.get(contact.account, float("-inf")) >= limits.TYPING_HEARD_S:
            self._heard[contact.account] = now
            self._tell(contact.account, True)

    def link_lost(self, account: AccountId) -> None:
        """A link has ended: who has no other does not type any more."""
        if not any(self._node.links.of_account(account)):
            self._forget(account)

    def _forget(self, account: AccountId) -> None:
        if self._node.clock.now() - self._heard.pop(account, float("-inf")) < limits.TYPING_SHOWN_S:
            self._tell(account, False)

    def _tell(self, account: AccountId, types: bool) -> None:
        for tell in self.changed:
            tell(account, types)
