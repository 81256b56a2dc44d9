"""The objects of the CLI contract: each field and what it may hold. More fields would be allowed; fewer are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def text(value: Any) -> bool:
    return type(value) is str


def number(value: Any) -> bool:
    return type(value) in (int, float)


def whole(value: Any) -> bool:
    return type(value) is int


def truth(value: Any) -> bool:
    return type(value) is bool


def time(value: Any) -> bool:
    return text(value) and TIME.fullmatch(value) is not None


def ident(value: Any) -> bool:
    return text(value) and value == value.lower() and value.isalnum() and len(value) >= 4


def path(value: Any) -> bool:
    return text(value) and value.startswith("/")


def maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def one_of(*values: Any) -> Check:
    return lambda value: value in values


def each(check: Check) -> Check:
    return lambda value: type(value) is list and all(map(check, value))


def shaped(shape: dict[str, Check]) -> Check:
    return lambda value: not faults(value, shape)


def faults(value: Any, shape: dict[str, Check]) -> list[str]:
    """Return the fields that are missing, or hold what the contract does not allow."""
    if type(value) is not dict:
        return [f"{value!r} is no object"]
    return [f"{name}: {value.get(name, 'missing')!r}" for name, check in shape.items() if name not in value or not check(value[name])]


STATE = one_of("queued", "sent", "delivered", "read")
IDENTITY: dict[str, Check] = {"account": ident, "device": ident, "name": text, "device_name": text, "home": path}
WHOAMI = IDENTITY | {"fingerprint": text}
INIT = IDENTITY | {"words_file": maybe(path)}
WARNING: dict[str, Check] = {"code": text, "message": text, "hint": text}
STATUS: dict[str, Check] = {
    "running": truth,
    "pid": maybe(whole),
    "version": text,
    "protocol": one_of(1),
    "socket": maybe(path),
    "home": path,
    "log": path,
    "started_at": maybe(time),
    "port": maybe(whole),
    "interfaces": each(text),
    "visible_until": maybe(time),
    "vault": one_of("open", "locked"),
    "unread": whole,
    "queued": whole,
    "requests": whole,
    "requests_max": whole,
    "disk_bytes": whole,
    "warnings": each(shaped(WARNING)),
}
SETTING: dict[str, Check] = {"key": text, "value": lambda _: True, "default": lambda _: True, "source": one_of("file", "default")}
INVITE: dict[str, Check] = {"id": ident, "invite": lambda value: text(value) and value.startswith("P2PMSG:"), "expires_at": time}
OPEN_INVITE: dict[str, Check] = {"id": ident, "invite": one_of(None), "expires_at": time}
CONTACT: dict[str, Check] = {
    "account": ident,
    "name": text,
    "nickname": text,
    "trust": one_of("unverified", "invited", "verified"),
    "verified_by": one_of("invite", "sas", "number", None),
    "alert": one_of("identity_changed", "device_added", None),
    "blocked": truth,
    "online": truth,
    "last_seen": maybe(time),
}
PEER: dict[str, Check] = {
    "account": ident,
    "name": text,
    "device": ident,
    "device_name": text,
    "online": truth,
    "since": maybe(time),
    "path": one_of("mdns", "beacon", "last_known", "static", "dns_sd", "hint", "sweep", "invite", "incoming", None),
    "address": maybe(text),
    "interface": maybe(text),
    "rtt_ms": maybe(number),
}
SENDER: dict[str, Check] = {"account": ident, "name": text, "device": ident}
DELIVERY: dict[str, Check] = {"account": ident, "name": text, "state": STATE, "at": maybe(time)}


def delivery(value: Any) -> bool:
    """Say whether it is told when a state was reached: not known only of what is queued."""
    return not faults(value, DELIVERY) and (value["at"] is None) == (value["state"] == "queued")


MESSAGE: dict[str, Check] = {
    "id": ident,
    "conversation": ident,
    "kind": one_of("text", "system"),
    "from": shaped(SENDER),
    "mine": truth,
    "text": text,
    "sent_at": time,
    "received_at": maybe(time),
    "clock_skew_s": maybe(number),
    "state": one_of("queued", "sent", "delivered", "read", "unread"),
    "deliveries": each(delivery),
}
CONVERSATION: dict[str, Check] = {
    "conversation": ident,
    "kind": one_of("direct", "group", "self"),
    "name": text,
    "account": maybe(ident),
    "unread": whole,
    "last": maybe(shaped(MESSAGE)),
}
VISIBLE: dict[str, Check] = {"visible_until": maybe(time)}
NEARBY: dict[str, Check] = {"id": ident, "nickname": text}
REQUEST: dict[str, Check] = {
    "id": ident,
    "account": maybe(ident),
    "nickname": text,
    "kind": one_of("contact", "verify"),
    "live": truth,
    "received_at": time,
}
CHECK: dict[str, Check] = {"check": text, "ok": one_of(True, False, None), "detail": text, "hint": maybe(text)}
COMPLETION: dict[str, Check] = {"shell": text, "script": text}
DELETED: dict[str, Check] = {"conversation": ident, "deleted": whole, "still_to_deliver": whole}
HELLO: dict[str, Check] = {"version": text, "protocol": one_of(1), "profile": text}
TOLD: dict[str, Check] = {"told": whole}
READY: dict[str, Check] = {"cursor": text, "type": one_of("ready")}
EVENT: dict[str, Check] = {"cursor": text, "at": time, "type": one_of("message", "state", "peer", "contact", "request", "alert")}
OF_EVENT: dict[str, dict[str, Check]] = {
    "message": {"message": shaped(MESSAGE), "notify": truth},
    "state": {"id": ident, "state": STATE, "account": ident},
    "peer": {"peer": shaped(PEER)},
    "contact": {"contact": shaped(CONTACT)},
    "request": {"request": shaped(REQUEST)},
}
LOG_LINE: dict[str, Check] = {"line": text}
