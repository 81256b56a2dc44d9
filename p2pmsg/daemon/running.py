"""The daemon itself as its clients see it: how it fares."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from datetime import datetime

from p2pmsg import PROTOCOL_VERSION, __version__
from p2pmsg.config import limits
from p2pmsg.crypto.vault import Mode
from p2pmsg.daemon import alerts, keyholder, objects
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.node import OLD_COPY_HINT, Node
from p2pmsg.daemon.notices import Notices
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.usage import disk_bytes
from p2pmsg.errors import P2pmsgError
from p2pmsg.model.names import as_typed
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.rpc import api
from p2pmsg.storage import queries
from p2pmsg.storage.worker import Worker

_NEWEST = "Install the newest p2pmsg on both machines."


class Running:
    """The method `status` of the local API while the vault is open."""

    socket = ""
    settings_problem: Callable[[], P2pmsgError | None] = staticmethod(lambda: None)
    """Says why the settings file as it is now does not count."""
    network_problem: Callable[[], Exception | None] = staticmethod(lambda: None)
    """Says why the network, or the port that is configured, is not in use as it should."""

    def __init__(
        self,
        profile: Profile,
        node: Node,
        worker: Worker,
        announcer: Announcer,
        endpoint: Endpoint,
        notices: Notices,
        started_at: datetime,
        warnings: list[dict[str, str]],
    ) -> None:
        """`warnings` are those of the start."""
        self._profile = profile
        self._node = node
        self._worker = worker
        self._announcer = announcer
        self._endpoint = endpoint
        self._notices = notices
        self._started_at = started_at
        self._warnings = warnings

    async def status(self, params: api.Status) -> Json:
        counts = await self._worker.ask(queries.counts)
        free = await asyncio.to_thread(_free_bytes, self._profile)
        used = await asyncio.to_thread(disk_bytes, self._profile.folder)
        return {
            **basics(self._profile, self.socket, self._started_at),
            "port": self._endpoint.port,
            "interfaces": [interface.name for interface in self._announcer.interfaces],
            "visible_until": objects.time(self._node.visibility.until_ms),
            "vault": "open",
            "vault_mode": await asyncio.to_thread(_vault_mode, self._profile),
            "unread": counts.unread,
            "queued": counts.undelivered,
            "requests": len(self._node.visibility.requests),
            "requests_max": limits.REQUESTS,
            "disk_bytes": used,
            "warnings": self._warnings + self._present_warnings(free) + self._notices.warnings(),
        }

    def _present_warnings(self, free_bytes: int) -> list[Json]:
        found: list[Json] = []

        def warn(code: str, message: str, hint: str) -> None:
            found.append({"code": code, "message": message, "hint": hint})

        node = self._node
        self._warn_of_network(warn)
        if (problem := self.settings_problem()) is not None:
            warn("settings_invalid", f"{problem} The settings from before hold on.", problem.hint)
        if (scarce := _scarcity(free_bytes)) is not None:
            warn(*scarce)
        if node.storage_error is not None:
            warn("storage_failed", f"What others send cannot be stored: {node.storage_error}", "p2pmsg daemon logs")
        if node.old_copy:
            warn("old_copy", "This folder is an old copy of this device. It writes nothing more.", OLD_COPY_HINT)
        self._warn_of_people(warn)
        if ahead := node.links.clock_ahead_ms():
            warn("clock_off", f"This machine's clock is {abs(ahead) // 60000} min off those of the others.", "Set the clock.")
        return found

    def _warn_of_people(self, warn: Callable[[str, str, str], None]) -> None:
        people = self._node.people
        for account, contact in people.contacts.items():
            if contact.alert is not None:
                name = objects.name_of(people, account)
                hint = f"p2pmsg contact show {as_typed(name, account.hex())}"
                warn(contact.alert, f"{alerts.message(name, contact.alert)} Nothing is sent to {name}.", hint)
        for device in people.forked:
            name = objects.name_of(people, people.account_of(device) or people.me.account)
            warn("forked", f"A device of {name} was copied: two of it are at work, so it gets no link.", "Ask its owner.")
        for words in self._newer_peers():
            warn("newer_version", words, _NEWEST)
        for account, version in sorted(self._announcer.other_versions.items()):
            if account in people.contacts:
                warn(*_other_version(objects.name_of(people, account), version))

    def _warn_of_network(self, warn: Callable[[str, str, str], None]) -> None:
        node = self._node
        if not self._announcer.interfaces:
            warn("no_network", "No network is in use: nobody can be reached.", "Join a network; it is noticed by itself.")
        if (trouble := self.network_problem()) is not None:
            hint = trouble.hint if isinstance(trouble, P2pmsgError) else "p2pmsg daemon logs"
            warn("port_unavailable", f"{trouble} Port {self._endpoint.port} serves on; it is tried again.", hint)
        if self._announcer.problem is not None:
            warn("mdns_unavailable", str(self._announcer.problem), self._announcer.problem.hint)
        if apart := node.presence.unreachable(node.clock.now()):
            names = ", ".join(objects.name_of(node.people, account) for account in apart[:3])
            more = f" and {len(apart) - 3} more" if len(apart) > 3 else ""
            said = f"Heard here and out of reach: {names}{more}. This network keeps devices apart, or a firewall is in the way."
            warn("devices_apart", said, "p2pmsg doctor")

    def _newer_peers(self) -> list[str]:
        """Say who seems to use a newer version than this one."""
        people = self._node.people
        names = [objects.name_of(people, account) for account in sorted(self._node.linkage.not_understood & people.contacts.keys())]
        return [f"{name} uses a newer p2pmsg and sent something this version cannot show." for name in names]


def _other_version(name: str, version: int) -> tuple[str, str, str]:
    """Return the warning of a contact who is here and speaks another version of the protocol than this one."""
    newer = version > PROTOCOL_VERSION
    which = "a newer" if newer else "an older"
    said = f"{name} is here with {which} version of the protocol ({version}; this is {PROTOCOL_VERSION}): no link can be opened."
    return ("newer_version", said, _NEWEST) if newer else ("older_version", said, f"Ask {name} to install the newest p2pmsg.")


def basics(profile: Profile, socket: str, started_at: datetime) -> Json:
    """Return what can be said of a daemon whose vault is locked, too."""
    return {
        "running": True,
        "pid": os.getpid(),
        "version": __version__,
        "protocol": PROTOCOL_VERSION,
        "socket": socket,
        "home": str(profile.home),
        "log": str(profile.log),
        "started_at": objects.time(int(started_at.timestamp() * 1000)),
    }


def _vault_mode(profile: Profile) -> Mode | None:
    """Say how the key is kept; None where the key file has gone since."""
    try:
        return keyholder.mode(profile)
    except P2pmsgError:
        return None


def _scarcity(free_bytes: int) -> tuple[str, str, str] | None:
    """Return the warning of a disk that fills: code, message, hint."""
    left = f"Only {free_bytes // 1_000_000} MB are left on the disk"
    if free_bytes < limits.DISK_REFUSE_BYTES:
        return "disk_full", "The disk is nearly full: nothing more is stored.", "Free some space."
    if free_bytes < limits.DISK_REFUSE_OTHERS_BYTES:
        return "disk_reserve", f"{left}, kept for what you write: nothing that others send is stored.", "Free some space; they try again."
    if free_bytes < limits.DISK_WARN_BYTES:
        return "disk_low", f"{left}.", "Free some space."
    return None


def _free_bytes(profile: Profile) -> int:
    try:
        return shutil.disk_usage(profile.folder).free
    except OSError:
        return 0
