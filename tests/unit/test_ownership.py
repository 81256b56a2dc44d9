"""Who else may use a profile's files: refused, with the command that mends it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from p2pmsg.daemon.home import Profile, locate, prepare
from p2pmsg.daemon.ownership import check_private
from p2pmsg.errors import HomeUnusable

STRANGER = 65534
FILES = ["data.db", "data.db-wal", "data.db-shm", "daemon.log", "lock"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def profile(home: Path) -> Profile:
    found = locate({"P2PMSG_HOME": str(home)}, "default")
    prepare(found)
    for name in FILES:
        (found.folder / name).touch(mode=0o600)
    return found


def refused(profile: Profile) -> HomeUnusable:
    with pytest.raises(HomeUnusable) as caught:
        check_private(profile)
    return caught.value


def mended(profile: Profile, error: HomeUnusable) -> None:
    """Do what the hint says."""
    assert error.hint.startswith("chmod ")
    subprocess.run(["sh", "-c", error.hint], check=True)
    check_private(profile)


def test_what_is_made_passes(profile: Profile) -> None:
    check_private(profile)


def test_what_is_not_there_is_passed_over(home: Path) -> None:
    check_private(locate({"P2PMSG_HOME": str(home / "none")}, "default"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bit", [stat.S_IRGRP, stat.S_IROTH, stat.S_IWGRP, stat.S_IWOTH])
def test_a_file_that_others_may_use(profile: Profile, name: str, bit: int) -> None:
    (profile.folder / name).chmod(0o600 | bit)
    error = refused(profile)
    assert str(error) == f"Others may {'read' if bit in (stat.S_IRGRP, stat.S_IROTH) else 'write to'} {profile.folder / name}."
    mended(profile, error)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o770, 0o701])
def test_a_folder_that_others_may_enter(profile: Profile, mode: int) -> None:
    profile.folder.chmod(mode)
    mended(profile, refused(profile))


@pytest.mark.parametrize("mode", [0o720, 0o777])
def test_the_folder_of_all_profiles_may_be_read_but_not_written(profile: Profile, mode: int) -> None:
    profile.folder.parent.chmod(0o755)
    check_private(profile)
    profile.folder.parent.chmod(mode)
    mended(profile, refused(profile))


def test_the_home_may_be_read_by_others_but_not_written(profile: Profile) -> None:
    profile.home.chmod(0o775)
    check_private(profile)
    profile.home.chmod(0o777)
    mended(profile, refused(profile))
    profile.home.chmod(0o1777)
    check_private(profile)


def test_the_command_fits_a_path_with_blanks_and_quotes(home: Path) -> None:
    profile = locate({"P2PMSG_HOME": str(home / "it's a home")}, "default")
    prepare(profile)
    profile.folder.chmod(0o755)
    mended(profile, refused(profile))


@as_root
@pytest.mark.parametrize("name", ["", "data.db", "lock"])
def test_what_belongs_to_somebody_else(profile: Profile, name: str) -> None:
    os.chown(profile.folder / name, STRANGER, STRANGER)
    error = refused(profile)
    assert str(error).startswith(f"{profile.folder / name} belongs to ")
    assert error.hint.startswith("sudo -u ") and error.hint.endswith(" p2pmsg daemon start")


@as_root
def test_who_is_not_root_is_told_how_to_get_it_back(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    error = refused(profile)
    assert "belongs to root" in str(error)
    assert error.hint.startswith("sudo chown -R ") and error.hint.endswith(str(profile.folder))
