"""What a shell completes: asked as its script asks, and in the shells themselves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.scripted import MAIN, Daemon, cli, contact
from tests.unit.terminal import terminal

NAMES = ("bob", "Ann Mary", "Änne", 'Jo "J" $x', "O'Neil")


@pytest.fixture
def people(daemon: Daemon) -> Daemon:
    """A daemon with contacts whose names are hard to type."""
    daemon.script.answers["contact.list"] = [contact(f"{number:064x}", name) for number, name in enumerate(NAMES)]
    return daemon


def offered(home: Path, line: str, **environ: str) -> list[str]:
    """Return what may stand at the end of a line."""
    place = line.count(" ")
    done = cli(home, _P2PMSG_COMPLETE="1", COMP_WORDS=line, COMP_CWORD=str(place), **environ)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [entry.split("\t") for entry in done.stdout.decode().splitlines()]
    assert all(kind == "plain" for kind, _ in lines)
    return [value for _, value in lines]


def test_commands(home: Path) -> None:
    assert sorted(offered(home, "p2pmsg s")) == ["send", "status"]
    assert {"rename", "remove"} <= set(offered(home, "p2pmsg contact re"))
    assert offered(home, "p2pmsg nonsense x") == [] and offered(home, "p2pmsg contact nonsense x") == []


def test_options_and_their_choices(home: Path) -> None:
    assert "--wait" in offered(home, "p2pmsg send --w")
    assert offered(home, "p2pmsg send --wait de") == ["delivered"]
    assert offered(home, "p2pmsg completion ") == ["bash", "zsh", "fish"]


def test_names_exactly_whatever_is_in_them(people: Daemon) -> None:
    assert offered(people.home, "p2pmsg send ") == ["me", "Ann Mary", "bob", 'Jo "J" $x', "O'Neil", "Änne"]
    assert offered(people.home, "p2pmsg contact rename ä") == ["Änne"]
    assert offered(people.home, "p2pmsg watch --in A") == ["Ann Mary"]
    assert offered(people.home, "p2pmsg send bob A") == [] and offered(people.home, "p2pmsg init --name A") == []


def test_the_profile_counts(people: Daemon) -> None:
    assert offered(people.home, "p2pmsg --profile default chat b") == ["bob"]
    assert offered(people.home, "p2pmsg --profile other chat b") == []


def test_settings(home: Path) -> None:
    assert offered(home, "p2pmsg config get discovery.") == ["discovery.paths", "discovery.interfaces", "discovery.static"]
    assert offered(home, "p2pmsg send --key lo") == []


def test_options_that_take_a_file(home: Path) -> None:
    done = cli(home, _P2PMSG_COMPLETE="1", COMP_WORDS="p2pmsg contact add --image ", COMP_CWORD="4")
    assert done.stdout == b"file\t\n"


@pytest.mark.parametrize("words", [{}, {"COMP_WORDS": "p2pmsg"}, {"COMP_WORDS": "p2pmsg", "COMP_CWORD": "x"}, {"COMP_TYPED": ""}])
def test_rubbish_is_answered_by_nothing_bad(home: Path, words: dict[str, str]) -> None:
    done = cli(home, _P2PMSG_COMPLETE="1", **words)
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_is_started_and_nothing_waited_for(home: Path) -> None:
    assert offered(home, "p2pmsg send b") == [] and list(home.iterdir()) == []


def test_a_daemon_that_is_stuck_costs_a_second(people: Daemon) -> None:
    def stuck(*_: object) -> object:
        time.sleep(3)
        return []

    people.script.answers["contact.list"] = stuck
    before = time.monotonic()
    assert offered(people.home, "p2pmsg send b") == []
    assert time.monotonic() - before < 2.5


def test_the_script_needs_neither_profile_nor_daemon(home: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = cli(home, "completion", shell)
        assert done.returncode == 0 and f"p2pmsg completion {shell}" in done.stdout.decode()
        assert set(json.loads(cli(home, "completion", shell, "--json").stdout)) == {"shell", "script"}
    assert cli(home, "completion", "csh").returncode == 2


# -- in the shells


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which p2pmsg is this checkout's."""
    import sys

    program = tmp_path / "p2pmsg"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {MAIN} "$@"\n')
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def shell(*command: str, **environ: str) -> str:
    env = {"HOME": environ.get("P2PMSG_HOME", "/"), "LANG": "C.UTF-8", **environ}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout


BASH = r"""
eval "$(p2pmsg completion bash)"
complete() { line="$*"; COMP_WORDS=(p2pmsg "$@"); COMP_CWORD=$#; _p2pmsg_completion p2pmsg; printf '%s\n' "${COMPREPLY[@]}"; }
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash: apt-get install bash")
@pytest.mark.parametrize(
    ("words", "replies"),
    [
        ("contact li", ["list"]),
        ("send bo", ["bob"]),
        ("send Ann", [r"Ann\ Mary"]),
        ("send '\"Ann M'", ["Ann Mary"]),
        (r"send 'Ann\ M'", [r"Ann\ Mary"]),
        ("send Jo", [r"Jo\ \"J\"\ \$x"]),
        ("send O", [r"O\'Neil"]),
    ],
)
def test_bash_quotes_names(people: Daemon, path: str, words: str, replies: list[str]) -> None:
    assert shell("bash", "-c", f"{BASH}\ncomplete {words}", PATH=path, P2PMSG_HOME=str(people.home)).splitlines() == replies


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash: apt-get install bash")
def test_bash_at_a_terminal_sends_to_who_was_completed(people: Daemon, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.terminal.command", lambda *words: ["bash", "--norc", "--noprofile", "-i"])
    with terminal(people.home, PATH=path, TERM="dumb", PS1="ready> ") as screen:
        screen.see("ready> ")
        screen.press('eval "$(p2pmsg completion bash)"; echo do""ne\n')
        screen.see("done\r\n")
        screen.press('p2pmsg contact show "Ann\t\n')
        screen.press("p2pmsg contact show Ann\t\n")
        screen.press("echo en''d\n")
        screen.see("\nend")
        screen.process.send_signal(signal.SIGKILL)
    assert people.script.asked("contact.show") == [{"name": "Ann Mary", "yes": False}] * 2


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh: apt-get install zsh")
def test_zsh_offers_names_whole(people: Daemon, path: str) -> None:
    script = r"""
    compdef() { : }
    eval "$(p2pmsg completion zsh)"
    compadd() { shift 3; while [ "$1" != -a ]; do shift; done; print -l -- "${(@P)2}" }
    words=(p2pmsg send 'Ann\ M') CURRENT=3 _p2pmsg
    """
    assert shell("zsh", "-fc", script, PATH=path, P2PMSG_HOME=str(people.home)).splitlines() == ["Ann Mary"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish: apt-get install fish")
@pytest.mark.parametrize(("line", "replies"), [("p2pmsg send Ann\\ M", ["Ann Mary"]), ("p2pmsg contact li", ["list"])])
def test_fish_offers_names_whole(people: Daemon, path: str, line: str, replies: list[str]) -> None:
    script = f"p2pmsg completion fish | source; complete -C '{line}'"
    said = shell("fish", "--no-config", "-c", script, PATH=path, P2PMSG_HOME=str(people.home))
    assert [entry.partition("\t")[0] for entry in said.splitlines()] == replies
