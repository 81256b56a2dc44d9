from __future__ import annotations

import json
from typing import Any

import pytest

from p2pmsg.rpc.connection import Call
from tests.unit.scripted import Daemon, cli, error_of

OPEN = {"vault": "open", "vault_mode": "passphrase"}


def asks(*which: str) -> Any:
    """Return an answer that asks for these passphrases first."""

    async def answer(_: object, call: Call) -> object:
        said = [await call.ask({"type": "passphrase", "which": each}) for each in which]
        return {**OPEN, "said": said}

    return answer


@pytest.mark.parametrize(
    ("words", "which"),
    [
        (("unlock",), ("current",)),
        (("passphrase", "set"), ("new",)),
        (("passphrase", "change"), ("current", "new")),
        (("passphrase", "remove"), ("current",)),
    ],
)
def test_passphrases_are_lines_of_standard_input(daemon: Daemon, words: tuple[str, ...], which: tuple[str, ...]) -> None:
    daemon.script.answers[".".join(("vault", *words))] = asks(*which)
    given = [f"the {each} one  ü" for each in which]
    done = cli(daemon.home, "vault", *words, "--json", stdin="".join(f"{each}\n" for each in given).encode())
    assert json.loads(done.stdout)["said"] == given
    assert done.stderr == b""


def test_none_is_a_fault_of_usage(daemon: Daemon) -> None:
    daemon.script.answers["vault.unlock"] = asks("current")
    done = cli(daemon.home, "vault", "unlock", "--json")
    assert (done.returncode, error_of(done)["code"]) == (2, "usage")
    assert "one line of standard input" in error_of(done)["hint"]


def test_people_read_what_is_protected(daemon: Daemon) -> None:
    daemon.script.answers["vault.lock"] = {"vault": "locked", "vault_mode": "keyring"}
    assert b"locked (the key is in the desktop's keyring" in cli(daemon.home, "vault", "lock").stdout
