from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from p2pmsg.config import edit, settings
from p2pmsg.errors import HomeUnusable, InvalidValue, KeyNotFound, SettingsInvalid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_a_default_is_shown_as_one(file: Path) -> None:
    assert edit.get(file, "listen.port") == {"key": "listen.port", "value": 0, "default": 0, "source": "default"}
    assert not file.exists()


def test_what_is_set_is_shown_and_loaded(file: Path) -> None:
    shown = edit.set_(file, "discovery.paths", "mdns,static")
    assert shown == edit.get(file, "discovery.paths")
    assert shown == {"key": "discovery.paths", "value": ["mdns", "static"], "default": list(settings.PATHS), "source": "file"}
    assert settings.load(file).discovery_paths == ("mdns", "static")


def test_the_list_has_every_key_once(file: Path) -> None:
    edit.set_(file, "typing", "off")
    shown = edit.list_(file)
    assert [row["key"] for row in shown] == list(settings.RULES)
    assert [row["key"] for row in shown if row["source"] == "file"] == ["typing"]


@pytest.mark.parametrize("key", settings.RULES)
def test_every_key_can_be_set_and_unset_in_any_order(file: Path, key: str) -> None:
    edit.set_(file, "discovery.static", "192.0.2.1:1")
    default = settings.DEFAULTS[key]
    edit.set_(file, key, ",".join(default) if isinstance(default, tuple) else str(default))
    assert edit.get(file, key)["source"] == "file"
    assert edit.unset(file, key)["source"] == "default"
    assert edit.get(file, key)["source"] == "default"


def test_comments_and_layout_stay(file: Path) -> None:
    file.write_text("# mine\n[listen]\nport = 4000  # forwarded\n\n[log]\nlevel = 'info'\n")
    edit.set_(file, "listen.port", "4001")
    edit.unset(file, "log.level")
    assert file.read_text().startswith("# mine\n[listen]\nport = 4001  # forwarded\n")
    assert "log" not in file.read_text()


def test_a_bad_value_leaves_the_file_alone(file: Path) -> None:
    file.write_text("listen.port = 4000\n")
    with pytest.raises(InvalidValue):
        edit.set_(file, "listen.port", "x")
    with pytest.raises(KeyNotFound):
        edit.set_(file, "listen.prot", "4000")
    assert file.read_text() == "listen.port = 4000\n"


def test_a_file_with_a_bad_value_can_be_mended(file: Path) -> None:
    file.write_text("listen.port = 'x'\nspeed = 9\n[discovery]\npath = []\n")
    with pytest.raises(SettingsInvalid):
        edit.list_(file)
    edit.set_(file, "listen.port", "4000")
    assert edit.unset(file, "speed") == {"key": "speed", "value": None, "default": None, "source": "default"}
    edit.unset(file, "discovery.path")
    assert settings.load(file).listen_port == 4000


def test_a_value_where_a_group_belongs_is_said(file: Path) -> None:
    file.write_text("listen = 4000\n")
    with pytest.raises(SettingsInvalid, match="listen is a value"):
        edit.set_(file, "listen.port", "4000")
    edit.unset(file, "listen")
    assert edit.set_(file, "listen.port", "4000")["value"] == 4000


def test_a_file_that_is_no_toml_is_left_alone(file: Path) -> None:
    file.write_text("what?\n")
    with pytest.raises(SettingsInvalid):
        edit.set_(file, "listen.port", "4000")
    assert file.read_text() == "what?\n"


def test_unset_of_what_is_not_set_is_fine_and_of_what_is_no_setting_is_not(file: Path) -> None:
    assert edit.unset(file, "listen.port")["source"] == "default"
    with pytest.raises(KeyNotFound):
        edit.unset(file, "listen.prot")


def test_a_new_file_is_closed_to_others_and_an_old_one_keeps_its_mode(file: Path) -> None:
    edit.set_(file, "listen.port", "4000")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    edit.set_(file, "listen.port", "4001")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path, file: Path) -> None:
    file.symlink_to(tmp_path / "dotfiles.toml")
    edit.set_(file, "listen.port", "4000")
    assert file.is_symlink()
    assert "4000" in (tmp_path / "dotfiles.toml").read_text()


def test_nothing_but_the_file_and_its_lock_is_left(tmp_path: Path, file: Path) -> None:
    edit.set_(file, "listen.port", "4000")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "config.toml.lock"]


def test_a_folder_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable, match="missing"):
        edit.set_(tmp_path / "missing" / "config.toml", "listen.port", "4000")


def test_the_path_is_told(file: Path) -> None:
    assert edit.path(file) == {"key": "path", "value": str(file), "default": str(file), "source": "default"}
    file.touch()
    assert edit.path(file)["source"] == "file"


def test_many_who_edit_at_once_lose_nothing(file: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from p2pmsg.config import edit\n"
        "edit.set_(pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4])\n"
    )
    wanted = {"listen.port": "4000", "typing": "off", "log.level": "debug", "lock.idle_s": "5"}
    command = [sys.executable, "-c", code, str(Path(__file__).resolve().parents[2]), str(file)]
    running = [subprocess.Popen([*command, key, value]) for key, value in wanted.items()]
    assert [process.wait(30) for process in running] == [0] * len(wanted)
    assert [row["key"] for row in edit.list_(file) if row["source"] == "file"] == [key for key in settings.RULES if key in wanted]


def test_a_new_file_shows_what_there_is_and_sets_nothing_but_what_was_set(file: Path) -> None:
    edit.set_(file, "log.level", "debug")
    text = file.read_text()
    assert settings.read(file) == {"log.level": "debug"}
    assert all(f"# {key.rpartition('.')[2]} = " in text for key in settings.RULES)
    edit.unset(file, "log.level")
    assert settings.read(file) == {} and file.read_text() == edit.template()


def test_every_line_of_the_template_is_the_default(file: Path) -> None:
    lines = [line.removeprefix("# ") if " = " in line else line for line in edit.template().splitlines()]
    file.write_text("\n".join(lines))
    assert settings.read(file) == settings.DEFAULTS
