"""What the account chain of a contact comes to say, and what my user has to look at before anything more goes to that contact.

A device added, or removed, is a line in the conversation; added to a verified contact it needs a look. That the account may be in other
hands ends "verified", whatever was compared before. Until the look nothing that I write is handed to any device of the contact; what
comes from them is taken on as ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from p2pmsg.errors import DeviceNeedsLook, IdentityChanged
from p2pmsg.model.accounts import Alarm, Contact, Membership, Trust
from p2pmsg.model.events import Event
from p2pmsg.model.ids import AccountId, ChainLinkId
from p2pmsg.model.names import as_typed
from p2pmsg.protocol import authority
from p2pmsg.protocol.bodies import ContactBody, SeenBody
from p2pmsg.protocol.messages import BYE
from p2pmsg.storage import feed
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node

IDENTITY_CHANGED: Final = "identity_changed"
DEVICE_ADDED: Final = "device_added"
_ALARMS: Final = frozenset(alarm.value for alarm in Alarm)


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of news of a chain in storage: the contact as he stands then, and what was written of it in `self`."""

    contact: Contact
    events: tuple[Event, ...]


def news(node: Node, before: Membership | None, after: Membership, went_back: ChainLinkId | None = None) -> list[SeenBody]:
    """Return what is new in a chain; nothing of one that was not known before but what is wrong at any time."""
    found: list[tuple[Literal["added", "removed", "went_back", "side_by_side", "by_root"], bytes, str | None, str | None]] = []
    if before is not None:
        for device in after.devices.values():
            if device.active and not before.active(device.id):
                adder = after.devices.get(device.added_by) if device.added_by is not None else None
                found.append(("added", device.id, device.name, adder.name if adder is not None else None))
            if before.active(device.id) and not device.active:
                found.append(("removed", device.id, device.name, None))
    raised = authority.alarms(before, after)
    if Alarm.SIDE_BY_SIDE in raised:
        found.append(("side_by_side", min(after.side_by_side - (before.side_by_side if before else frozenset())), None, None))
    if Alarm.BY_ROOT in raised and before is not None:
        found.append(("by_root", min(after.by_root - before.by_root), None, None))
    if went_back is not None:
        found.append(("went_back", went_back, None, None))
    contact = node.people.contacts.get(after.account)
    who = contact.shown if contact is not None else after.nickname
    return [SeenBody(after.account, what, subject, who, device, by) for what, subject, device, by in found]


def alert_of(contact: Contact, seen: Iterable[SeenBody]) -> str | None:
    """Return what a contact's entry is to show once this was seen; what stood there and is worse stays."""
    whats = {body.what for body in seen}
    if contact.alert == IDENTITY_CHANGED or whats & _ALARMS:
        return IDENTITY_CHANGED
    return DEVICE_ADDED if "added" in whats and contact.trust is Trust.VERIFIED else contact.alert


def note(db: Db, node: Node, account: AccountId, seen: Sequence[SeenBody], now_ms: int) -> Noted | None:
    """Write down, within a storage job, what of this was never seen before, and what follows; None for who is no contact.

    The events go to `Node.submit_write`, the rest to `take`.
    """
    contact = people_store.contact(db, account)
    if contact is None:
        return None
    fresh = [body for body in seen if not people_store.is_seen(db, body.subject, body.what)]
    events = [node.write(db, node.people.own(), body) for body in fresh]
    alert = alert_of(contact, fresh)
    if any(body.what in _ALARMS for body in fresh) or alert != contact.alert:
        people_store.set_alert(db, account, alert)
        said = {"code": alert, "message": message(contact.shown, alert), "account": account.hex(), "device": None}
        feed.record(db, feed.ChangeType.ALERT, json.dumps(said, ensure_ascii=False), now_ms, node.people.direct(account).id)
    if alert == IDENTITY_CHANGED and contact.trust is Trust.VERIFIED:
        events.append(node.write(db, node.people.own(), _unverified(contact)))
    stored = people_store.contact(db, account)
    assert stored is not None
    return Noted(stored, tuple(events))


def take(node: Node, noted: Noted) -> None:
    """Take on in memory what `note` has stored."""
    stored = noted.contact
    known = node.people.contacts.get(stored.account)
    if known is None:
        return
    node.contact_is(replace(known, trust=stored.trust, verified_by=stored.verified_by, alert=stored.alert))
    node.contact_changed(stored.account)


def beware(node: Node, account: AccountId, seen: Iterable[SeenBody]) -> None:
    """Hand nothing more to a contact while what was seen is on its way to storage; shown is what is stored."""
    contact = node.people.contacts.get(account)
    if contact is not None and alert_of(contact, seen) is not None:
        node.replication.kept_back(account, True)


def calm(node: Node, account: AccountId) -> None:
    """What was seen could not be stored and is unlearnt: it will be seen again."""
    if (contact := node.people.contacts.get(account)) is not None:
        node.contact_is(contact)


def part_from_removed(node: Node, account: AccountId) -> None:
    """End the links of devices that their account has put out."""
    membership = node.people.memberships[account]
    for opened in node.links.of_account(account):
        if not membership.active(opened.device):
            node.close(opened.link, BYE)


async def look(node: Node, contact: Contact) -> None:
    """My user has looked at a device that was added: what waited goes out.

    Raises:
        IdentityChanged: it is more than that; comparing again is the only look that counts.
    """
    if contact.alert == IDENTITY_CHANGED:
        raise IdentityChanged(
            message(contact.shown, contact.alert), hint=f"Ask the person, then compare: p2pmsg contact verify {_typed(contact)}"
        )

    def job(db: Db) -> Contact | None:
        stored = people_store.contact(db, contact.account)
        if stored is not None and stored.alert == DEVICE_ADDED:
            people_store.set_alert(db, contact.account, None)
        return people_store.contact(db, contact.account)

    def then(stored: Contact | None) -> None:
        if stored is not None:
            take(node, Noted(stored, ()))

    await node.run_write(job, then=then)


def check_looked_at(contact: Contact) -> None:
    """Raises: IdentityChanged, DeviceNeedsLook where my user has to look before anything is sent."""
    if contact.alert == IDENTITY_CHANGED:
        raise IdentityChanged(
            f"{message(contact.shown, contact.alert)} Nothing is sent.",
            hint=f"p2pmsg contact show {_typed(contact)}; ask the person, then compare: p2pmsg contact verify {_typed(contact)}",
        )
    if contact.alert == DEVICE_ADDED:
        raise DeviceNeedsLook(
            f"{message(contact.shown, contact.alert)} Nothing is sent before you have looked.",
            hint=f"p2pmsg contact show {_typed(contact)}; if the device is his or hers, the same with --yes",
        )


def message(name: str, alert: str | None) -> str:
    """Say what stands at a contact's name."""
    if alert == IDENTITY_CHANGED:
        return f"{name} may be somebody else now: the account shows what its owner alone could have done, or what nobody honest does."
    return f"{name} has a new device."


def _typed(contact: Contact) -> str:
    return as_typed(contact.shown, contact.account.hex())


def _unverified(contact: Contact) -> ContactBody:
    return ContactBody(
        account=contact.account,
        name=contact.name,
        nickname=contact.nickname,
        trust="unverified",
        verified_by=None,
        pair_key=contact.pair_key,
        via=None,
        blocked=contact.blocked,
    )
