from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

import pytest

from p2pmsg.daemon import journal
from p2pmsg.errors import HomeUnusable

LOG = logging.getLogger("p2pmsg.test")


def test_a_line_has_time_level_and_name(tmp_path: Path) -> None:
    with journal.writing(tmp_path / "log", "info"):
        LOG.info("hello %s", "there")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO p2pmsg\.test: hello there\n", (tmp_path / "log").read_text())


def test_the_level_is_kept_and_given_back(tmp_path: Path) -> None:
    before = logging.getLogger().level
    with journal.writing(tmp_path / "log", "warning"):
        LOG.info("not this")
        LOG.warning("this")
    LOG.warning("nor this")
    assert [line.split(": ")[1] for line in (tmp_path / "log").read_text().splitlines()] == ["this"]
    assert logging.getLogger().level == before


def test_nothing_in_a_line_steers_a_terminal(tmp_path: Path) -> None:
    with journal.writing(tmp_path / "log", "info"):
        LOG.info("a\x1b[2Jb\nc\u202ed\x9be\u2028f é 漢")
    assert (tmp_path / "log").read_text().endswith(r"a\x1b[2Jb\nc\u202ed\x9be\u2028f é 漢" + "\n")


def test_a_traceback_is_indented_and_escaped(tmp_path: Path) -> None:
    with journal.writing(tmp_path / "log", "info"):
        try:
            raise ValueError("\x1b]0;x\x07")
        except ValueError:
            LOG.exception("it broke")
    first, *rest = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("it broke")
    assert all(line.startswith("  ") for line in rest)
    assert rest[-1] == r"  ValueError: \x1b]0;x\x07"


def test_text_that_is_no_unicode_is_written(tmp_path: Path) -> None:
    with journal.writing(tmp_path / "log", "info"):
        LOG.info("%s", os.fsdecode(b"\xff"))
    assert (tmp_path / "log").read_text().endswith("\\udcff\n")


def test_the_files_are_closed_to_others_and_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LOG_BYTES", 200)
    old = os.umask(0)
    with journal.writing(tmp_path / "log", "info"):
        for number in range(20):
            LOG.info("line %d", number)
    os.umask(old)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert [path.name for path in journal.older(tmp_path / "log")] == ["log.2", "log.1"]


def test_a_log_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable, match="missing"), journal.writing(tmp_path / "missing" / "log", "info"):
        pass


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(HomeUnusable), journal.writing(tmp_path / "log", "info"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_costs_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with journal.writing(Path("/dev/full"), "info"):
        LOG.info("lost")
    assert capsys.readouterr() == ("", "")


def test_the_level_can_be_changed_while_it_is_written(tmp_path: Path) -> None:
    with journal.writing(tmp_path / "log", "error"):
        LOG.info("unheard")
        journal.set_level("debug")
        LOG.debug("heard")
    assert "heard" in (tmp_path / "log").read_text() and "unheard" not in (tmp_path / "log").read_text()
