from __future__ import annotations

import json

from tests.unit.scripted import Daemon, cli, contact, error_of
from tests.unit.test_cli_nearby import SAS, Question

NUMBER = "0123456789" * 6


def test_both_see_strings_and_say_yes(daemon: Daemon) -> None:
    daemon.script.answers["contact.verify"] = asks = Question()
    done = cli(daemon.home, "contact", "verify", "bob", "--json", stdin=b"yes\n")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [SAS, contact()]
    assert (done.returncode, done.stderr, asks.lines) == (0, b"", ["yes"])
    done = cli(daemon.home, "contact", "verify", "bob", "--json")
    assert (done.returncode, error_of(done)["code"]) == (6, "sas_mismatch")


def test_the_number_is_shown_in_groups_and_whole_in_json(daemon: Daemon) -> None:
    daemon.script.answers["contact.verify"] = {"number": NUMBER}
    assert json.loads(cli(daemon.home, "contact", "verify", "bob", "--number", "--json").stdout) == {"number": NUMBER}
    shown = cli(daemon.home, "contact", "verify", "bob", "--number").stdout.decode()
    assert shown.splitlines()[0] == "01234  56789  01234  56789" and "".join(shown.split()) == NUMBER
    assert daemon.script.asked("contact.verify")[0] == {"name": "bob", "number": True}


def test_a_number_is_compared(daemon: Daemon) -> None:
    daemon.script.answers["contact.verify"] = contact()
    done = cli(daemon.home, "contact", "verify", "bob", "--number", NUMBER)
    assert done.returncode == 0 and b"bob is verified." in done.stderr
    assert daemon.script.asked("contact.verify") == [{"name": "bob", "number": NUMBER}]
