from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from p2pmsg.errors import ContactNotFound, VaultLocked
from p2pmsg.rpc.api import Watch
from p2pmsg.rpc.connection import Call
from tests.unit.scripted import BOB, Daemon, cli, command, contact, error_of, message

AT = "2099-01-31T12:03:04.005Z"
EVENTS: list[dict[str, Any]] = [
    {"cursor": 8, "at": AT, "type": "message", "message": message("hi\x9b")},
    {"cursor": 9, "at": AT, "type": "state", "id": "f" * 64, "state": "delivered", "account": BOB},
    {"cursor": 10, "at": AT, "type": "contact", "contact": contact(name="Robert")},
    {"cursor": 10, "at": AT, "type": "peer", "peer": {"account": BOB, "name": "bob", "online": False}},
    {"cursor": 11, "at": AT, "type": "later\x1b", "later": {}},
]
MY_NOTE = message("note", mine=True)


def telling(events: list[dict[str, Any]], *, then: Callable[[], None] | None = None) -> Callable[[Watch, Call], Any]:
    """Return a `watch` that tells the events and goes on for ever."""

    async def watch(params: Watch, call: Call) -> None:
        await call.reply({"cursor": params.since or 7})
        for event in events:
            await call.notify(event)
        if then is not None:
            then()
        await asyncio.Event().wait()

    return watch


def test_ready_comes_first_and_n_events_end_it(daemon: Daemon) -> None:
    daemon.script.answers["watch"] = telling(EVENTS)
    done = cli(daemon.home, "watch", "--json", "-n", "3", "--in", "bob")
    assert done.returncode == 0 and done.stderr == b""
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"cursor": 7, "type": "ready"}, *EVENTS[:3]]
    assert b"\\u009b" in done.stdout
    assert daemon.script.asked("watch") == [{"since": None, "n": 3, "in": "bob", "typing": False}]


def test_since_is_carried_by_ready(daemon: Daemon) -> None:
    daemon.script.answers["watch"] = telling(EVENTS)
    done = cli(daemon.home, "watch", "--json", "-n", "1", "--since", "5")
    assert json.loads(done.stdout.splitlines()[0]) == {"cursor": "5", "type": "ready"}


def test_events_for_people(daemon: Daemon) -> None:
    daemon.script.answers["watch"] = telling(EVENTS)
    said = cli(daemon.home, "watch", "-n", "5").stdout.decode().splitlines()
    assert said[1:] == [
        "2099-01-31 12:03  00000000  bob: hi\\x9b",
        f"2099-01-31 12:03  {'f' * 8} is delivered",
        "2099-01-31 12:03  contact Robert",
        "2099-01-31 12:03  Robert is away",
        "2099-01-31 12:03  later\\x1b",
    ]


def test_what_i_say_names_the_conversation(daemon: Daemon) -> None:
    to_bob = message("hi", mine=True, deliveries=[{"account": BOB, "name": "bob", "state": "queued", "at": None}])
    daemon.script.answers["watch"] = telling([{"cursor": 8, "at": AT, "type": "message", "message": each} for each in (to_bob, MY_NOTE)])
    said = cli(daemon.home, "watch", "-n", "2").stdout.decode().splitlines()
    assert [line.partition("00000000  ")[2] for line in said[1:]] == ["me → bob: hi  (queued)", "me → me: note  (queued)"]


def test_each_line_comes_at_once_and_the_end_of_the_daemon_is_3(daemon: Daemon) -> None:
    daemon.script.answers["watch"] = telling(EVENTS[:1])
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    process = subprocess.Popen(command("watch", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    assert b"ready" in process.stdout.readline() and b"message" in process.stdout.readline()
    daemon.stop()
    stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 3 and stdout == b"" and json.loads(stderr)["error"]["code"] == "daemon_not_running"


@pytest.mark.parametrize(("vault", "said"), [("locked", "locked meanwhile"), ("open", "for a moment")])
def test_who_is_turned_out_as_the_vault_is_locked_is_told_so(daemon: Daemon, vault: str, said: str) -> None:
    async def locked(params: Watch, call: Call) -> None:
        await call.reply({"cursor": "7"})
        raise VaultLocked("The vault was locked meanwhile.")

    daemon.script.answers |= {"watch": locked, "status": {"vault": vault}}
    done = cli(daemon.home, "watch", "--json")
    assert (done.returncode, error_of(done)["code"]) == (8, "vault_locked")
    assert said in error_of(done)["message"]


@pytest.mark.parametrize("events", [[], EVENTS])
def test_a_reader_that_goes_is_noticed_at_once(daemon: Daemon, events: list[dict[str, Any]]) -> None:
    daemon.script.answers["watch"] = telling(events)
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    process = subprocess.Popen(command("watch", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(5) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_target_that_is_not_there(daemon: Daemon) -> None:
    daemon.script.answers["watch"] = ContactNotFound("There is no contact x.")
    done = cli(daemon.home, "watch", "--in", "x", "--json")
    assert (done.returncode, done.stdout, error_of(done)["code"]) == (4, b"", "contact_not_found")
