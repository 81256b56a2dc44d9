from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import InviteUsed
from tests.unit.scripted import Daemon, cli, contact, error_of
from tests.unit.terminal import terminal

INVITE = {"id": "7f3a91c2" * 8, "invite": "P2PMSG:" + "A" * 112, "expires_at": "2099-01-31T12:03:04.005Z"}


def test_stdout_is_the_invite_alone(daemon: Daemon) -> None:
    daemon.script.answers["contact.invite"] = INVITE
    done = cli(daemon.home, "contact", "invite", "--valid", "2h")
    assert done.stdout.decode() == INVITE["invite"] + "\n" and b"2099-01-31 12:03 (id 7f3a91c2)" in done.stderr
    assert daemon.script.asked("contact.invite") == [{"valid_s": 7200.0}]


def test_no_qr_where_stderr_is_no_terminal(daemon: Daemon) -> None:
    daemon.script.answers["contact.invite"] = INVITE
    assert "█" not in cli(daemon.home, "contact", "invite").stderr.decode()


def test_the_invite_as_json(daemon: Daemon) -> None:
    daemon.script.answers["contact.invite"] = INVITE
    done = cli(daemon.home, "contact", "invite", "--json")
    assert json.loads(done.stdout) == INVITE and done.stderr == b""


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_the_qr_comes_last_and_fits_a_terminal(daemon: Daemon, environ: dict[str, str]) -> None:
    daemon.script.answers["contact.invite"] = INVITE
    with terminal(daemon.home, "contact", "invite", **environ) as screen:
        assert screen.end() == 0
    lines = screen.screen.decode().replace("\x1b[97;40m", "").replace("\x1b[0m", "").splitlines()
    assert lines[0] == INVITE["invite"][:120] and "█" in lines[-1]
    assert len(lines[2:]) <= 23 and max(map(len, lines[2:])) < 80
    assert (b"\x1b" in screen.screen) == (not environ)


def test_invites_and_uninvite(daemon: Daemon) -> None:
    daemon.script.answers |= {"contact.invites": [INVITE, INVITE], "contact.uninvite": INVITE}
    assert cli(daemon.home, "contact", "invites", "--json").stdout.count(b"\n") == 2
    assert b"7f3a91c2" in cli(daemon.home, "contact", "invites").stdout
    assert json.loads(cli(daemon.home, "contact", "uninvite", "7f3a", "--json").stdout) == INVITE
    assert daemon.script.asked("contact.uninvite") == [{"id": "7f3a"}]


def test_adding(daemon: Daemon) -> None:
    daemon.script.answers["contact.add"] = contact()
    done = cli(daemon.home, "contact", "add", "P2PMSG:X", "--name", "Bobby", "--json")
    assert json.loads(done.stdout) == contact()
    assert cli(daemon.home, "contact", "add", "-", "--timeout", "5", stdin=b" p2pmsg:y \nrest").returncode == 0
    nobody = {"nickname": None, "id": None}
    assert daemon.script.asked("contact.add") == [
        {"invite": "P2PMSG:X", "name": "Bobby", "timeout_s": None, **nobody},
        {"invite": "p2pmsg:y", "name": None, "timeout_s": 5.0, **nobody},
    ]


def test_adding_says_what_has_become_of_it(daemon: Daemon) -> None:
    daemon.script.answers["contact.add"] = contact(trust="invited")
    assert cli(daemon.home, "contact", "add", "P2PMSG:X").stderr == b"You and bob~b0b0b0b0 are contacts.\n"
    assert cli(daemon.home, "contact", "add", "P2PMSG:X", "--json").stderr == b""


def test_an_invite_on_a_terminal(daemon: Daemon) -> None:
    daemon.script.answers["contact.add"] = contact()
    with terminal(daemon.home, "contact", "add", "-") as screen:
        screen.see("Type or paste the invite; Enter ends it.")
        screen.press("P2PMSG:Y\n")
        assert screen.end() == 0
    assert daemon.script.asked("contact.add")[0]["invite"] == "P2PMSG:Y"


def test_adding_from_a_picture(daemon: Daemon, tmp_path: Path) -> None:
    import segno

    daemon.script.answers["contact.add"] = contact()
    segno.make_qr(INVITE["invite"]).save(str(tmp_path / "qr.png"), scale=5)
    assert cli(daemon.home, "contact", "add", "--image", str(tmp_path / "qr.png")).returncode == 0
    assert daemon.script.asked("contact.add")[0]["invite"] == INVITE["invite"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [(["--image", "/nowhere"], 4, "file_not_found"), (["--image", __file__], 2, "invite_malformed"), (["X", "--image", "y"], 2, "usage")],
)
def test_adding_what_cannot_be(daemon: Daemon, words: list[str], status: int, code: str) -> None:
    done = cli(daemon.home, "contact", "add", "--json", *words)
    assert (done.returncode, error_of(done)["code"]) == (status, code) and daemon.script.asked("contact.add") == []


def test_an_invite_that_is_used(daemon: Daemon) -> None:
    daemon.script.answers["contact.add"] = InviteUsed("This invite was used.")
    done = cli(daemon.home, "contact", "add", "P2PMSG:X", "--json")
    assert (done.returncode, error_of(done)["code"]) == (8, "invite_used")


def test_a_line_of_stdin_that_is_no_invite(daemon: Daemon) -> None:
    done = cli(daemon.home, "contact", "add", "-", "--json", stdin=b"x" * 10_000)
    assert (done.returncode, error_of(done)["code"]) == (2, "usage")
    done = cli(daemon.home, "contact", "add", "-", "--json", stdin=b"\xff\n")
    assert (done.returncode, error_of(done)["code"]) == (2, "invalid_text")


def test_everybody_is_listed_whatever_an_answer_holds(daemon: Daemon) -> None:
    everybody = [contact(name=f"bob {n}") for n in range(limits.RPC_LIST + 1)]
    daemon.script.answers["contact.list"] = lambda params, call: everybody[params.skip : params.skip + limits.RPC_LIST]
    listed = cli(daemon.home, "contact", "list", "--json").stdout.decode().splitlines()
    assert [json.loads(each)["name"] for each in listed] == [each["name"] for each in everybody]


def test_list_show_rename(daemon: Daemon) -> None:
    daemon.script.answers |= {"contact.show": contact(), "contact.rename": contact(name="Robert")}
    assert [json.loads(line) for line in cli(daemon.home, "contact", "list", "--json").stdout.splitlines()] == [contact()]
    assert json.loads(cli(daemon.home, "contact", "show", "bob", "--json").stdout) == contact()
    assert b"Robert" in cli(daemon.home, "contact", "rename", "bob", "Robert").stdout
    assert daemon.script.asked("contact.rename") == [{"name": "bob", "new": "Robert"}]


def test_nobody_yet(daemon: Daemon) -> None:
    daemon.script.answers |= {"contact.list": [], "peers": []}
    for words in (["contact", "list"], ["peers"]):
        done = cli(daemon.home, *words)
        assert done.returncode == 0 and done.stdout == b"" and done.stderr
        assert cli(daemon.home, *words, "--json").stderr == b""


def test_peers(daemon: Daemon) -> None:
    peer = {"account": "a1" * 32, "name": "Ann", "device": "d" * 64, "device_name": "desk", "online": False, "since": None, "path": None}
    daemon.script.answers["peers"] = [peer | {"address": None, "interface": None, "rtt_ms": None}]
    assert cli(daemon.home, "peers").stdout.decode().splitlines()[1].split()[:2] == ["me", "desk"]
    assert json.loads(cli(daemon.home, "peers", "--json").stdout)["device_name"] == "desk"


def test_find_says_whether_anybody_was_asked(daemon: Daemon) -> None:
    daemon.script.answers |= {"contact.show": contact(), "contact.find": contact(online=True)}
    done = cli(daemon.home, "contact", "find", "bob")
    assert done.returncode == 0 and b"online:    yes" in done.stdout and b"bob is found." in done.stderr
    assert daemon.script.asked("contact.find") == [{"name": contact()["account"]}]
    daemon.script.answers["contact.show"] = contact(online=True)
    assert b"nobody was asked" in cli(daemon.home, "contact", "find", "bob").stderr
    done = cli(daemon.home, "contact", "find", "bob", "--json")
    assert json.loads(done.stdout)["online"] and done.stderr == b""
