"""Opens the vault and changes how its key is kept; an interrupted change leaves what was in force before.

Everything here may take a second (argon2id, a whole database encrypted anew): call it in a thread, one call at a time. Knows no loop
and no daemon; nobody has the database open meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from p2pmsg.crypto import vault
from p2pmsg.crypto.vault import KeyFile, Mode, Slot
from p2pmsg.daemon import linux
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.identity import can_use_keyring
from p2pmsg.errors import HomeUnusable, NotPermitted, StorageDamaged, StorageFull, WrongPassphrase
from p2pmsg.storage import rekeying

Wrap = Callable[[bytes], Slot]
"""Makes a way to a new master key."""
_BESIDES_BYTES: Final = 16 << 20
"""Memory that has to be free beside what a guess takes: short of it Linux gives it first, and ends the process later."""


def mode(profile: Profile) -> Mode:
    """Say how the key is kept. Raises: as `vault.read` does."""
    return vault.read(profile.key).now.mode


def unseal(profile: Profile, passphrase: str | None = None) -> bytes:
    """Return the master key that opens the database, and end a change of it that was interrupted.

    Raises:
        VaultLocked, WrongPassphrase, KeyringUnavailable, NotPermitted: as `vault.unseal`. Others as `vault.read`.
        StorageDamaged: a key that was sealed, or lay in a keyring, and the database do not belong together; nothing was touched.
    """
    file = vault.read(profile.key)
    if passphrase is not None:
        need_memory(file.now)
    try:
        master = vault.unseal(file.now, passphrase)
    except WrongPassphrase:
        if file.next is None:
            raise
        return _by_the_new_way(profile, file.next, passphrase)
    if file.next is not None:
        return _by_the_old_way(profile, file, master, passphrase)
    if file.now.mode is not Mode.FILE and profile.database.exists() and not rekeying.opens(profile.database, vault.database_key(master)):
        raise StorageDamaged(
            "The key does not open the database: one of the two is of another profile or another time, or the database is damaged. "
            "Nothing was changed.",
            hint="Put key and data.db back, both from the same copy of this folder.",
        )
    return master


def need_memory(way: Slot) -> None:
    """Raises: NotPermitted where trying a passphrase takes more memory than is free; else Linux would end some process for it."""
    needed = way.cost.memory_bytes
    free = linux.free_memory_bytes()
    if way.mode is Mode.PASSPHRASE and free is not None and free < needed + _BESIDES_BYTES:
        raise NotPermitted(
            f"A passphrase takes {needed >> 20} MiB of memory to try, and {free >> 20} MiB are free.",
            hint="End other programs, or allow this one more memory, and try again.",
        )


def under_passphrase(passphrase: str) -> Wrap:
    """Return how a key is kept under a passphrase. The way raises NotPermitted where there is too little memory."""

    def wrap(master: bytes) -> Slot:
        need_memory(Slot(Mode.PASSPHRASE, b""))
        return vault.under_passphrase(master, passphrase)

    return wrap


def change(profile: Profile, master: bytes, wrap: Wrap) -> bytes:
    """Return a new master key, kept in the way of `wrap`, under which the database was encrypted anew: the old one opens nothing more.

    Killed at any line the old way still opens the vault; so it does after a failure.

    Raises:
        StorageFull, StorageFailed, HomeUnusable, KeyringUnavailable; NotPermitted: too little memory.
    """
    before = vault.read(profile.key)
    new = vault.new_key()
    to_new = wrap(new)
    vault.write(profile.key, KeyFile(before.now, to_new, vault.bridge(master, new)))
    try:
        rekeying.rekey(profile.database, vault.database_key(master), vault.database_key(new))
    except BaseException:
        if rekeying.opens(profile.database, vault.database_key(master)):
            vault.write(profile.key, before)
            vault.forget(to_new)
        raise
    vault.write(profile.key, KeyFile(to_new))
    vault.forget(before.now)
    return new


def without_passphrase(profile: Profile) -> Wrap:
    """Return how a key is kept that needs no passphrase: in the desktop's keyring, where there is one and no home was named."""
    return vault.in_keyring if can_use_keyring(profile) else vault.plain


def _by_the_new_way(profile: Profile, way: Slot, passphrase: str | None) -> bytes:
    master = vault.unseal(way, passphrase)
    if not rekeying.opens(profile.database, vault.database_key(master)):
        raise WrongPassphrase("This passphrase never came into force: its setting was interrupted.", hint="Type the one from before.")
    _end_change(profile, KeyFile(way))
    return master


def _by_the_old_way(profile: Profile, file: KeyFile, master: bytes, passphrase: str | None) -> bytes:
    """Somebody began to change the key and was interrupted: whoever has the old way goes on with it."""
    assert file.next is not None
    new = vault.cross(master, file.bridge)
    if not rekeying.opens(profile.database, vault.database_key(new)):
        _end_change(profile, KeyFile(file.now), file.next)
        return master
    _end_change(profile, KeyFile(_same_way(file.now, new, passphrase)), file.next, file.now)
    return new


def _end_change(profile: Profile, file: KeyFile, *over: Slot) -> None:
    """Keep one way alone. On a disk that takes nothing both stay: each of them opens the vault, and the next time ends it."""
    with contextlib.suppress(StorageFull, HomeUnusable):
        vault.write(profile.key, file)
        for way in over:
            vault.forget(way)


def _same_way(slot: Slot, master: bytes, passphrase: str | None) -> Slot:
    if slot.mode is Mode.PASSPHRASE:
        assert passphrase is not None
        return vault.under_passphrase(master, passphrase, slot.cost)
    return vault.plain(master) if slot.mode is Mode.FILE else vault.in_keyring(master)
