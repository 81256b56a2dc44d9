"""`init`: a person, whole or not at all, whatever breaks and whenever."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.crypto import chain, vault, words
from p2pmsg.daemon import identity, lock
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.lock import Lock
from p2pmsg.errors import AlreadyInitialized, AlreadyRunning, FileExists, HomeUnusable, InvalidName, P2pmsgError, StorageFull
from p2pmsg.storage.cipher import sqlite
from p2pmsg.storage.database import close_database, open_database

FILE_CALLS = ["fsync", "rename", "mkdir", "unlink", "pwrite", "chmod"]
"""Where the operating system, or the user, may stop an `init`."""
OPENING = ["open", "fdopen"]
"""The same, but what such a call returned is not to be lost."""


@pytest.fixture
def profile(home: Path) -> Profile:
    return Profile(home / "p2p", "default", home_was_named=True)


def init(profile: Profile, words_file: Path | None = None, name: str = "Ann", device: str | None = "laptop") -> dict[str, Any]:
    return identity.init(profile, name, device, words_file, lambda shown: None)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def people_of(profile: Profile) -> Any:
    opened = open_database(profile.database, vault.database_key(vault.open_key(profile.key)))
    try:
        return load_people(opened.db)
    finally:
        close_database(opened.db)


# -- what is made


def test_a_person_is_made(profile: Profile, home: Path) -> None:
    made = init(profile, home / "words")
    people = people_of(profile)
    mine = people.mine
    assert made == {
        "account": people.me.account.hex(),
        "device": people.me.device.hex(),
        "name": "Ann",
        "device_name": "laptop",
        "home": str(profile.home),
        "words_file": str(home / "words"),
    }
    assert (mine.nickname, mine.devices[people.me.device].name, mine.heads) == ("Ann", "laptop", (people.me.account,))
    assert people.contacts == {} and people.gates == ()


def test_what_is_made_is_closed_to_others(profile: Profile, home: Path) -> None:
    init(profile, home / "words")
    assert mode(home / "words") == 0o600
    for path in [profile.home, *profile.home.rglob("*")]:
        assert mode(path) & 0o077 == 0, path
    assert everything(profile.folder) == {"key", "data.db", "lock", "starting"}


def test_the_words_are_the_root_of_the_account(profile: Profile, home: Path) -> None:
    init(profile, home / "words")
    text = (home / "words").read_text()
    assert text.endswith("\n") and len(text.split()) == 24
    entropy = words.entropy(text.split())
    (genesis,) = people_of(profile).chains.popitem()[1]
    assert genesis.signer == words.root_keypair(entropy)[0] and genesis.backup_key == words.backup_public(entropy)
    assert chain.wire_form(genesis)


def test_without_a_file_the_words_are_shown_once_all_is_stored(profile: Profile) -> None:
    seen: list[tuple[Sequence[str], bool]] = []
    made = identity.init(profile, "Ann", None, None, lambda shown: seen.append((shown, profile.initialized)))
    assert made["words_file"] is None and len(seen) == 1
    shown, initialized = seen[0]
    assert len(shown) == 24 and initialized


def test_two_are_never_the_same(home: Path) -> None:
    one, other = (init(Profile(home / name, "default", home_was_named=True), home / f"{name}-words") for name in ("a", "b"))
    assert one["account"] != other["account"] and (home / "a-words").read_text() != (home / "b-words").read_text()


def test_two_profiles_live_in_one_home(profile: Profile) -> None:
    other = Profile(profile.home, "work", home_was_named=True)
    assert init(profile)["account"] != init(other, name="Ann at work")["account"]


def test_names_are_kept_composed_and_the_host_names_the_device(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "host.example.org")
    made = init(profile, name="Zoe\u0308", device=None)
    assert (made["name"], made["device_name"]) == ("Zoë", "host")


def test_a_profile_that_has_only_settings_takes_somebody_in(profile: Profile) -> None:
    profile.folder.mkdir(parents=True)
    profile.config.write_text('log.level = "debug"\n')
    init(profile)
    assert profile.initialized and profile.config.read_text() == 'log.level = "debug"\n'


def test_a_home_that_existed_keeps_its_mode(profile: Profile) -> None:
    profile.home.mkdir(mode=0o755)
    profile.home.chmod(0o755)
    init(profile)
    assert mode(profile.home) == 0o755 and mode(profile.folder) == 0o700


# -- what is refused


@pytest.mark.parametrize("name", ["", "me", "a\nb", "x" * 65, "x" * 10_000, "a~b", "a\u202eb", " "])
def test_a_name_that_is_none(profile: Profile, name: str) -> None:
    with pytest.raises(InvalidName):
        init(profile, name=name)
    assert not profile.home.exists()


@pytest.mark.parametrize("device", ["", "a\nb", "x" * 65])
def test_a_device_name_that_is_none(profile: Profile, device: str) -> None:
    with pytest.raises(InvalidName):
        init(profile, device=device)
    assert not profile.home.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_words_file_that_exists_is_not_touched(profile: Profile, home: Path, kind: str) -> None:
    path = home / "words"
    match kind:
        case "file":
            path.write_text("mine")
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(home / "nowhere")
    before = everything(home)
    with pytest.raises(FileExists):
        init(profile, path)
    assert everything(home) == before


def test_a_words_file_that_cannot_be_made_leaves_nothing(profile: Profile, home: Path) -> None:
    with pytest.raises(HomeUnusable, match="words"):
        init(profile, home / "no" / "such" / "words")
    assert everything(home) == set()


def test_somebody_lives_here_already(profile: Profile, home: Path) -> None:
    first = init(profile)
    before = {path: path.read_bytes() for path in (profile.key, profile.database)}
    with pytest.raises(AlreadyInitialized):
        init(profile, home / "words", name="Eve")
    assert not (home / "words").exists() and {path: path.read_bytes() for path in before} == before
    assert people_of(profile).me.account.hex() == first["account"]


def test_somebody_lives_here_and_is_at_work(profile: Profile) -> None:
    init(profile)
    with Lock.acquire(profile) as held, pytest.raises(AlreadyInitialized):
        held.publish(socket=Path("s"), version="1", protocol=1, started_at="now")
        init(profile)


def test_another_init_at_work(profile: Profile, home: Path) -> None:
    profile.folder.mkdir(parents=True)
    with Lock.acquire(profile) as held:
        held.publish(socket=Path("s"), version="1", protocol=1, started_at="now")
        before = everything(home)
        with pytest.raises(AlreadyRunning):
            init(profile, home / "words")
        assert everything(home) == before


# -- leftovers of one that was killed


def test_leftovers_of_a_killed_init_are_swept_away(profile: Profile, home: Path) -> None:
    profile.folder.mkdir(parents=True)
    for name in (
        "key.new",
        "key.new.0a1b2c3d.new",
        "data.db.new",
        "data.db.new-wal",
        "data.db.new-shm",
        "data.db",
        "data.db-wal",
        "data.db-shm",
    ):
        (profile.folder / name).write_bytes(b"rubbish")
    made = init(profile, home / "words")
    assert people_of(profile).me.account.hex() == made["account"]
    assert everything(profile.folder) == {"key", "data.db", "lock", "starting"}


# -- whatever breaks, nothing is left


class Breaks:
    """Lets the n-th of some calls fail, before it is done or after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, fault: Callable[[], BaseException], *, after: bool) -> None:
        self.calls = 0
        self.broke = False
        self.on = True
        self._at, self._after = at, after
        places = [*((os, name) for name in FILE_CALLS), (identity.log_store, "append"), (identity.people_store, "add_links")]
        if fault is not full:
            places += [(identity, "close_database")]
        for owner, name in places if after else [*places, *((os, name) for name in OPENING)]:
            breaking = full_database if fault is full and owner is not os else fault
            monkeypatch.setattr(owner, name, self._breaking(getattr(owner, name), breaking))

    def _breaking(self, real: Callable[..., Any], fault: Callable[[], BaseException]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not self.on or self.broke:
                return real(*args, **named)
            self.calls += 1
            due = self.calls == self._at
            self.broke = due
            if due and not self._after:
                raise fault()
            result = real(*args, **named)
            if due:
                raise fault()
            return result

        return call


def full_database() -> Exception:
    error = sqlite.OperationalError("database or disk is full")
    error.sqlite_errorcode = 13
    return error


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def steps(profile: Profile, home: Path, *, after: bool) -> int:
    """Count the calls of an `init` that goes well."""
    with pytest.MonkeyPatch.context() as patch:
        counted = Breaks(patch, 0, full, after=after)
        init(profile, home / "words")
        counted.on = False
    return counted.calls


@pytest.mark.parametrize(
    "fault,after,existed", [(full, False, False), (full, False, True), (KeyboardInterrupt, False, True), (KeyboardInterrupt, True, False)]
)
def test_nothing_is_left_whatever_breaks(tmp_path: Path, home: Path, fault: Any, after: bool, existed: bool) -> None:
    count = steps(Profile(tmp_path / "p2p", "default", home_was_named=True), tmp_path, after=after)
    assert count >= 20
    left: list[str] = []
    for at in range(1, count + 1):
        left += one_break(home / str(at), fault, at, after=after, existed=existed)
    assert left == []


def one_break(folder: Path, fault: Any, at: int, *, after: bool, existed: bool) -> list[str]:
    """Break one `init` at one call; return what it left behind, which ought to be nothing."""
    profile = Profile(folder / "p2p", "default", home_was_named=True)
    folder.mkdir()
    if existed:
        profile.folder.mkdir(parents=True)
        profile.folder.chmod(0o700)
        profile.config.write_text("\n")
    before = everything(folder)
    with pytest.MonkeyPatch.context() as patch:
        broken = Breaks(patch, at, fault, after=after)
        try:
            init(profile, folder / "words")
        except (P2pmsgError, OSError, KeyboardInterrupt) as error:
            raised: BaseException | None = error
        else:
            raised = None
        broken.on = False
    if raised is None:  # at a call whose failure does not matter, or at the very end
        return [] if profile.initialized and (folder / "words").exists() else [f"call {at}: silently nothing"]
    wrong = [f"call {at}: {type(raised).__name__}"] if fault is full and not isinstance(raised, StorageFull) else []
    if profile.initialized and everything(profile.folder) >= {"key", "data.db"} and (folder / "words").exists():
        return wrong  # it was whole already
    return wrong + [f"call {at}: {path}" for path in sorted(everything(folder) - before)]


def test_a_lock_that_cannot_be_written_leaves_nothing(profile: Profile, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise full()

    monkeypatch.setattr(lock.os, "pwrite", fail)
    with pytest.raises(StorageFull):
        init(profile, home / "words")
    assert everything(home) == set()
