"""What the disk did, in our words."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pytest

from p2pmsg.errors import StorageDamaged, StorageFailed, StorageFull
from p2pmsg.storage import faults
from p2pmsg.storage.cipher import sqlite


def fault(code: int) -> sqlite.Error:
    error = sqlite.OperationalError("what happened")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_X"
    return error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (13, StorageFull),
        (10, StorageFailed),
        (10 | 3 << 8, StorageFailed),
        (8, StorageFailed),
        (5, StorageFailed),
        (14, StorageFailed),
        (11, StorageDamaged),
        (26, StorageDamaged),
    ],
)
def test_what_the_disk_did_has_an_error_of_ours(tmp_path: Path, code: int, expected: type[Exception]) -> None:
    assert type(faults.translated(fault(code), tmp_path)) is expected


def test_an_io_error_on_a_full_disk_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "free_bytes", lambda folder: 0)
    assert isinstance(faults.translated(fault(10 | 4 << 8), tmp_path), StorageFull)


def test_a_file_that_may_grow_no_more_is_no_full_disk(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert isinstance(faults.translated(fault(10), tmp_path), StorageFailed)  # EFBIG is no quota
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_local_folder_shares_memory_and_one_that_is_not_there_is_told_by_others(tmp_path: Path) -> None:
    assert faults.shares_memory(tmp_path) and faults.shares_memory(tmp_path / "gone")


def test_a_fault_of_our_sql_stays_what_it_is() -> None:
    error = fault(1)
    assert faults.translated(error, None) is error


def test_a_folder_that_has_gone_is_no_second_fault(tmp_path: Path) -> None:
    assert isinstance(faults.translated(fault(10), tmp_path / "gone"), StorageFailed)
    assert faults.free_bytes(tmp_path) > 0


def test_what_the_file_system_did() -> None:
    assert isinstance(faults.of_system(OSError(errno.ENOSPC, "no space")), StorageFull)
    assert isinstance(faults.of_system(OSError(errno.EDQUOT, "quota")), StorageFull)
    assert "denied" in str(faults.of_system(OSError(errno.EACCES, "denied")))
