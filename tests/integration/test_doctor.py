"""doctor beside daemons that run, and a report that gives nothing away."""

from __future__ import annotations

from pathlib import Path

from tests.integration.daemons import town

CANARY = "the-canary-sings-at-noon"


def test_two_on_one_machine_and_a_report_without_secrets(home: Path) -> None:
    with town("Annabella", "Bobolink") as (ann, bob):
        for somebody in (ann, bob):
            somebody.configure("log.level", "debug")
            somebody.stop()
            somebody.start()
        ann.say(bob, CANARY)
        bob.say(ann, CANARY[::-1])
        invite = ann.ask("contact.invite")["invite"]
        report = home / "report"
        done = ann.cli("doctor", "--with", "bobolink", "--report", str(report), "--json")
        rows = {row["check"]: row for row in done.objects}
        faults = {check for check, row in rows.items() if row["ok"] is False}
        assert done.status == (9 if faults else 0) and faults <= {"firewall"}, rows
        assert rows["with"]["ok"] is True and rows["with_clock"]["ok"] is True and "Bobolink" in rows["with"]["detail"]
        text = report.read_text()
        assert "opened" in text and '"aioquic"' in text
        key = (ann.folder / "key").read_text()
        secrets = (CANARY, CANARY[::-1], "Annabella", "Bobolink", invite, ann.account, bob.account)
        assert [secret for secret in secrets if secret.lower() in text.lower()] == []
        assert not any(part in text for part in key.split('"') if len(part) >= 32)
        refused = ann.fails(8, "file_exists", "doctor", "--report", str(report), "--json")
        assert str(report) in refused["message"] and report.read_text() == text


def test_rows_of_a_daemon_that_was_killed(home: Path) -> None:
    with town("Ann") as (ann,):
        ann.kill()
        done = ann.cli("doctor", "--json")
        faults = {row["check"] for row in done.objects if row["ok"] is False}
        assert done.status == 9 and "daemon" in faults and done.error["code"] == "check_failed"
