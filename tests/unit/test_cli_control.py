from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.scripted import Daemon, cli, error_of

FIELDS = {"running", "pid", "version", "protocol", "socket", "home", "log", "started_at", "port", "interfaces"}
FIELDS |= {"visible_until", "vault", "vault_mode", "unread", "queued", "requests", "requests_max", "disk_bytes", "warnings"}
RUNNING = dict.fromkeys(FIELDS) | {"running": True, "interfaces": ["lo"], "warnings": [], "version": "1", "home": "/h", "log": "/l"}
RUNNING["disk_bytes"] = 1


@pytest.mark.parametrize("words", [["status"], ["daemon", "status"], ["daemon", "start"]])
def test_a_daemon_that_runs(daemon: Daemon, words: list[str]) -> None:
    daemon.script.answers["status"] = RUNNING
    done = cli(daemon.home, *words, "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == RUNNING
    assert b"interfaces:  lo" in cli(daemon.home, *words).stdout


@pytest.mark.parametrize(
    ("started", "said"), [("2020-01-31T12:03:04.005Z", b"It runs already.\n"), ("2099-01-31T12:03:04.005Z", b"Started.\n")]
)
def test_starting_says_whether_it_ran(daemon: Daemon, started: str, said: bytes) -> None:
    daemon.script.answers["status"] = RUNNING | {"started_at": started}
    assert cli(daemon.home, "daemon", "start").stderr == said
    assert cli(daemon.home, "daemon", "start", "--json").stderr == b""


@pytest.mark.parametrize(("made", "code"), [(True, "daemon_not_running"), (False, "not_initialized")])
def test_status_prints_and_fails_where_none_runs(home: Path, made: bool, code: str) -> None:
    if made:
        (home / "profiles" / "default").mkdir(parents=True)
        (home / "profiles" / "default" / "key").touch()
    done = cli(home, "status", "--json")
    state = json.loads(done.stdout)
    assert done.returncode == 3 and error_of(done)["code"] == code
    assert set(state) >= FIELDS and state["running"] is False and state["pid"] is None and state["home"] == str(home)
    assert b"not running" in cli(home, "status").stdout


def test_stopping_what_does_not_run_is_done(home: Path) -> None:
    (home / "profiles" / "default").mkdir(parents=True)
    (home / "profiles" / "default" / "key").touch()
    done = cli(home, "daemon", "stop", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["running"] is False


@pytest.mark.parametrize("words", [["daemon", "start"], ["daemon", "run"]])
def test_nobody_to_run_for(home: Path, words: list[str]) -> None:
    done = cli(home, *words, "--json")
    assert (done.returncode, error_of(done)["code"]) == (3, "not_initialized")
    assert list(home.iterdir()) == []


def test_logs(daemon: Daemon) -> None:
    (daemon.folder / "daemon.log").write_text("one\ntwo\x1b[2J\nthree\n")
    assert cli(daemon.home, "daemon", "logs", "-n", "2").stdout == b"two\\x1b[2J\nthree\n"
    assert json.loads(cli(daemon.home, "daemon", "logs", "-n", "1", "--json").stdout) == {"line": "three"}
    assert cli(daemon.home, "daemon", "logs", "-n", "0").stdout == b""


def test_no_logs_yet(daemon: Daemon) -> None:
    done = cli(daemon.home, "daemon", "logs", "--json")
    assert (done.returncode, error_of(done)["code"]) == (4, "file_not_found")
