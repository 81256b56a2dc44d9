from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from p2pmsg.cli.identity import _grid
from p2pmsg.crypto import words as recovery
from tests.unit.scripted import ME, Daemon, cli, error_of
from tests.unit.terminal import terminal


def test_init_writes_the_words_to_a_file_of_mine_alone(home: Path) -> None:
    file = home / "words"
    done = cli(home, "init", "--name", "Zoë", "--device", "laptop", "--words-file", str(file), "--json")
    made = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == b""
    assert set(made) == {"account", "device", "name", "device_name", "home", "words_file"}
    assert (made["name"], made["device_name"], made["home"], made["words_file"]) == ("Zoë", "laptop", str(home), str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    recovery.entropy(file.read_text().split())
    again = cli(home, "init", "--name", "Ann", "--words-file", str(home / "other"), "--json")
    assert (again.returncode, error_of(again)["code"]) == (8, "already_initialized") and not (home / "other").exists()


def test_init_shows_the_words_on_a_terminal_of_80_columns(home: Path) -> None:
    with terminal(home, "init", "--name", "Ann") as screen:
        assert screen.end() == 0
    lines = screen.screen.decode().splitlines()
    found = dict(re.findall(r"(\d+)\. (\w+)", screen.screen.decode()))
    assert max(map(len, lines)) <= 80
    recovery.entropy([found[str(number)] for number in range(1, 25)])


@pytest.mark.parametrize("width", [20, 40, 50, 79, 80])
def test_the_words_take_as_many_columns_as_fit(width: int) -> None:
    words = [f"{number:0>8}" for number in range(1, 25)]
    lines = _grid(words, width).split("\n")
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:2] == ["1.", "00000001"] and len(lines) == {20: 24, 40: 12, 50: 8, 79: 6, 80: 6}[width]


def test_what_cannot_be_is_said_before_that_there_is_no_terminal(home: Path) -> None:
    assert error_of(cli(home, "init", "--name", "a~b", "--json"))["code"] == "invalid_name"
    (home / "profiles" / "default").mkdir(parents=True)
    (home / "profiles" / "default" / "key").touch()
    assert error_of(cli(home, "init", "--name", "Ann", "--json"))["code"] == "already_initialized"


def test_a_words_file_in_no_folder(home: Path) -> None:
    done = cli(home, "init", "--name", "Ann", "--words-file", str(home / "none" / "words"), "--json")
    assert (done.returncode, error_of(done)["code"]) == (8, "home_unusable") and "another file" in error_of(done)["hint"]
    assert list(home.iterdir()) == []


def test_init_shows_nothing_into_a_pipe(home: Path) -> None:
    done = cli(home, "init", "--name", "Ann", "--json")
    assert (done.returncode, error_of(done)["code"]) == (2, "usage") and "--words-file" in error_of(done)["hint"]
    assert list(home.iterdir()) == []


def test_a_words_file_that_exists_is_not_touched(home: Path) -> None:
    (home / "words").write_text("mine")
    done = cli(home, "init", "--name", "Ann", "--words-file", str(home / "words"), "--json")
    assert (done.returncode, error_of(done)["code"]) == (8, "file_exists")
    assert (home / "words").read_text() == "mine" and len(list(home.iterdir())) == 1


@pytest.mark.parametrize("name", ["", "me", "a~b", "a/b", "a:b", "x" * 65, "x" * 10_000, "a\x1bb", "b\u202eob", "\xff"])
def test_names_that_cannot_be(home: Path, name: str) -> None:
    word = b"\xff" if name == "\xff" else name
    done = cli(home, "init", "--words-file", str(home / "words"), "--json", "--name", word)
    assert done.returncode == 2 and error_of(done)["code"] in ("invalid_name", "invalid_text")
    assert list(home.iterdir()) == []


def test_profile_set(daemon: Daemon) -> None:
    daemon.script.answers["profile.set"] = ME | {"name": "Anna"}
    assert json.loads(cli(daemon.home, "profile", "set", "--name", "Anna", "--json").stdout)["name"] == "Anna"
    assert daemon.script.asked("profile.set") == [{"name": "Anna"}]
