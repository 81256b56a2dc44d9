from __future__ import annotations

import json
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import ContactNotFound
from p2pmsg.rpc.api import History
from tests.unit.scripted import BOB, Daemon, cli, error_of, message
from tests.unit.terminal import terminal

ALL = [message(f"text {number}", number) for number in range(2500)]


def history(params: History, _: object) -> list[dict[str, Any]]:
    """Answer as the daemon does."""
    numbers = range(len(ALL))
    if params.after is not None:
        numbers = numbers[int(params.after, 16) + 1 :][: params.n]
    elif params.before is not None:
        numbers = numbers[: int(params.before, 16)][-params.n :]
    else:
        numbers = numbers[-params.n :]
    return [ALL[number] for number in numbers]


def lines(stdout: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ALL[-50:]),
        (["-n", "2"], ALL[-2:]),
        (["-n", "2200"], ALL[-2200:]),
        (["-n", "5000"], ALL),
        (["--before", f"{1500:064x}", "-n", "1200"], ALL[300:1500]),
        (["--after", f"{10:064x}", "-n", "3"], ALL[11:14]),
        (["--after", f"{100:064x}", "-n", "2000"], ALL[101:2101]),
        (["--after", f"{2499:064x}"], []),
    ],
)
def test_history_is_oldest_first_whatever_an_answer_holds(daemon: Daemon, words: list[str], expected: list[dict[str, Any]]) -> None:
    daemon.script.answers["history"] = history
    done = cli(daemon.home, "history", "bob", "--json", *words)
    assert done.returncode == 0 and lines(done.stdout) == expected
    assert all(params["n"] <= limits.RPC_LIST for params in daemon.script.asked("history"))


def test_since_is_sent_as_a_moment(daemon: Daemon) -> None:
    daemon.script.answers["history"] = []
    assert cli(daemon.home, "history", "bob", "--since", "2026-01-31T13:00:00+01:00").returncode == 0
    assert daemon.script.asked("history")[0]["since"] == "2026-01-31T12:00:00.000Z"


def test_nothing_since_a_moment(daemon: Daemon) -> None:
    daemon.script.answers["history"] = []
    done = cli(daemon.home, "history", "bob", "--since", "2026-01-31T12:00:00Z")
    assert done.stderr == b"Nothing since 2026-01-31 12:00.\n"


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["-n", "2"], f"--before {2498:064x}"),
        (["--after", f"{5:064x}", "-n", "3"], f"--after {8:064x}"),
        (["-n", "2499"], f"--before {1:064x}"),
        (["-n", "2500"], ""),
        (["-n", "2600"], ""),
    ],
)
def test_that_there_is_more_is_said_on_a_terminal(daemon: Daemon, words: list[str], more: str) -> None:
    daemon.script.answers["history"] = history
    with terminal(daemon.home, "history", "bob b", *words) as screen:
        assert screen.end() == 0
    said = screen.screen.decode().splitlines()[-1]
    assert said == f"… more: p2pmsg history 'bob b' {more}"[:-48] if more else "more: " not in said
    assert cli(daemon.home, "history", "bob", *words).stderr == b""


def test_before_and_after_exclude_each_other(daemon: Daemon) -> None:
    done = cli(daemon.home, "history", "bob", "--before", "a", "--after", "b", "--json")
    assert (done.returncode, error_of(done)["code"]) == (2, "usage")


def test_history_for_people(daemon: Daemon) -> None:
    daemon.script.answers["history"] = [message("hi"), message("hello\nyou", 2, mine=True, state="read")]
    done = cli(daemon.home, "history", "bob")
    assert done.stdout.decode().splitlines() == ["2099-01-31 12:03  bob: hi", "2099-01-31 12:03  me: hello", " " * 20 + "you  (read)"]


def test_reading_goes_on_until_all_is_read(daemon: Daemon) -> None:
    unread = [ALL[:1000], ALL[1000:2000], ALL[2000:2300]]
    daemon.script.answers["read"] = lambda *_: unread.pop(0)
    assert lines(cli(daemon.home, "read", "bob", "--json").stdout) == ALL[:2300]
    assert unread == []


@pytest.mark.parametrize(("command", "method"), [("read", "read"), ("history", "history")])
def test_nothing_there(daemon: Daemon, command: str, method: str) -> None:
    daemon.script.answers[method] = []
    done = cli(daemon.home, command, "bob", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert cli(daemon.home, command, "bob").stdout == b""


def test_nobody_of_that_name(daemon: Daemon) -> None:
    daemon.script.answers["read"] = ContactNotFound("There is no contact x.")
    done = cli(daemon.home, "read", "x", "--json")
    assert (done.returncode, done.stdout, error_of(done)["code"]) == (4, b"", "contact_not_found")


def test_inbox(daemon: Daemon) -> None:
    found = {"conversation": "c0" * 32, "kind": "direct", "name": "bob", "account": BOB, "unread": 1, "last": message("hi")}
    daemon.script.answers["inbox"] = [found]
    assert lines(cli(daemon.home, "inbox", "--json").stdout) == [found]
    assert b"bob: hi" in cli(daemon.home, "inbox", "--all").stdout
    assert daemon.script.asked("inbox") == [{"all": False, "skip": 0}, {"all": True, "skip": 0}]


# -- deleting

DELETED = {"conversation": "c0" * 32, "deleted": 2, "still_to_deliver": 0}


async def confirmed(params: Any, call: Any) -> dict[str, Any]:
    assert await call.ask({"type": "confirm", "name": "Bob\x1b"}) == "yes"
    return DELETED


def test_deleting_a_message(daemon: Daemon) -> None:
    daemon.script.answers["delete"] = DELETED
    done = cli(daemon.home, "delete", "7f3a", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == DELETED
    assert daemon.script.asked("delete") == [{"id": "7f3a", "in": None}]
    assert cli(daemon.home, "delete", "7f3a").stdout == b"Deleted: 2 messages.\n"


def test_what_is_still_to_be_delivered_is_confirmed(daemon: Daemon) -> None:
    daemon.script.answers["delete"] = confirmed
    assert cli(daemon.home, "delete", "7f3a", "-y", "--json").returncode == 0
    done = cli(daemon.home, "delete", "7f3a", "--json")
    assert (done.returncode, error_of(done)["code"]) == (2, "confirmation_needed") and done.stdout == b""
    assert "does not have this message yet" in error_of(done)["message"] and "\x1b" not in error_of(done)["message"]


def test_a_conversation_is_deleted_only_if_that_was_confirmed(daemon: Daemon) -> None:
    daemon.script.answers["delete"] = DELETED
    done = cli(daemon.home, "delete", "--in", "bob", "--json")
    assert (done.returncode, error_of(done)["code"]) == (2, "confirmation_needed") and daemon.script.asked("delete") == []
    assert cli(daemon.home, "delete", "--in", "bob", "-y", "--json").returncode == 0
    assert daemon.script.asked("delete") == [{"id": None, "in": "bob"}]


@pytest.mark.parametrize("words", [[], ["7f3a", "--in", "bob"]])
def test_one_thing_is_deleted(daemon: Daemon, words: list[str]) -> None:
    done = cli(daemon.home, "delete", "-y", "--json", *words)
    assert (done.returncode, error_of(done)["code"]) == (2, "usage")
