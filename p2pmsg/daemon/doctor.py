"""`doctor`: looks at everything that has to be right on this machine, with a daemon or without one.

What only the daemon knows, it is asked; nothing is changed.
"""

from __future__ import annotations

import platform
import shutil
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from p2pmsg import __version__
from p2pmsg.config import limits
from p2pmsg.config import settings as settings_file
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import kem, vault
from p2pmsg.daemon import firewall_programs, home, linux, lock, ownership
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.rows import Row, merged
from p2pmsg.errors import Ambiguous, DaemonOtherVersion, KeyringUnavailable, NoDaemon, NotFound, P2pmsgError, VaultLocked
from p2pmsg.model.addresses import Interface
from p2pmsg.network import interfaces, multicast
from p2pmsg.rpc import client
from p2pmsg.storage import checkup

Json = dict[str, Any]
_NOT_SENT = "Nothing could be asked there. See what ip address, ip route and sudo nft list ruleset say of it, and look again: p2pmsg doctor"
COVERED = {"no_network", "mdns_unavailable", "disk_full", "disk_low", "clock_off", "settings_invalid"}
"""Warnings of `status` that have a row of their own."""


def examine(profile: Profile, who: str | None = None, *, listen_s: float = multicast.LISTEN_S) -> list[Row]:
    """Return all rows; takes some seconds.

    Raises: NoDaemon where there is none to ask `who`; ContactNotFound, Ambiguous.
    """
    settings, settings_row = _settings(profile)
    daemon = _Daemon(profile, who)
    used = interfaces.usable(settings.discovery_interfaces)
    rows = [_versions(daemon), _home(profile), settings_row, _database(profile), _disk(profile), daemon.row, _interfaces(used, settings)]
    heard = multicast.listen(used, listen_s)
    rows += [_multicast(heard), firewall_programs.check(used, daemon.port or settings.listen_port or None)]
    told = daemon.rows()
    if any(ear.others for ear in heard):
        told = [_not_dropped(row) for row in told]
    elif any(_deaf(ear) for ear in heard):  # who hears not even himself knows nothing of the network
        told = [row for row in told if row.check != "multicast"]
    return merged([*rows, *told])


class _Daemon:
    """What the daemon says, if it says anything."""

    def __init__(self, profile: Profile, who: str | None) -> None:
        self._who = who
        self._profile = profile
        self.status: Json | None = None
        self.other_version: DaemonOtherVersion | None = None
        try:
            self.status = self._call("status", {})
            self.row = Row("daemon", True, f"It answers at {self.status['socket']}, pid {self.status['pid']}.")
        except DaemonOtherVersion as error:
            self.other_version = error
            self.row = Row("daemon", None, "It answers, and is of another version: nothing more was asked.", "p2pmsg daemon restart")
        except P2pmsgError as error:
            self.row = _silent(profile, error)
            if who is not None and isinstance(error, NoDaemon):
                raise
        if self.other_version is not None and who is not None:
            raise self.other_version

    @property
    def port(self) -> int | None:
        return self.status["port"] if self.status else None

    def rows(self) -> list[Row]:
        """Return the rows that it answers with, and its warnings. Raises: ContactNotFound, Ambiguous."""
        if self.status is None:
            return []
        warnings = [each for each in self.status["warnings"] if each["code"] not in COVERED]
        found = [Row(each["code"], None, each["message"], each["hint"] or "") for each in warnings]
        try:
            told = self._call("doctor", {"with": self._who})
        except (NotFound, Ambiguous):
            raise
        except VaultLocked:  # of which a warning tells
            return found
        except P2pmsgError as error:
            return [Row("daemon", False, f"It could not tell more: {error}", error.hint), *found]
        return [Row(each["check"], each["ok"], each["detail"], each["hint"] or "") for each in told] + found

    def _call(self, method: str, params: Json) -> Any:
        with client.connect(self._profile.folder) as connection:
            return connection.call(method, params)


def _silent(profile: Profile, error: P2pmsgError) -> Row:
    """Say of a daemon that does not answer whether that is a fault."""
    holder = lock.holder(profile)
    if holder is not None:
        detail = f"The process {holder['pid']} runs and does not answer: {error}"
        return Row("daemon", False, detail, "p2pmsg daemon restart")
    if not profile.initialized or not profile.log.exists():
        hint = "p2pmsg daemon start" if profile.initialized else "p2pmsg init --name YOUR-NAME"
        return Row("daemon", None, "It was never started.", hint)
    return Row("daemon", False, "It does not run: nothing is sent or received.", "p2pmsg daemon start")


def _versions(daemon: _Daemon) -> Row:
    here = f"p2pmsg {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    if daemon.other_version is not None:
        return Row("versions", False, f"{daemon.other_version} {here}.", daemon.other_version.hint)
    try:
        kem.require_post_quantum()
    except P2pmsgError as error:
        return Row("versions", False, f"{error} {here}.", error.hint)
    return Row("versions", True, f"{here}{'; the daemon is of the same version' if daemon.status else ''}.")


def _home(profile: Profile) -> Row:
    if not profile.initialized:
        return Row("home", None, f"There is nobody here yet: profile {profile.name} in {profile.home}.", "p2pmsg init --name YOUR-NAME")
    try:
        for folder in (profile.home, profile.folder):
            home.check_mine(folder)
        ownership.check_private(profile)
        checkup.check_folder(profile.folder)
        vault.read(profile.key)
    except P2pmsgError as error:
        return Row("home", False, str(error), error.hint)
    except OSError as error:
        detail = f"{profile.folder} cannot be written to: {error.strerror}."
        return Row("home", False, detail, "Mount its disk for writing, or set P2PMSG_HOME to a folder that can be written to.")
    said = f"{profile.folder} is mine, and can be written to."
    if (kind := linux.REMOTE.get(linux.file_system_type(profile.folder))) is not None:
        return Row("home", None, f"{said} It lies on {kind}, which other machines may share.", _ONE_MACHINE)
    return Row("home", True, said)


def _settings(profile: Profile) -> tuple[Settings, Row]:
    try:
        found = settings_file.load(profile.config)
    except P2pmsgError as error:
        return Settings(), Row("settings", False, str(error), error.hint)
    changed = settings_file.differing(Settings(), found)
    return found, Row("settings", True, f"Not as by default: {', '.join(changed)}." if changed else "All are as by default.")


def _database(profile: Profile) -> Row:
    if not profile.database.exists():
        return Row("database", None, "There is none yet.")
    try:
        key = vault.open_key(profile.key)
    except VaultLocked:
        return Row("database", None, "Not looked into: its key is sealed under the passphrase.")
    except KeyringUnavailable as error:
        return Row("database", None, f"Not looked into. {error}", error.hint)
    except P2pmsgError as error:
        return Row("database", False, str(error), error.hint)
    try:
        said = checkup.look(profile.database, vault.database_key(key))
    except P2pmsgError as error:
        return Row("database", False, str(error), _mend(profile, error))
    return Row("database", True, said)


def _mend(profile: Profile, error: P2pmsgError) -> str:
    """Return an error's advice; of a file that takes nothing, the command that shows why."""
    if error.code != "storage_failed":
        return error.hint
    return f"findmnt --target {profile.database}; ls -l {profile.folder}: mount it for writing, and make it writable for its owner"


def _disk(profile: Profile) -> Row:
    folder = next(path for path in (profile.folder, *profile.folder.parents) if path.exists())
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Row("disk", None, f"Its room is not known: {error.strerror}.")
    said = f"{free / 1e9:.1f} GB are free" if free >= 1e9 else f"{free // 1_000_000} MB are free"
    if free < limits.DISK_REFUSE_BYTES:
        return Row("disk", False, f"{said}: nothing more is stored.", "Free some space.")
    if free < limits.DISK_REFUSE_OTHERS_BYTES:
        return Row("disk", False, f"{said}: nothing that others send is stored.", "Free some space.")
    if free < limits.DISK_WARN_BYTES:
        return Row("disk", None, f"{said}, which is little.", "Free some space.")
    return Row("disk", True, f"{said}.")


def _interfaces(used: Sequence[Interface], settings: Settings) -> Row:
    named = settings.discovery_interfaces
    if missing := [name for name in named if name not in {interface.name for interface in used}]:
        detail = f"discovery.interfaces names {', '.join(missing)}: not there, not up, or without an address."
        return Row("interfaces", None if used else False, detail, "p2pmsg config unset discovery.interfaces")
    described = "; ".join(f"{i.name} {', '.join(host for host, _ in (*i.ipv4, *i.ipv6))}" for i in used)
    others = sorted({i.name for i in interfaces.usable(_all_names()) if not i.loopback} - {i.name for i in used})
    aside = f" Not used: {', '.join(others)}." if others else ""
    if not used:
        return Row("interfaces", False, f"No network interface can be used.{aside}", "Join a network; it is noticed by itself.")
    if all(interface.loopback for interface in used) and not named:
        return Row("interfaces", False, f"This machine is on no network.{aside}", "Join a network; it is noticed by itself.")
    return Row("interfaces", True, f"{described}.{aside}")


def _all_names() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _multicast(heard: Sequence[multicast.Ear]) -> Row:
    if not heard:
        return Row("multicast", None, "No interface is in use.")
    for ear in heard:
        if ear.fault is not None:
            hint = multicast.PORT_TAKEN if f"port {multicast.PORT}" in ear.fault else _NOT_SENT
            return Row("multicast", False, f"{ear.interface}: {ear.fault}.", hint)
    deaf = [ear.interface for ear in heard if _deaf(ear)]
    if deaf:
        detail = f"Not even our own question came back on {', '.join(deaf)}: a firewall of this machine keeps mDNS out."
        return Row("multicast", False, detail, "Let in UDP port 5353; see the row firewall.")
    others = len({sender for ear in heard for sender in ear.others})
    said = f"{others} other{'' if others == 1 else 's'} heard" if others else "nobody else was heard"
    return Row("multicast", True, f"Our own question came back on {', '.join(ear.interface for ear in heard)}; {said}.")


def _deaf(ear: multicast.Ear) -> bool:
    return not ear.echo and not ear.others and ear.fault is None


def _not_dropped(row: Row) -> Row:
    """Others were heard by mDNS: contacts that are not do not announce, or were not heard yet."""
    if row.check != "multicast" or row.ok is not False:
        return row
    return replace(row, ok=None, detail="The contacts linked here were not heard by mDNS, others were.", hint="")


_ONE_MACHINE = "Run the daemon on one machine alone: another one may not see its lock. A folder on a local disk is safer."
