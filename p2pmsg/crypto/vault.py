"""Where the profile's master key lives. Mode `file`: 32 random bytes in a file that only its owner may read.

It protects against somebody who copies the database alone, not against who reads the whole home; other modes carry
another `mode` in the same file.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from p2pmsg.crypto import domains
from p2pmsg.crypto.hashing import mac
from p2pmsg.errors import FileExists, HomeUnusable, NotInitialized, P2pmsgError, StorageDamaged, StorageFull

KEY_BYTES: Final = 32
MODE_FILE: Final = "file"
_FILE_BYTES: Final = 4096


def create(path: Path) -> bytes:
    """Make a master key, store it durably with mode 0600, and return it. After a failure nothing is left behind.

    The caller holds the profile's lock: two calls at once are not told apart.

    Raises:
        FileExists: there is a file at `path`; it is not touched.
        StorageFull, HomeUnusable: the file cannot be written.
    """
    if os.path.lexists(path):
        raise FileExists(f"There is a key already: {path}")
    key = secrets.token_bytes(KEY_BYTES)
    text = json.dumps({"version": 1, "mode": MODE_FILE, "key": key.hex()})
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        _write_durably(temporary, path, text.encode())
    except BaseException as error:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise
    return key


def open_key(path: Path) -> bytes:
    """Return the master key.

    Raises:
        NotInitialized: there is no file.
        HomeUnusable: it cannot be read, belongs to somebody else, or others may read it.
        StorageDamaged: it is cut or changed, or of a mode that this version does not know.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO in its place must not block the start
        try:
            _check_owner(path, os.fstat(descriptor))
            data = os.read(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise NotInitialized("There is nobody here yet: this profile has no key.") from error
    except OSError as error:
        raise HomeUnusable(f"The key {path} cannot be read: {error.strerror}.") from error
    return _decode(path, data)


def database_key(master: bytes) -> bytes:
    """Return the raw 32-byte key of the database."""
    return mac(master, domains.VAULT_DATABASE)


def _write_durably(temporary: Path, path: Path, data: bytes) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unwritable(path: Path, error: OSError) -> P2pmsgError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"No space is left for the key {path}.")
    return HomeUnusable(f"The key {path} cannot be written: {error.strerror}.")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise HomeUnusable(f"The key {path} is no file.")
    if status.st_uid != os.geteuid():
        raise HomeUnusable(f"The key {path} belongs to somebody else.")
    if status.st_mode & 0o077:
        raise HomeUnusable(f"Others may read the key {path}.", hint=f"chmod 600 {path}")


def _decode(path: Path, data: bytes) -> bytes:
    try:
        fields = json.loads(data)
        key = bytes.fromhex(fields["key"]) if fields["mode"] == MODE_FILE else b""
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageDamaged(f"The key {path} is damaged.", hint="Put back the file from your own copy of this folder.") from error
    if len(key) != KEY_BYTES:
        raise StorageDamaged(f"The key {path} is damaged, or kept in a way that this version of p2pmsg does not know.")
    return key
