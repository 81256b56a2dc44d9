from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2pmsg.daemon.home import locate
from p2pmsg.daemon.lock import Lock
from tests.unit.scripted import cli, error_of


@pytest.fixture
def folder(home: Path) -> Path:
    """The folder of somebody whose daemon does not run."""
    folder = home / "profiles" / "default"
    folder.mkdir(parents=True)
    (folder / "key").touch()
    return folder


def test_set_get_unset(home: Path, folder: Path) -> None:
    done = cli(home, "config", "set", "discovery.paths", "mdns,static", "--json")
    assert json.loads(done.stdout)["value"] == ["mdns", "static"] and json.loads(done.stdout)["source"] == "file"
    assert cli(home, "config", "get", "discovery.paths").stdout == b"mdns,static\n"
    assert json.loads(cli(home, "config", "unset", "discovery.paths", "--json").stdout)["source"] == "default"


def test_list_is_one_object_a_line(home: Path, folder: Path) -> None:
    lines = [json.loads(line) for line in cli(home, "config", "list", "--json").stdout.splitlines()]
    assert all(set(line) == {"key", "value", "default", "source"} for line in lines) and len(lines) == 14
    assert cli(home, "config", "list").stdout.count(b"\n") == 14


def test_path_is_the_path_alone(home: Path) -> None:
    assert cli(home, "config", "path").stdout.decode() == f"{home}/profiles/default/config.toml\n"
    assert json.loads(cli(home, "config", "path", "--json").stdout)["value"].endswith("config.toml")


@pytest.mark.parametrize(
    ("words", "status"),
    [(["set", "typing", "perhaps"], 2), (["set", "listen.port", "1"], 2), (["get", "nonsense"], 4), (["set", "typing"], 2)],
)
def test_what_cannot_be(home: Path, folder: Path, words: list[str], status: int) -> None:
    done = cli(home, "config", *words, "--json")
    assert done.returncode == status and done.stdout == b"" and error_of(done)["code"]
    assert not (folder / "config.toml").exists()


def test_nothing_is_made_for_nobody(home: Path) -> None:
    done = cli(home, "config", "set", "typing", "off", "--json")
    assert (done.returncode, error_of(done)["code"]) == (3, "not_initialized")
    assert list(home.iterdir()) == []


def test_nothing_is_said_of_a_restart_as_a_daemon_needs_none(home: Path, folder: Path) -> None:
    with Lock.acquire(locate({"P2PMSG_HOME": str(home)})) as lock:
        lock.publish(socket=home / "s", version="1", protocol=1, started_at="")
        assert cli(home, "config", "set", "listen.port", "4001").stderr == b""
        assert cli(home, "config", "unset", "listen.port").stderr == b""


def test_what_has_no_effect_yet_is_said(home: Path, folder: Path) -> None:
    assert cli(home, "config", "set", "media.folder", "/m").stderr == b"It is stored, but has no effect in this version.\n"
    assert cli(home, "config", "set", "media.folder", "/m", "--json").stderr == b""
    assert cli(home, "config", "set", "typing", "off").stderr == b""
    assert cli(home, "config", "set", "history.keep", "90d").stderr == b""
    lines = cli(home, "config", "list").stdout.decode().splitlines()
    marked = {line.split()[0] for line in lines if line.endswith("; no effect in this version)")}
    assert {"media.quota_bytes", "media.folder"} < marked and not {"history.keep", "typing"} & marked


def test_the_default_of_what_is_set_is_shown(home: Path, folder: Path) -> None:
    cli(home, "config", "set", "log.level", "debug")
    cli(home, "config", "set", "notify.command", "say")
    lines = cli(home, "config", "list").stdout.decode().splitlines()
    assert any(line.startswith("log.level") and "debug" in line and "(file; default: info)" in line for line in lines)
    assert any("(file; default: empty)" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("log.level", "loud", "p2pmsg config set log.level info"),
        ("typing", "perhaps", "p2pmsg config set typing true"),
        ("history.keep", "long", "p2pmsg config set history.keep 90d"),
        ("discovery.paths", "magic", "p2pmsg config set discovery.paths mdns,beacon,last_known,static,dns_sd,hint"),
    ],
)
def test_a_value_that_cannot_be_names_one_that_can(home: Path, folder: Path, key: str, value: str, hint: str) -> None:
    error = error_of(cli(home, "config", "set", key, value, "--json"))
    assert error["hint"] == hint
    assert cli(home, *hint.split()[1:]).returncode == 0


def test_nothing_is_shown_as_such(home: Path, folder: Path) -> None:
    cli(home, "config", "set", "notify.command", "say")
    assert cli(home, "config", "unset", "notify.command").stdout == b"notify.command = (empty)\n"
    assert cli(home, "config", "get", "notify.command").stdout == b"\n"
