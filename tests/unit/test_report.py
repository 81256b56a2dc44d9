"""The report: what helps is in it, what is nobody's business is not."""

from __future__ import annotations

import json
import stat
from functools import partial
from pathlib import Path

import pytest

from p2pmsg.config import settings
from p2pmsg.crypto import vault
from p2pmsg.daemon import report
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.rows import Row
from p2pmsg.errors import FileExists, HomeUnusable, SettingsInvalid
from p2pmsg.storage.database import close_database, open_database
from tests.unit.scripted import ANN, BOB, Daemon, contact

CANARY = "canary"
ROWS = [Row("with", False, f"Bob Kanari is silent; {BOB} too.", f"on Bob Kanari's machine: p2pmsg doctor {ANN}")]


@pytest.fixture
def profile(daemon: Daemon) -> Profile:
    daemon.script.answers |= {
        "contact.list": [contact(name="Bob Kanari", nickname="bobby-canary")],
        "whoami": {"name": "Ann Canary", "device_name": "canary-laptop"},
        "peers": [{"device_name": "Bob's canary", "name": "Bob Kanari", "account": BOB, "path": "mdns", "address": "192.0.2.1:4000"}],
        "status": {"port": 4000, "home": "/canary", "unread": 3, "warnings": [{"message": "Bob Kanari's clock", "hint": None}]},
    }
    made = Profile(daemon.home, "default", True)
    made.key.unlink()
    vault.create(made.key)
    made.config.write_text(
        '[discovery]\nstatic = ["canary.example:4000"]\ninterfaces = ["lo"]\n'
        '[notify]\ncommand = "curl -H canary-secret"\n[log]\nlevel = "debug"\n'
    )
    lines = (f"link 3 with {BOB[:16]} opened", "the static peer canary.example cannot be found", "Ann Canary wrote P2PMSG:AB2CANARYCANARY7")
    made.log.write_text("\n".join(lines) + "\n")
    return made


def test_no_secret_no_name_and_no_whole_id(profile: Profile, tmp_path: Path) -> None:
    report.write(tmp_path / "report", ROWS, profile)
    text = (tmp_path / "report").read_text()
    master = json.loads(profile.key.read_text())["key"]
    for secret in (
        CANARY,
        "Canary",
        "CANARY",
        "Bob Kanari",
        "kanari",
        master,
        vault.database_key(vault.open_key(profile.key)).hex(),
        ANN,
        BOB,
    ):
        assert secret not in text, secret
    assert str(Path.home()) not in text or str(Path.home()) == "/"


def test_what_helps_is_there(profile: Profile, tmp_path: Path) -> None:
    report.write(tmp_path / "report", ROWS, profile)
    found = json.loads((tmp_path / "report").read_text())
    assert found["versions"]["p2pmsg"] and found["versions"]["aioquic"] and found["interfaces"] is not None
    assert found["rows"][0] | {"detail": "", "hint": ""} == {"check": "with", "ok": False, "detail": "", "hint": ""}
    assert found["settings"] == {
        "discovery.static": "set",
        "discovery.interfaces": ["lo"],
        "notify.command": "set",
        "log.level": "debug",
    }
    assert found["status"]["port"] == 4000 and found["status"]["unread"] == 3 and "home" not in found["status"]
    assert found["peers"][0]["path"] == "mdns" and found["peers"][0]["account"] == f"{BOB[:8]}…"
    assert "lo" in [each[0] for each in found["interfaces"]]
    assert found["log"][0] == f"link 3 with {BOB[:8]}… opened"


@pytest.mark.parametrize(
    "bad",
    ['[notify]\ncommand = "curl \'canary: x"\n', '[notify]\ncommand = ["canary"]\n', '[discovery]\nstatic = ["canary.example"]\n'],
)
def test_settings_that_are_refused_are_not_quoted(bad: str, profile: Profile, tmp_path: Path) -> None:
    profile.config.write_text(bad)
    with pytest.raises(SettingsInvalid) as caught:
        settings.load(profile.config)
    said = str(caught.value)
    profile.log.write_text(f"the settings from before hold on: {said}\nthe static peer canary.example cannot be found: no\n")
    report.write(tmp_path / "report", [Row("settings", False, said)], profile)
    text = (tmp_path / "report").read_text()
    assert CANARY not in text and "cannot be (value): " in text and "static peer (name) cannot be found" in text


def test_who_is_stored_is_known_without_a_daemon(home: Path, tmp_path: Path) -> None:
    made = Profile(home / "of canary", "default", True)
    made.folder.mkdir(parents=True)
    key = vault.database_key(vault.create(made.key))
    db = open_database(made.database, key).db
    db.execute("INSERT INTO request (id, nickname, received_ms) VALUES ('a', 'Canary', 1)")
    close_database(db)
    made.log.write_text("Canary fell silent\n")
    report.write(tmp_path / "report", [Row("home", True, f"{made.folder} is mine")], made)
    text = (tmp_path / "report").read_text()
    assert CANARY not in text.lower() and "(name) fell silent" in text


def test_while_the_vault_is_locked_the_log_is_left_out(home: Path, tmp_path: Path) -> None:
    made = Profile(home, "default", True)
    made.folder.mkdir(parents=True)
    vault.create(made.key, partial(vault.under_passphrase, passphrase="one", cost=vault.Cost(1, 8 << 20)))
    made.log.write_text("Canary fell silent\n")
    report.write(tmp_path / "report", [Row("home", True, f"{made.folder} is mine")], made)
    found = json.loads((tmp_path / "report").read_text())
    assert found["log"] == [report.NO_LOG] and "(name)" in found["rows"][0]["detail"]


def test_for_its_owner_alone_and_never_over_another_file(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "report"
    report.write(path, [], profile)
    before = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExists):
        report.write(path, [], profile)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExists):
        report.write(tmp_path / "link", [], profile)
    assert path.read_text() == before
    with pytest.raises(HomeUnusable, match="cannot be written: No such file") as caught:
        report.write(tmp_path / "no" / "folder", [], profile)
    assert "Choose a file in a folder" in caught.value.hint


def test_without_a_daemon_a_log_or_readable_settings(home: Path, tmp_path: Path) -> None:
    nobody = Profile(home, "default", True)
    nobody.folder.mkdir(parents=True)
    nobody.config.write_text("what?")
    report.write(tmp_path / "report", [], nobody)
    found = json.loads((tmp_path / "report").read_text())
    assert found["log"] == [] and found["settings"] == {"fault": "the file cannot be read"}
