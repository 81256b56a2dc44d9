"""What a profile takes of the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pmsg.daemon.usage import disk_bytes


def test_all_files_below_count_as_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "b").write_bytes(b"x")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 30)
    assert 10_001 <= disk_bytes(tmp_path) < 1 << 20


def test_a_link_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr/bin/env")
    assert disk_bytes(tmp_path) < 10_000


def test_what_is_not_there_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk_bytes(tmp_path / "nowhere") == 0
    (tmp_path / "gone").touch()

    def lstat(path: str) -> os.stat_result:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "lstat", lstat)
    assert disk_bytes(tmp_path) == 0
