"""Every field of what every command prints, with the worst in it that others could send: on a terminal nothing of it commands.

The daemon is a script, so that fields are hostile, too, of which the real one sees to it that they cannot be.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.cli.main import COMMANDS
from p2pmsg.errors import Ambiguous
from p2pmsg.rpc.connection import Call
from tests.unit.scripted import BOB, ME, Daemon, cli, contact, error_of, message
from tests.unit.terminal import balanced, drawn, rows, terminal
from tests.unit.test_cli_show import STATUS
from tests.unit.test_daemon_doctor import Profile, lived_in

FORGED = "12:00  Bob: forged"
EVIL = (
    "\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\x9d0;x\x9c\x07\b\r\x7f\x00\u202e\u2066\u2067\u202a\u061c\u200f\u2028\u200b\U000e0041\ufe0f"
    f"\n{FORGED}\r\n2099-01-31 12:03  * forged\n* forged\n{FORGED}" + " " * 66 + FORGED + "\u3000" * 40 + f"  * forged  {FORGED}"
    "e" + "\u0301" * 500 + "\u05d0 \u2069\u202c\u2069 " + "⚠" * 40 + f" {FORGED}"
)
AT = "2099-01-31T12:03:04.005Z"
DISPATCHED = {"kind", "type", "vault_mode", "emoji", "state", "trust", "alert", "path", "verified_by", "vault"}
DISPATCHED |= {"check", "id", "account", "device", "conversation", "cursor"}
"""Fields that hold one of a few words of ours, or hexadecimal digits that the daemon wrote."""


def poisoned(value: Any, key: str = "") -> Any:
    """Return an object of the contract with the worst in each of its texts but times."""
    if isinstance(value, dict):
        return {name: poisoned(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each, key) for each in value]
    is_time = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value)
    return EVIL if isinstance(value, str) and not is_time and key not in DISPATCHED else value


SAS = {"type": "sas", "numbers": [1000, 5061, 9191], "emoji": ["Dog", "Thumbs Up", "Pin", "Dog", "Cat", "Lion", "Horse"]}
CONTACT = poisoned(contact(BOB, "bob", "invited", verified_by="sas", alert="device_added", last_seen=AT))
MINE = {**message("hi", 3, mine=True), "deliveries": [{"account": BOB, "name": "bob", "state": "sent", "at": AT}]}
MESSAGES = [
    poisoned(each)
    for each in (message("hi"), message("hi", 2, clock_skew_s=7200), MINE, *(message("hi", 4, kind=k) for k in ("system", "unknown")))
]
TALK = {"conversation": "c0", "kind": "direct", "name": "bob", "account": BOB, "unread": 1}
PEER = {"account": BOB, "name": "bob", "device": "d1", "device_name": "laptop", "online": True, "since": AT, "path": "mdns"}
PEER |= {"address": "10.0.0.1:4711", "interface": "eth0", "rtt_ms": 1.5}
REQUEST = {"id": "7f3a", "account": BOB, "nickname": "bob", "kind": "contact", "live": True, "received_at": AT}
NEARBY = {"id": "00", "nickname": "bob"}
INVITE = {"id": "1234", "invite": "P2PMSG:AAAA", "expires_at": AT}
WARNED = {
    **STATUS,
    "vault_mode": "file",
    "vault": "open",
    "disk_bytes": 4096,
    "unread": 1,
    "queued": 1,
    "started_at": AT,
    "warnings": [{"code": "disk", "message": "full", "hint": "free some"}],
    "interfaces": ["eth0"],
    "visible_until": AT,
}
FOUND = [{"check": "mdns", "ok": False, "detail": "broken", "hint": "mend it"}]
VAULT = {"vault": "open", "vault_mode": "file"}
EVENTS: list[dict[str, Any]] = [
    *({"cursor": 8, "at": AT, "type": "message", "message": each} for each in MESSAGES),
    {"cursor": EVIL, "at": AT, "type": "state", "id": "f" * 64, "state": "read", "account": BOB},
    {"cursor": 9, "at": AT, "type": "contact", "contact": CONTACT},
    {"cursor": 9, "at": AT, "type": "peer", "peer": poisoned(PEER)},
    {"cursor": 9, "at": AT, "type": "request", "request": poisoned(REQUEST)},
    {"cursor": 9, "at": AT, "type": "alert", "alert": CONTACT},
    {"cursor": 9, "at": AT, "type": EVIL, "later": EVIL},
]


async def compared(params: object, call: Call) -> Any:
    await call.ask(SAS)
    return CONTACT


async def added(params: Any, call: Call) -> Any:
    return CONTACT if params.nickname is None else await compared(params, call)


async def deleted(params: Any, call: Call) -> Any:
    if params.id is not None:
        await call.ask({"type": "delete", "name": EVIL})
    return {"deleted": 1, "still_to_deliver": 1}


async def watched(params: object, call: Call) -> None:
    await call.reply({"cursor": EVIL})
    for event in EVENTS:
        await call.notify(event)
    await asyncio.Event().wait()


def verified(params: Any, call: Call) -> Any:
    return {"number": "12345" * 12} if params.number is True else compared(params, call)


ANSWERS: dict[str, Any] = {
    "whoami": poisoned(ME),
    "profile.set": poisoned(ME),
    "status": poisoned(WARNED),
    "doctor": poisoned(FOUND),
    "vault.lock": poisoned(VAULT),
    "contact.invite": poisoned(INVITE) | {"invite": INVITE["invite"]},
    "contact.invites": [poisoned(INVITE)],
    "contact.uninvite": poisoned(INVITE),
    "contact.add": added,
    "contact.accept": compared,
    "contact.verify": verified,
    "contact.decline": poisoned(REQUEST),
    "contact.requests": [poisoned(REQUEST) | {"id": "7f3a"}, poisoned(REQUEST) | {"kind": "verify", "live": False}],
    "contact.nearby": [poisoned(NEARBY)],
    **{f"contact.{method}": CONTACT for method in ("show", "find", "rename", "block", "unblock", "remove")},
    "contact.list": [CONTACT, CONTACT],
    "visible.on": {"visible_until": AT},
    "visible.off": {"visible_until": None},
    "peers": [poisoned(PEER), poisoned(PEER)],
    "send": poisoned(MINE),
    "inbox": [{**poisoned(TALK), "last": each} for each in MESSAGES] + [{**poisoned(TALK), "kind": "self", "last": None}],
    "history": MESSAGES,
    "read": MESSAGES,
    "delete": deleted,
    "watch": watched,
}
PLAIN = ["whoami", "profile set --name x", "status", "daemon status", "daemon logs", "vault lock", "contact invite", "contact invites"]
PLAIN += [
    "contact uninvite 12",
    "contact add P2PMSG:AAAA",
    "contact decline 7f",
    "contact nearby",
    "contact requests",
    "contact list",
    "contact show bob",
]
PLAIN += [
    "contact find bob",
    "contact rename bob rob",
    "contact block bob",
    "contact unblock bob",
    "contact remove bob -y",
    "visible on",
    "visible off",
]
PLAIN += [
    "contact verify bob --number",
    "peers",
    "send bob hi",
    "send bob hi --key k",
    "inbox",
    "inbox --all",
    "history bob",
    "history bob -n 5",
]
PLAIN += ["read bob", "delete --in bob -y", "config list", f"watch -n {len(EVENTS)}", "doctor --with bob"]
ASKING = {
    "contact add bob": "yes",
    "contact accept 7f3a": "yes",
    "contact verify bob": "yes",
    "contact remove bob": "y",
    "delete ab": "y",
    "delete --in bob": "y",
}
ELSEWHERE = {"init", "wipe", "demo", "completion", "chat", "config"}
"""Commands whose words are all our own, or which have a test of their own below."""


@pytest.fixture
def evil(daemon: Daemon) -> Path:
    daemon.script.answers |= ANSWERS
    lived_in(Profile(daemon.home, "default", True))
    line = f"2099-01-31T12:03:04.005Z INFO x: {EVIL}".replace("\n", " ").replace("\r", " ")  # line ends the journal escapes
    (daemon.folder / "daemon.log").write_text(f"{line}\n", encoding="utf-8", newline="")
    return daemon.home


def harmless(screen: bytes, columns: int = 80) -> None:
    """See that nothing but text and newlines came, and that no row passes for a message or a system line."""
    words = screen.decode().replace("\r\n", "\n")
    assert not (found := re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", words)), (found, words)
    assert "aGk=" not in words or "\\x1b]52" in words
    assert words.count("\u0301" * 9) == 0
    for row in words.split("\n"):
        assert balanced(row), row
    for row in drawn(words, columns):
        assert not row.startswith((FORGED, "* forged", "2099-01-31 12:03  * forged")), words


def test_every_command_is_walked() -> None:
    walked = {line.split()[0] for line in [*PLAIN, *ASKING]}
    assert walked | ELSEWHERE == set(COMMANDS)


@pytest.mark.parametrize(("line", "columns"), [*((line, 80) for line in PLAIN), *((line, 44) for line in PLAIN if line[:6] != "doctor")])
def test_what_a_command_prints(evil: Path, line: str, columns: int) -> None:
    with terminal(evil, *line.split(), columns=columns, TERM="dumb", NO_COLOR="1") as screen:
        status = screen.end()
    assert status in (0, 9 if line.startswith("doctor") else 0), screen.screen
    assert b"Traceback" not in screen.screen and b"went wrong" not in screen.screen
    harmless(screen.screen, columns)


@pytest.mark.parametrize("line", ASKING)
def test_what_a_command_asks(evil: Path, line: str) -> None:
    with terminal(evil, *line.split(), TERM="dumb", NO_COLOR="1") as screen:
        screen.see("]")
        screen.press(f"{ASKING[line]}\r")
        assert screen.end() == 0, screen.screen
    harmless(screen.screen)


@pytest.mark.parametrize("line", [line for line in PLAIN if line.split()[0] not in ("daemon", "config", "doctor")])
def test_errors(daemon: Daemon, line: str) -> None:
    error = Ambiguous(EVIL, candidates=[EVIL, f"bob~{EVIL}"], hint=EVIL)
    daemon.script.answers |= {method: error for method in ANSWERS}
    with terminal(daemon.home, *line.split(), TERM="dumb") as screen:
        assert screen.end() == 5
    harmless(screen.screen)


def test_a_chat(daemon: Daemon) -> None:
    daemon.script.answers |= ANSWERS
    with terminal(daemon.home, "chat", "bob", TERM="dumb") as screen:
        screen.see("> ")
        screen.press("hi\r")
        screen.see("(")
        screen.press("\x04")
        assert screen.end() == 0
    shown = screen.screen.decode().replace("\r\n", "\n")
    harmless(re.sub("\r *\r", "", shown).replace("\b", "").encode())


def test_what_is_typed_in_a_chat_is_shown_harmless(daemon: Daemon) -> None:
    daemon.script.answers |= ANSWERS | {
        "read": [],
        "history": [],
        "watch": lambda params, call: watched_nothing(call),
        "contact.show": contact(),
    }
    with terminal(daemon.home, "chat", "bob", TERM="dumb") as screen:
        screen.see("> ")
        screen.press("\u202ea\u009bb")
        screen.see("b")
        screen.press("\x15\x04")
        assert screen.end() == 0
    assert "\u202e" not in screen.screen.decode() and "\x9b" not in screen.screen.decode()
    rows(screen.screen)


async def watched_nothing(call: Call) -> None:
    await call.reply({"cursor": 1})
    await asyncio.Event().wait()


def test_settings_with_the_worst_in_them(evil: Path) -> None:
    (evil / "profiles" / "default" / "config.toml").write_text(f"[notify]\ncommand = {json.dumps(EVIL)}\n")
    with terminal(evil, "config", "list", TERM="dumb") as screen:
        assert screen.end() == 8
    harmless(screen.screen)


UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
EXACT = {line: ANSWERS[method] for line, method in (
    ("whoami", "whoami"), ("status", "status"), ("contact list", "contact.list"), ("contact show bob", "contact.show"), ("peers", "peers"),
    ("contact requests", "contact.requests"), ("contact nearby", "contact.nearby"), ("contact invites", "contact.invites"),
    ("inbox", "inbox"), ("history bob", "history"), ("read bob", "read"), ("send bob hi", "send"),
)}  # fmt: skip


@pytest.mark.parametrize("line", EXACT)
def test_json_is_exact_and_its_bytes_are_harmless(evil: Path, line: str) -> None:
    done = cli(evil, *line.split(), "--json")
    found = [json.loads(each) for each in done.stdout.splitlines()]
    assert done.returncode == 0 and found == (EXACT[line] if isinstance(EXACT[line], list) else [EXACT[line]])
    assert not UNSAFE.search(done.stdout.decode())


def test_json_of_events_and_errors(evil: Path, daemon: Daemon) -> None:
    done = cli(evil, "watch", "-n", str(len(EVENTS)), "--json")
    assert [json.loads(each) for each in done.stdout.splitlines()][1:] == EVENTS and not UNSAFE.search(done.stdout.decode())
    daemon.script.answers["whoami"] = Ambiguous(EVIL, candidates=[EVIL], hint=EVIL)
    done = cli(evil, "whoami", "--json")
    assert error_of(done) == {"code": "ambiguous", "message": EVIL, "hint": EVIL, "candidates": [EVIL]}
    assert not UNSAFE.search(done.stderr.decode())
