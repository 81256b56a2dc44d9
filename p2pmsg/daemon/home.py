"""A profile's place on disk: its folder and files, who may own them, and where its socket lives.

Makes folders; knows nothing of what the files hold. The rules are those of the CLI contract (`init`) and of DESIGN 11.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pmsg.daemon.linux import is_local
from p2pmsg.errors import HomeUnusable, file_faults
from p2pmsg.rpc.locate import LOCK_FILE, home_folder, profile_name

SOCKET_PATH_BYTES = 100
"""Linux takes 107, macOS 103; a path over this goes to the temporary folder."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One person's folder below the home; every file that p2pmsg keeps for him is named here."""

    home: Path
    name: str
    home_was_named: bool
    """P2PMSG_HOME was set: the socket lives in the home, too."""

    @property
    def folder(self) -> Path:
        return self.home / "profiles" / self.name

    @property
    def lock(self) -> Path:
        return self.folder / LOCK_FILE

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def database(self) -> Path:
        return self.folder / "data.db"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def initialized(self) -> bool:
        """Say whether somebody lives here: the folder alone, a lock or settings do not count."""
        return self.key.exists()


def locate(environ: Mapping[str, str] = os.environ, name: str | None = None) -> Profile:
    """Return the profile that counts here; looks at no disk. Raises: UsageError for a name that cannot be a folder's."""
    return Profile(home_folder(environ), profile_name(environ, name), bool(environ.get("P2PMSG_HOME")))


def prepare(profile: Profile) -> tuple[Path, ...]:
    """Make the profile's folder and return the folders that were not there before, outermost first.

    A home that exists keeps its mode; what is made is 0700.
    Raises: HomeUnusable where it is not mine, not a folder or read-only; StorageFull.
    """
    made: list[Path] = []
    with file_faults(profile.home):
        try:
            _make_folder(profile.home, made)
            check_mine(profile.home)
            for folder in (profile.folder.parent, profile.folder):
                _make_folder(folder, made)
                check_mine(folder)
                _close_to_others(folder)
        except BaseException:
            forget(made)
            raise
    return tuple(made)


def forget(folders: Sequence[Path]) -> None:
    """Remove folders that `prepare` made, as far as they are empty: the way back of an `init` that failed."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


def check_mine(folder: Path) -> None:
    """Check that a folder is mine and takes files. Raises: HomeUnusable; OSError where it cannot be looked at."""
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise HomeUnusable(f"{folder} is not a folder.")
    if status.st_uid != os.geteuid():
        raise HomeUnusable(f"{folder} belongs to somebody else (user {status.st_uid}).")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HomeUnusable(f"{folder} is read-only.")


def socket_path(profile: Profile, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where this profile's daemon is to listen; its folder exists then, 0700 and mine. Only the daemon asks, under its lock.

    The home's `run` where P2PMSG_HOME is set, else XDG_RUNTIME_DIR; the temporary folder where that is missing, not mine, over
    100 bytes, not on a local file system, or taken by the daemon of another home.
    Raises: HomeUnusable where no place is left; StorageFull.
    """
    preferred = profile.home / "run" if profile.home_was_named else _runtime_folder(environ)
    if preferred is not None:
        path = preferred / f"{profile.name}.sock"
        if _fits(path) and not _answers(path):
            return path
    short = hashlib.blake2b(os.fsencode(profile.folder), digest_size=8).hexdigest()
    for temporary in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        path = Path(temporary) / f"p2pmsg-{os.geteuid()}" / f"{short}.sock"
        if _fits(path):
            return path
    raise HomeUnusable(
        "There is no place for the daemon's socket: neither the home nor the temporary folder takes one.",
        hint="Set TMPDIR to a folder of your own with a short path on a local disk.",
    )


def _runtime_folder(environ: Mapping[str, str]) -> Path | None:
    """Return `p2pmsg` in XDG_RUNTIME_DIR, or None where that is missing or another user's, as under `su` and `sudo -E`."""
    runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
    try:
        mine = runtime.is_absolute() and runtime.stat().st_uid == os.geteuid()
    except OSError:
        return None
    return runtime / "p2pmsg" if mine else None


def _fits(path: Path) -> bool:
    """Say whether a socket can live there, and make its folder if so."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        return False
    folder = path.parent
    try:
        if not is_local(folder.parent):
            return False
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()  # never through a link that somebody laid in the temporary folder
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return False
        _close_to_others(folder)
        return os.access(folder, os.W_OK | os.X_OK) and _takes_sockets(path)
    except OSError:
        return False


def _takes_sockets(path: Path) -> bool:
    """Say whether the file system lets a socket be made there, as not all do; one that is there tells it, too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(os.fspath(path))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    path.unlink()
    return True


def _answers(path: Path) -> bool:
    """Say whether a process listens at the path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except TimeoutError:
            return True  # its backlog is full: stopped perhaps, but alive
        except OSError:
            return False
    return True


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and its missing parents, each 0700, and note each in `made` at once."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        made.append(path)  # first: Ctrl-C may come as soon as it is there
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            made.remove(path)


def _close_to_others(folder: Path) -> None:
    """Take a folder's rights from group and others."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        folder.chmod(mode & 0o700)
