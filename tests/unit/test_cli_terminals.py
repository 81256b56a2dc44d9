"""The program on terminals of all kinds: narrow, dumb, without colours, in the C locale, with wide letters."""

from __future__ import annotations

from pathlib import Path

import pytest
from wcwidth import wcswidth

from tests.unit.scripted import BOB, Daemon, contact, message
from tests.unit.terminal import terminal

PLAIN = {"TERM": "dumb", "NO_COLOR": "1", "LANG": "C", "LC_ALL": "C"}
NAMES = ("bob", "Zoë 👩‍👩‍👧", "山田太郎", "e\u0301lan")


@pytest.fixture
def people(daemon: Daemon) -> Daemon:
    contacts = [contact(f"{number:064x}", name, "invited") for number, name in enumerate(NAMES)]
    daemon.script.answers |= {"contact.list": contacts, "history": [message("hi 🎉", clock_skew_s=7200), message("山" * 60, 2)]}
    daemon.script.answers["inbox"] = [{"kind": "direct", "account": BOB, "name": "bob", "unread": 1, "last": message("山" * 60)}]
    return daemon


def screen_of(daemon: Daemon, *words: str, columns: int) -> list[str]:
    with terminal(daemon.home, *words, columns=columns, **PLAIN) as screen:
        assert screen.end() == 0, screen.screen
    assert b"\x1b" not in screen.screen
    return screen.screen.decode().splitlines()


def test_columns_stay_straight_whatever_the_names_are_written_in(people: Daemon) -> None:
    lines = screen_of(people, "contact", "list", columns=80)
    places = {wcswidth(line[: line.index("invited")]) for line in lines[1:]}
    assert places == {lines[0].index("TRUST")} and len(lines) == 5


@pytest.mark.parametrize("words", [("contact", "list"), ("inbox",), ("whoami",), ("send", "--help"), ("config", "list"), ()])
def test_forty_columns_are_enough(people: Daemon, words: tuple[str, ...]) -> None:
    lines = screen_of(people, *words, columns=40)
    if not words or words[0] not in ("whoami", "config"):  # whose ids and values are longer than that, and are to be copied whole
        assert max(map(wcswidth, lines)) <= 40


def test_the_first_words_of_all_fit_too(home: Path) -> None:
    with terminal(home, columns=40, **PLAIN) as screen:
        assert screen.end() == 0
    lines = screen.screen.decode().splitlines()
    assert "p2pmsg init --name YOUR-NAME" in lines and max(map(wcswidth, lines)) <= 40


def test_what_is_said_does_not_hang_on_colours_or_symbols(people: Daemon) -> None:
    first, *_ = screen_of(people, "history", "bob", columns=80)
    assert first == "2099-01-31 10:03 (their clock: 2099-01-31 12:03)  bob~b0b0b0b0: hi 🎉"


def test_errors_too(people: Daemon) -> None:
    with terminal(people.home, "histroy", columns=40, **PLAIN) as screen:
        assert screen.end() == 2
    assert screen.screen.decode().splitlines() == [
        "Error: p2pmsg has no command 'histroy'.",
        "  Did you mean 'history'?",
        "Try: p2pmsg history --help",
    ]
