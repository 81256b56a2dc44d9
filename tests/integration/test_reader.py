"""protocol.md is enough: a client written from the page alone becomes a contact of a real daemon, and reads what its user sends."""

from __future__ import annotations

import ast
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import Json, Somebody, town, until

READER = Path(__file__).with_name("reader.py")
LINES = 210
LIBRARIES = {"aioquic", "cryptography", "msgspec", "nacl"}


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    with town("Ann") as found:
        yield found


@pytest.fixture
def entropy() -> str:
    return secrets.token_hex(32)


class Reader:
    """The client, running."""

    def __init__(self, invite: str, entropy: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-I", str(READER), invite, entropy], stdout=subprocess.PIPE, text=True)

    def says(self) -> Json:
        assert self._process.stdout is not None
        said: Json = json.loads(self._process.stdout.readline())
        return said

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_fault: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_it_knows_nothing_of_p2pmsg_but_the_page() -> None:
    source = READER.read_text(encoding="utf-8")
    imported = {name.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "." for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    packages = {name.split(".")[0] for name in imported}
    assert packages - sys.stdlib_module_names == LIBRARIES
    assert len([line for line in source.splitlines() if line.strip()]) <= LINES


def test_it_reads_a_message_that_is_pushed(ann: Somebody, entropy: str) -> None:
    with Reader(ann.ask("contact.invite")["invite"], entropy) as reader:
        joined = reader.says()
        assert joined["nick"] == "Ann"
        until(lambda: any(peer["online"] for peer in ann.ask("peers")), "the reader's link is open")
        sent = ann.good("send", joined["account"], "--wait", "delivered", "--json", "Bonjour, \u00e7a va?")[0]
        assert sent["state"] == "delivered"
        assert reader.says() == {"text": "Bonjour, \u00e7a va?"}


def test_it_asks_for_a_message_that_was_sent_while_it_was_away(ann: Somebody, entropy: str) -> None:
    invite = ann.ask("contact.invite")["invite"]
    with Reader(invite, entropy) as reader:
        account = reader.says()["account"]
    sent = ann.ask("send", target=account, text="for later")
    assert sent["state"] != "delivered"
    with Reader(invite, entropy) as reader:
        assert reader.says()["account"] == account
        assert reader.says() == {"text": "for later"}
    until(lambda: ann.ask("history", target=account)[-1]["state"] == "delivered", "the acknowledgement has come")
