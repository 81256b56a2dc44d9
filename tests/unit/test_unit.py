"""The daemon as a service. systemd itself is played by a script that remembers what it was told."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from p2pmsg.daemon import unit
from p2pmsg.daemon.home import Profile
from p2pmsg.errors import NotInitialized, ServiceFailed, ServiceUnavailable

SYSTEMCTL = """#!/bin/sh
state=${0%/*}/../state
echo "$*" >> "$state/told"
[ ! -e "$state/gone" ] || { echo 'Failed to connect to bus: No medium found' >&2; exit 1; }
shift
case $1 in
    is-active) [ -e "$state/active" ] ;;
    is-enabled) [ -e "$state/enabled" ] ;;
    enable) touch "$state/enabled" ;;
    restart|start) [ ! -e "$state/broken" ] || { echo "Job for $2 failed." >&2; exit 1; }; touch "$state/active" ;;
    disable) rm -f "$state/enabled" "$state/active" ;;
esac
"""
LOGINCTL = '#!/bin/sh\ncat "${0%/*}/../state/linger"\n'


class Systemd:
    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        (self.state / "linger").write_text("no\n")
        (folder / "bin").mkdir()
        for name, script in (("systemctl", SYSTEMCTL), ("loginctl", LOGINCTL)):
            (folder / "bin" / name).write_text(script)
            (folder / "bin" / name).chmod(0o755)

    def told(self) -> list[str]:
        """Return what it was told to change since the last time."""
        told = (self.state / "told").read_text().splitlines() if (self.state / "told").exists() else []
        (self.state / "told").write_text("")
        return [line.removeprefix("--user ") for line in told if "is-" not in line and "show-" not in line]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    made = Systemd(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return made


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Somebody in the default home."""
    made = Profile(tmp_path / "user" / ".local" / "share" / "p2pmsg", "default", home_was_named=False)
    made.folder.mkdir(parents=True)
    made.key.touch()
    return made


def test_it_is_written_enabled_and_started(systemd: Systemd, profile: Profile, tmp_path: Path) -> None:
    done = unit.install(profile)
    path = tmp_path / "user" / ".config" / "systemd" / "user" / "p2pmsg.service"
    assert done["unit"] == str(path) and done["installed"] and done["running"] and path.read_text() == unit.unit_text(profile)
    assert systemd.told() == ["daemon-reload", "enable p2pmsg.service", "restart p2pmsg.service"]
    assert done["did"][0] == f"Wrote {path}." and "loginctl enable-linger" in done["hints"][0]


def test_twice_is_once(systemd: Systemd, profile: Profile) -> None:
    unit.install(profile)
    systemd.told()
    (systemd.state / "linger").write_text("yes\n")
    done = unit.install(profile)
    assert systemd.told() == [] and done["hints"] == [] and done["did"] == ["It was installed already; nothing was changed."]


def test_a_unit_of_an_older_version_is_written_anew(systemd: Systemd, profile: Profile) -> None:
    path = Path(unit.install(profile)["unit"])
    path.write_text("[Service]\n")
    systemd.told()
    assert unit.install(profile)["did"][0].startswith("Wrote")
    assert path.read_text() == unit.unit_text(profile) and "restart p2pmsg.service" in systemd.told()


def test_it_goes_away_again_and_twice_is_once(systemd: Systemd, profile: Profile) -> None:
    path = Path(unit.install(profile)["unit"])
    systemd.told()
    done = unit.uninstall(profile)
    assert systemd.told() == ["disable --now p2pmsg.service", "daemon-reload"] and not path.exists()
    assert (done["installed"], done["running"]) == (False, False)
    assert unit.uninstall(profile)["did"] == ["No service was installed; nothing was changed."]


def test_without_a_running_systemd_the_files_go_all_the_same(systemd: Systemd, profile: Profile) -> None:
    path = Path(unit.install(profile)["unit"])
    (systemd.state / "gone").touch()
    assert unit.uninstall(profile)["installed"] is False and not path.exists()


def test_nobody_is_no_service(systemd: Systemd, profile: Profile) -> None:
    profile.key.unlink()
    with pytest.raises(NotInitialized):
        unit.install(profile)
    assert systemd.told() == []


def test_without_systemd_nothing_is_written_and_cron_is_named(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    with pytest.raises(ServiceUnavailable) as refused:
        unit.install(profile)
    assert (refused.value.code, refused.value.exit_status) == ("service_unavailable", 8)
    assert "@reboot" in refused.value.hint and not (tmp_path / "user" / ".config").exists()


@pytest.mark.parametrize("name", ["an home", "100% $HOME 'x'"])
def test_cron_gets_a_line_that_it_and_a_shell_take_apart_rightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceUnavailable) as refused:
        unit._need_manager(Profile(tmp_path / name, "work", home_was_named=True), {})
    shell = refused.value.hint.removeprefix("Let cron start it: ").replace("crontab -l 2>/dev/null; ", "").replace("| crontab -", "")
    line = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}).stdout.rstrip("\n")
    assert line.startswith("@reboot ") and "%" not in line.replace("\\%", "")
    words = shlex.split(line.removeprefix("@reboot ").replace("\\%", "%"))  # as crontab(5) has it
    assert words[:2] == ["env", f"P2PMSG_HOME={tmp_path}/{name}"] and words[-4:] == ["--profile", "work", "daemon", "run"]


def test_cron_finds_the_home_that_this_shell_sees(profile: Profile) -> None:
    assert unit._command(profile, {"XDG_DATA_HOME": "/data"}).startswith("env XDG_DATA_HOME=/data /")
    assert unit._command(profile, {}).startswith("/")


def test_on_a_mac_launchd_is_named(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(unit.sys, "platform", "darwin")
    with pytest.raises(ServiceUnavailable) as refused:
        unit.install(profile)
    assert "launchctl submit -l p2pmsg.default" in refused.value.hint


def test_a_service_that_does_not_start_says_what_systemd_said(systemd: Systemd, profile: Profile) -> None:
    (systemd.state / "broken").touch()
    with pytest.raises(ServiceFailed, match=r"Job for p2pmsg\.service failed"):
        unit.install(profile)


def test_a_start_goes_by_the_service_where_there_is_one(systemd: Systemd, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit.process, "start", lambda profile: {"running": True})
    assert unit.start(profile) == {"running": True} and systemd.told() == []
    unit.install(profile)
    systemd.told()
    unit.start(profile)
    assert systemd.told() == ["start p2pmsg.service"]
    (systemd.state / "gone").touch()
    assert unit.start(profile) == {"running": True}


def test_every_home_and_profile_has_a_unit_of_its_own(tmp_path: Path) -> None:
    places = [(tmp_path / "a", "default", True), (tmp_path / "b", "default", True), (tmp_path / "a", "work", True)]
    places += [(tmp_path, "default", False), (tmp_path, "work", False)]
    names = [unit.unit_path(Profile(*place), {"HOME": "/h"}).name for place in places]
    assert len(set(names)) == 5 and names[3:] == ["p2pmsg.service", "p2pmsg-work.service"]


def test_it_finds_the_home_that_this_shell_sees(profile: Profile, tmp_path: Path) -> None:
    assert "Environment" not in unit.unit_text(profile, {})
    assert 'Environment="XDG_DATA_HOME=/data"\n' in unit.unit_text(profile, {"XDG_DATA_HOME": "/data"})
    named = Profile(tmp_path, "default", home_was_named=True)
    assert f'Environment="P2PMSG_HOME={tmp_path}"\n' in unit.unit_text(named, {"XDG_DATA_HOME": "/data"})


def test_it_hides_neither_home_nor_temporary_folder(profile: Profile) -> None:
    text = unit.unit_text(profile)
    assert "NoNewPrivileges=yes" in text and "SystemCallFilter=@system-service" in text
    assert not any(word in text for word in ("ProtectHome", "PrivateTmp", "ProtectSystem", "TemporaryFileSystem", "InaccessiblePaths"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd")
@pytest.mark.parametrize("place", ["plain", 'a b%$h"\\ö', "two\nlines"])
def test_systemd_understands_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """It looks whether the program can be executed, too."""
    program = tmp_path / place / "python"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    monkeypatch.setattr(unit.process, "PROGRAM", (str(program), "-I", str(program.with_name("__main__.py"))))
    (tmp_path / "p2pmsg.service").write_text(unit.unit_text(Profile(tmp_path / place, "default", home_was_named=True)))
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    command = ["systemd-analyze", "verify", "--user", str(tmp_path / "p2pmsg.service")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("path", "line"),
    [("/a %/python", '"/a %%/python" "-I"'), ("/a$b/python", '"/usr/bin/env" "/a$$b/python" "-I"')],
)
def test_a_dollar_is_no_variable_anywhere(path: str, line: str) -> None:
    assert unit._command_line([path, "-I"]) == line and unit._command_line(["/x", "$HOME"]) == '"/x" "$$HOME"'
