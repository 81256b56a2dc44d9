import json
from pathlib import Path

import pytest

from p2pmsg.errors import HomeUnusable, UsageError
from p2pmsg.rpc import locate


def test_home_is_p2pmsg_home_itself() -> None:
    assert locate.home_folder({"P2PMSG_HOME": "/a/b", "XDG_DATA_HOME": "/x"}) == Path("/a/b")


def test_relative_home_is_made_absolute() -> None:
    assert locate.home_folder({"P2PMSG_HOME": "a"}) == Path.cwd() / "a"


def test_home_is_below_the_data_folder() -> None:
    assert locate.home_folder({"XDG_DATA_HOME": "/x", "HOME": "/h"}) == Path("/x/p2pmsg")
    assert locate.home_folder({"XDG_DATA_HOME": "relative", "HOME": "/h"}) == Path("/h/.local/share/p2pmsg")
    assert locate.home_folder({"P2PMSG_HOME": "", "HOME": "/h"}) == Path("/h/.local/share/p2pmsg")


def test_profile_named_beats_the_environment() -> None:
    environ = {"P2PMSG_HOME": "/h", "P2PMSG_PROFILE": "work"}
    assert locate.profile_folder(environ, "play") == Path("/h/profiles/play")
    assert locate.profile_folder(environ) == Path("/h/profiles/work")
    assert locate.profile_folder({"P2PMSG_HOME": "/h", "P2PMSG_PROFILE": ""}) == Path("/h/profiles/default")


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 32, "_"])
def test_names_that_can_be_a_folder(name: str) -> None:
    assert locate.profile_name({}, name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "-a", "a/b", "x" * 33, "ä", "a b", "a\n", "a\0"])
def test_names_that_cannot(name: str) -> None:
    with pytest.raises(UsageError):
        locate.profile_name({}, name)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid":1}', '{"socket":null}', '{"socket":5}', "[" * 100_000, "\0"])
def test_rubbish_in_the_lock_file_is_no_daemon(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    assert locate.lock_info(tmp_path) is None


def test_lock_file_tells_the_socket(tmp_path: Path) -> None:
    info = {"pid": 1, "socket": "/s", "version": "1"}
    (tmp_path / "lock").write_text(json.dumps(info) + " " * 100)
    assert locate.lock_info(tmp_path) == info


def test_no_lock_file_is_no_daemon(tmp_path: Path) -> None:
    assert locate.lock_info(tmp_path) is None
    (tmp_path / "lock").mkdir()
    assert locate.lock_info(tmp_path) is None


def test_initialized_when_there_is_a_key(tmp_path: Path) -> None:
    assert not locate.initialized(tmp_path / "none")
    (tmp_path / "key").touch()
    assert locate.initialized(tmp_path)


def test_a_place_that_cannot_be_looked_at_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable):
        locate.initialized(tmp_path / ("x" * 300))
