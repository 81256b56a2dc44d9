import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from p2pmsg.crypto import vault
from p2pmsg.crypto.vault import KeyFile
from p2pmsg.errors import FileExists, HomeUnusable, NotInitialized, StorageDamaged, StorageFull, VaultLocked, WrongPassphrase


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


CHEAP = vault.Cost(operations=1, memory_bytes=8 << 20)


def test_a_passphrase_opens_what_it_sealed_and_another_does_not() -> None:
    slot = vault.under_passphrase(b"m" * 32, "correct horse", CHEAP)
    assert vault.unseal(slot, "correct horse") == b"m" * 32
    for wrong in ("", "Correct horse", "correct horse "):
        with pytest.raises(WrongPassphrase):
            vault.unseal(slot, wrong)
    with pytest.raises(VaultLocked):
        vault.unseal(slot)


def test_the_same_key_is_sealed_differently_each_time() -> None:
    one, other = (vault.under_passphrase(b"m" * 32, "same", CHEAP) for _ in range(2))
    assert one.salt != other.salt
    assert one.secret != other.secret


def test_what_a_guess_costs_cannot_be_edited() -> None:
    slot = vault.under_passphrase(b"m" * 32, "p", vault.Cost(2, 8 << 20))
    for cheaper in (replace(slot, cost=CHEAP), replace(slot, salt=bytes(16))):
        with pytest.raises(WrongPassphrase):
            vault.unseal(cheaper, "p")


def test_a_file_says_how_the_key_is_kept(path: Path) -> None:
    files = [
        KeyFile(vault.plain(b"a" * 32)),
        KeyFile(vault.under_passphrase(b"a" * 32, "p", CHEAP)),
        KeyFile(vault.Slot(vault.Mode.KEYRING, b"00ff")),
        KeyFile(vault.plain(b"a" * 32), vault.under_passphrase(b"b" * 32, "p", CHEAP), vault.bridge(b"a" * 32, b"b" * 32)),
    ]
    for file in files:
        vault.write(path, file)
        assert vault.read(path) == file
        assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_sealed_key_does_not_open_without_its_passphrase(path: Path) -> None:
    vault.write(path, KeyFile(vault.under_passphrase(b"a" * 32, "p", CHEAP)))
    with pytest.raises(VaultLocked):
        vault.open_key(path)
    assert b"a" * 32 not in path.read_bytes()
    assert (b"a" * 32).hex().encode() not in path.read_bytes()


def test_the_old_key_leads_to_the_new_one_and_no_other_does() -> None:
    sealed = vault.bridge(b"a" * 32, b"b" * 32)
    assert vault.cross(b"a" * 32, sealed) == b"b" * 32
    with pytest.raises(StorageDamaged):
        vault.cross(b"c" * 32, sealed)


SEALED = {"mode": "passphrase", "salt": "00" * 16, "operations": 3, "memory_bytes": 8 << 20, "sealed": "00" * 72}


def test_the_form_of_a_sealed_key_is_taken(path: Path) -> None:
    write_text(path, json.dumps(SEALED))
    assert vault.read(path).now.mode is vault.Mode.PASSPHRASE


@pytest.mark.parametrize(
    "change",
    [
        {"operations": 0},
        {"operations": 17},
        {"operations": "x"},
        {"memory_bytes": (8 << 20) - 1},
        {"memory_bytes": (1 << 30) + 1},
        {"salt": "00" * 15},
        {"sealed": "00" * 71},
        {"sealed": None},
        {"mode": "tpm"},
        {"next": {}},
        {"next": "x"},
        {"next": {"mode": "file", "key": "00" * 32}},
        {"mode": "keyring"},
        {"mode": "keyring", "entry": "no hex"},
    ],
)
def test_what_is_no_key_file_is_called_damaged(path: Path, change: dict[str, object]) -> None:
    write_text(path, json.dumps({**SEALED, **change}))
    with pytest.raises(StorageDamaged, match="damaged"):
        vault.read(path)


def test_a_file_that_cannot_be_replaced_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = KeyFile(vault.plain(b"a" * 32))
    vault.write(path, before)
    fail_at(monkeypatch, 1, OSError(errno.ENOSPC, "full"))
    with pytest.raises(StorageFull):
        vault.write(path, KeyFile(vault.plain(b"b" * 32)))
    assert vault.read(path) == before
    assert list(path.parent.iterdir()) == [path]


def test_no_secret_shows_in_a_traceback() -> None:
    assert "61" * 32 not in repr(vault.plain(b"a" * 32))
    assert "aaaa" not in repr(vault.plain(b"a" * 32))


def write_text(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("set_as", "typed"),
    [("\u00fcberall", "u\u0308berall"), ("u\u0308berall", "\u00fcberall"), ("one", "one\r"), ("one\r\n", "one"), (" one ", " one ")],
)
def test_a_passphrase_is_the_same_on_every_keyboard(set_as: str, typed: str) -> None:
    key = vault.new_key()
    slot = vault.under_passphrase(key, set_as, vault.Cost(1, 8 << 20))
    assert vault.unseal(slot, typed) == key


@pytest.mark.parametrize("typed", ["One", "one ", "\uff4fne", "\ud800"])
def test_a_passphrase_that_looks_alike_is_another(typed: str) -> None:
    slot = vault.under_passphrase(vault.new_key(), "one", vault.Cost(1, 8 << 20))
    with pytest.raises(WrongPassphrase):
        vault.unseal(slot, typed)
