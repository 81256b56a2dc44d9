from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.scripted import cli, error_of
from tests.unit.terminal import terminal


@pytest.fixture
def folder(home: Path) -> Path:
    assert cli(home, "init", "--name", "Ann", "--words-file", str(home.parent / f"{home.name}-words")).returncode == 0
    (home.parent / f"{home.name}-words").unlink()
    return home / "profiles" / "default"


def test_nobody_can_be_asked(home: Path, folder: Path) -> None:
    done = cli(home, "wipe", "--json", stdin=b"y\n")
    assert (done.returncode, error_of(done)["code"]) == (2, "confirmation_needed") and (folder / "key").exists()


def test_it_says_what_is_gone_and_what_stays(home: Path, folder: Path) -> None:
    done = cli(home, "wipe", "-y")
    assert done.returncode == 0 and done.stderr == b"" and not folder.exists()
    assert "Destroyed the key" in done.stdout.decode() and "What stays:\n  What was delivered" in done.stdout.decode()


def test_as_an_object(home: Path, folder: Path) -> None:
    found = json.loads(cli(home, "wipe", "-y", "--json").stdout)
    assert set(found) == {"profile", "home", "did", "stays"} and found["profile"] == "default"


def test_nobody_is_nothing_to_wipe(home: Path) -> None:
    for flag in ([], ["-y"]):
        done = cli(home, "wipe", "--json", *flag)
        assert (done.returncode, error_of(done)["code"]) == (3, "not_initialized")


@pytest.mark.parametrize(("answer", "status"), [("n\n", 2), ("y\n", 0)])
def test_on_a_terminal_it_asks(home: Path, folder: Path, answer: str, status: int) -> None:
    with terminal(home, "wipe") as screen:
        screen.see("[y/N] ")
        screen.press(answer)
        assert screen.end() == status
    assert folder.exists() == bool(status)
