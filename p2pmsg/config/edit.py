"""`config list|get|set|unset|path`: look at and change the settings file, comments kept, also while a daemon runs.

Each answer is the contract's object `{"key","value","default","source"}`. Knows nothing of daemons: they read the file when they start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2pmsg.config import settings
from p2pmsg.errors import SettingsInvalid, file_faults

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def list_all(path: Path) -> list[dict[str, Any]]:
    """Return every setting, in the contract's order. Raises: SettingsInvalid."""
    found = settings.read(path)
    return [_shown(key, found) for key in settings.RULES]


def get(path: Path, key: str) -> dict[str, Any]:
    """Return one setting. Raises: KeyNotFound, SettingsInvalid."""
    settings.default_of(key)
    return _shown(key, settings.read(path))


def put(path: Path, key: str, text: str) -> dict[str, Any]:
    """Set a key to what was typed (lists comma-separated) and return it; other keys may be bad: this is how they are mended.

    Raises: KeyNotFound, InvalidValue, SettingsInvalid (the file is not TOML), HomeUnusable, StorageFull.
    """
    value = settings.from_words(key, text)
    *groups, name = key.split(".")
    with _edited(path) as document:
        table: MutableMapping[str, Any] = document
        for group in groups:
            table = _group(path, table, group)
        table[name] = list(value) if isinstance(value, tuple) else value
    return _shown(key, {key: value})


def unset(path: Path, key: str) -> dict[str, Any]:
    """Take a key out of the file, so that its default holds, and return it; an unknown key that stands there goes as well.

    Raises: KeyNotFound where it is no setting and not in the file; SettingsInvalid, HomeUnusable, StorageFull.
    """
    with _edited(path) as document:
        if not _take_out(document, key.split(".")):
            settings.default_of(key)
    if key not in settings.RULES:
        return {"key": key, "value": None, "default": None, "source": "default"}
    return _shown(key, {})


def where(path: Path) -> dict[str, Any]:
    """Return the file's path; `source` is `file` where it exists."""
    return {"key": "path", "value": str(path), "default": str(path), "source": "file" if path.exists() else "default"}


def _shown(key: str, found: dict[str, Any]) -> dict[str, Any]:
    default = settings.DEFAULTS[key]
    return {"key": key, "value": found.get(key, default), "default": default, "source": "file" if key in found else "default"}


def _group(path: Path, table: MutableMapping[str, Any], name: str) -> MutableMapping[str, Any]:
    import tomlkit

    inner = table.setdefault(name, tomlkit.table())
    if not isinstance(inner, MutableMapping):
        raise SettingsInvalid(f"{path}: {name} is a value there, not a group of settings.", hint=f"p2pmsg config unset {name}")
    return table[name]  # type: ignore[no-any-return]  # not `inner`: tomlkit copies what it takes in


def _take_out(table: MutableMapping[str, Any], names: list[str]) -> bool:
    """Remove a dotted key and the groups that it leaves empty; say whether it was there."""
    if names[0] not in table:
        return False
    inner = table[names[0]]
    if len(names) == 1:
        del table[names[0]]
        return True
    if not isinstance(inner, MutableMapping) or not _take_out(inner, names[1:]):
        return False
    if not inner:
        del table[names[0]]
    return True


@contextlib.contextmanager
def _edited(path: Path) -> Iterator[TOMLDocument]:
    """Give the file's document to the block and write it back, whole or not at all, under the file's own lock."""
    import tomlkit

    target = path.resolve()  # a link to a file kept elsewhere stays a link
    with file_faults(path), _locked(target.with_name(f"{target.name}.lock")):
        text = settings.read_text(target)
        settings.parse(target, text)
        document = tomlkit.parse(text)
        yield document
        changed = tomlkit.dumps(document)
        if changed != text:
            _replace(target, changed)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
