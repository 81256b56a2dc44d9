"""The JSON objects of the CLI contract, made from what storage and memory hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from p2pmsg.daemon import names
from p2pmsg.daemon.people import People
from p2pmsg.model.accounts import Contact, Device
from p2pmsg.model.ids import AccountId
from p2pmsg.storage.queries import ConversationRow, DeliveryRow, MessageRow

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node

Json = dict[str, Any]
STATES = ("queued", "sent", "delivered", "read")


def time(ms: int | None) -> str | None:
    """Return a time as the contract writes it: RFC 3339, UTC, milliseconds, Z."""
    if ms is None:
        return None
    seconds, rest = divmod(min(ms, 253402300799999), 1000)
    return f"{_second(seconds)}.{rest:03}Z"


@lru_cache(maxsize=256)  # what is shown together mostly happened together
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def parse_time_ms(text: str) -> int:
    """Return the milliseconds since 1970 of an RFC 3339 time. Raises: ValueError."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def contact(node: Node, who: Contact) -> Json:
    online = bool(node.links.of_account(who.account))
    return {
        "account": who.account.hex(),
        "name": names.shown(node.people, who),
        "nickname": who.nickname,
        "trust": who.trust.value,
        "verified_by": who.verified_by,
        "alert": who.alert,
        "blocked": who.blocked,
        "online": online,
        "last_seen": time(node.clock.wall_ms() if online else who.last_seen_ms),
    }


def contact_whole(node: Node, who: Contact) -> Json:
    """Return a contact with the devices that speak for him, in the order of their names."""
    devices = [device for device in node.people.memberships[who.account].devices.values() if device.active]
    shown = [_device(node, who, device) for device in sorted(devices, key=lambda each: (each.name, each.id))]
    return contact(node, who) | {"devices": shown}


def _device(node: Node, who: Contact, device: Device) -> Json:
    adder = node.people.memberships[who.account].devices.get(device.added_by) if device.added_by is not None else None
    return {
        "device": device.id.hex(),
        "name": device.name,
        "admin": device.admin,
        "first": device.key == node.people.links_of(who.account)[0].device_key,
        "added_by": adder.name if adder is not None else None,
        "online": any(opened.device == device.id for opened in node.links.of_account(who.account)),
    }


def name_of(people: People, account: AccountId) -> str:
    """Return the name that an account goes by here: mine, a contact's, else what its chain says."""
    if (known := people.contacts.get(account)) is not None:
        return names.shown(people, known)
    membership = people.memberships.get(account)
    return membership.nickname if membership else account.hex()[:8]


def message(node: Node, row: MessageRow) -> Json:
    deliveries = [delivery(node, row, each) for each in row.deliveries]
    return {
        "id": row.id.hex(),
        "conversation": row.conversation.hex(),
        "kind": row.kind,
        "from": {"account": row.account.hex(), "name": name_of(node.people, row.account), "device": row.device.hex()},
        "mine": row.mine,
        "text": row.text,
        "sent_at": time(row.sent_ms),
        "received_at": None if row.mine else time(row.received_ms),
        "clock_skew_s": None if row.skew_ms is None or row.mine else round(row.skew_ms / 1000),
        "state": state(row, deliveries),
        "deliveries": deliveries,
    }


def new_message(node: Node, row: MessageRow) -> Json:
    """Return a message as it was when it came: in `watch` its states follow as events of their own, in their order, also when replayed."""
    found = message(node, row)
    if row.kind == "text" and (found["deliveries"] or not row.mine):
        found["state"] = "queued" if row.mine else "unread"
        found["deliveries"] = [each | {"state": "queued", "at": None} for each in found["deliveries"]]
    return found


def state(row: MessageRow, deliveries: Iterable[Json]) -> str:
    """Return a message's state: of mine the least that any recipient has reached, of others whether I was shown it."""
    if not row.mine:
        return "unread" if row.unread else "read"
    return min((each["state"] for each in deliveries), key=STATES.index, default="read")


def delivery(node: Node, row: MessageRow, each: DeliveryRow) -> Json:
    reached, at = "queued", None
    if each.read_ms is not None:
        reached, at = "read", each.read_ms
    elif each.delivered_ms is not None:
        reached, at = "delivered", each.delivered_ms
    elif node.handed(each.account, row.conversation, row.seq):
        reached, at = "sent", node.sent_ms(each.account, row.conversation, row.seq)
    return {"account": each.account.hex(), "name": name_of(node.people, each.account), "state": reached, "at": time(at)}


def conversation(node: Node, row: ConversationRow) -> Json:
    return {
        "conversation": row.conversation.hex(),
        "kind": row.kind,
        "name": name_of(node.people, row.account) if row.account else "me",
        "account": row.account.hex() if row.account else None,
        "unread": row.unread,
        "last": message(node, row.last) if row.last else None,
    }


def peers(node: Node) -> list[Json]:
    """Return one object per device of a contact: those online with the path of their link."""
    out: list[Json] = []
    for account, who in node.people.contacts.items():
        open_links = {opened.device: opened.link for opened in node.links.of_account(account)}
        for device in node.people.memberships[account].devices.values():
            if not device.active:
                continue
            entry: Json = {
                "account": account.hex(),
                "name": names.shown(node.people, who),
                "device": device.id.hex(),
                "device_name": device.name,
            }
            out.append(entry | _link(node, open_links.get(device.id)))
    return sorted(out, key=lambda peer: (not peer["online"], peer["name"], peer["device"]))


def _link(node: Node, number: Any) -> Json:
    link = node.linkage.get(number) if number is not None else None
    if link is None:
        return dict.fromkeys(("online", "since", "path", "address", "interface", "rtt_ms")) | {"online": False}
    rtt = link.connection.rtt_ms
    return {
        "online": True,
        "since": time(link.opened_ms),
        "path": link.path.value,
        "address": str(link.address),
        "interface": node.interface_name(link),
        "rtt_ms": None if rtt is None else round(rtt, 3),
    }
