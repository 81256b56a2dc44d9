"""Who I am and whom I know, in memory: read once at start, changed only after storage has committed the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from p2pmsg.crypto import gates, signing
from p2pmsg.daemon.contacts import Contacts
from p2pmsg.model.accounts import ChainLink, Membership
from p2pmsg.model.events import Conversation, ConversationKind
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.ids import AccountId, DeviceId, DeviceKey
from p2pmsg.protocol import authority
from p2pmsg.protocol.knowledge import Identity


@dataclass(frozen=True, slots=True)
class Me:
    """This device and its account."""

    account: AccountId
    device: DeviceId
    device_key: DeviceKey
    secret: bytes = field(repr=False)
    presence_key: bytes = field(repr=False)
    presence_number: int = 1

    def sign(self, message: bytes) -> bytes:
        return signing.sign(self.secret, message)


class People:
    """My identity, contacts, chains, gates and conversations."""

    def __init__(self, me: Me) -> None:
        self.me = me
        self.contacts = Contacts()
        self.chains: dict[AccountId, tuple[ChainLink, ...]] = {}
        self.memberships: dict[AccountId, Membership] = {}
        self.gates: tuple[GateRow, ...] = ()
        self.invite_ends: dict[str, float] = {}
        """When each invite of mine ends, by the monotonic clock."""
        self.forked: set[DeviceId] = set()

    # -- chains

    def learn_chain(self, links: Iterable[ChainLink]) -> Membership:
        """Take links of one account on, beside those known, and return what its chain says then."""
        links = tuple(links)
        account = links[0].account
        known = {link.id: link for link in self.chains.get(account, ())}
        known.update((link.id, link) for link in links)
        membership = authority.resolve(known.values())
        self.chains[account] = authority.in_order(known.values())
        self.memberships[account] = membership
        if (contact := self.contacts.get(account)) is not None and contact.nickname != membership.nickname:
            self.contacts[account] = replace(contact, nickname=membership.nickname)
        return membership

    def unlearn_chain(self, links: tuple[ChainLink, ...]) -> None:
        """Go back to a chain as it was: what was learnt since could not be stored."""
        self.chains.pop(links[0].account, None)
        self.learn_chain(links)

    def links_of(self, account: AccountId) -> tuple[ChainLink, ...]:
        return self.chains.get(account, ())

    @property
    def mine(self) -> Membership:
        return self.memberships[self.me.account]

    def identity(self) -> Identity:
        """Return who I am, as a handshake proves it."""
        me = self.me
        return Identity(me.account, me.device_key, me.device, me.sign, self.chains[me.account], self.mine.heads)

    # -- doors

    def rows(self, now: float) -> tuple[GateRow, ...]:
        """Return all gate rows as they stand now: an invite whose time is over, or not known (it was over long ago), has ended."""
        return tuple(replace(row, ended=Ended.EXPIRED) if self._is_over(row, now) else row for row in self.gates)

    def _is_over(self, row: GateRow, now: float) -> bool:
        return row.purpose is Purpose.INVITE and row.ended is None and self.invite_ends.get(row.reference, float("-inf")) < now

    def gate_to(self, account: AccountId, turn: int) -> GateRow | None:
        """Return the gate row to dial a contact with: the one that he is known to hold, after refusals the others in turn.

        First those that he may not hold yet, from the older to the newer, then retired ones, the newest first.
        """
        rows = [row for row in self.gates if row.purpose is Purpose.PAIR and row.account == account]
        rows = [row for row in reversed(rows) if not row.retired] + [row for row in rows if row.retired]
        return rows[turn % len(rows)] if rows else None

    def replaces(self, account: AccountId, key: bytes) -> bool:
        """Say whether a gate key, which a contact has just shown to hold, is newer than one by which he would be dialled."""
        live = [row.key for row in self.gates if row.purpose is Purpose.PAIR and row.account == account and not row.retired]
        return key in live[:-1]

    def may_link(self, account: AccountId, device: DeviceId) -> bool:
        """Say whether a device may have a link: not of somebody blocked, not one proven to have forked a log."""
        contact = self.contacts.get(account)
        return device not in self.forked and (contact is None or not contact.blocked)

    def recognise(self, nonce: bytes, addresses: bytes, tags: bytes) -> AccountId | None:
        """Return the contact under whose presence key, or whose and my pair key, an announcement is tagged."""
        present = {tags[at : at + gates.TAG_BYTES] for at in range(0, len(tags), gates.TAG_BYTES)}
        for account, contact in self.contacts.items():
            keys = () if contact.blocked else (contact.presence_key, contact.pair_key)
            if any(key is not None and gates.tag(key, nonce, addresses) in present for key in keys):
                return account
        return None

    # -- conversations

    def direct(self, account: AccountId) -> Conversation:
        """Return the conversation with a contact."""
        mine = self.me.account
        members = (mine, account) if mine < account else (account, mine)
        return Conversation(gates.direct_conversation(mine, account), ConversationKind.DIRECT, members)

    def own(self) -> Conversation:
        """Return the conversation of this account with itself."""
        return Conversation(gates.self_conversation(self.me.account), ConversationKind.SELF, (self.me.account,))

    def conversations(self) -> list[Conversation]:
        return [self.own(), *(self.direct(account) for account in self.contacts)]

    def devices(self, conversation: Conversation) -> Mapping[DeviceId, AccountId]:
        """Return the devices of a conversation's members, each with its account."""
        found: dict[DeviceId, AccountId] = {}
        for account in conversation.members:
            membership = self.memberships.get(account)
            if membership is not None:
                found |= dict.fromkeys(membership.devices, account)
        return found

    def account_of(self, device: DeviceId) -> AccountId | None:
        return next((account for account, membership in self.memberships.items() if device in membership.devices), None)
