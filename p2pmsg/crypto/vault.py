"""Where the profile's master key lives: in a file, in the desktop's keyring, or sealed under a passphrase.

The key file always says which (`mode`). Mode `file` protects against somebody who copies the database alone, not against who reads
the whole home. While a key is changed the file holds both, so that whatever an interruption leaves can be opened by one of them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shlex
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as NaclFailed
from nacl.secret import Aead

from p2pmsg.crypto import desktop, domains
from p2pmsg.crypto.hashing import mac
from p2pmsg.errors import (
    FileExists,
    HomeUnusable,
    NotInitialized,
    NotPermitted,
    P2pmsgError,
    StorageDamaged,
    StorageFull,
    VaultLocked,
    WrongPassphrase,
)

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
PASSPHRASE_BYTES: Final = 1024
_FILE_BYTES: Final = 4096
_MODES_OF_OTHERS: Final = 0o077
_OPERATIONS: Final = range(1, 17)
_MEMORY_BYTES: Final = range(8 << 20, (1 << 30) + 1)


class Mode(StrEnum):
    """How a key is kept."""

    FILE = "file"
    KEYRING = "keyring"
    PASSPHRASE = "passphrase"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs (argon2id, RFC 9106): passes over the memory, and bytes of memory."""

    operations: int = 3
    memory_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to a master key. `secret` is the key itself, the name of the keyring's entry, or the key sealed, by mode."""

    mode: Mode
    secret: bytes = field(repr=False)
    salt: bytes = b""
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What the file says. During a change: `next` is the way to the new key, `bridge` the new key sealed under the old one."""

    now: Slot
    next: Slot | None = None
    bridge: bytes = b""


def create(path: Path, keep: Callable[[bytes], Slot] | None = None) -> bytes:
    """Make a master key, store it durably with mode 0600, and return it. After a failure nothing is left behind.

    `keep` makes the way to it, as `plain`, `in_keyring` and `under_passphrase` do; None: the first.

    The caller holds the profile's lock: two calls at once are not told apart.

    Raises:
        FileExists: there is a file at `path`; it is not touched.
        StorageFull, HomeUnusable: the file cannot be written.
    """
    if os.path.lexists(path):
        raise FileExists(f"There is a key already: {path}")
    key = new_key()
    try:
        way = (keep or plain)(key)
        try:
            write(path, KeyFile(way))
        except BaseException:  # Ctrl-C too
            forget(way)
            raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return key


def new_key() -> bytes:
    """Return a new master key: 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def open_key(path: Path) -> bytes:
    """Return the master key where no passphrase is needed.

    Raises:
        VaultLocked: it is sealed under a passphrase.
        Else as `read` and `unseal`.
    """
    return unseal(read(path).now)


def read(path: Path) -> KeyFile:
    """Return what the key file says.

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
    try:
        return _decode(json.loads(data))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise StorageDamaged(
            f"The key {path} is damaged, or kept in a way that this version of p2pmsg does not know.",
            hint="Put back the file from your own copy of this folder.",
        ) from error


def write(path: Path, file: KeyFile) -> None:
    """Store the key file durably, whole or not at all: after a failure the one before is there.

    Raises:
        StorageFull, HomeUnusable: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        _write_durably(temporary, path, json.dumps(_encode(file)).encode())
    except BaseException as error:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def plain(master: bytes) -> Slot:
    """Keep the key in the file as it is."""
    return Slot(Mode.FILE, master)


def in_keyring(master: bytes) -> Slot:
    """Put the key into the desktop's keyring, under a name of its own. Raises: KeyringUnavailable."""
    entry = secrets.token_hex(8)
    desktop.store(entry, master)
    return Slot(Mode.KEYRING, entry.encode())


def prepared(passphrase: str) -> str:
    """Return a passphrase as it counts: the same however its letters were typed (NFC), and without what ends a line on Windows."""
    return unicodedata.normalize("NFC", passphrase).rstrip("\r\n")


def under_passphrase(master: bytes, passphrase: str, cost: Cost | None = None) -> Slot:
    """Seal the key under a passphrase; takes as long as one guess shall cost (about 0.5 s and 256 MiB)."""
    salt, cost = secrets.token_bytes(SALT_BYTES), cost or Cost()
    sealed = Aead(_stretched(passphrase, salt, cost)).encrypt(master, _header(salt, cost))
    return Slot(Mode.PASSPHRASE, bytes(sealed), salt, cost)


def unseal(slot: Slot, passphrase: str | None = None) -> bytes:
    """Return the master key behind a slot.

    Raises:
        VaultLocked: it needs a passphrase and none was given.
        WrongPassphrase: not this one; found out no faster than `under_passphrase` takes. NotPermitted: no memory is free for that.
        KeyringUnavailable: the keyring, or the entry in it, is not there.
    """
    if slot.mode is Mode.FILE:
        return slot.secret
    if slot.mode is Mode.KEYRING:
        return desktop.load(slot.secret.decode())
    if passphrase is None:
        raise VaultLocked("The vault is locked.")
    try:
        return bytes(Aead(_stretched(passphrase, slot.salt, slot.cost)).decrypt(slot.secret, _header(slot.salt, slot.cost)))
    except CryptoError as error:
        raise WrongPassphrase("This is not the passphrase.") from error


def forget(slot: Slot) -> None:
    """Take back what a slot keeps outside the key file; harmless where it is gone."""
    if slot.mode is Mode.KEYRING:
        desktop.forget(slot.secret.decode())


def forget_ways(path: Path) -> None:
    """Take back what the ways in a key file keep elsewhere; harmless where it is no key file."""
    with contextlib.suppress(P2pmsgError):
        file = read(path)
        for way in (file.now, file.next):
            if way is not None:
                forget(way)


def bridge(old: bytes, new: bytes) -> bytes:
    """Seal a new master key under the old one."""
    return bytes(_bridge(old).encrypt(new))


def cross(old: bytes, sealed: bytes) -> bytes:
    """Return the new master key that `bridge` sealed. Raises: StorageDamaged."""
    try:
        return bytes(_bridge(old).decrypt(sealed))
    except CryptoError as error:
        raise StorageDamaged("The key file is damaged.", hint="Put back the file from your own copy of this folder.") from error


def database_key(master: bytes) -> bytes:
    """Return the raw 32-byte key of the database."""
    return mac(master, domains.VAULT_DATABASE)


def _bridge(old: bytes) -> Aead:
    return Aead(mac(old, domains.VAULT_BRIDGE))


def _stretched(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    words = prepared(passphrase).encode(errors="replace")
    try:
        return pwhash.argon2id.kdf(KEY_BYTES, words, salt, opslimit=cost.operations, memlimit=cost.memory_bytes)
    except (NaclFailed, MemoryError) as error:
        raise NotPermitted(
            f"A passphrase takes {cost.memory_bytes >> 20} MiB of memory to try, and they are not free.",
            hint="End other programs, and try again.",
        ) from error


def _header(salt: bytes, cost: Cost) -> bytes:
    """Return what is sealed along: nobody makes the next guess cheaper by editing the file."""
    return json.dumps(["p2pmsg", 1, Mode.PASSPHRASE, salt.hex(), cost.operations, cost.memory_bytes]).encode()


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
        raise HomeUnusable(f"The key {path} belongs to somebody else.", hint=f"sudo chown $(id -un) {shlex.quote(str(path))}")
    if status.st_mode & _MODES_OF_OTHERS:
        raise HomeUnusable(f"Others may read the key {path}.", hint=f"chmod 600 {shlex.quote(str(path))}")


def _encode(file: KeyFile) -> dict[str, Any]:
    fields = {"version": 1, **_encode_slot(file.now)}
    if file.next is not None:
        fields["next"] = {**_encode_slot(file.next), "bridge": file.bridge.hex()}
    return fields


def _encode_slot(slot: Slot) -> dict[str, Any]:
    if slot.mode is Mode.FILE:
        return {"mode": slot.mode, "key": slot.secret.hex()}
    if slot.mode is Mode.KEYRING:
        return {"mode": slot.mode, "entry": slot.secret.decode()}
    cost = {"operations": slot.cost.operations, "memory_bytes": slot.cost.memory_bytes}
    return {"mode": slot.mode, "salt": slot.salt.hex(), **cost, "sealed": slot.secret.hex()}


def _decode(fields: dict[str, Any]) -> KeyFile:
    """Raises: ValueError, KeyError, TypeError where it is no key file."""
    if "next" not in fields:
        return KeyFile(_decode_slot(fields))
    return KeyFile(_decode_slot(fields), _decode_slot(fields["next"]), bytes.fromhex(fields["next"]["bridge"]))


def _decode_slot(fields: dict[str, Any]) -> Slot:
    mode = Mode(fields["mode"])
    if mode is Mode.FILE:
        return Slot(mode, _exactly(KEY_BYTES, fields["key"]))
    if mode is Mode.KEYRING:
        return Slot(mode, bytes.fromhex(fields["entry"]).hex().encode())
    cost = Cost(int(fields["operations"]), int(fields["memory_bytes"]))
    if cost.operations not in _OPERATIONS or cost.memory_bytes not in _MEMORY_BYTES:
        raise ValueError("out of range")
    return Slot(mode, _exactly(KEY_BYTES + Aead.NONCE_SIZE + Aead.MACBYTES, fields["sealed"]), _exactly(SALT_BYTES, fields["salt"]), cost)


def _exactly(size: int, text: str) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != size:
        raise ValueError("another length")
    return data
