"""The change of a key, ended before each of its steps: what was in force before opens the vault, and all is there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from p2pmsg.crypto import vault
from p2pmsg.crypto.vault import KeyFile, Mode, Slot
from p2pmsg.daemon import keyholder, linux
from p2pmsg.daemon.home import Profile
from p2pmsg.errors import NotPermitted, StorageDamaged, StorageFull, VaultLocked, WrongPassphrase
from p2pmsg.storage import rekeying
from p2pmsg.storage.database import close_database, open_database

CHEAP = vault.Cost(1, 8 << 20)


def sealed(passphrase: str) -> Callable[[bytes], Slot]:
    return partial(vault.under_passphrase, passphrase=passphrase, cost=CHEAP)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Return a profile with a key in a file and something in its database."""
    profile = Profile(tmp_path, "default", home_was_named=True)
    profile.folder.mkdir(parents=True)
    db = open_database(profile.database, vault.database_key(vault.create(profile.key))).db
    db.execute("INSERT INTO meta (key, value) VALUES ('kept', 'yes')")
    close_database(db)
    return profile


def kept(profile: Profile, passphrase: str | None = None) -> bool:
    """Say whether all is there for who opens the vault in this way."""
    opened = open_database(profile.database, vault.database_key(keyholder.unseal(profile, passphrase)))
    try:
        return not opened.warnings and opened.db.execute("SELECT value FROM meta WHERE key = 'kept'").fetchone() == ("yes",)
    finally:
        close_database(opened.db)


def change(profile: Profile, wrap: Callable[[bytes], Slot], passphrase: str | None = None) -> None:
    keyholder.change(profile, keyholder.unseal(profile, passphrase), wrap)


def test_a_passphrase_is_set_changed_and_removed(profile: Profile) -> None:
    masters = [keyholder.unseal(profile)]
    change(profile, sealed("one"))
    with pytest.raises(VaultLocked):
        keyholder.unseal(profile)
    masters.append(keyholder.unseal(profile, "one"))
    assert kept(profile, "one")
    change(profile, sealed("two"), "one")
    with pytest.raises(WrongPassphrase):
        keyholder.unseal(profile, "one")
    masters.append(keyholder.unseal(profile, "two"))
    change(profile, keyholder.without_passphrase(profile), "two")
    masters.append(keyholder.unseal(profile))
    assert kept(profile)
    assert keyholder.mode(profile) is Mode.FILE
    assert len(set(masters)) == 4
    assert not any(rekeying.opens(profile.database, vault.database_key(old)) for old in masters[:3])


class Ended(BaseException):
    """The process ends here."""


STEPS = ["wrap", "write 1", "rekey", "rekeyed", "write 2"]
WAYS: list[tuple[str | None, str | None]] = [(None, "new"), ("old", "new"), ("old", None)]


def end_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Let nothing happen any more from a step on, not even what a failure would undo."""
    writes = iter(("write 1", "write 2"))
    write, rekey = vault.write, rekeying.rekey

    def dying_write(path: Path, file: KeyFile) -> None:
        if next(writes) == step:
            raise Ended
        write(path, file)

    def dying_rekey(path: Path, old: bytes, new: bytes) -> None:
        if step == "rekey":
            raise Ended
        rekey(path, old, new)
        if step == "rekeyed":
            raise Ended

    monkeypatch.setattr(vault, "write", dying_write)
    monkeypatch.setattr(rekeying, "rekey", dying_rekey)
    if step.startswith("rekey"):
        monkeypatch.setattr(rekeying, "opens", lambda *_: (_ for _ in ()).throw(Ended))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("old", "new"), WAYS)
def test_ended_at_any_step_the_old_way_opens_it(profile: Profile, step: str, old: str | None, new: str | None) -> None:
    if old is not None:
        change(profile, sealed(old))

    def wrap(master: bytes) -> Slot:
        if step == "wrap":
            raise Ended
        return vault.plain(master) if new is None else sealed(new)(master)

    master = keyholder.unseal(profile, old)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Ended):
        end_at(patch, step)
        keyholder.change(profile, master, wrap)
    assert kept(profile, old)
    assert vault.read(profile.key).next is None
    assert keyholder.mode(profile) is (Mode.FILE if old is None else Mode.PASSPHRASE)


def interrupted(profile: Profile, step: str) -> None:
    """Change the passphrase from "old" to "new", and be ended before that step."""
    change(profile, sealed("old"))
    master = keyholder.unseal(profile, "old")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Ended):
        end_at(patch, step)
        keyholder.change(profile, master, sealed("new"))


@pytest.mark.parametrize("step", ["rekey", "rekeyed"])
@pytest.mark.parametrize("passphrase", ["old", "new"])
def test_on_a_disk_that_takes_nothing_an_interrupted_change_opens_all_the_same(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, step: str, passphrase: str
) -> None:
    interrupted(profile, step)
    before = profile.key.read_bytes()

    def full(*_: object) -> None:
        raise StorageFull("full")

    with monkeypatch.context() as patch:
        patch.setattr(vault, "write", full)
        if (step, passphrase) == ("rekey", "new"):
            with pytest.raises(WrongPassphrase, match="never came into force"):
                keyholder.unseal(profile, passphrase)
        else:
            assert kept(profile, passphrase)
    assert profile.key.read_bytes() == before
    assert kept(profile, "new" if step == "rekeyed" else "old")


def test_the_key_of_another_profile_opens_nothing_and_nothing_is_moved(profile: Profile, tmp_path: Path) -> None:
    change(profile, sealed("mine"))
    mine = profile.key.read_bytes()
    profile.key.unlink()
    vault.create(profile.key, sealed("his"))
    with pytest.raises(StorageDamaged, match="does not open the database") as caught:
        keyholder.unseal(profile, "his")
    assert "same copy" in caught.value.hint
    assert sorted(path.name for path in profile.folder.iterdir()) == ["data.db", "key"]
    profile.key.write_bytes(mine)
    assert kept(profile, "mine")


@pytest.mark.parametrize("free", [0, (8 << 20) + (15 << 20)])
def test_without_the_memory_for_it_no_passphrase_is_tried(profile: Profile, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    change(profile, sealed("one"))
    monkeypatch.setattr(linux, "free_memory_bytes", lambda: free)
    with pytest.raises(NotPermitted, match=rf"takes 8 MiB of memory to try, and {free >> 20} MiB are free"):
        keyholder.unseal(profile, "one")
    with pytest.raises(NotPermitted, match="256 MiB"):
        keyholder.under_passphrase("one")(bytes(32))
    monkeypatch.setattr(linux, "free_memory_bytes", lambda: None)
    assert kept(profile, "one")


@pytest.mark.parametrize("step", ["rekeyed", "write 2"])
def test_who_types_the_new_passphrase_first_has_changed_it(profile: Profile, step: str) -> None:
    interrupted(profile, step)
    assert kept(profile, "new")
    with pytest.raises(WrongPassphrase):
        keyholder.unseal(profile, "old")


@pytest.mark.parametrize("step", ["rekey"])
def test_a_new_passphrase_that_never_came_into_force_is_refused_in_words(profile: Profile, step: str) -> None:
    interrupted(profile, step)
    with pytest.raises(WrongPassphrase, match="never came into force"):
        keyholder.unseal(profile, "new")
    assert kept(profile, "old")


def test_a_disk_without_room_leaves_all_as_it_was(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    before = profile.key.read_bytes()

    def full(*_: object) -> None:
        raise StorageFull("full")

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(rekeying, "rekey", full)
        change(profile, sealed("new"))
    assert profile.key.read_bytes() == before
    assert kept(profile)


def test_a_wrong_passphrase_changes_nothing(profile: Profile) -> None:
    change(profile, sealed("old"))
    before = profile.key.read_bytes()
    with pytest.raises(WrongPassphrase):
        keyholder.unseal(profile, "guess")
    assert profile.key.read_bytes() == before
