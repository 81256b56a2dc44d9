"""Whether a profile is its owner's alone: whoever else can write to it can have it run programs, or give it another key.

Looks and refuses; changes nothing, as what others could reach meanwhile is for the owner to judge. The key file has its own check where it
is read (`crypto/vault.py`), and the settings have theirs (`config/settings.py`), since both are read again while the daemon runs.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from p2pmsg.daemon.home import Profile
from p2pmsg.errors import HomeUnusable, file_faults

_DATABASE = ("", "-wal", "-shm")
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_private(profile: Profile) -> None:
    """Check the home, the profile's folder and its files, as far as they are there.

    The home may be read by others, as somebody may have named a folder that he has for other things, too; the profile's folder may not.

    Raises:
        HomeUnusable: one is somebody else's, or others may use it; with the command that mends it as hint.
    """
    with file_faults(profile.folder):
        for path, refused, wanted in _rules(profile):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if status.st_uid != os.geteuid():
                raise HomeUnusable(
                    f"{path} belongs to {_name(status.st_uid)}, not to {_name(os.geteuid())}.", hint=_way(profile.folder, status.st_uid)
                )
            if status.st_mode & refused and not _is_sticky(status.st_mode):
                may = "write to" if status.st_mode & refused & (stat.S_IWGRP | stat.S_IWOTH) else "read"
                raise HomeUnusable(f"Others may {may} {path}.", hint=f"chmod {wanted} {shlex.quote(str(path))}")


def _rules(profile: Profile) -> Iterator[tuple[Path, int, str]]:
    """Say of each path which bits are refused, and what chmod is to be told."""
    yield profile.home, stat.S_IWOTH, "o-w"
    yield profile.folder.parent, stat.S_IWGRP | stat.S_IWOTH, "go-w"
    yield profile.folder, _GROUP_AND_OTHERS, "700"
    for suffix in _DATABASE:
        yield profile.database.with_name(profile.database.name + suffix), _GROUP_AND_OTHERS, "600"
    yield profile.log, _GROUP_AND_OTHERS, "600"
    yield profile.lock, _GROUP_AND_OTHERS, "600"


def _is_sticky(mode: int) -> bool:
    """Say whether only the owner may rename what is in a folder, as in /tmp."""
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)


def _way(folder: Path, owner: int) -> str:
    """Return the command for who is not the owner; root is told to be another, as he would take the profile from who uses it."""
    if os.geteuid() == 0:
        return f"sudo -u {_name(owner)} p2pmsg daemon start"
    return f"sudo chown -R {_name(os.geteuid())} {shlex.quote(str(folder))}"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
