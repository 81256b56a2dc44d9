"""One file with what a maintainer needs to help: what `doctor` found, versions, settings, the end of the log.

No secret, no text of a message, no name of a person: ids are cut to 8 characters, names and invites are blotted out.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import socket
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from p2pmsg import PROTOCOL_VERSION, __version__
from p2pmsg.config import settings as settings_file
from p2pmsg.config.settings import DEFAULTS
from p2pmsg.crypto import vault
from p2pmsg.daemon import process
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.rows import Row
from p2pmsg.errors import FileExists, HomeUnusable, KeyringUnavailable, P2pmsgError, VaultLocked, file_faults
from p2pmsg.model.addresses import Interface
from p2pmsg.network import interfaces
from p2pmsg.rpc import client
from p2pmsg.storage import checkup

LOG_LINES = 500
NO_LOG = "Left out: whose names are to be blotted out of it is not known while the vault is locked. Unlock it, and make the report again."
LIBRARIES = ("aioquic", "zeroconf", "cryptography", "pynacl", "sqlcipher3", "sqlite-utils", "msgspec", "ifaddr", "click")
PRIVATE = ("discovery.static", "notify.command", "media.folder")
"""Settings that may name people, places or secrets: only whether they are set is told."""
STATUS = ("version", "protocol", "started_at", "port", "interfaces", "visible_until", "vault", "unread", "queued", "disk_bytes", "warnings")
PEER = ("account", "device", "online", "since", "path", "address", "interface", "rtt_ms")
_LONG = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{8,}\b")
_VALUE = re.compile(rf"({'|'.join(map(re.escape, PRIVATE))}) cannot be .*(?=: )")
"""As a settings file is refused: its keys cannot be read then, and the log may tell of one from before."""
_STATIC = re.compile(r"static peer \S+")
_INVITE = re.compile(r"P2PMSG:[A-Z2-7]+", re.IGNORECASE)


def write(path: Path, rows: Sequence[Row], profile: Profile) -> None:
    """Write the report, readable by its owner alone. Raises: FileExists, StorageFull, HomeUnusable."""
    names = _names(profile)
    found = {
        "made_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "versions": _versions(),
        "rows": [row.as_json() for row in rows],
        "settings": _settings(profile),
        "interfaces": [[each.name, *(host for host, _ in (*each.ipv4, *each.ipv6))] for each in _interfaces()],
        **_running(profile),
        "log": [NO_LOG] if names is None else _log(profile),
    }
    text = json.dumps(_blotted(found, names or _places(profile)), ensure_ascii=False, indent=1)
    with file_faults(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise FileExists(f"There is a file already: {path}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            hint = "Choose a file in a folder that is there, and that you can write to."
            raise HomeUnusable(f"{path} cannot be written: {error.strerror}.", hint=hint) from error
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{text}\n")


def _versions() -> dict[str, str]:
    found = {"p2pmsg": __version__, "protocol": str(PROTOCOL_VERSION), "python": platform.python_version(), "system": platform.platform()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _settings(profile: Profile) -> dict[str, Any]:
    try:
        found = settings_file.read(profile.config)
    except P2pmsgError:
        return {"fault": "the file cannot be read"}
    return {key: "set" if key in PRIVATE else value for key, value in found.items() if value != DEFAULTS[key]}


def _interfaces() -> tuple[Interface, ...]:
    """Return all that are up, whether the daemon uses them or not."""
    return interfaces.usable([name for _, name in socket.if_nameindex()])


def _running(profile: Profile) -> dict[str, Any]:
    """Return what a daemon says of itself and of its links, if one answers."""
    try:
        with client.connect(profile.folder) as daemon:
            status, peers = daemon.call("status"), daemon.call("peers")
    except P2pmsgError:
        return {"status": None, "peers": None}
    return {"status": {key: status.get(key) for key in STATUS}, "peers": [{key: peer.get(key) for key in PEER} for peer in peers]}


def _log(profile: Profile) -> list[str]:
    try:
        return list(process.logs(profile, LOG_LINES))
    except (P2pmsgError, OSError):
        return []


def _names(profile: Profile) -> set[str] | None:
    """Return how people are called, this machine's owner among them, and `_places`; None where that lies in a vault that is locked."""
    try:
        found = _places(profile) | (_told_names(profile) or _stored_names(profile))
    except (VaultLocked, KeyringUnavailable):
        return None
    return {name for name in found if name}


def _places(profile: Profile) -> set[str]:
    """Return what the settings say of places, and where this profile lies."""
    found: set[str] = {str(Path.home()), str(profile.home)}
    try:
        static = settings_file.load(profile.config).discovery_static
        found |= {item for item in static} | {item.rpartition(":")[0] for item in static}
    except P2pmsgError:
        pass
    return {name for name in found if name}


def _told_names(profile: Profile) -> set[str]:
    """Return what the daemon knows; empty where none answers."""
    try:
        with client.connect(profile.folder) as daemon:
            me = daemon.call("whoami")
            found: set[str] = {me["name"], me["device_name"]}
            for contact in daemon.call_all("contact.list"):
                found |= {contact["name"], contact["nickname"]}
            return found | {peer["device_name"] for peer in daemon.call_all("peers")}
    except P2pmsgError:
        return set()


def _stored_names(profile: Profile) -> set[str]:
    """Raises: VaultLocked, KeyringUnavailable."""
    try:
        return checkup.names(profile.database, vault.database_key(vault.open_key(profile.key)))
    except (VaultLocked, KeyringUnavailable):
        raise
    except P2pmsgError:
        return set()


def _blotted(value: Any, names: Iterable[str]) -> Any:
    """Return the same with every text cleaned; keys stay."""
    if isinstance(value, str):
        return _clean(value, names)
    if isinstance(value, list):
        return [_blotted(each, names) for each in value]
    if isinstance(value, dict):
        return {key: _blotted(each, names) for key, each in value.items()}
    return value


def _clean(text: str, names: Iterable[str]) -> str:
    text = _LONG.sub(r"\1…", _INVITE.sub("(invite)", text))
    text = _STATIC.sub("static peer (name)", _VALUE.sub(r"\1 cannot be (value)", text))
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(name)", text, flags=re.IGNORECASE)
    return text
