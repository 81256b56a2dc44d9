from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2pmsg.cli.doctor import render
from tests.unit.scripted import Daemon, cli, error_of
from tests.unit.test_daemon_doctor import STATUS, Profile, lived_in

PORT = {"check": "port", "ok": True, "detail": "UDP 9 is open.", "hint": None}
BROKEN = {"check": "mdns", "ok": False, "detail": "Bob\x1b[2J is silent.", "hint": "p2pmsg daemon restart"}


@pytest.fixture
def home_of(daemon: Daemon) -> Path:
    daemon.script.answers |= {"status": STATUS, "doctor": [PORT]}
    lived_in(Profile(daemon.home, "default", True))
    return daemon.home


def test_one_object_a_line_and_exit_0_where_all_is_well(home_of: Path) -> None:
    done = cli(home_of, "doctor", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(set(row) == {"check", "ok", "detail", "hint"} for row in rows) and PORT in rows
    assert done.returncode == (9 if any(row["ok"] is False for row in rows) else 0)


def test_a_fault_is_exit_9_after_all_rows(home_of: Path, daemon: Daemon) -> None:
    daemon.script.answers["doctor"] = [BROKEN, PORT]
    done = cli(home_of, "doctor", "--json", "--with", "bob")
    assert done.returncode == 9 and error_of(done)["code"] == "check_failed" and "mdns" in error_of(done)["message"]
    assert [json.loads(line) for line in done.stdout.splitlines()][-2:] == [BROKEN, PORT]
    assert daemon.script.asked("doctor") == [{"with": "bob"}]


def test_with_somebody_and_no_daemon(home: Path) -> None:
    lived_in(Profile(home, "default", True))
    done = cli(home, "doctor", "--with", "bob", "--json")
    assert (done.returncode, error_of(done)["code"], done.stdout) == (3, "daemon_not_running", b"")


def test_a_report_beside_the_rows_and_never_over_a_file(home_of: Path, tmp_path: Path) -> None:
    done = cli(home_of, "doctor", "--report", str(tmp_path / "report"))
    assert b"CHECK" in done.stdout and b"Written: " in done.stderr and json.loads((tmp_path / "report").read_text())["rows"]
    again = cli(home_of, "doctor", "--report", str(tmp_path / "report"), "--json")
    assert (again.returncode, error_of(again)["code"], again.stdout) == (8, "file_exists", b"")
    nowhere = cli(home_of, "doctor", "--report", str(tmp_path / "no" / "report"), "--json")
    assert (nowhere.returncode, error_of(nowhere)["code"], nowhere.stdout) == (4, "file_not_found", b"")
    assert "name another file" in error_of(nowhere)["hint"]


def test_for_people_a_table_in_words() -> None:
    lines = render([PORT, BROKEN], "work").splitlines()
    assert lines[0].split() == ["CHECK", "WHAT", "WAS", "FOUND"]
    assert lines[1].split()[:2] == ["port", "ok"] and lines[2].split()[:2] == ["mdns", "FAULT"]
    assert "\x1b" not in lines[2] and lines[3].strip() == "Try: p2pmsg --profile work daemon restart"
