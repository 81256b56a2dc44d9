"""`wipe`: takes a profile off this machine. The daemon first, then the keys, then everything else.

Without the keys what is left of the database anywhere cannot be read; so one that breaks off after that has done what matters, and
the next call does the rest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from p2pmsg.crypto import vault
from p2pmsg.daemon import process, unit
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.lock import STARTING_FILE, Lock
from p2pmsg.errors import NotInitialized, ServiceFailed, file_faults

STAYS = (
    "What was delivered stays with the people it was sent to; they are not told that you have gone.",
    "Copies that you made yourself stay: backups of this folder, the recovery words on paper or in a file.",
    "An SSD or a file system that keeps old versions may hold the key's old bytes: whoever can read those and kept the database reads it.",
)


def wipe(profile: Profile) -> dict[str, Any]:
    """Destroy everything of a profile and say what is gone and what is not.

    Raises: NotInitialized where there is nothing; TimedOut, NotPermitted, AlreadyRunning (the daemon did not end: nothing was destroyed);
    HomeUnusable.
    """
    if not os.path.lexists(profile.folder):
        raise NotInitialized(f"There is nothing to wipe: profile {profile.name} in {profile.home} was never made.")
    did: list[str] = []
    try:
        did += [line for line in unit.uninstall(profile)["did"] if line != unit.NOTHING]
    except ServiceFailed as error:
        did.append(f"The service could not be removed: {error}")
    process.stop(profile)
    with file_faults(profile.folder), Lock.acquire(profile):
        keys = _keys(profile)
        for key in keys:
            vault.forget_ways(key)
            _destroy(key)
        _sync(profile.folder)
        did += ["Destroyed the key of the database."] if keys else []
        _empty(profile)
        did.append(f"Removed what was in {profile.folder}.")
    with file_faults(profile.folder):
        _remove(profile)
    return {"profile": profile.name, "home": str(profile.home), "did": did, "stays": list(STAYS)}


def _keys(profile: Profile) -> list[Path]:
    """Return the key file, and those that an `init` which was killed left beside it."""
    return [path for path in sorted(profile.folder.glob(f"{profile.key.name}*")) if path == profile.key or ".new" in path.name]


def _destroy(path: Path) -> None:
    """Overwrite a file where it lies, and remove it; a link goes, what it points to is destroyed all the same."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, secrets.token_bytes(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _empty(profile: Profile) -> None:
    """Remove all but the lock's own files, which are held."""
    for path in profile.folder.iterdir():
        if path.name in (profile.lock.name, STARTING_FILE):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove(profile: Profile) -> None:
    """Remove the lock's files, and the folders that are empty now; a home that somebody named stays."""
    for path in (profile.folder / STARTING_FILE, profile.lock):
        path.unlink(missing_ok=True)
    if profile.home_was_named:
        (profile.home / "run" / f"{profile.name}.sock").unlink(missing_ok=True)
    if profile.folder.is_symlink():
        profile.folder.unlink()
    empty = [profile.folder, profile.folder.parent, profile.home / "run"]
    for folder in empty if profile.home_was_named else [*empty, profile.home]:
        with contextlib.suppress(OSError):
            folder.rmdir()
