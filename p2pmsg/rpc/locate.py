"""Where the home, a profile's folder and its daemon are: the few lines that both ends of the local API share.

Only looks; makes nothing. Stays light: the CLI loads it on every call.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2pmsg.errors import HomeUnusable, UsageError

DEFAULT_PROFILE = "default"
PROFILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}")
LOCK_FILE = "lock"
LOCK_BYTES = 65_536


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute folder of all profiles: P2PMSG_HOME, else below XDG_DATA_HOME, else below ~/.local/share."""
    own = environ.get("P2PMSG_HOME")
    if own:
        return Path(own).absolute()
    data = environ.get("XDG_DATA_HOME", "")
    if data.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(data) / "p2pmsg"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "share" / "p2pmsg"


def profile_folder(environ: Mapping[str, str] = os.environ, profile: str | None = None) -> Path:
    """Return the folder of a profile: the one named, else P2PMSG_PROFILE, else "default".

    Raises: UsageError for a name that cannot be a folder's.
    """
    return home_folder(environ) / "profiles" / profile_name(environ, profile)


def profile_name(environ: Mapping[str, str] = os.environ, profile: str | None = None) -> str:
    """Return the checked name of the profile that counts here. Raises: UsageError."""
    name = profile if profile is not None else environ.get("P2PMSG_PROFILE") or DEFAULT_PROFILE
    if not PROFILE_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a profile.",
            hint="Use 1 to 32 letters, digits, dots, dashes or underscores, no dot or dash first.",
        )
    return name


def lock_info(folder: Path) -> dict[str, Any] | None:
    """Return what the daemon of a profile's folder wrote into its lock file (pid, socket, version), or None.

    That it is there does not prove that the daemon still runs: only its socket does.
    """
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            info = json.loads(file.read(LOCK_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return info if isinstance(info, dict) and isinstance(info.get("socket"), str) else None


def initialized(folder: Path) -> bool:
    """Say whether `init` has made this profile. Raises: HomeUnusable where that cannot be seen."""
    try:
        return (folder / "key").exists()
    except OSError as error:
        raise HomeUnusable(f"The folder {folder} cannot be read: {error.strerror}.") from error
