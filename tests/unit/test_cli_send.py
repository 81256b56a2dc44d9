from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from typing import Any

import pytest

from p2pmsg.cli.send import refuse_lookalikes
from p2pmsg.config import limits
from p2pmsg.errors import UsageError
from tests.unit.scripted import Daemon, cli, command, error_of, message
from tests.unit.terminal import terminal


@pytest.fixture(autouse=True)
def sent(daemon: Daemon) -> None:
    daemon.script.answers["send"] = lambda params, _: message(params.text, mine=True)


def texts(daemon: Daemon) -> list[str]:
    return [params["text"] for params in daemon.script.asked("send")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["bob", "hi"], "hi"),
        (["bob", "how", "are", "you?"], "how are you?"),
        (["bob", "--json", "--", "-5 degrees"], "-5 degrees"),
        (["bob", "--", "--json"], "--json"),
        (["bob", "--", "--"], "--"),
        (["--", "bob", "-h"], "-h"),
        (["--wait", "sent", "--timeout=1s", "bob", "hi", "--json"], "hi"),
        (["bob", "a", "-", "b"], "a - b"),
        (["bob", "hi", "there", "--key", "-k"], "hi there"),
        (["bob", "Zoë 👋"], "Zoë 👋"),
        (["bob", "two  blanks "], "two  blanks "),
    ],
)
def test_what_is_sent(daemon: Daemon, words: list[str], text: str) -> None:
    daemon.script.answers["send"] = lambda params, _: message(params.text, mine=True, state="read")
    assert cli(daemon.home, "send", *words).returncode == 0
    assert set(texts(daemon)) == {text}


@pytest.mark.parametrize(
    "words",
    [
        ["bob", "-5 degrees"],
        ["bob", "-x"],
        ["bob", "hi", "-h"],
        ["bob", "how", "does", "--help", "work"],
        ["bob", "--help", "me"],
        ["bob", "-h", "--", "x"],
        ["bob", "use", "--json", "please"],
        ["bob", "the", "--key", "k", "fits"],
        ["bob", "hi", "-y"],
        ["bob", "-a", "file"],
        ["bob", "--unknown=5"],
        ["-z", "bob", "hi"],
        ["bob", "--profile", "work", "hi"],
    ],
)
def test_what_looks_like_an_option_is_refused_and_two_dashes_are_named(daemon: Daemon, words: list[str]) -> None:
    done = cli(daemon.home, "send", *words)
    assert done.returncode == 2 and done.stdout == b"" and b" -- " in done.stderr
    assert texts(daemon) == []


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["bob", "-h"], ["bob", "--help"], ["bob", "--json", "-h"]])
def test_help_as_the_sole_word(daemon: Daemon, words: list[str]) -> None:
    done = cli(daemon.home, "send", *words)
    assert done.returncode == 0 and done.stdout.startswith(b"Usage: p2pmsg send") and texts(daemon) == []


@pytest.mark.parametrize("words", [["bob"], ["bob", ""], ["bob", "--"], ["bob", "-"]])
def test_no_text_names_the_dash(daemon: Daemon, words: list[str]) -> None:
    done = cli(daemon.home, "send", "--json", *words)
    assert done.returncode == 2 and error_of(done)["code"] == "empty_text" and "send NAME -" in error_of(done)["hint"]


@pytest.mark.parametrize(("stdin", "text"), [(b"a\n", "a"), (b"a\n\n", "a\n"), (b"a", "a"), (b"-h\r\n", "-h\r"), ("ö\n".encode(), "ö")])
def test_standard_input_less_one_newline(daemon: Daemon, stdin: bytes, text: str) -> None:
    assert cli(daemon.home, "send", "bob", "-", stdin=stdin).returncode == 0
    assert texts(daemon) == [text]


@pytest.mark.parametrize("stdin", [b"\xff", b"a\0b", "a\ud800".encode("utf-8", "surrogatepass")])
def test_standard_input_that_is_no_text(daemon: Daemon, stdin: bytes) -> None:
    done = cli(daemon.home, "send", "bob", "-", "--json", stdin=stdin)
    assert (done.returncode, error_of(done)["code"]) == (2, "invalid_text")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_an_argument_that_is_no_text(daemon: Daemon, locale: str) -> None:
    done = cli(daemon.home, "send", "bob", "--json", b"\xff\xfe", LC_ALL=locale)
    assert (done.returncode, error_of(done)["code"]) == (2, "invalid_text")


@pytest.mark.parametrize("by", ["argument", "stdin"])
def test_the_length_at_the_limit_and_one_above(daemon: Daemon, by: str) -> None:
    for length, status in ((limits.TEXT_BYTES, 0), (limits.TEXT_BYTES + 1, 2)):
        text = "ö" * (length // 2) + "x" * (length % 2)
        words, stdin = ([text], b"") if by == "argument" else (["-"], text.encode() + b"\n")
        done = cli(daemon.home, "send", "bob", "--json", *words, stdin=stdin)
        assert done.returncode == status
    assert error_of(done)["code"] == "text_too_long"


def test_endless_input_is_not_read_to_its_end(daemon: Daemon) -> None:
    program = " ".join(map(str, command("send", "bob", "-")))
    assert (
        subprocess.run(["sh", "-c", f"yes | P2PMSG_HOME={daemon.home} {program}"], capture_output=True, timeout=20, check=False).returncode
        == 2
    )


def test_the_message_is_printed(daemon: Daemon) -> None:
    done = cli(daemon.home, "send", "bob", "hi", "--json", "--key", "k", "--timeout", "2m")
    assert json.loads(done.stdout) == message("hi", mine=True)
    assert daemon.script.asked("send") == [{"target": "bob", "text": "hi", "wait": None, "timeout_s": 120.0, "key": "k"}]
    assert cli(daemon.home, "send", "bob", "hi").stdout.startswith(b"queued  ")


@pytest.mark.parametrize(("state", "status"), [("queued", 7), ("sent", 7), ("delivered", 0), ("read", 0)])
def test_waiting_in_vain_prints_the_message_and_fails(daemon: Daemon, state: str, status: int) -> None:
    daemon.script.answers["send"] = message("hi", mine=True, state=state)
    done = cli(daemon.home, "send", "bob", "hi", "--wait", "delivered", "--timeout", "0", "--json")
    assert done.returncode == status and json.loads(done.stdout)["state"] == state
    if status:
        assert error_of(done)["code"] == "timeout"


def test_lookalikes_are_found_in_the_words_alone() -> None:
    refuse_lookalikes(["bob", "--key", "-h", "x"])
    refuse_lookalikes(["bob", "hi", "--wait"])
    with pytest.raises(UsageError, match="-5"):
        refuse_lookalikes(["bob", "-5"])


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["bob", "-5", "degrees"], "p2pmsg send bob -- -5 degrees"),
        (["bob", "it's", "-5"], "p2pmsg send bob -- 'it'\"'\"'s' -5"),
        (["bob", "use", "--json", "please"], "p2pmsg send bob -- use --json please"),
        (["bob", "-5", "degrees", "--json"], "p2pmsg send --json bob -- -5 degrees"),
        (["--wait", "sent", "bob", "-5"], "p2pmsg send --wait sent bob -- -5"),
        (["bob", "the", "--key", "k", "fits", "--wait=sent"], "p2pmsg send --wait=sent bob -- the --key k fits"),
        (["bob", "-h", "--", "x"], "p2pmsg send bob -- -h x"),
    ],
)
def test_the_hint_is_the_whole_command(daemon: Daemon, words: list[str], whole: str) -> None:
    hint = cli(daemon.home, "send", *words).stderr.decode().splitlines()[-1] if "--json" not in words else hint_of(words)
    assert hint.endswith(f": {whole}")
    refuse_lookalikes(shlex.split(whole)[2:])


def hint_of(words: list[str]) -> str:
    with pytest.raises(UsageError) as raised:
        refuse_lookalikes(words)
    return str(raised.value.hint)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bob", "hi", "--jsn"], "did you mean --json?"),
        (["--timout", "5", "bob", "hi"], "did you mean --timeout?"),
        (["--profile", "work", "bob", "x"], "--profile stands before the command."),
    ],
)
def test_near_misses(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        refuse_lookalikes(words)
    assert said in raised.value.message
    with pytest.raises(UsageError) as raised:
        refuse_lookalikes(["bob", "-5"])
    assert "mean" not in raised.value.message


@pytest.mark.parametrize("flags", [["--json"], []])
def test_ctrl_c_while_waiting_says_what_is_stored(daemon: Daemon, flags: list[str]) -> None:
    async def answer(params: Any, _: object) -> dict[str, Any]:
        if params.wait is not None:
            process.send_signal(signal.SIGINT)
        return message(params.text, mine=True)

    daemon.script.answers["send"] = answer
    env = {**os.environ, "P2PMSG_HOME": str(daemon.home)}
    words = command("send", "bob", "hi", "--wait", "read", *flags)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    if flags:
        assert json.loads(stdout)["text"] == "hi" and stderr == b""
    else:
        assert stdout == f"queued  {'0' * 16}\n".encode()
        assert f"The message is stored ({'0' * 16}) and will be delivered." in stderr.decode()


def test_waiting_sends_once(daemon: Daemon) -> None:
    daemon.script.answers["send"] = message("hi", mine=True, state="read")
    assert cli(daemon.home, "send", "bob", "hi", "--wait", "read").returncode == 0
    first, second = daemon.script.asked("send")
    assert first["wait"] is None and second == {**first, "wait": "read"} and first["key"]


def test_a_key_that_was_used_is_said(daemon: Daemon) -> None:
    daemon.script.answers["send"] = message("first", mine=True, sent_at="2026-01-31T12:03:04.005Z")
    said = b"Already sent under this key at 2026-01-31 12:03; nothing was sent now.\n"
    assert cli(daemon.home, "send", "bob", "first", "--key", "k").stderr == said
    assert cli(daemon.home, "send", "bob", "other", "--key", "k").stderr == said
    assert cli(daemon.home, "send", "bob", "other", "--key", "k", "--json").stderr == b""


def test_what_is_delivered_and_not_read_is_said(daemon: Daemon) -> None:
    daemon.script.answers["send"] = message("hi", mine=True, state="delivered")
    done = cli(daemon.home, "send", "bob", "hi", "--wait", "read", "--timeout", "0")
    assert done.returncode == 7 and b"Try: The other side has it and has not read it yet." in done.stderr


def test_standard_input_on_a_terminal_says_how_it_ends(daemon: Daemon) -> None:
    with terminal(daemon.home, "send", "bob", "-") as screen:
        screen.see("Type the text; Ctrl-D ends it.")
        screen.press("hi\n\x04")
        assert screen.end() == 0
    assert texts(daemon) == ["hi"]


@pytest.mark.parametrize("words", [["-y", "bob", "--json", "--", "hi"], ["bob", "--yes", "--", "hi"], ["--yes", "bob", "hi"]])
def test_yes_is_taken_where_it_cannot_be_text(daemon: Daemon, words: list[str]) -> None:
    assert cli(daemon.home, "send", *words).returncode == 0
    assert set(texts(daemon)) == {"hi"}
