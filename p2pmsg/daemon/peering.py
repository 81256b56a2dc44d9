"""What becoming contacts stores, in one transaction, before the other side hears of it (handshake cases B and C).

And what becomes of gate keys afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from p2pmsg.crypto import gates
from p2pmsg.daemon import alerts
from p2pmsg.daemon.alerts import Noted
from p2pmsg.errors import Blocked
from p2pmsg.model.accounts import Contact, Trust
from p2pmsg.model.events import Event, Tip
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.ids import DeviceId
from p2pmsg.protocol.bodies import ContactBody
from p2pmsg.protocol.messages import Peering
from p2pmsg.storage import doors, ranges
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node


class Committed(NamedTuple):
    """What `commit_peering` has stored."""

    contact: Contact | None
    gates: tuple[GateRow, ...]
    tips: Mapping[DeviceId, Sequence[Tip]] | None
    """What is held of the conversation with a new contact, who may be an old one."""
    event: Event | None
    noted: Noted | None
    """What the contact's chain had to say that was never seen before."""


def commit_peering(db: Db, *, node: Node, peering: Peering, name: str | None, now_ms: int) -> Ended | Committed:
    """Store what a proven link means: new links of a contact's chain; and, unless they are contacts, the contact and the pair's key.

    The result goes to `Node.submit_write`. Where somebody else spent the invite first, nothing is stored and the reason returned.
    """
    seen = alerts.news(node, node.people.memberships.get(peering.account), peering.membership, peering.went_back)
    if peering.gate.purpose is Purpose.PAIR:
        people_store.add_links(db, peering.new_links, now_ms)
        people_store.set_nickname(db, peering.account, peering.membership.nickname)
        return Committed(None, doors.gates(db, 0), None, None, alerts.note(db, node, peering.account, seen, now_ms))
    if peering.gate.purpose is Purpose.INVITE and not peering.dialled and (ended := _spend(db, peering, now_ms)) is not None:
        return ended
    people_store.add_links(db, peering.new_links, now_ms)
    people, account = node.people, peering.account
    assert peering.pair_key is not None
    old = people_store.contact(db, account)
    if old is not None and old.blocked and not peering.dialled:  # since the handshake asked
        raise Blocked(f"{old.shown} is blocked.")
    compared = peering.gate.purpose is Purpose.SAS
    in_doubt = old is not None and old.alert == alerts.IDENTITY_CHANGED  # that an invite is his says nothing of in whose hands he is
    by_invite = peering.dialled and not in_doubt
    verified = compared or by_invite or (old is not None and old.trust is Trust.VERIFIED)
    body = ContactBody(
        account=account,
        name=name or (old.name if old else None),
        nickname=peering.membership.nickname,
        trust="verified" if verified else "invited",
        verified_by="sas" if compared else "invite" if by_invite else (old.verified_by if old else None),  # type: ignore[arg-type]
        pair_key=peering.pair_key,
        via=None if old else "nearby" if compared else "invite_theirs" if peering.dialled else "invite_mine",
    )
    event = node.write(db, people.own(), body)
    gate = gates.pair_gate(peering.pair_key, people.me.account, account)
    doors.add_pair(db, gate, account, now_ms)
    if peering.dialled:  # the other side has stored it before its WELCOME; whether I have it shows my HELLO
        doors.confirm_pair(db, gate, now_ms)
    if compared:  # who compares has looked; what this very chain says is looked at next
        people_store.set_alert(db, account, None)
    noted = alerts.note(db, node, account, seen, now_ms)
    contact = people_store.contact(db, account)
    return Committed(contact, doors.gates(db, 0), ranges.tips(db).get(people.direct(account).id, {}), event, noted)


def confirm_gate(node: Node, peering: Peering) -> None:
    """A link has opened, so its peer holds the pair's gate key that it was opened under or that was made on it: older ones retire."""
    people, account = node.people, peering.account
    key = peering.gate.key if peering.pair_key is None else gates.pair_gate(peering.pair_key, people.me.account, account)
    if people.replaces(account, key):
        change_doors(node, partial(doors.confirm_pair, key=key, now_ms=node.clock.wall_ms()))


def change_doors(node: Node, change: Callable[[Db], None]) -> None:
    """Have gate keys changed in storage, and take the result on. What cannot be stored is left as it is until the next occasion."""

    def job(db: Db) -> tuple[GateRow, ...]:
        change(db)
        return doors.gates(db, 0)

    def done(result: Any) -> None:
        if not isinstance(result, BaseException):
            node.people.gates = result

    node.storage.submit(job, done)


def _spend(db: Db, peering: Peering, now_ms: int) -> Ended | None:
    """Spend my invite, unless it ended between the check and this transaction; its time is for the caller's clock to tell."""
    row = next((row for row in doors.gates(db, 0) if row.key == peering.gate.key), None)
    ended = Ended.WITHDRAWN if row is None else row.ended_for(peering.account)
    if ended is None:
        doors.spend_invite(db, peering.gate.reference, peering.account, now_ms)
    return ended
