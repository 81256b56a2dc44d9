"""`init`: makes a person, whole or not at all.

Everything is built under names beside its final ones; the key comes last, and only with it does the profile exist.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from p2pmsg.config import limits
from p2pmsg.crypto import chain, desktop, gates, kem, signing, vault, words
from p2pmsg.daemon import home
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.lock import Lock
from p2pmsg.daemon.names import check_own_name
from p2pmsg.daemon.presence_keys import PRESENCE_KEY
from p2pmsg.errors import AlreadyInitialized, FileExists, HomeUnusable, InvalidName, file_faults
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.events import Conversation, ConversationKind, Kind, Tip
from p2pmsg.model.ids import DeviceKey
from p2pmsg.model.names import fault_of_name
from p2pmsg.protocol import log
from p2pmsg.protocol.bodies import SettingBody, encode_body
from p2pmsg.storage import log as log_store
from p2pmsg.storage import people as people_store
from p2pmsg.storage.batches import run_alone
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import close_database, open_database
from p2pmsg.storage.people import OwnIdentity

_NEW = ".new"


def init(
    profile: Profile,
    name: str,
    device: str | None,
    words_file: Path | None,
    show_words: Callable[[Sequence[str]], None],
    *,
    in_keyring: bool = False,
) -> dict[str, Any]:
    """Make an account with this device as its first, and return it as the CLI contract says.

    The recovery words go to `words_file` (made, 0600), else to `show_words` once all is stored. The key of the database lies in a file,
    or `in_keyring` in the desktop's. After a failure, Ctrl-C included, nothing that was made is left.

    Raises:
        InvalidName, FileExists, AlreadyInitialized, HomeUnusable: as of `check`, among others. AlreadyRunning, StorageFull.
    """
    kem.require_post_quantum()
    name, device = check(profile, name, device, words_file)
    made = home.prepare(profile)
    with contextlib.ExitStack() as undo:
        undo.callback(home.forget, made)
        lock = Lock.acquire(profile)
        undo.callback(lock.forget)
        if profile.initialized:
            undo.pop_all()
            lock.release()
            _refuse_who_is_there(profile)
        entropy = secrets.token_bytes(words.ENTROPY_BYTES)
        recovery = words.new(entropy)
        with _built(profile, words_file, recovery):
            key = vault.create(profile.key.with_name(profile.key.name + _NEW), vault.in_keyring if in_keyring else vault.plain)
            me, links = _store(profile, key, entropy, name, device)
        undo.pop_all()
        lock.release()
    if words_file is None:
        show_words(recovery)
    return _result(profile, me, links, words_file)


def can_use_keyring(profile: Profile) -> bool:
    """Say whether there is a desktop's keyring for the key; a home that was named holds all that belongs to it."""
    return not profile.home_was_named and desktop.available()


def check(profile: Profile, name: str, device: str | None, words_file: Path | None) -> tuple[str, str]:
    """Return the names of person and device as they will be, if all of this could be; makes nothing.

    Raises:
        InvalidName, FileExists (the words' file), AlreadyInitialized, HomeUnusable.
    """
    names = check_own_name(name), _device_name(device)
    if words_file is not None and os.path.lexists(words_file):
        raise FileExists(f"The file for the words exists already: {words_file}")
    _refuse_who_is_there(profile)  # before the lock, which the daemon of somebody who is there holds
    return names


def _refuse_who_is_there(profile: Profile) -> None:
    with file_faults(profile.home):
        if profile.initialized:
            raise AlreadyInitialized(f"Somebody lives here already: profile {profile.name} in {profile.home}.")


def _device_name(device: str | None) -> str:
    name = unicodedata.normalize("NFC", device if device is not None else socket.gethostname().split(".")[0] or "device")
    if fault := fault_of_name(name, limits.NAME_CHARACTERS):
        raise InvalidName(f"This name of a device cannot be used: it {fault}.", hint="p2pmsg init --name NAME --device NAME")
    return name


@contextlib.contextmanager
def _built(profile: Profile, words_file: Path | None, recovery: Sequence[str]) -> Iterator[None]:
    """Put what the block builds in place, the words first and the key last; or take all of it away again."""
    new_key = profile.key.with_name(profile.key.name + _NEW)
    new_database = profile.database.with_name(profile.database.name + _NEW)
    ours = [new_key, *(new_database.with_name(new_database.name + end) for end in ("", "-wal", "-shm"))]
    try:
        with file_faults(profile.folder):
            for path in (*ours, *profile.folder.glob(f"{new_key.name}.*")):  # of one that was killed
                path.unlink(missing_ok=True)
        yield
        if words_file is not None:
            _write_words(words_file, recovery, ours)
        with file_faults(profile.folder):
            for end in ("-wal", "-shm"):
                profile.database.with_name(profile.database.name + end).unlink(missing_ok=True)
            ours.append(profile.database)
            new_database.rename(profile.database)
            new_key.rename(profile.key)
            _sync_folder(profile.folder)
    except BaseException:
        for path in (new_key, profile.key):
            vault.forget_ways(path)
        for path in [*ours, profile.key]:
            path.unlink(missing_ok=True)
        raise


def _write_words(path: Path, recovery: Sequence[str], ours: list[Path]) -> None:
    with file_faults(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileExistsError as error:
            raise FileExists(f"The file for the words exists already: {path}") from error
        except FileNotFoundError as error:
            raise HomeUnusable(f"There is no folder {path.parent} for the words.", hint="Make it first, or name another file.") from error
        ours.append(path)
        with os.fdopen(descriptor, "w") as file:
            file.write(" ".join(recovery) + "\n")
            file.flush()
            os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store(profile: Profile, key: bytes, entropy: bytes, name: str, device: str) -> tuple[OwnIdentity, tuple[ChainLink, ...]]:
    """Build the database: identity, genesis, and the first event of `self`, which holds the presence key."""
    root_public, root_secret = words.root_keypair(entropy)
    device_key, secret = signing.keypair(secrets.token_bytes(32))
    backup = words.backup_public(entropy)
    genesis = chain.parse(
        chain.genesis(root_secret, root_public, DeviceKey(device_key), device, name, backup, secrets.token_bytes(chain.SALT_BYTES))
    )
    now_ms = time.time_ns() // 1_000_000
    me = OwnIdentity(
        genesis.account,
        chain.device_id(genesis.account, DeviceKey(device_key)),
        DeviceKey(device_key),
        secret,
        root_public,
        backup,
        now_ms,
    )

    def write(db: Db) -> None:
        people_store.create_identity(db, me)
        people_store.add_links(db, (genesis,), now_ms)
        _first_event(db, me, genesis, now_ms)

    path = profile.database.with_name(profile.database.name + _NEW)
    opened = open_database(path, vault.database_key(key))
    try:
        run_alone(opened.db, write, path.parent)
    finally:
        close_database(opened.db)
    return me, (genesis,)


def _first_event(db: Db, me: OwnIdentity, genesis: ChainLink, now_ms: int) -> None:
    own = Conversation(gates.self_conversation(me.account), ConversationKind.SELF, (me.account,))
    body = encode_body(SettingBody(PRESENCE_KEY, [secrets.token_bytes(32), 1]), secrets.token_bytes(16))

    def make(tip: Tip | None) -> Any:
        return log.write(
            tip,
            own.id,
            me.device,
            Kind.SETTING,
            body,
            hlc=log.next_hlc(now_ms, 0, 0),
            account_heads=(genesis.id,),
            sign=lambda message: signing.sign(me.device_secret, message),
        )

    log_store.append(db, own, me.device, make, now_ms)


def _result(profile: Profile, me: OwnIdentity, links: Sequence[ChainLink], words_file: Path | None) -> dict[str, Any]:
    return {
        "account": me.account.hex(),
        "device": me.device.hex(),
        "name": links[0].nickname,
        "device_name": links[0].device_name,
        "home": str(profile.home),
        "words_file": str(words_file) if words_file is not None else None,
    }
