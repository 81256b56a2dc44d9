"""The desktop's own keyring (Secret Service, macOS Keychain), by the library `keyring`, which is loaded only when it is used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from p2pmsg.errors import KeyringUnavailable

_SERVICE: Final = "p2pmsg"
_REAL: Final = 1.0
"""From this priority on a backend keeps secrets by itself; below are those that refuse, and files under other names."""


def available() -> bool:
    """Say whether this session has a keyring that would keep a key. Asks nobody and unlocks nothing."""
    import keyring
    from keyring.errors import KeyringError

    try:
        return bool(keyring.get_keyring().priority >= _REAL)
    except (KeyringError, RuntimeError):
        return False


def store(entry: str, key: bytes) -> None:
    """Keep a key under a name. Raises: KeyringUnavailable, also where it does not come back the same."""
    import keyring

    with _faults():
        keyring.set_password(_SERVICE, entry, key.hex())
        if keyring.get_password(_SERVICE, entry) != key.hex():
            raise KeyringUnavailable("The desktop's keyring does not keep what it is given.")


def load(entry: str) -> bytes:
    """Return the key of a name; the desktop may ask its user to unlock the keyring. Raises: KeyringUnavailable."""
    import keyring

    with _faults():
        text = keyring.get_password(_SERVICE, entry)
    if text is None:
        raise KeyringUnavailable(f"The desktop's keyring has no entry {_SERVICE}/{entry}, which holds the key of this profile.")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise KeyringUnavailable(f"The entry {_SERVICE}/{entry} of the desktop's keyring was changed: it is no key.") from error


def forget(entry: str) -> None:
    """Remove a key; harmless where the keyring or the entry is gone."""
    import keyring

    with contextlib.suppress(KeyringUnavailable), _faults():
        keyring.delete_password(_SERVICE, entry)


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    from keyring.errors import KeyringError, NoKeyringError

    try:
        yield
    except NoKeyringError as error:
        raise KeyringUnavailable("The key of this profile lies in the desktop's keyring, and this session has none.") from error
    except (KeyringError, OSError, RuntimeError) as error:
        raise KeyringUnavailable(f"The desktop's keyring, where the key of this profile lies, cannot be used ({error}).") from error
