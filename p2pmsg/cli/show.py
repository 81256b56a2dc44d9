"""Objects of the contract as people read them. Every word of somebody else goes through `text`; meaning is never in a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from p2pmsg.cli import output, text
from p2pmsg.cli.people import People, label
from p2pmsg.cli.times import by_our_clock, seconds_after, shown, until
from p2pmsg.model import plain
from p2pmsg.model.names import as_typed

Object = dict[str, Any]
SKEW_WORTH_SAYING_S = 600
PREVIEW_CHARACTERS = 60
VERIFIED_BY = {"invite": "an invite", "sas": "comparing what both screens showed", "number": "comparing the safety number"}
ALERTS_IN_FULL = {
    "identity_changed": (
        "this account may be in other hands; nothing is sent. The conversation says why. Ask the person, not by p2pmsg.",
        "p2pmsg contact verify {who}, or with --number",
    ),
    "device_added": (
        "there is a new device; nothing is sent before you have looked. Ask the person if you did not expect it.",
        "p2pmsg contact show {who} --yes",
    ),
}
"""What an alert means, and what to type once that is settled."""
ID_CHARACTERS = 8
"""Of an id, where lines are only to be matched with each other."""


def identity(me: Object) -> str:
    """Say who I am."""
    return _pairs(
        [
            ("name", me["name"]),
            ("device", me["device_name"]),
            ("account", me["account"]),
            ("fingerprint", me.get("fingerprint")),
            ("home", me["home"]),
            ("words", me.get("words_file")),
        ]
    )


VAULT_MODES = {
    "file": "no passphrase: whoever can read the home can read everything",
    "keyring": "the key is in the desktop's keyring: whoever is logged in there can read everything",
    "passphrase": "the key is sealed under a passphrase",
}
"""How the key is kept, and what that does not protect."""


def vault(state: Object) -> str:
    """Say whether the vault is open, and how its key is kept."""
    mode = state["vault_mode"]
    return f"{state['vault']} ({VAULT_MODES[mode]})" if mode else str(state["vault"])


def status(state: Object) -> str:
    """Say how the daemon fares."""
    running = f"running, pid {state['pid']}, since {shown(state['started_at'])}" if state["running"] else "not running"
    lines = [("daemon", running), ("version", state["version"]), ("home", state["home"]), ("log", state["log"])]
    if state["running"]:
        lines += [
            ("socket", state["socket"]),
            ("port", state["port"]),
            ("interfaces", ", ".join(state["interfaces"]) or "none"),
            ("visible", f"until {shown(state['visible_until'])}" if state["visible_until"] else "no"),
            ("vault", vault(state)),
            ("unread", state["unread"]),
            ("queued", state["queued"]),
            ("requests", f"{state['requests']} of at most {state['requests_max']}" if state["requests"] else None),
        ]
    lines.append(("disk", size(state["disk_bytes"])))
    return "\n".join([_pairs(lines), *(_warning(found) for found in state["warnings"])])


def _warning(found: Object) -> str:
    lines = [f"Warning: {text.line(found['message'])}", *([f"Try: {text.line(found['hint'])}"] if found["hint"] else [])]
    return "\n".join(text.hanging(line, output.columns()) for line in lines)


def service(done: Object) -> str:
    """Say what became of the daemon as a service."""
    return "\n".join(text.line(words) for words in [*done["did"], *done["hints"]])


def name(found: Object) -> str:
    """Return what a contact is called."""
    return label(found["account"], found["name"], found["trust"], found["alert"])


def contacts(found: Sequence[Object]) -> str:
    """List contacts."""
    return _listing([["NAME", "TRUST", "ONLINE", "LAST SEEN", ""], *(_contact_row(contact) for contact in found)])


def contact(found: Object) -> str:
    """Say what is known of a contact."""
    trust = found["trust"] + (f", by {VERIFIED_BY.get(found['verified_by'], found['verified_by'])}" if found["verified_by"] else "")
    return _pairs(
        [
            ("name", name(found)),
            ("nickname", found["nickname"]),
            ("account", found["account"]),
            ("trust", trust),
            ("online", "yes" if found["online"] else f"no, last seen {shown(found['last_seen'])}"),
            ("blocked", "yes" if found["blocked"] else None),
            *_devices(found.get("devices") or []),
            *_alert(found),
        ]
    )


def _devices(found: Sequence[Object]) -> list[tuple[str, object]]:
    return [("devices" if number == 0 else "", _device(each)) for number, each in enumerate(found)]


def _device(found: Object) -> str:
    adder = "the recovery words" if found["added_by"] is None else f'"{text.name(found["added_by"])}"'
    came = "the first" if found["first"] else f"added by {adder}"
    return f'"{text.name(found["name"])}", {came}{", online" if found["online"] else ""}'


def _alert(found: Object) -> list[tuple[str, object]]:
    """Say what is to be looked at, and what to type then."""
    if found["alert"] is None:
        return []
    who = as_typed(found["name"], found["account"])
    what, then = ALERTS_IN_FULL.get(found["alert"], (found["alert"], "p2pmsg contact verify {who}"))
    return [("alert", what), ("then", then.format(who=who))]


def invites(found: Sequence[Object]) -> str:
    """List invites that can still be used."""
    return _listing([["ID", "EXPIRES"], *([each["id"], until(each["expires_at"])] for each in found)])


def peers(found: Sequence[Object], people: People, me: str) -> str:
    """List devices and how they are reached."""
    heads = ["NAME", "DEVICE", "ONLINE", "SINCE", "PATH", "ADDRESS", "INTERFACE", "RTT"]
    return _listing([heads, *(_peer_row(peer, people, me) for peer in found)])


def conversations(found: Sequence[Object], people: People) -> str:
    """List conversations, each with its last message."""
    return _listing([["NAME", "UNREAD", "LAST", ""], *(_conversation_row(each, people) for each in found)])


def message(found: Object, people: People, *, remark: bool = True, watched: bool = False) -> str:
    """Return a message as one line, more where its text has more; those are indented and so cannot pass for another message.

    Mine with its state if `remark`; if `watched`, with the start of its id and, where it is mine, to whom.
    """
    columns = output.columns()
    when = _moment(found) + (f"  {found['id'][:ID_CHARACTERS]}" if watched else "")
    if found["kind"] == "system":
        return text.hanging(f"{when}  * {text.line(found['text'])}", columns)
    if found["kind"] == "unknown":
        return text.hanging(f"{when}  * {sender(found, people)}: {text.line(found['text'] or '')}", columns)
    head = f"{when}  {sender(found, people)}{_towards(found, people) if watched else ''}: "
    return text.said(head, found["text"] or "", columns) + (_remark(found) if remark else "")


def messages(found: Sequence[Object], people: People) -> str:
    """Return messages, each from the start of a line."""
    return "\n".join(message(each, people) for each in found)


def deleted(found: Object) -> str:
    """Say what was deleted, and what of it others do not have yet."""
    count, waiting = found["deleted"], found["still_to_deliver"]
    who = "It" if count == 1 else f"{waiting} of them"
    later = f" {who} will still be delivered, and erased here then." if waiting else ""
    return f"Deleted: {count} message{'' if count == 1 else 's'}.{later}"


def size(count_bytes: int) -> str:
    """Return a number of bytes as people read it."""
    if count_bytes < 1000:
        return f"{count_bytes} bytes"
    value = count_bytes / 1000
    for unit in ("kB", "MB", "GB"):
        if value < 999.95:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def sender(found: Object, people: People) -> str:
    """Say whom a message is from."""
    return "me" if found["mine"] else people.label(found["from"]["account"], found["from"]["name"])


def settings(found: Sequence[Object]) -> str:
    """List settings, where their values come from, and what would hold without the file."""
    rows = [[each["key"], f"{setting(each['value'])}  {_source(each)}".lstrip()] for each in found]
    return text.table(rows, output.columns())


def setting(value: object) -> str:
    """Return a setting's value as it is typed."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else text.line(str(value))


def step(found: Object) -> str:
    """Say how a step of the demo went."""
    first, *rest = f"{text.line(found['step'])}: {text.body(found['detail'] or '')}".split("\n")
    head = f"{'ok  ' if found['ok'] else 'FAIL'}  {found['elapsed_s']:6.2f} s"
    return text.table([[head, first], *(["", line] for line in rest)], output.columns())


def _source(found: Object) -> str:
    from p2pmsg.config.settings import NO_EFFECT_YET

    default = f"; default: {setting(found['default']) or 'empty'}" if found["source"] == "file" else ""
    return f"({found['source']}{default}{'; no effect in this version' if found['key'] in NO_EFFECT_YET else ''})"


def _contact_row(found: Object) -> list[str]:
    return [
        name(found),
        found["trust"],
        "yes" if found["online"] else "no",
        shown(found["last_seen"]),
        "blocked" if found["blocked"] else "",
    ]


def _peer_row(found: Object, people: People, me: str) -> list[str]:
    rtt = found["rtt_ms"]
    return [
        "me" if found["account"] == me else people.label(found["account"], found["name"]),
        text.name(found["device_name"] or found["device"][:8]),
        "yes" if found["online"] else "no",
        shown(found["since"]),
        found["path"] or "-",
        text.line(str(found["address"] or "-")),
        text.line(str(found["interface"] or "-")),
        "-" if rtt is None else f"{rtt:.1f} ms",
    ]


def _conversation_row(found: Object, people: People) -> list[str]:
    last = found["last"]
    name = people.label(found["account"], found["name"]) if found["kind"] == "direct" else text.name(found["name"])
    return [name, str(found["unread"] or "-"), shown(_sent_at(last) if last else None), _preview(last, people) if last else ""]


def _preview(found: Object, people: People) -> str:
    words = plain.summary(found["text"] or "", PREVIEW_CHARACTERS)
    return f"* {words}" if found["kind"] == "system" else f"{sender(found, people)}: {words}"


def _towards(found: Object, people: People) -> str:
    to = ", ".join(people.label(each["account"], each["name"]) for each in found["deliveries"])
    return f" → {to or 'me'}" if found["mine"] else ""


def _remark(found: Object) -> str:
    return f"  ({found['state']})" if found["mine"] else ""


def _moment(found: Object) -> str:
    """Say when a message was sent, by our clock; where its author's is far off, also by that."""
    here, there = shown(_sent_at(found)), shown(found["sent_at"])
    return here if here == there else f"{here} (their clock: {there})"


def _sent_at(found: Object) -> str:
    """Return when a message was sent, by our clock.

    That is not after it came: an author whose clock was set back goes on from the times of his last messages, lest they change places.
    """
    sent, received, skew = found["sent_at"], found["received_at"], found["clock_skew_s"]
    ours: str = sent if skew is None or abs(skew) < SKEW_WORTH_SAYING_S else by_our_clock(sent, skew)
    return ours if received is None or seconds_after(ours, received) < SKEW_WORTH_SAYING_S else str(received)


def _listing(rows: list[list[str]]) -> str:
    """Return a table under its headings; on a terminal too narrow for it the last column is cut, or each row becomes a few lines."""
    columns = output.columns()
    if columns is None or _widest(rows) <= columns:
        return text.table(rows)
    left = columns - _widest([row[:-1] for row in rows]) - 2
    if left >= max(text.LEAST_COLUMNS, text.width(rows[0][-1])):
        return text.table([[*row[:-1], text.cut(row[-1], left)] for row in rows])
    heads, *rest = rows
    if not heads[-1]:  # free words
        left = columns - max(map(text.width, heads)) - 3
        rest = [[*row[:-1], text.cut(row[-1], max(left, 1))] for row in rest]
    return "\n\n".join(_pairs([(head.lower(), cell or None) for head, cell in zip(heads, row, strict=True)]) for row in rest)


def _widest(rows: list[list[str]]) -> int:
    return max(map(text.width, text.table(rows).split("\n")))


def _pairs(lines: Sequence[tuple[str, object]]) -> str:
    rows = [[f"{name}:" if name else "", text.line(str(value))] for name, value in lines if value is not None]
    return text.table(rows, output.columns())
