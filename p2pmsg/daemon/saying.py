"""What I say of a contact in `self`: his name here, how far I trust him, that he is none any more. All my devices follow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from p2pmsg.config import limits
from p2pmsg.daemon.node import Node
from p2pmsg.errors import ContactNotFound
from p2pmsg.model.accounts import Contact, Trust
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.bodies import ContactBody
from p2pmsg.storage import doors, erasing
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db

VerifiedBy = Literal["invite", "sas", "number"]


Saying = tuple[Callable[[Db], Sequence[Any]], Callable[[Sequence[Any]], None]]
"""What is stored, and what follows from its result in memory."""


async def say(node: Node, contact: Contact, **what: Any) -> None:
    """Write it, and take it on in memory once it is stored. `what` is as of `saying`.

    Raises:
        ContactNotFound: he was removed meanwhile. NotPermitted: this is an old copy. StorageFull.
    """
    job, then = saying(node, contact, **what)
    parts = bool(what.get("blocked") or what.get("removed"))
    await node.run_write(job, then=then, room_bytes=0 if parts else limits.DISK_REFUSE_BYTES)  # a full disk keeps nobody in


def saying(
    node: Node,
    contact: Contact,
    *,
    name: str | None = None,
    verified_by: VerifiedBy | None = None,
    blocked: bool | None = None,
    removed: bool = False,
    history: bool = False,
) -> Saying:
    """Return how to say it. What is None stays as it is; `history` deletes what was said, too.

    Who is blocked or removed loses the pair's keys, and I get a new presence key: he recognises me no more.
    """
    account, renewed = contact.account, blocked or removed

    def job(db: Db) -> tuple[Any, ...]:
        current = _changed(_still_there(db, contact), name, verified_by, blocked)
        events = [node.write(db, node.people.own(), _body(current, removed))]
        if (presence := node.presence_keys.next(db) if renewed else None) is not None:
            events.append(node.write(db, node.people.own(), presence))
        people_store.set_alert(db, account, current.alert)
        _close_doors(db, account, blocked, removed)
        for deletion in erasing.everything(db, node.people.direct(account).id) if history else ():
            events.append(node.write(db, node.people.own(), deletion))
        return *events, presence, doors.gates(db, 0)

    def then(result: Sequence[Any]) -> None:
        *_, presence, node.people.gates = result
        if presence is not None:
            node.presence_keys.renewed(presence)
        if (known := node.people.contacts.get(account)) is not None:
            node.contact_is(_changed(known, name, verified_by, blocked))
        _part(node, account, blocked, removed)
        if presence is not None:  # by now he has no link on which he would be told, too
            node.presence_keys.tell()
        if blocked:
            node.hide()
        elif removed:
            node.announce_anew()

    return job, then


def _part(node: Node, account: AccountId, blocked: bool | None, removed: bool) -> None:
    """Do in memory what it means for his links, and tell those who watch."""
    if removed:
        node.forget_contact(account)
        return
    if blocked:
        node.shut_out(account)
    node.contact_changed(account)


def _still_there(db: Db, contact: Contact) -> Contact:
    if (current := people_store.contact(db, contact.account)) is None:
        raise ContactNotFound(f"{contact.shown} is no contact any more.")
    return current


def _close_doors(db: Db, account: AccountId, blocked: bool | None, removed: bool) -> None:
    if removed:
        people_store.forget(db, account)
    elif blocked:
        people_store.shut_out(db, account)
        people_store.forget_ports(db)


def _changed(contact: Contact, name: str | None, verified_by: VerifiedBy | None, blocked: bool | None) -> Contact:
    if verified_by is not None:  # who compares has looked
        contact = replace(contact, trust=Trust.VERIFIED, verified_by=verified_by, alert=None)
    if blocked is not None:
        contact = replace(contact, blocked=blocked, pair_key=None if blocked else contact.pair_key)
    return replace(contact, name=name or contact.name)


def _body(contact: Contact, removed: bool) -> ContactBody:
    return ContactBody(
        account=contact.account,
        name=contact.name,
        nickname=contact.nickname,
        trust=contact.trust.value,
        verified_by=contact.verified_by,  # type: ignore[arg-type]
        pair_key=contact.pair_key,
        via=None,
        removed=removed,
        blocked=contact.blocked,
    )
