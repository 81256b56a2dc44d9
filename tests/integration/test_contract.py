"""The CLI contract to the letter: every command of this version on two real daemons, its objects, exit statuses and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from p2pmsg.rpc import api
from tests.integration import shapes
from tests.integration.daemons import Somebody, town, until


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    with town("Ann", "Bob") as found:
        found[1].say(found[0], "hello Ann")
        found[0].say(found[1], "hello Bob")
        yield found


COMMANDS = [
    ("whoami --json", shapes.WHOAMI, 1),
    ("profile set --name Ann --json", shapes.WHOAMI, 1),
    ("daemon start --json", shapes.STATUS, 1),
    ("daemon status --json", shapes.STATUS, 1),
    ("status --json", shapes.STATUS, 1),
    ("daemon logs -n 2 --json", shapes.LOG_LINE, 2),
    ("config list --json", shapes.SETTING, 14),
    ("config get receipts.read --json", shapes.SETTING, 1),
    ("config set history.keep 30d --json", shapes.SETTING, 1),
    ("config unset history.keep --json", shapes.SETTING, 1),
    ("config path --json", shapes.SETTING, 1),
    ("contact invite --json", shapes.INVITE, 1),
    ("contact invite --valid 2h --json", shapes.INVITE, 1),
    ("contact invites --json", shapes.OPEN_INVITE, 2),
    ("contact list --json", shapes.CONTACT, 1),
    ("contact show bob --json", shapes.CONTACT, 1),
    ("contact rename bob Bob --json", shapes.CONTACT, 1),
    ("visible on --json", shapes.VISIBLE, 1),
    ("visible on --for 5m --json", shapes.VISIBLE, 1),
    ("status --json", shapes.STATUS, 1),
    ("visible off --json", shapes.VISIBLE, 1),
    ("contact requests --json", shapes.REQUEST, 0),
    ("contact nearby --timeout 0.1 --json", shapes.NEARBY, 0),
    ("doctor --json", shapes.CHECK, None),
    ("doctor --with bob --json", shapes.CHECK, None),
    ("completion bash --json", shapes.COMPLETION, 1),
    ("peers --json", shapes.PEER, 1),
    ("send bob --json -- a b  c", shapes.MESSAGE, 1),
    ("send bob --wait sent --json again", shapes.MESSAGE, 1),
    ("send me --json a note", shapes.MESSAGE, 1),
    ("inbox --json", shapes.CONVERSATION, 1),
    ("inbox --all --json", shapes.CONVERSATION, 2),
    ("history bob --json -n 2", shapes.MESSAGE, 2),
    ("history bob --json --since 1h", shapes.MESSAGE, 5),
    ("history me --json", shapes.MESSAGE, 1),
    ("read bob --json", shapes.MESSAGE, 1),
    ("read bob --json", shapes.MESSAGE, 0),
    ("delete --in me -y --json", shapes.DELETED, 1),
    ("watch --since 0 -n 1 --json", None, 2),
    ("daemon restart --json", shapes.STATUS, 1),
]


@pytest.mark.parametrize(("words", "shape", "count"), COMMANDS, ids=[words for words, _, _ in COMMANDS])
def test_a_command_prints_its_objects(ann: Somebody, words: str, shape: dict[str, shapes.Check] | None, count: int | None) -> None:
    done = ann.cli(*words.split())
    assert done.status == 0 or (words.startswith("doctor") and done.status == 9), done.err
    objects = done.objects
    assert objects if count is None else len(objects) == count
    for found in objects if shape is not None else ():
        assert shapes.faults(found, shape) == []  # type: ignore[arg-type]


METHODS: dict[str, tuple[dict[str, Any], Any]] = {
    "rpc.hello": ({"version": "0"}, shapes.HELLO),
    "whoami": ({}, shapes.WHOAMI),
    "profile.set": ({"name": "Ann"}, shapes.WHOAMI),
    "status": ({}, shapes.STATUS),
    "daemon.status": ({}, shapes.STATUS),
    "daemon.logs": ({"n": 3}, [shapes.LOG_LINE]),
    "config.list": ({}, [shapes.SETTING]),
    "config.get": ({"key": "typing"}, shapes.SETTING),
    "config.set": ({"key": "typing", "value": False}, shapes.SETTING),
    "config.unset": ({"key": "typing"}, shapes.SETTING),
    "config.path": ({}, shapes.SETTING),
    "doctor": ({}, [shapes.CHECK]),
    "visible.on": ({"for_s": 60}, shapes.VISIBLE),
    "visible.off": ({}, shapes.VISIBLE),
    "contact.invite": ({"valid_s": 60}, shapes.INVITE),
    "contact.invites": ({}, [shapes.OPEN_INVITE]),
    "contact.nearby": ({"timeout_s": 0.1}, []),
    "contact.requests": ({}, []),
    "contact.list": ({}, [shapes.CONTACT]),
    "contact.show": ({"name": "bob"}, shapes.CONTACT),
    "contact.rename": ({"name": "bob", "new": "Bob"}, shapes.CONTACT),
    "contact.find": ({"name": "bob"}, shapes.CONTACT),
    "peers": ({}, [shapes.PEER]),
    "send": ({"target": "bob", "text": "hi", "wait": "sent"}, shapes.MESSAGE),
    "inbox": ({"all": True}, [shapes.CONVERSATION]),
    "history": ({"target": "bob"}, [shapes.MESSAGE]),
    "read": ({"target": "bob"}, [shapes.MESSAGE]),
    "delete": ({"in": "me"}, shapes.DELETED),
    "chat.typing": ({"target": "bob"}, shapes.TOLD),
}
"""Each with params, and the object that it answers or, in a list, many of which it answers."""
ELSEWHERE = {"contact.add", "contact.accept", "contact.decline", "contact.uninvite", "contact.remove", "watch", "daemon.stop"}
ELSEWHERE |= {"contact.verify", "contact.block", "contact.unblock"}
"""Methods that need others, or end something, are called in tests of their own."""


def test_a_method_answers_with_its_objects(ann: Somebody, bob: Somebody) -> None:
    bob.say(ann, "to be read")
    for method, (params, shape) in METHODS.items():
        if method in api.METHODS:
            answer = ann.ask(method, **params)
            answers, kind = (answer, shape) if isinstance(shape, list) else ([answer], [shape])
            assert type(answer) is type(shape) and bool(answers) == bool(kind), method
            assert [shapes.faults(found, kind[0]) for found in answers] == [[]] * len(answers), method
    assert {method for method in api.METHODS.keys() - METHODS.keys() if not method.startswith("vault.")} == ELSEWHERE


REFUSED = [
    (2, "usage", "nonsense --json"),
    (2, "usage", "send --json"),
    (2, "empty_text", "send bob --json"),
    (2, "usage", "send bob --json -5 degrees"),
    (2, "usage", "send bob --frobnicate --json"),
    (2, "usage", "send bob --wait eaten --json hi"),
    (2, "usage", "send bob --timeout soon --json hi"),
    (2, "usage", "history bob -n 0 --json"),
    (2, "usage", "history bob --before 1234 --after 1234 --json"),
    (2, "usage", "history bob --since yesterday --json"),
    (2, "usage", "watch -n 0 --json"),
    (2, "usage", "watch --since 99999999 --json"),
    (2, "usage", "watch --since abc --json"),
    (2, "usage", "contact add --json"),
    (2, "usage", "contact invite --valid 0 --json"),
    (2, "usage", "contact invite --valid 8d --json"),
    (2, "usage", "profile set --json"),
    (2, "confirmation_needed", "contact remove bob --json"),
    (2, "invalid_name", "contact rename bob me --json"),
    (2, "invalid_name", "contact rename bob a~b --json"),
    (2, "invalid_name", "contact rename bob a/b --json"),
    (2, "invalid_name", "contact rename bob a:b --json"),
    (2, "invalid_name", "profile set --name ME --json"),
    (2, "invite_malformed", "contact add P2PMSG:AAAA --json"),
    (2, "invite_malformed", "contact add http://example.org --json"),
    (2, "usage", "--profile ../x whoami --json"),
    (2, "invalid_value", "config set listen.port many --json"),
    (2, "invalid_value", "config set discovery.paths mdns,telepathy --json"),
    (3, "not_initialized", "--profile nobody whoami --json"),
    (3, "not_initialized", "--profile nobody daemon start --json"),
    (3, "not_initialized", "--profile nobody daemon run --json"),
    (3, "not_initialized", "--profile nobody config set typing true --json"),
    (4, "contact_not_found", "send carl --json hi"),
    (4, "contact_not_found", "history carl --json"),
    (4, "contact_not_found", "read carl --json"),
    (4, "contact_not_found", "watch --in carl --json"),
    (4, "contact_not_found", "contact show carl --json"),
    (4, "contact_not_found", "contact show me --json"),
    (4, "contact_not_found", "contact rename me Anna --json"),
    (4, "contact_not_found", "contact remove me -y --json"),
    (4, "contact_not_found", "contact rename carl Karl --json"),
    (4, "contact_not_found", "contact remove carl -y --json"),
    (4, "message_not_found", "history bob --before ffffffff --json"),
    (4, "message_not_found", "history bob --after xyz1 --json"),
    (4, "invite_not_found", "contact uninvite ffff --json"),
    (4, "key_not_found", "config get no.such --json"),
    (4, "file_not_found", "contact add --image /nonexistent.png --json"),
    (8, "already_initialized", "init --name Ann --words-file /tmp/p2p-never-made --json"),
    (8, "already_running", "daemon run --json"),
]


@pytest.mark.parametrize(("status", "code", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_a_command_that_cannot_work_says_so(ann: Somebody, status: int, code: str, words: str) -> None:
    ann.fails(status, code, *words.split())


@pytest.mark.parametrize(("status", "code", "words"), REFUSED[::5], ids=[words for _, _, words in REFUSED[::5]])
def test_people_read_what_happened_and_what_to_try(ann: Somebody, status: int, code: str, words: str) -> None:
    done = ann.cli(*(word for word in words.split() if word != "--json"))
    lines = done.err.splitlines()
    assert (done.status, done.out) == (status, "")
    assert lines[0].startswith("Error: ") and lines[-1].startswith("Try: "), done.err
    assert code not in done.err


def test_words_that_look_like_options_are_told_of_the_two_dashes(ann: Somebody) -> None:
    assert "--" in ann.fails(2, "usage", "send", "bob", "--json", "-5 degrees")["hint"]
    assert ann.good("send", "bob", "--json", "--", "-5 degrees")[0]["text"] == "-5 degrees"


def test_an_empty_text_names_the_way_to_standard_input(ann: Somebody) -> None:
    assert "send NAME -" in ann.fails(2, "empty_text", "send", "bob", "--json")["hint"]


def test_text_from_standard_input_loses_one_newline(ann: Somebody) -> None:
    assert ann.good("send", "bob", "--json", "-", stdin=b"two\n\n")[0]["text"] == "two\n"


TEXTS = [
    (b"", "empty_text"),
    (b"\n", "empty_text"),
    (b"a\0b", "invalid_text"),
    (b"\xff\xfe", "invalid_text"),
    (b"x" * 70_000, "text_too_long"),
    (b"x" * 65_537, "text_too_long"),
    ("ä".encode() * 32_769, "text_too_long"),
]


@pytest.mark.parametrize(("data", "code"), TEXTS, ids=range(len(TEXTS)))
def test_a_text_that_cannot_be_sent(ann: Somebody, data: bytes, code: str) -> None:
    ann.fails(2, code, "send", "bob", "--json", "-", stdin=data)


def test_the_longest_text_arrives_whole(ann: Somebody, bob: Somebody) -> None:
    longest = "ß" * 32_768
    assert ann.good("send", "bob", "--wait", "delivered", "--json", "-", stdin=longest.encode())[0]["state"] in ("delivered", "read")
    assert bob.ask("history", target="ann", n=1)[0]["text"] == longest


def test_controls_are_escaped_and_kept(ann: Somebody, bob: Somebody) -> None:
    nasty = "\x1b[2J\x9b\u202e\u2066\x7f\u061c end"
    done = ann.cli("send", "bob", "--wait", "delivered", "--json", "-", stdin=nasty.encode())
    assert done.objects[0]["text"] == nasty
    assert all(c not in done.out for c in nasty[:-4].replace("[2J", ""))
    assert bob.ask("history", target="ann", n=1)[0]["text"] == nasty
    shown = bob.cli("history", "ann", "-n", "1").out
    assert not any(c in shown for c in "\x1b\x9b\x7f")
    assert shown.count("\u2068") == 1 and shown.rstrip().endswith("\u2069")  # what turns the text around is kept in


NAMES = ["", "x" * 65, "x" * 10_000, "a\nb", "a\x1b[2Jb", "a\u202eb", "me", "ME", "a~b", "a:b", "a/b", " a", "\u200b", "\u00a0"]


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[:12] for name in NAMES])
def test_a_name_that_is_none(ann: Somebody, name: str) -> None:
    ann.fails(2, "invalid_name", "contact", "rename", "--json", "--", "bob", name)


@pytest.mark.parametrize("name", NAMES[:3], ids=[ascii(name)[:12] for name in NAMES[:3]])
def test_a_name_that_nobody_can_take(ann: Somebody, name: str) -> None:
    ann.fails(2, "invalid_name", "profile", "set", "--json", "--name", name)
    ann.fails(2, "invalid_name", "--profile", "new", "init", "--json", f"--name={name}", "--words-file", "/tmp/p2p-never-made")
    assert not (ann.home / "profiles" / "new").exists()


def test_targets(ann: Somebody, bob: Somebody) -> None:
    conversation = ann.ask("history", target="bob", n=1)[0]["conversation"]
    names = [
        "bob",
        "BOB",
        f"bob~{bob.account[:8]}",
        f"bob~{bob.account[:12]}",
        bob.account,
        bob.account[:4],
        conversation,
        conversation[:6],
    ]
    assert {ann.ask("history", target=name, n=1)[0]["conversation"] for name in names} == {conversation}
    assert {ann.ask("send", target=me, text="x")["conversation"] for me in ("me", "ME", ann.account, ann.account[:6])} != {conversation}
    ann.fails(4, "contact_not_found", "history", bob.account[:3], "--json")


def test_messages_by_the_start_of_their_id(ann: Somebody) -> None:
    first, second = (ann.ask("send", target="bob", text=text) for text in ("first", "second"))
    assert ann.good("history", "bob", "--after", first["id"][:12], "--json")[0]["id"] == second["id"]
    assert ann.good("history", "bob", "--before", second["id"][:12].upper(), "-n", "1", "--json")[0]["id"] == first["id"]


def test_an_invite_without_json_is_alone_on_stdout(ann: Somebody) -> None:
    done = ann.cli("contact", "invite")
    assert done.status == 0 and done.out.startswith("P2PMSG:") and done.out.count("\n") == 1
    assert len(done.out.strip()) <= 120
    assert done.err and "█" not in done.err  # the drawing is for terminals


def test_invites_are_listed_and_withdrawn(ann: Somebody) -> None:
    made = ann.good("contact", "invite", "--json")[0]
    assert made["id"] in [each["id"] for each in ann.good("contact", "invites", "--json")]
    assert ann.good("contact", "uninvite", made["id"][:6], "--json")[0]["id"] == made["id"]
    assert made["id"] not in [each["id"] for each in ann.good("contact", "invites", "--json")]
    ann.fails(8, "invite_own", "contact", "add", made["invite"], "--json")


def test_the_same_key_sends_once(ann: Somebody, bob: Somebody) -> None:
    first, second = (ann.good("send", "bob", "--key", "k-1", "--json", text)[0] for text in ("once", "twice"))
    assert second["id"] == first["id"] and second["text"] == "once"
    assert ann.texts(bob).count("once") == 1 and "twice" not in ann.texts(bob)
    assert ann.good("send", "bob", "--key", "k-2", "--json", "once")[0]["id"] != first["id"]


def test_wait_says_what_it_saw(ann: Somebody, bob: Somebody) -> None:
    done = ann.cli("send", "bob", "--wait", "read", "--timeout", "0.3", "--json", "unread yet")
    assert done.status == 7 and done.error["code"] == "timeout"
    assert done.objects[0]["state"] == "delivered"
    with ann.popen("send", "bob", "--wait", "read", "--json", "read at once") as waiting:
        until(lambda: "read at once" in bob.texts(ann), "it arrived")
        assert [m["text"] for m in bob.good("read", "ann", "--json")][-1] == "read at once"
        out, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 0 and json.loads(out)["state"] == "read"


def test_help_and_version(ann: Somebody) -> None:
    assert ann.cli("--version").out.startswith("p2pmsg ")
    for words in ("-h", "--help", "send -h", "contact --help", "contact add -h", "send bob --help", "watch --help"):
        done = ann.cli(*words.split())
        assert done.status == 0 and "Usage:" in done.out and done.err == "", words
