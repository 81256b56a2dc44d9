from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import pytest

from p2pmsg.errors import SasMismatch
from p2pmsg.rpc.connection import Call
from tests.unit.scripted import Daemon, cli, command, contact, error_of
from tests.unit.terminal import terminal

SAS = {"type": "sas", "numbers": [1000, 5061, 9191], "emoji": ["Dog", "Thumbs Up", "Pin", "Dog", "Cat", "Lion", "Horse"]}
REQUEST = {"id": "7f3a91c27f3a91c2", "account": None, "nickname": "B\x1b[2Job", "kind": "contact", "live": True}
REQUEST |= {"received_at": "2099-01-31T12:03:04.005Z"}
NEARBY = {"id": "00" * 10, "nickname": "Ann"}


class Question:
    """The daemon's part of `add` and `accept`: asks, remembers the line, and answers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def __call__(self, params: object, call: Call) -> Any:
        self.lines.append(await call.ask(SAS))
        if self.lines[-1] != "yes":
            raise SasMismatch("You did not say yes. Nothing was stored.")
        return contact()


@pytest.fixture
def question(daemon: Daemon) -> Question:
    asks = Question()
    daemon.script.answers |= {"contact.add": asks, "contact.accept": asks, "contact.requests": [REQUEST]}
    return asks


COMMANDS = [("contact", "add", "Ann"), ("contact", "accept", "7f3a")]


@pytest.mark.parametrize("words", COMMANDS)
def test_the_strings_come_first_and_then_the_contact(daemon: Daemon, question: Question, words: tuple[str, ...]) -> None:
    done = cli(daemon.home, *words, "--json", stdin=b"yes\nrest")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [SAS, contact()]
    assert (done.returncode, done.stderr, question.lines) == (0, b"", ["yes"])


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("stdin", [b"", b"no\n", b"yes please\n"])
def test_no_and_the_end_of_input(daemon: Daemon, question: Question, words: tuple[str, ...], stdin: bytes) -> None:
    done = cli(daemon.home, *words, "--json", stdin=stdin)
    assert (done.returncode, error_of(done)["code"]) == (6, "sas_mismatch")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [SAS]


def test_a_person_who_says_neither_is_asked_again(daemon: Daemon, question: Question) -> None:
    with terminal(daemon.home, *COMMANDS[0]) as screen:
        screen.see("[yes/no]")
        screen.press("y\n")
        screen.see("Type yes or no: ")
        screen.press("Yes\n")
        screen.end()
    assert question.lines == ["Yes"]


@pytest.mark.parametrize("words", COMMANDS)
def test_people_see_numbers_and_symbols_with_their_words(daemon: Daemon, question: Question, words: tuple[str, ...]) -> None:
    done = cli(daemon.home, *words, stdin=b"yes\n", LANG="C")
    text = done.stdout.decode()
    assert "1000   5061   9191" in text and "🐶 Dog   👍 Thumbs Up   📌 Pin" in text and done.stderr == b"You and bob are contacts.\n"


def test_on_a_terminal_somebody_is_asked(daemon: Daemon, question: Question) -> None:
    with terminal(daemon.home, "contact", "accept", "7f3a") as screen:
        screen.see("[yes/no]")
        screen.press("yes\r")
        assert screen.end() == 0
    assert question.lines == ["yes"]


def test_who_has_gone_is_waited_for_in_words(daemon: Daemon, question: Question) -> None:
    for live, said in ((True, False), (False, True)):
        daemon.script.answers["contact.requests"] = [REQUEST | {"live": live}]
        done = cli(daemon.home, "contact", "accept", REQUEST["id"][:6], stdin=b"yes\n")
        assert (b"waiting for them to ask again" in done.stderr) is said
        assert b"waiting" not in cli(daemon.home, "contact", "accept", REQUEST["id"], "--json", stdin=b"yes\n").stderr


def test_what_ends_meanwhile_is_told_before_somebody_types(daemon: Daemon) -> None:
    async def gone(params: object, call: Call) -> Any:
        try:
            async with asyncio.timeout(0.2):
                await call.ask(SAS)
        except TimeoutError:
            raise SasMismatch("Ann does not confirm that you see the same.") from None

    daemon.script.answers["contact.add"] = gone
    env = {"P2PMSG_HOME": str(daemon.home)}
    with subprocess.Popen(command("contact", "add", "Ann", "--json"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as typing:
        assert typing.stderr is not None and json.loads(typing.stderr.readline())["error"]["code"] == "sas_mismatch"
        assert typing.wait(10) == 6


@pytest.mark.parametrize(
    ("words", "params"),
    [
        (["Ann"], {"nickname": "Ann"}),
        (["0011223344", "--name", "Annie"], {"nickname": "0011223344", "name": "Annie"}),
        (["Ann", "--timeout", "10"], {"nickname": "Ann", "timeout_s": 10.0}),
        (["p2pmsg:abc"], {"invite": "p2pmsg:abc"}),
        (["http://example.org"], {"invite": "http://example.org"}),
    ],
)
def test_who_is_meant(daemon: Daemon, words: list[str], params: dict[str, Any]) -> None:
    daemon.script.answers["contact.add"] = contact()
    assert cli(daemon.home, "contact", "add", *words).returncode == 0
    (asked,) = daemon.script.asked("contact.add")
    assert {name: value for name, value in asked.items() if value is not None} == params


def test_visible(daemon: Daemon) -> None:
    daemon.script.answers |= {"visible.on": {"visible_until": REQUEST["received_at"]}, "visible.off": {"visible_until": None}}
    assert json.loads(cli(daemon.home, "visible", "on", "--json").stdout) == {"visible_until": REQUEST["received_at"]}
    assert b"2099-01-31" in cli(daemon.home, "visible", "on", "--for", "1h").stdout
    assert daemon.script.asked("visible.on") == [{"for_s": 600.0}, {"for_s": 3600.0}]
    assert json.loads(cli(daemon.home, "visible", "off", "--json").stdout) == {"visible_until": None}


def test_who_is_nearby(daemon: Daemon) -> None:
    daemon.script.answers["contact.nearby"] = [NEARBY, NEARBY | {"nickname": "a\u202eb"}]
    assert [json.loads(line)["id"] for line in cli(daemon.home, "contact", "nearby", "--json").stdout.splitlines()] == ["00" * 10] * 2
    human = cli(daemon.home, "contact", "nearby", "--timeout", "1").stdout.decode()
    assert "Ann" in human and "\u202e" not in human
    assert daemon.script.asked("contact.nearby") == [{"timeout_s": 5.0}, {"timeout_s": 1.0}]
    daemon.script.answers["contact.nearby"] = []
    nobody = cli(daemon.home, "contact", "nearby", "--json")
    assert (nobody.returncode, nobody.stdout) == (0, b"")


def test_requests_and_declining(daemon: Daemon) -> None:
    daemon.script.answers |= {"contact.requests": [REQUEST], "contact.decline": REQUEST | {"live": False}}
    assert json.loads(cli(daemon.home, "contact", "requests", "--json").stdout) == REQUEST
    human = cli(daemon.home, "contact", "requests").stdout
    assert b"7f3a91c2" in human and b"yes" in human and b"\x1b" not in human
    declined = cli(daemon.home, "contact", "decline", "7f3a")
    assert declined.returncode == 0 and b"\x1b" not in declined.stdout
    assert daemon.script.asked("contact.decline") == [{"id": "7f3a"}]
