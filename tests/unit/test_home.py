from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pmsg.daemon import home as homes
from p2pmsg.daemon import linux
from p2pmsg.daemon.home import Profile, locate, prepare, socket_path
from p2pmsg.errors import HomeUnusable, StorageFull, UsageError, file_faults

ROOT = os.geteuid() == 0
STRANGER = 65534
CHECKOUT = Path(__file__).resolve().parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def named(home: Path, name: str = "default") -> Profile:
    return locate({"P2PMSG_HOME": str(home)}, name)


@contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        yield


# -- where


def test_a_named_home_holds_everything_of_a_profile(home: Path) -> None:
    profile = named(home, "ann")
    inside = [profile.folder, profile.lock, profile.key, profile.database, profile.config, profile.log]
    assert all(path.is_relative_to(home / "profiles" / "ann") for path in inside)


def test_without_one_the_home_is_where_xdg_says() -> None:
    assert locate({"XDG_DATA_HOME": "/x/data", "HOME": "/h"}).home == Path("/x/data/p2pmsg")
    assert locate({"HOME": "/h"}).home == Path("/h/.local/share/p2pmsg")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 33, "ü", "a\n"])
def test_a_name_that_cannot_be_a_folder_is_refused(home: Path, name: str) -> None:
    with pytest.raises(UsageError):
        named(home, name)


def test_a_folder_with_settings_and_a_lock_is_nobodys_home_yet(home: Path) -> None:
    profile = named(home)
    prepare(profile)
    profile.lock.touch()
    profile.config.touch()
    assert not profile.initialized
    profile.key.touch()
    assert profile.initialized


# -- prepare


def test_what_is_made_is_closed_to_others(home: Path) -> None:
    old = os.umask(0)
    try:
        made = prepare(named(home / "a" / "b"))
    finally:
        os.umask(old)
    assert [path.relative_to(home).as_posix() for path in made] == ["a", "a/b", "a/b/profiles", "a/b/profiles/default"]
    assert {mode(path) for path in made} == {0o700}


def test_a_home_that_exists_keeps_its_mode_and_its_files(home: Path) -> None:
    home.chmod(0o755)
    (home / "mine.txt").write_text("here")
    prepare(named(home))
    assert mode(home) == 0o755
    assert (home / "mine.txt").read_text() == "here"


def test_a_profile_folder_that_stood_open_is_closed(home: Path) -> None:
    named(home).folder.mkdir(parents=True, mode=0o755)
    prepare(named(home))
    assert mode(named(home).folder) == 0o700


def test_twice_makes_nothing_more(home: Path) -> None:
    prepare(named(home))
    assert prepare(named(home)) == ()


def test_a_home_may_be_a_link_to_a_folder(home: Path) -> None:
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    prepare(named(home / "link"))
    assert (home / "real" / "profiles" / "default").is_dir()


def test_forget_takes_back_what_was_made_and_no_more(home: Path) -> None:
    made = prepare(named(home / "a"))
    (home / "other").mkdir()
    homes.forget(made)
    assert sorted(path.name for path in home.iterdir()) == ["other"]


def test_forget_leaves_what_is_not_empty(home: Path) -> None:
    made = prepare(named(home / "a"))
    (home / "a" / "kept").touch()
    homes.forget(made)
    assert (home / "a" / "kept").exists()
    assert not (home / "a" / "profiles").exists()


def test_a_file_is_no_home(home: Path) -> None:
    (home / "file").touch()
    for path in (home / "file", home / "file" / "below"):
        with pytest.raises(HomeUnusable, match=r"folder|directory"):
            prepare(named(path))


def test_a_link_to_nothing_is_no_home(home: Path) -> None:
    (home / "link").symlink_to(home / "nothing")
    with pytest.raises(HomeUnusable, match="link"):
        prepare(named(home / "link"))


def test_a_name_too_long_is_a_sentence(home: Path) -> None:
    with pytest.raises(HomeUnusable, match="cannot be used"):
        prepare(named(home / ("x" * 300)))


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_somebody_elses_home_is_refused_and_left_alone(home: Path) -> None:
    (home / "his").mkdir()
    os.chown(home / "his", STRANGER, STRANGER)
    with pytest.raises(HomeUnusable, match="belongs to somebody else"):
        prepare(named(home / "his"))
    assert list((home / "his").iterdir()) == []


def test_a_read_only_home_is_refused_and_a_half_made_one_goes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere; a read-only disk answers like this
    with pytest.raises(HomeUnusable, match="read-only"):
        prepare(named(home / "a"))
    assert list(home.iterdir()) == []


def test_a_full_disk_is_said() -> None:
    with pytest.raises(StorageFull, match="/x/y could not be written: the disk is full"), file_faults("/x"):
        raise OSError(28, "No space left on device", "/x/y")


@pytest.mark.skipif(not ROOT, reason="only root can mount a disk")
@pytest.mark.parametrize(
    ("options", "said"),
    [("nr_inodes=2", "StorageFull: {}/a/profiles could not be written: the disk is full."), ("ro", "HomeUnusable: {} is read-only.")],
)
def test_a_real_disk_that_is_full_or_read_only_is_said(home: Path, options: str, said: str) -> None:
    where = home if options == "ro" else home / "a"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from p2pmsg.daemon import home\n"
        "from p2pmsg.errors import P2pmsgError\n"
        "try: home.prepare(home.locate({'P2PMSG_HOME': sys.argv[2]}))\n"
        "except P2pmsgError as error: print(f'{type(error).__name__}: {error}')\n"
    )
    script = f'mount -t tmpfs -o {options},mode=700 none "$1" && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(home), sys.executable, "-c", code, str(CHECKOUT), str(where)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == said.format(home) + "\n"


# -- the socket


def test_a_named_home_has_its_socket_inside(home: Path) -> None:
    profile = named(home)
    prepare(profile)
    path = socket_path(profile, {})
    assert path == home / "run" / "default.sock"
    assert mode(home / "run") == 0o700


def test_the_socket_of_two_profiles_is_not_one(home: Path) -> None:
    assert socket_path(named(home, "ann"), {}) != socket_path(named(home, "bob"), {})


def test_a_path_over_the_limit_goes_to_the_temporary_folder(home: Path) -> None:
    long = home / ("x" * (119 - len(str(home)) - len("/run/default.sock") - 1))
    profile = named(long)
    prepare(profile)
    assert len(str(long / "run" / "default.sock")) == 119
    path = socket_path(profile, {})
    assert path.parent.name == f"p2pmsg-{os.geteuid()}"
    assert mode(path.parent) == 0o700
    assert path == socket_path(profile, {})
    with listening(path):
        pass
    path.unlink()


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_is_a_hundred_bytes(home: Path, over: int) -> None:
    folder = home / ("x" * (100 + over - len(str(home)) - len("/run/default.sock") - 1))
    prepare(named(folder))
    assert socket_path(named(folder), {}).is_relative_to(home) == (over == 0)


def test_without_a_named_home_the_runtime_folder_is_taken(home: Path) -> None:
    profile = locate({"HOME": str(home)})
    assert socket_path(profile, {"XDG_RUNTIME_DIR": str(home)}) == home / "p2pmsg" / "default.sock"


@pytest.mark.parametrize("runtime", ["", "relative", "/nowhere/at/all"])
def test_without_a_runtime_folder_the_temporary_one_is_taken(home: Path, runtime: str) -> None:
    path = socket_path(locate({"HOME": str(home)}), {"XDG_RUNTIME_DIR": runtime})
    assert path.parent.name == f"p2pmsg-{os.geteuid()}"


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_another_users_runtime_folder_is_not_taken(home: Path) -> None:
    runtime = home / "run"
    runtime.mkdir()
    os.chown(runtime, STRANGER, STRANGER)
    path = socket_path(locate({"HOME": str(home)}), {"XDG_RUNTIME_DIR": str(runtime)})
    assert not path.is_relative_to(home)
    assert list(runtime.iterdir()) == []


def test_a_socket_that_another_homes_daemon_answers_on_is_left_to_it(home: Path) -> None:
    profile, environ = locate({"HOME": str(home)}), {"XDG_RUNTIME_DIR": str(home)}
    taken = socket_path(profile, environ)
    with listening(taken):
        assert socket_path(profile, environ) != taken
    assert socket_path(profile, environ) == taken  # its daemon has died: the file alone stops nobody


def test_a_file_system_of_another_machine_is_not_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(linux.REMOTE, linux.file_system_type(home), "as if remote")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/dev/shm")
    path = socket_path(named(home), {})
    assert path.is_relative_to("/dev/shm")
    path.parent.rmdir()


def test_a_link_laid_in_the_temporary_folder_is_not_followed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(home))
    (home / "elsewhere").mkdir()
    (home / f"p2pmsg-{os.geteuid()}").symlink_to(home / "elsewhere")
    assert not socket_path(locate({"HOME": "/h"}), {}).is_relative_to(home)


def test_no_place_for_a_socket_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "SOCKET_PATH_BYTES", 5)
    with pytest.raises(HomeUnusable, match="no place for the daemon's socket"):
        socket_path(named(home), {})
