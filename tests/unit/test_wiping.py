"""Nothing of a profile is left, and in an order in which breaking off does no harm."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.crypto import vault
from p2pmsg.daemon import identity, process, wiping
from p2pmsg.daemon.home import Profile, locate
from p2pmsg.daemon.lock import Lock, holder
from p2pmsg.errors import AlreadyRunning, NotInitialized, TimedOut
from p2pmsg.storage.database import open_database

STUB = (sys.executable, "-I", str(Path(__file__).with_name("stub_daemon.py")))


@pytest.fixture
def profile(home: Path) -> Iterator[Profile]:
    """Ann, as `init` made her."""
    profile = locate({"P2PMSG_HOME": str(home)})
    identity.init(profile, "Ann", None, None, lambda words: None)
    yield profile
    if (info := holder(profile)) is not None:
        process.OtherProcess(info["pid"], None).signal(signal.SIGKILL)


def test_all_is_gone_but_the_home_that_somebody_named(profile: Profile) -> None:
    (profile.folder / "config.toml").write_text("typing = false\n")
    (profile.folder / "deeper").mkdir()
    (profile.folder / "deeper" / "file").touch()
    done = wiping.wipe(profile)
    assert list(profile.home.iterdir()) == [] and done["stays"] == list(wiping.STAYS)
    assert done["did"] == ["Destroyed the key of the database.", f"Removed what was in {profile.folder}."]


def test_the_default_home_goes_too_when_nobody_else_lives_there(home: Path) -> None:
    for name in ("default", "work"):
        identity.init(Profile(home / "p2pmsg", name, False), name, None, None, lambda words: None)
    wiping.wipe(Profile(home / "p2pmsg", "default", False))
    assert [path.name for path in (home / "p2pmsg" / "profiles").iterdir()] == ["work"]
    wiping.wipe(Profile(home / "p2pmsg", "work", False))
    assert list(home.iterdir()) == []


def test_the_daemon_is_stopped_first(profile: Profile) -> None:
    process.start(profile, program=STUB)
    wiping.wipe(profile)
    assert not profile.folder.exists() and holder(profile) is None


def test_a_daemon_that_does_not_end_keeps_everything(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PMSG_STUB", "deaf")
    monkeypatch.setattr(process, "STOP_TIMEOUT_S", 0.1)
    process.start(profile, program=STUB)
    with pytest.raises(TimedOut):
        wiping.wipe(profile)
    assert profile.initialized


def test_another_command_at_work_keeps_everything(profile: Profile) -> None:
    with Lock.acquire(profile), pytest.raises(AlreadyRunning):
        wiping.wipe(profile)
    assert profile.initialized


def test_nothing_is_nothing_to_wipe(home: Path) -> None:
    with pytest.raises(NotInitialized):
        wiping.wipe(locate({"P2PMSG_HOME": str(home)}))
    assert list(home.iterdir()) == []


def test_one_that_broke_off_has_destroyed_the_key_and_can_be_repeated(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(wiping, "_empty", _interrupted)
        wiping.wipe(profile)
    assert not profile.initialized and profile.database.exists()
    wiping.wipe(profile)
    assert list(profile.home.iterdir()) == []


def _interrupted(profile: Profile) -> None:
    raise KeyboardInterrupt


def test_the_key_is_overwritten_where_it_lies(profile: Profile) -> None:
    other = profile.home / "other-name"
    other.hardlink_to(profile.key)  # another name of the same bytes on the disk
    key, size = vault.open_key(profile.key), profile.key.stat().st_size
    wiping.wipe(profile)
    assert other.stat().st_size == size and key.hex().encode() not in other.read_bytes()


def test_somebody_new_can_live_there_afterwards(profile: Profile) -> None:
    wiping.wipe(profile)
    identity.init(profile, "Bob", None, None, lambda words: None)
    opened = open_database(profile.database, vault.database_key(vault.open_key(profile.key)))
    assert opened.warnings == ()
    opened.db.conn.close()


def test_links_go_and_what_they_point_to_stays(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("typing = false\n")
    (tmp_path / "folder").mkdir()
    (profile.folder / "config.toml").symlink_to(tmp_path / "mine.toml")
    (profile.folder / "link").symlink_to(tmp_path / "folder")
    wiping.wipe(profile)
    assert (tmp_path / "mine.toml").exists() and (tmp_path / "folder").exists() and not profile.folder.exists()
