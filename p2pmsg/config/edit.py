"""`config list|get|set|unset|path`: look at and change the settings file, comments kept, also while a daemon runs.

Each answer is the contract's object `{"key","value","default","source"}`. Knows nothing of daemons: they look at the file by themselves.
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


HEAD = """\
# Settings of p2pmsg. Lines that begin with # count for nothing: they show what there is, and the default.
# p2pmsg config set KEY VALUE writes here; what is written by hand is taken up as well.
"""


def list_(file: Path) -> list[dict[str, Any]]:
    """Return every setting, in the contract's order. Raises: SettingsInvalid."""
    found = settings.read(file)
    return [_shown(key, found) for key in settings.RULES]


def get(file: Path, key: str) -> dict[str, Any]:
    """Return one setting. Raises: KeyNotFound, SettingsInvalid."""
    settings.default_of(key)
    return _shown(key, settings.read(file))


def set_(file: Path, key: str, text: str) -> dict[str, Any]:
    """Set a key to what was typed (lists comma-separated) and return it; other keys may be bad: this is how they are mended.

    Raises: KeyNotFound, InvalidValue, SettingsInvalid (the file is not TOML), HomeUnusable, StorageFull.
    """
    value = settings.from_words(key, text)
    *groups, name = key.split(".")
    with _edited(file) as document:
        table: MutableMapping[str, Any] = document
        for group in groups:
            table = _group(file, table, group)
        table[name] = _plain(value)
    return _shown(key, {key: value})


def unset(file: Path, key: str) -> dict[str, Any]:
    """Take a key out of the file, so that its default holds, and return it; an unknown key that stands there goes as well.

    Raises: KeyNotFound where it is no setting and not in the file; SettingsInvalid, HomeUnusable, StorageFull.
    """
    with _edited(file) as document:
        if not _take_out(document, key.split(".")):
            settings.default_of(key)
    if key not in settings.RULES:
        return {"key": key, "value": None, "default": None, "source": "default"}
    return _shown(key, {})


def path(file: Path) -> dict[str, Any]:
    """Return the file's path; `source` is `file` where it exists."""
    return {"key": "path", "value": str(file), "default": str(file), "source": "file" if file.exists() else "default"}


def _shown(key: str, found: dict[str, Any]) -> dict[str, Any]:
    default = settings.DEFAULTS[key]
    value = found.get(key, default)
    return {"key": key, "value": _plain(value), "default": _plain(default), "source": "file" if key in found else "default"}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _group(file: Path, table: MutableMapping[str, Any], name: str) -> MutableMapping[str, Any]:
    import tomlkit

    inner = table.setdefault(name, tomlkit.table())
    if not isinstance(inner, MutableMapping):
        raise SettingsInvalid(f"{file}: {name} is a value there, not a group of settings.", hint=f"p2pmsg config unset {name}")
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
    if not inner and not _has_comments(inner):
        del table[names[0]]
    return True


def _has_comments(table: Any) -> bool:
    return "#" in (table.as_string() if hasattr(table, "as_string") else "")


def template() -> str:
    """Return a file that sets nothing and shows every key with its default and what it is for."""
    import tomlkit

    groups: dict[str, list[str]] = {"": []}
    for key, words in settings.MEANINGS.items():
        group, _, name = key.rpartition(".")
        default = tomlkit.item(_plain(settings.DEFAULTS[key])).as_string()
        groups.setdefault(group, []).append(f"# {words}\n# {name} = {default}\n")
    parts = [HEAD, *("".join([f"[{group}]\n" if group else "", *lines]) for group, lines in groups.items())]
    return "\n".join(parts)


@contextlib.contextmanager
def _edited(file: Path) -> Iterator[TOMLDocument]:
    """Give the file's document to the block and write it back, whole or not at all, under the file's own lock."""
    import tomlkit

    target = file.resolve()  # a link to a file kept elsewhere stays a link
    with file_faults(file), _locked(target.with_name(f"{target.name}.lock")):
        text = settings.read_text(target)
        settings.parse(target, text)
        document = tomlkit.parse(text if text.strip() else template())
        yield document
        changed = tomlkit.dumps(document)
        if changed != text:
            _replace(target, changed)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(file: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            if file.exists():
                os.fchmod(written.fileno(), file.stat().st_mode & 0o777)
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
