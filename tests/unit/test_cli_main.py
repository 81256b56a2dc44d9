"""The whole program as a process: grammar, errors, exit statuses, and files that are closed, full or read by nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from p2pmsg import __version__
from p2pmsg.cli.main import COMMANDS
from p2pmsg.errors import Ambiguous, ContactNotFound
from tests.unit.scripted import ME, Daemon, cli, command, contact, error_of
from tests.unit.terminal import terminal


def test_json_is_one_object_on_one_line(daemon: Daemon) -> None:
    done = cli(daemon.home, "whoami", "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, ME, b"")
    assert done.stdout.count(b"\n") == 1


def test_words_are_for_people(daemon: Daemon) -> None:
    done = cli(daemon.home, "whoami")
    assert done.returncode == 0 and b"Ann" in done.stdout and done.stdout[:1] != b"{"


@pytest.mark.parametrize("flags", [["--json"], []])
def test_errors_in_both_forms(daemon: Daemon, flags: list[str]) -> None:
    daemon.script.answers["contact.show"] = Ambiguous("Two are called bob\x1b.", hint="p2pmsg contact list", candidates=["bob~1", "bob~2"])
    done = cli(daemon.home, "contact", "show", "bob", *flags)
    assert done.returncode == 5 and done.stdout == b""
    if flags:
        assert error_of(done) == {
            "code": "ambiguous", "message": "Two are called bob\x1b.", "hint": "p2pmsg contact list", "candidates": ["bob~1", "bob~2"]
        }  # fmt: skip
    else:
        assert done.stderr.decode().splitlines() == ["Error: Two are called bob\\x1b.", "  bob~1", "  bob~2", "Try: p2pmsg contact list"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["histroy", "bob"], "history"),
        (["contact", "lst"], "list"),
        (["nonsense"], "--help"),
        (["contact"], "--help"),
        (["contact"], "p2pmsg contact needs a command: invite, "),
        (["search", "x"], "Try: p2pmsg --help"),
        (["contact", "show"], "NAME"),
        (["contact", "show", "a", "b"], "unexpected"),
        (["whoami", "--jsn"], "--json"),
        (["history", "bob", "-n", "many"], "-n"),
        (["history", "bob", "-n", "0"], "-n"),
        (["history", "bob", "-n", "many"], "'many' is no whole number from 1 on."),
        (["history", "bob", "--since", "yesterday"], "10m"),
        (["history", "bob", "--since", "yesterday"], "Try: p2pmsg history --help"),
        (["contact", "invite", "--valid", "soon"], "Try: p2pmsg contact invite --help"),
        (["history", "bob", "-n"], "Try: p2pmsg history --help"),
        (["send", "bob", "hi", "--wait"], "Try: p2pmsg send --help"),
        (["whoami", "--profile", "x"], "before the command"),
        (["--profile", "../x", "whoami"], "profile"),
        (["contact", "add"], "p2pmsg contact add INVITE, or p2pmsg contact add --image FILE"),
        (["contact", "add", "x", "--image", "y"], "not both"),
        (["profile", "set"], "--name"),
        (["init"], "--name"),
        (["send", "bob", "x", "--wait", "queued"], "delivered"),
    ],
)
def test_what_cannot_work_is_2_and_says_how(home: Path, words: list[str], said: str) -> None:
    done = cli(home, *words)
    assert done.returncode == 2 and done.stdout == b""
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("Error: ") and second.startswith("Try: ") and said in first + second
    as_json = cli(home, *words, "--json")
    assert as_json.returncode == 2 and as_json.stdout == b"" and error_of(as_json)["code"] == "usage"


@pytest.mark.parametrize("words", [["--json", "whoami"], ["whoami", "--json", "--", "x"], ["-y", "whoami", "--json"]])
def test_flags_stand_after_the_command(home: Path, words: list[str]) -> None:
    assert error_of(cli(home, *words))["code"] == "usage"


def test_json_behind_two_dashes_is_no_option(home: Path) -> None:
    assert cli(home, "contact", "show", "--", "--json").stderr.startswith(b"Error: ")


def test_no_profile_and_no_daemon_are_3(home: Path) -> None:
    assert error_of(cli(home, "whoami", "--json"))["code"] == "not_initialized"
    (home / "profiles" / "default").mkdir(parents=True)
    (home / "profiles" / "default" / "key").touch()
    done = cli(home, "whoami", "--json")
    assert (done.returncode, error_of(done)["code"], error_of(done)["hint"]) == (3, "daemon_not_running", "p2pmsg daemon start")


def test_the_profile_counts(daemon: Daemon) -> None:
    assert cli(daemon.home, "--profile", "default", "whoami").returncode == 0
    assert error_of(cli(daemon.home, "--profile", "other", "whoami", "--json"))["code"] == "not_initialized"
    assert error_of(cli(daemon.home, "whoami", "--json", P2PMSG_PROFILE="other"))["code"] == "not_initialized"


def test_alone_it_says_what_to_do_next(home: Path) -> None:
    done = cli(home)
    assert done.returncode == 0 and done.stdout.decode().splitlines()[1].split("  ")[1] == "p2pmsg init --name YOUR-NAME"


def test_alone_beside_a_daemon_it_goes_on_from_there(daemon: Daemon) -> None:
    done = cli(daemon.home)
    assert done.returncode == 0 and b"init" not in done.stdout and b"daemon start" not in done.stdout and b"invite" in done.stdout


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["contact", "-h"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_everywhere(home: Path, words: list[str]) -> None:
    done = cli(home, *words)
    assert done.returncode == 0 and done.stdout.startswith(b"Usage: p2pmsg") and done.stderr == b""


def test_version(home: Path) -> None:
    assert cli(home, "--version").stdout.decode() == f"p2pmsg {__version__}\n"


@pytest.mark.parametrize("words", [["whoami"], ["whoami", "--json"], ["contact", "list", "--json"], ["--help"]])
def test_a_reader_that_has_gone_is_141_and_silence(daemon: Daemon, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
        done = subprocess.run(command(*words), stdout=stdout, stderr=subprocess.PIPE, env=env, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", ["whoami", "whoami --json", "--help"])
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_a_stdout_that_cannot_be_written_is_1(daemon: Daemon, words: str, redirection: str) -> None:
    program = " ".join(map(str, command()))
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    done = subprocess.run(["sh", "-c", f"{program} {words} {redirection}"], stderr=subprocess.PIPE, env=env, check=False)
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    if "--json" in words:
        assert error_of(done)["code"] == "internal"


@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "<&- 2>&-"])
def test_other_files_that_are_closed_do_no_harm(daemon: Daemon, redirection: str) -> None:
    program = " ".join(map(str, command()))
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    done = subprocess.run(["sh", "-c", f"{program} whoami --json {redirection}"], stdout=subprocess.PIPE, env=env, check=False)
    assert done.returncode == 0 and json.loads(done.stdout) == ME


def test_an_error_that_nobody_can_read_keeps_its_status(home: Path) -> None:
    program = " ".join(map(str, command()))
    assert subprocess.run(["sh", "-c", f"{program} nonsense 2>/dev/full"], check=False).returncode == 2


def test_a_stdout_that_does_not_block_loses_nothing(daemon: Daemon) -> None:
    daemon.script.answers["whoami"] = ME | {"name": "x" * 300_000}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    process = subprocess.Popen(command("whoami", "--json"), stdout=writing, env=env)
    os.close(writing)
    with os.fdopen(reading, "rb") as stdout:
        assert len(json.loads(stdout.read())["name"]) == 300_000
    assert process.wait(10) == 0


def test_ctrl_c_is_130(daemon: Daemon) -> None:
    async def wait(*_: object) -> None:
        process.send_signal(signal.SIGINT)

    daemon.script.answers["watch"] = wait
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    process = subprocess.Popen(command("watch", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130 and stderr == b""


def test_ctrl_c_on_a_terminal_ends_the_line(daemon: Daemon) -> None:
    with terminal(daemon.home, "send", "bob", "-") as screen:
        screen.see("ends it.")
        screen.press("\x03")
        assert screen.end() == 130
    assert screen.screen.endswith(b"^C\r\n")


def test_our_own_fault_is_1_and_leaves_a_trace(daemon: Daemon) -> None:
    daemon.script.answers["whoami"] = {}
    done = cli(daemon.home, "whoami")
    log = daemon.folder / "cli.log"
    assert done.returncode == 1 and str(log) in done.stderr.decode() and b"Traceback" not in done.stderr
    assert "KeyError" in log.read_text() and log.stat().st_mode & 0o777 == 0o600


def test_text_of_peers_is_exact_in_json_and_harmless_for_people(daemon: Daemon) -> None:
    name = "b\x1b]52;c;aGk=\x07\x9b\u202e\u2066\u061cö"
    daemon.script.answers["whoami"] = ME | {"name": name}
    done = cli(daemon.home, "whoami", "--json")
    assert json.loads(done.stdout)["name"] == name
    assert b"\\u001b" in done.stdout and b"\\u009b\\u202e\\u2066\\u061c\xc3\xb6" in done.stdout
    assert not set(done.stdout) & set(range(0x20)) - {0x0A}
    assert "b\\x1b]52;c;aGk=\\x07\\x9bö".encode() in cli(daemon.home, "whoami").stdout


def test_a_locale_without_the_characters_is_no_fault(daemon: Daemon) -> None:
    daemon.script.answers["whoami"] = ME | {"name": "Zoë 名"}
    for locale in ("C", "POSIX", "en_US.ISO-8859-1"):
        done = cli(daemon.home, "whoami", "--json", LC_ALL=locale)
        assert json.loads(done.stdout.decode())["name"] == "Zoë 名"
        assert cli(daemon.home, "whoami", LC_ALL=locale).returncode == 0


def test_an_error_on_a_terminal_has_no_escape_code(home: Path) -> None:
    with terminal(home, "contact", "show", "\x1b[31mbob") as screen:
        assert screen.end() == 3
    assert b"\x1b" not in screen.screen


def test_removing_asks_on_a_terminal_and_only_there(daemon: Daemon) -> None:
    daemon.script.answers |= {"contact.show": contact(), "contact.remove": contact()}
    done = cli(daemon.home, "contact", "remove", "bob", "--json", stdin=b"yes\n")
    assert (done.returncode, error_of(done)["code"]) == (2, "confirmation_needed") and "--yes" in error_of(done)["hint"]
    for answer, status in (("y\n", 0), ("n\n", 2), ("\n", 2), ("\x04", 2)):
        with terminal(daemon.home, "contact", "remove", "bob") as screen:
            screen.see("Remove bob? [y/N] ")
            screen.press(answer)
            assert screen.end() == status
        assert status == 0 or screen.screen.endswith(b"\r\nError: Nothing was changed.\r\n")
    assert len(daemon.script.asked("contact.remove")) == 1


def test_yes_asks_nobody(daemon: Daemon) -> None:
    daemon.script.answers["contact.remove"] = contact()
    for flag in ("-y", "--yes"):
        assert cli(daemon.home, "contact", "remove", "bob", "--history", flag).returncode == 0
    assert daemon.script.asked("contact.remove") == [{"name": "bob", "history": True}] * 2


def test_who_is_not_there_is_said_before_asking(daemon: Daemon) -> None:
    daemon.script.answers["contact.show"] = ContactNotFound("There is no contact x.")
    with terminal(daemon.home, "contact", "remove", "x") as screen:
        assert screen.end() == 4
    assert b"[y/N]" not in screen.screen
