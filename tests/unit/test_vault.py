import errno
import json
import os
from pathlib import Path

import pytest

from p2pmsg.crypto import vault
from p2pmsg.errors import FileExists, HomeUnusable, NotInitialized, StorageDamaged, StorageFull


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key"


def test_what_was_made_is_read_again(path: Path) -> None:
    key = vault.create(path)
    assert len(key) == 32
    assert vault.open_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_mode_does_not_depend_on_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        vault.create(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_vaults_have_two_keys_and_the_databases_key_is_another(tmp_path: Path) -> None:
    a, b = vault.create(tmp_path / "a"), vault.create(tmp_path / "b")
    assert len({a, b, vault.database_key(a), vault.database_key(b)}) == 4
    assert vault.database_key(a) == vault.database_key(a)


def test_a_key_that_exists_is_not_touched(path: Path) -> None:
    key = vault.create(path)
    with pytest.raises(FileExists):
        vault.create(path)
    assert vault.open_key(path) == key


def test_a_dangling_link_counts_as_existing(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExists):
        vault.create(path)


def fail_at(monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException) -> None:
    """Let the nth fsync raise: the first is the file's, the second its folder's."""
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EROFS, HomeUnusable)])
def test_a_full_or_read_only_disk_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception], call: int
) -> None:
    fail_at(monkeypatch, call, OSError(number, os.strerror(number)))
    with pytest.raises(error):
        vault.create(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("call", [1, 2])
def test_ctrl_c_leaves_nothing_half_made(path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    fail_at(monkeypatch, call, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        vault.create(path)
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable):
        vault.create(tmp_path / "none" / "key")


def test_no_file(path: Path) -> None:
    with pytest.raises(NotInitialized):
        vault.open_key(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b"[" * 4000,
        json.dumps({"mode": "file"}).encode(),
        json.dumps({"mode": "file", "key": 7}).encode(),
        json.dumps({"mode": "file", "key": "zz"}).encode(),
        json.dumps({"mode": "file", "key": "00" * 31}).encode(),
        json.dumps({"mode": "file", "key": "00" * 33}).encode(),
        json.dumps({"mode": "keyring", "key": "00" * 32}).encode(),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_a_damaged_key_or_another_mode(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(StorageDamaged):
        vault.open_key(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_says_how_to_mend_it(path: Path, mode: int) -> None:
    vault.create(path)
    path.chmod(mode)
    with pytest.raises(HomeUnusable) as caught:
        vault.open_key(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_a_key_of_somebody_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.create(path)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(HomeUnusable, match="somebody else"):
        vault.open_key(path)


def test_what_is_no_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HomeUnusable):
        vault.open_key(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(HomeUnusable):
        vault.open_key(path)
