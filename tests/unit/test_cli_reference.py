from pathlib import Path

import pytest

from p2pmsg.cli import reference
from p2pmsg.cli.main import COMMANDS
from p2pmsg.rpc.api import ELSEWHERE, METHODS

GROUPS = {"## p2pmsg", "profile", "daemon", "config", "contact", "visible", "vault", "vault passphrase"}


def test_the_page_is_up_to_date() -> None:
    assert reference.main(["--check"]) == 0


def test_a_page_that_is_not_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "cli.md")
    monkeypatch.setattr(reference, "MANUAL", tmp_path / "p2pmsg.1")
    monkeypatch.setattr(reference, "API_PAGE", tmp_path / "api.md")
    assert reference.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert reference.main([]) == 0 and reference.main(["--check"]) == 0


def test_every_command_and_every_method_has_its_heading() -> None:
    headings = [line.removeprefix("## p2pmsg ") for line in reference.page().splitlines() if line.startswith("## ")]
    assert set(COMMANDS) <= set(headings)
    commands = {heading.replace(" ", ".") for heading in set(headings) - GROUPS}
    assert set(METHODS) - {"rpc.hello", "chat.typing"} | set(ELSEWHERE) == commands
    assert not set(METHODS) & set(ELSEWHERE)
