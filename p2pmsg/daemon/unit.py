"""`daemon install|uninstall`: the daemon as a service of the user's own systemd, so that it starts by itself.

Where there is no systemd nothing is written: what to do instead (cron, launchd) is said. The unit only takes rights away that need no
name space of files: it must read the home and the temporary folder as everybody else does. Knows nothing of what the daemon does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pmsg.daemon import process
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.lock import holder
from p2pmsg.errors import NotInitialized, ServiceFailed, ServiceUnavailable, file_faults
from p2pmsg.rpc.locate import DEFAULT_PROFILE

COMMAND_TIMEOUT_S = 90.0
NOTHING = "No service was installed; nothing was changed."
TEMPLATE = """\
# Made by p2pmsg daemon install, and written anew by it.
[Unit]
Description=p2pmsg, profile {profile}: private messages on the local network
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
ExecStart={program}
{environment}Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 3 8
TimeoutStopSec=20
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""


def install(profile: Profile, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Have the daemon of a profile started with the session, and start it now; say what was done. Once done, nothing is done again.

    Raises: NotInitialized, ServiceUnavailable (no systemd here), ServiceFailed, HomeUnusable, StorageFull.
    """
    if not profile.initialized:
        raise NotInitialized(f"There is nobody here yet: profile {profile.name} in {profile.home} was never made.")
    _need_manager(profile, environ)
    path, did = unit_path(profile, environ), []
    text = unit_text(profile, environ)
    if _read(path) != text:
        with file_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        _systemctl("daemon-reload")
        did.append(f"Wrote {path}.")
    if not _is("enabled", path.name) or not _is("active", path.name) or did:
        if holder(profile) is not None:
            process.stop(profile)
            did.append("Stopped the daemon that ran.")
        _systemctl("enable", path.name)
        _systemctl("restart", path.name)
        did.append(f"Started {path.name}; it starts with every session from now on.")
    return _report(path, did or ["It was installed already; nothing was changed."], _hints_of_linger())


def uninstall(profile: Profile, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Take the service away, where there is one; the daemon stops with it. Raises: ServiceFailed, HomeUnusable."""
    path, did = unit_path(profile, environ), []
    if path.exists():
        if _manager_answers():
            _systemctl("disable", "--now", path.name)
            did.append(f"Stopped {path.name}.")
        else:
            (path.parent / "default.target.wants" / path.name).unlink(missing_ok=True)
        with file_faults(path):
            path.unlink(missing_ok=True)
        did.append(f"Removed {path}.")
        if _manager_answers():
            _systemctl("daemon-reload")
    return _report(path, did or [NOTHING], [])


def start(profile: Profile, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Start the daemon, through the service where one is installed and can be reached; return its status.

    Raises: as `process.start` does.
    """
    path = unit_path(profile, environ)
    if path.exists() and holder(profile) is None:
        try:
            _systemctl("start", path.name)
        except ServiceFailed:
            pass  # the daemon itself says best why it does not start
    return process.start(profile)


def unit_path(profile: Profile, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the unit of a profile belongs; homes other than the default have names of their own."""
    base = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".config"
    name = "p2pmsg" if profile.name == DEFAULT_PROFILE else f"p2pmsg-{profile.name}"
    if profile.home_was_named:
        name += "-" + hashlib.blake2b(os.fsencode(profile.home), digest_size=4).hexdigest()
    return folder / "systemd" / "user" / f"{name}.service"


def unit_text(profile: Profile, environ: Mapping[str, str] = os.environ) -> str:
    """Return the unit: the program that runs now, for this profile and this home, by their whole paths."""
    return TEMPLATE.format(
        profile=profile.name,
        program=_command_line(_program(profile)),
        environment="".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in _variables(profile, environ).items()),
    )


def _variables(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what must be in the environment of a daemon so that it finds the home that this shell sees."""
    if profile.home_was_named:
        return {"P2PMSG_HOME": str(profile.home)}
    data = environ.get("XDG_DATA_HOME", "")
    return {"XDG_DATA_HOME": data} if data.startswith("/") else {}


def _program(profile: Profile) -> list[str]:
    return [*process.PROGRAM, "--profile", profile.name, "daemon", "run"]


def _command_line(words: Sequence[str]) -> str:
    """Return words as systemd.service(5) takes them. A program whose path it would refuse or mistake is run by env, as an argument."""
    if re.search(r"[$\"'\\\x00-\x1f\x7f]", words[0]):
        words = ["/usr/bin/env", *words]
    return " ".join(_quoted(word.replace("$", "$$")) for word in words)


def _quoted(word: str) -> str:
    """Return a word as systemd.syntax(7) takes it whole: `%` begins a specifier."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{word}"'


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


# -- the user's systemd


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, errors="replace")


def _systemctl(*words: str) -> None:
    try:
        done = _run("systemctl", "--user", *words)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFailed(f"systemctl --user {shlex.join(words)} could not be run: {error}.") from error
    if done.returncode != 0:
        raise ServiceFailed(f"systemctl --user {shlex.join(words)} failed: {' '.join(done.stderr.split()) or done.returncode}")


def _is(state: str, name: str) -> bool:
    try:
        return _run("systemctl", "--user", f"is-{state}", name).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _manager_answers() -> bool:
    """Say whether there is a systemd of the user's own that can be spoken to from here."""
    if shutil.which("systemctl") is None:
        return False
    try:
        return _run("systemctl", "--user", "show-environment").returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _need_manager(profile: Profile, environ: Mapping[str, str]) -> None:
    if _manager_answers():
        return
    command = _command(profile, environ)
    if sys.platform == "darwin":
        hint = f"Let launchd run it: launchctl submit -l p2pmsg.{profile.name} -- {command}"
    elif Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None:
        hint = "Log in as this user (not by su or sudo), or run: sudo loginctl enable-linger $USER, and log in again."
    else:
        line = "@reboot " + command.replace("%", "\\%")  # in a crontab % ends the line
        hint = f"Let cron start it: (crontab -l 2>/dev/null; echo {shlex.quote(line)}) | crontab -"
    raise ServiceUnavailable("There is no systemd of this user's own here, so nothing was installed.", hint=hint)


def _command(profile: Profile, environ: Mapping[str, str]) -> str:
    settings = [f"{name}={value}" for name, value in _variables(profile, environ).items()]
    return shlex.join([*(["env", *settings] if settings else []), *_program(profile)])


def _hints_of_linger() -> list[str]:
    """Without linger the user's systemd begins with the first login and ends with the last logout."""
    try:
        said = _run("loginctl", "show-user", str(os.geteuid()), "--property=Linger", "--value")
    except (OSError, subprocess.TimeoutExpired):
        return []
    if said.returncode != 0 or said.stdout.strip() == "yes":
        return []
    return ["It runs while you are logged in. To have it run always: loginctl enable-linger"]


def _report(path: Path, did: list[str], hints: list[str]) -> dict[str, Any]:
    installed = path.exists()
    return {"unit": str(path), "installed": installed, "running": installed and _is("active", path.name), "did": did, "hints": hints}
