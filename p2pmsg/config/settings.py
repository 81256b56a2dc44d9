"""The settings of one profile: every key with its default and its rule, and how the file is read.

The file is TOML, read whole and strictly: a key that is not known or a value that breaks its rule stops the daemon with a sentence
instead of being passed over. Knows nothing of what the settings do; keys of later versions are checked and have no effect yet.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from p2pmsg.errors import InvalidValue, KeyNotFound, SettingsInvalid

PATHS = ("mdns", "beacon", "last_known", "static", "dns_sd", "hint")
LEVELS = ("debug", "info", "warning", "error")
FILE_BYTES = 1 << 20
LIST_ITEMS = 64
TEXT_CHARACTERS = 4096
PORT_MIN = 1024
_NAME = re.compile(
    r"(?=.{1,253}$)(?=.*[A-Za-z])(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
"""A host's name (RFC 1123); one of digits and dots alone would be an address that somebody mistyped."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting; a field is its key with `_` for the dot."""

    discovery_paths: tuple[str, ...] = PATHS
    discovery_interfaces: tuple[str, ...] = ()
    """Empty: every usable one."""
    discovery_static: tuple[str, ...] = ()
    """Each `host:port`, as `split_address` takes it apart."""
    listen_port: int = 0
    """0: drawn at random once per network."""
    receipts_read: bool = True
    typing: bool = True
    media_auto_bytes: int = 16 << 20
    media_quota_bytes: int = 0
    """0: no limit, here and for the rate."""
    media_folder: str = "~/Downloads"
    media_rate_bytes_s: int = 0
    history_keep: str = "forever"
    notify_command: str = ""
    log_level: str = "info"
    lock_idle_s: int = 0
    """0: never."""


def split_address(text: str) -> tuple[str, int]:
    """Take `192.0.2.1:4000`, `[2001:db8::1]:4000`, `[fe80::1%eth0]:4000` or `name:4000` apart into host (with its zone) and port.

    Raises: ValueError for all else, addresses that are no single host's among it.
    """
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+)):([0-9]{1,5})", text)
    if match is None:
        raise ValueError("it is host:port, for IPv6 [IP]:port")
    host, port = match[1] or match[2], int(match[3])
    if not 1 <= port <= 65535:
        raise ValueError("a port is 1 to 65535")
    if match[1] is None and _NAME.fullmatch(host):
        return host.lower(), port
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address or a host's name") from None
    if (address.version == 6) != (match[1] is not None):
        raise ValueError("it is host:port, for IPv6 [IP]:port")
    if address.is_multicast or address.is_unspecified or address == ipaddress.IPv4Address("255.255.255.255"):
        raise ValueError(f"{host} is not one machine's address")
    return host, port


def _one_of(*choices: str) -> Callable[[Any], None]:
    def check(value: str) -> None:
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}{_nearest(value, choices)}")

    return check


def _at_least_0(value: int) -> None:
    if not 0 <= value < 1 << 63:
        raise ValueError("it is 0 or more")


def _port(value: int) -> None:
    if value != 0 and not PORT_MIN <= value <= 65535:
        raise ValueError(f"it is a port from {PORT_MIN} to 65535, or 0 for a random one")


def _interface(value: str) -> None:
    if not re.fullmatch(r"[^\s/]{1,15}", value):
        raise ValueError(f"{value!r} cannot be the name of an interface")


def _address(value: str) -> None:
    split_address(value)


def _keep(value: str) -> None:
    kept_s(value)


def kept_s(value: str) -> int | None:
    """Return for how many seconds `history.keep` keeps messages; None for ever. Raises: ValueError."""
    if value == "forever":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw]?)", value)
    if match is None:
        raise ValueError('it is "forever" or a time such as 90d')
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[match[2]]


def _command(value: str) -> None:
    program(value)


def program(value: str) -> list[str]:
    """Return the words of `notify.command`: the program and its arguments, split as a shell does but never run by one; empty for none.

    Raises: ValueError for a quote that is not closed.
    """
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"it cannot be taken apart into words: {error}") from None


def _anything(value: object) -> None:
    """Take every value of the key's type."""


RULES: dict[str, Callable[[Any], None]] = {
    "discovery.paths": _one_of(*PATHS),
    "discovery.interfaces": _interface,
    "discovery.static": _address,
    "listen.port": _port,
    "receipts.read": _anything,
    "typing": _anything,
    "media.auto_bytes": _at_least_0,
    "media.quota_bytes": _at_least_0,
    "media.folder": _anything,
    "media.rate_bytes_s": _at_least_0,
    "history.keep": _keep,
    "notify.command": _command,
    "log.level": _one_of(*LEVELS),
    "lock.idle_s": _at_least_0,
}
"""Key -> what raises ValueError for a bad value of the key's own type; of a list, for one item."""

NO_EFFECT_YET = frozenset({"media.auto_bytes", "media.quota_bytes", "media.folder", "media.rate_bytes_s"})
"""Keys that later versions heed; all others count at once, also for a daemon that runs."""

MEANINGS: dict[str, str] = {
    "typing": "Tell contacts while I type to them in a chat, and be told while they do; off means neither.",
    "discovery.paths": "Ways to find others; what is left out is not used.",
    "discovery.interfaces": "Network interfaces to use, and no others; empty: all but those of containers and tunnels.",
    "discovery.static": 'Where contacts may be, whatever the network says: "host:port".',
    "listen.port": f"The UDP port, {PORT_MIN} to 65535; 0: drawn at random once for each network.",
    "receipts.read": "Let others know what I have read.",
    "media.auto_bytes": "Files up to this size are fetched by themselves (has no effect yet).",
    "media.quota_bytes": "Room for files; 0: no limit (has no effect yet).",
    "media.folder": "Where files are saved (has no effect yet).",
    "media.rate_bytes_s": "How fast files are sent; 0: no limit (has no effect yet).",
    "history.keep": 'How long messages are kept, on all my devices: "forever", or a time such as "90d".',
    "notify.command": "A program, and its arguments, that gets each new message as JSON on its standard input; no shell runs it.",
    "log.level": f"One of {', '.join(LEVELS)}.",
    "lock.idle_s": "Seconds without a command after which the vault is locked, where there is a passphrase or a keyring; 0: never.",
}
"""What each key is for; those outside a group first, as TOML wants them."""

DEFAULTS: dict[str, Any] = {key: field.default for key, field in zip(RULES, fields(Settings), strict=True)}


def load(path: Path) -> Settings:
    """Read the file, where there is one. Raises: SettingsInvalid, which names file, line and key."""
    return Settings(**{key.replace(".", "_"): value for key, value in read(path).items()})


def differing(before: Settings, after: Settings) -> list[str]:
    """Return the keys in which the two differ, in the contract's order."""
    names = {key: key.replace(".", "_") for key in RULES}
    return [key for key, name in names.items() if getattr(before, name) != getattr(after, name)]


def read(path: Path) -> dict[str, Any]:
    """Return the settings that the file holds, by key, checked. Raises: SettingsInvalid."""
    text = read_text(path)
    found: dict[str, Any] = {}
    for key, value in _leaves(parse(path, text)):
        try:
            found[key] = checked(key, value)
        except (InvalidValue, KeyNotFound) as error:
            raise SettingsInvalid(f"{path}{_line(text, key)}: {error}", hint=f"p2pmsg config unset {key}") from error
    return found


def read_text(path: Path) -> str:
    """Return the file's text, empty where there is none.

    Raises: SettingsInvalid where it cannot be read or is no text, or where others can write it, as it names a program to run.
    """
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            data = file.read(FILE_BYTES + 1)
        if len(data) > FILE_BYTES:
            raise SettingsInvalid(f"{path} is over {FILE_BYTES} bytes.")
        return data.decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{path} is not UTF-8 text.") from error


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), 0):  # root's, where a system's configuration makes the file
        raise SettingsInvalid(
            f"{path} belongs to somebody else (user {status.st_uid}).", hint=f"sudo chown $(id -un) {shlex.quote(str(path))}"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsInvalid(f"Others may write to {path}.", hint=f"chmod go-w {shlex.quote(str(path))}")


def parse(path: Path, text: str) -> Mapping[str, Any]:
    """Return the file's tables. Raises: SettingsInvalid where it is not TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError, and a number of 5,000 digits another one
        raise SettingsInvalid(f"{path} is not TOML: {error}.", hint=f"Mend that line of {path}, or move the file away.") from error


def checked(key: str, value: object) -> Any:
    """Return a key's value as `Settings` holds it. Raises: KeyNotFound, InvalidValue."""
    default = default_of(key)
    try:
        if isinstance(default, tuple):
            return _checked_list(RULES[key], value)
        if type(value) is not type(default):
            raise ValueError({bool: "it is true or false", int: "it is a whole number", str: "it is a text"}[type(default)])
        if isinstance(value, str):
            _check_text(value)
        if isinstance(value, int) and value.bit_length() > 63:
            raise ValueError("TOML has no number as long as that")
        RULES[key](value)
    except ValueError as error:
        why = str(error) if str(error).endswith("?") else f"{error}."
        raise InvalidValue(f"{key} cannot be {_shown(value)}: {why}", hint=_example(key, default)) from None
    return value


def _shown(value: object) -> str:
    """Return a value as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return repr(",".join(value))
    try:
        return repr(value)
    except ValueError:  # a number of thousands of digits, which Python does not write
        return "what it is"


def from_words(key: str, text: str) -> Any:
    """Return the value that somebody typed for a key; lists are comma-separated. Raises: KeyNotFound, InvalidValue."""
    default = default_of(key)
    if isinstance(default, tuple):
        return checked(key, [item.strip() for item in text.split(",") if item.strip()])
    if isinstance(default, bool):
        return checked(key, {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}.get(text.lower(), text))
    if isinstance(default, int):
        return checked(key, int(text) if re.fullmatch(r"[0-9]{1,20}", text) else text)
    return checked(key, text)


def default_of(key: str) -> Any:
    """Return a key's default. Raises: KeyNotFound, with the nearest keys as candidates."""
    if key not in RULES:
        near = difflib.get_close_matches(key, RULES, n=3)
        raise KeyNotFound(f"There is no setting {key!r}{_nearest(key, RULES) or '.'}", candidates=near)
    return DEFAULTS[key]


def _example(key: str, default: Any) -> str:
    """Return the command that sets a key to something that it can be."""
    examples = {
        "history.keep": "90d",
        "discovery.interfaces": "eth0",
        "discovery.static": "192.0.2.7:4000",
        "notify.command": "notify-send",
    }
    found = ",".join(default) if isinstance(default, tuple) else str(default).lower() if isinstance(default, bool) else str(default)
    return f"p2pmsg config set {key} {examples.get(key) or found}"


def _checked_list(rule: Callable[[Any], None], value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("it is a list of texts")
    if len(value) > LIST_ITEMS:
        raise ValueError(f"it has at most {LIST_ITEMS} items")
    for item in value:
        _check_text(item)
        rule(item)
    return tuple(dict.fromkeys(value))


def _check_text(value: str) -> None:
    if len(value) > TEXT_CHARACTERS or not (value.isprintable() or value == ""):
        raise ValueError(f"it is at most {TEXT_CHARACTERS} characters, none of them control characters")


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key that the file sets, dotted; a table that is a known group is gone into."""
    for name, value in table.items():
        key = above + name
        if isinstance(value, dict) and any(known.startswith(f"{key}.") for known in RULES):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _line(text: str, key: str) -> str:
    """Return `, line N` for the line that sets the key, nothing where it is written in a way that a glance does not find."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            table = header[1] + "."
        name = re.match(r'\s*"?([\w.-]+)"?\s*=', line)
        if (name and table + name[1] == key) or (header and header[1] == key):
            return f", line {number}"
    return ""
