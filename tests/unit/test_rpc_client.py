from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import ContactNotFound, DaemonNotRunning, DaemonOtherVersion, NotInitialized, P2pmsgError
from p2pmsg.rpc import client, connection
from p2pmsg.rpc.connection import Call
from tests.unit.scripted import Daemon


def test_no_profile(home: Path) -> None:
    with pytest.raises(NotInitialized):
        client.connect(home / "profiles" / "default")


def test_no_daemon(home: Path) -> None:
    (home / "key").touch()
    with pytest.raises(DaemonNotRunning):
        client.connect(home)


def test_a_killed_daemons_lock_is_no_daemon(home: Path) -> None:
    (home / "key").touch()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / "s"))
    (home / "lock").write_text(json.dumps({"socket": str(home / "s")}))
    with pytest.raises(DaemonNotRunning):
        client.connect(home)


def test_a_call_and_the_params_it_leaves_out(daemon: Daemon) -> None:
    daemon.script.answers["contact.add"] = {"name": "böb"}
    with client.connect(daemon.folder) as connected:
        assert connected.call("contact.add", {"invite": "X", "name": None}) == {"name": "böb"}
    assert daemon.script.asked("contact.add") == [{"invite": "X", "nickname": None, "id": None, "name": None, "timeout_s": None}]


def test_what_is_told_is_done_and_not_answered(daemon: Daemon) -> None:
    daemon.script.answers |= {"chat.typing": ContactNotFound("Nobody."), "whoami": {"name": "ann"}}
    with client.connect(daemon.folder) as connected:
        connected.tell("chat.typing", {"target": "bob"})
        assert connected.call("whoami") == {"name": "ann"}
        assert daemon.script.asked("chat.typing") == [{"target": "bob"}] and not connected.has_line()


def test_an_error_has_the_class_of_its_code(daemon: Daemon) -> None:
    daemon.script.answers["contact.show"] = ContactNotFound("Nobody.", hint="look", candidates=["a"])
    with client.connect(daemon.folder) as connected, pytest.raises(ContactNotFound) as raised:
        connected.call("contact.show", {"name": "x"})
    assert raised.value.as_json() == {"code": "contact_not_found", "message": "Nobody.", "hint": "look", "candidates": ["a"]}


def test_an_error_of_a_code_not_known_here_keeps_it() -> None:
    error = client.failure({"code": -32000, "message": "m", "data": {"code": "later", "hint": "h", "candidates": [], "exit_status": 8}})
    assert (type(error).code, type(error).exit_status, error.hint) == ("later", 8, "h")
    assert isinstance(error, P2pmsgError) and P2pmsgError.code == "internal"


def test_an_error_without_data_is_internal() -> None:
    assert (client.failure({}).code, client.failure({}).exit_status) == ("internal", 1)


def test_a_large_answer(daemon: Daemon) -> None:
    daemon.script.answers["inbox"] = ["x" * 60_000] * 200
    with client.connect(daemon.folder) as connected:
        assert len(connected.call("inbox")) == 200


@pytest.mark.parametrize("count", [0, 1, limits.RPC_LIST - 1, limits.RPC_LIST, limits.RPC_LIST + 1, 3 * limits.RPC_LIST])
def test_a_list_that_comes_in_parts(daemon: Daemon, count: int) -> None:
    daemon.script.answers["inbox"] = lambda params, call: list(range(count))[params.skip : params.skip + limits.RPC_LIST]
    with client.connect(daemon.folder) as connected:
        assert connected.call_all("inbox", {"all": True}) == list(range(count))
    assert all(params["all"] for params in daemon.script.asked("inbox"))


def test_asked_and_answered(daemon: Daemon) -> None:
    async def ask(_: object, call: Call) -> str:
        return await call.ask({"type": "sas"})

    daemon.script.answers["whoami"] = ask
    with client.connect(daemon.folder) as connected:
        assert connected.call("whoami", answer=lambda asked: f"yes, {asked['type']}") == "yes, sas"


def test_events(daemon: Daemon) -> None:
    async def watch(_: object, call: Call) -> None:
        await call.reply({"cursor": 1})
        for number in range(3):
            await call.notify(number)

    daemon.script.answers["watch"] = watch
    with client.connect(daemon.folder) as connected:
        assert connected.call("watch") == {"cursor": 1}
        events = connected.events()
        assert [next(events) for _ in range(3)] == [0, 1, 2]
        daemon.stop()
        with pytest.raises(DaemonNotRunning):
            next(events)


def test_a_daemon_of_another_version(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "__version__", "9.9")
    with pytest.raises(DaemonOtherVersion, match=r"9\.9"):
        client.connect(daemon.folder)


def test_a_daemon_that_does_not_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "key").touch()
    monkeypatch.setattr(client, "HELLO_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(home / "s"))
        silent.listen()
        (home / "lock").write_text(json.dumps({"socket": str(home / "s")}))
        with pytest.raises(DaemonNotRunning, match="does not answer"):
            client.connect(home)


def test_the_client_is_light() -> None:
    heavy = "{'asyncio', 'msgspec', 'sqlite3', 'cryptography', 'wcwidth', 'unicodedata'}"
    program = f"import sys, p2pmsg.rpc.client, p2pmsg.cli.main, p2pmsg.cli.send; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout.strip() == "set()"
