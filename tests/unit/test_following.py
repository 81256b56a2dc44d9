"""The settings file is read again while the daemon runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from p2pmsg.config import edit
from p2pmsg.config.settings import Settings
from p2pmsg.daemon import following
from p2pmsg.daemon.following import Following


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def watched(file: Path) -> tuple[Following, list[Settings]]:
    told: list[Settings] = []
    return Following(file, Settings(), [told.append]), told


def test_a_change_is_told_once(file: Path) -> None:
    watch, told = watched(file)
    edit.set_(file, "receipts.read", "off")
    watch.look()
    watch.look()
    assert told == [Settings(receipts_read=False)] == [watch.settings] and watch.problem is None


def test_who_comes_later_is_told_what_he_does_not_know_and_what_comes(file: Path) -> None:
    watch, _ = watched(file)
    told: list[Settings] = []
    followers = (told.append,)
    edit.set_(file, "receipts.read", "off")
    watch.look()
    watch.tell(followers, Settings())
    watch.tell(also := ((lambda settings: None),), watch.settings)
    watch.spare(also)
    assert told == [Settings(receipts_read=False)]
    edit.set_(file, "typing", "off")
    watch.look()
    watch.spare(followers)
    edit.unset(file, "typing")
    watch.look()
    assert told == [Settings(receipts_read=False), Settings(receipts_read=False, typing=False)]


def test_without_a_change_nothing_is_told(file: Path) -> None:
    watch, told = watched(file)
    watch.look()
    file.write_text("# only a remark\n")
    watch.look()
    assert told == []


def test_a_file_that_goes_brings_the_defaults_back(file: Path) -> None:
    watch, told = watched(file)
    file.write_text("typing = false\n")
    watch.look()
    file.unlink()
    watch.look()
    assert told == [Settings(typing=False), Settings()]


@pytest.mark.parametrize("text", ["typing = perhaps\n", "tpying = true\n", "[log\n", "log.level = 'loud'\n"])
def test_a_bad_file_leaves_things_as_they_were_until_it_is_mended(file: Path, text: str) -> None:
    watch, told = watched(file)
    file.write_text("listen.port = 4000\n")
    watch.look()
    file.write_text(text)
    watch.look()
    assert len(told) == 1 and watch.problem is not None and str(file) in str(watch.problem)
    assert watch.settings.listen_port == 4000
    file.write_text("listen.port = 4001\n")
    watch.look()
    assert told[-1].listen_port == 4001 and watch.problem is None


def test_one_that_is_replaced_within_a_tick_of_the_clock_is_noticed(file: Path) -> None:
    file.write_text("listen.port = 4000\n")
    watch, told = watched(file)
    before = file.stat()
    new = file.with_name("new")
    new.write_text("listen.port = 4001\n")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(file)
    watch.look()
    assert [settings.listen_port for settings in told] == [4001]


def test_the_log_says_what_counts_and_what_does_not_yet(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch, _ = watched(file)
    file.write_text("listen.port = 4000\nmedia.folder = '/m'\n")
    watch.look()
    assert [record.getMessage() for record in caplog.records] == [
        "the setting listen.port has changed and counts from now on",
        "the setting media.folder has changed and has no effect yet",
    ]


@pytest.mark.asyncio
async def test_it_looks_by_itself_until_it_is_stopped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_EVERY_S", 0.01)
    noticed = asyncio.Event()
    watch = Following(file, Settings(), [lambda settings: noticed.set()])
    watch.stop()
    watch.start()
    edit.set_(file, "typing", "off")
    async with asyncio.timeout(5):
        await noticed.wait()
    watch.stop()
