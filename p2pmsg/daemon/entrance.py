"""What every client of the local API comes to first: it serves those who need no open vault, and lets the others in while it is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from p2pmsg.config import limits
from p2pmsg.daemon import keyholder, process, unlocking
from p2pmsg.daemon.configuring import Configuring
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.running import basics
from p2pmsg.daemon.unlocking import Method, Unlocking
from p2pmsg.daemon.usage import disk_bytes
from p2pmsg.errors import VaultLocked
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call

_STATUS = ("status", "daemon.status")
_NO_USE = ("watch", *_STATUS)
"""What programs call while nobody is there, again and again or for ever: it keeps no vault open."""
_TO_END_S = 1.0
"""What is under way when the vault is locked has so long to end: nobody is told that a message was refused which is stored."""


class Entrance:
    """The handler of the local API from the first moment to the last; it outlives every session."""

    socket = ""
    end: Callable[[], None] = staticmethod(lambda: None)
    """Begins the end of this process."""

    def __init__(self, profile: Profile, unlocking_: Unlocking, started_at: datetime) -> None:
        self._profile = profile
        self._unlocking = unlocking_
        self._started_at = started_at
        self._inside: dict[asyncio.Timeout, str] = {}
        self._done = asyncio.Event()
        self.configuring = Configuring(profile.config)
        self._always: dict[str, Method] = unlocking.methods(unlocking_) | {
            "daemon.stop": self._stop,
            "daemon.logs": self._logs,
            "config.list": _alone(self.configuring.list),
            "config.get": _alone(self.configuring.get),
            "config.set": _alone(self.configuring.set),
            "config.unset": _alone(self.configuring.unset),
            "config.path": _alone(self.configuring.path),
        }

    async def call(self, method: str, params: api.Params, call: Call) -> object:
        """Perform a method. Raises: VaultLocked, and P2pmsgError for what the user should read."""
        always = self._always.get(method)
        if always is not None:
            return await always(params, call)
        await self._unlocking.settled.wait()
        if self._unlocking.handler is not None:
            return await self._let_in(method, params, call)
        if method in _STATUS:
            return await self._locked_status()
        raise self._unlocking.trouble

    async def turn_out(self) -> None:
        """End all calls that need an open vault: they fail with VaultLocked unless they are about to end by themselves."""
        now = asyncio.get_running_loop().time()
        for scope, method in self._inside.items():
            if method == "watch":
                scope.reschedule(now)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TO_END_S):
                while set(self._inside.values()) - {"watch"}:
                    self._done.clear()
                    await self._done.wait()
        for scope, method in self._inside.items():
            if method != "watch":
                scope.reschedule(now)

    async def _let_in(self, method: str, params: api.Params, call: Call) -> object:
        lasting = method in _NO_USE
        using, handler = self._unlocking, self._unlocking.handler
        assert handler is not None
        if not lasting:
            using.used_at = asyncio.get_running_loop().time()
        using.in_use += not lasting
        try:
            async with asyncio.timeout(None) as scope:
                self._inside[scope] = method
                return await handler.call(method, params, call)
        except TimeoutError:
            if scope.expired():
                raise VaultLocked("The vault was locked meanwhile.") from None
            raise
        finally:
            using.in_use -= not lasting
            del self._inside[scope]
            self._done.set()

    async def _stop(self, params: api.DaemonStop, call: Call) -> None:
        """Answer with the status of a daemon that does not run, then end: the answer is the last that the client hears."""
        await call.reply(await asyncio.to_thread(process.stopped_status, self._profile))
        self.end()

    async def _logs(self, params: api.DaemonLogs, call: Call) -> list[Json]:
        """Return the last lines of the log, as `daemon logs` prints them."""
        lines = await asyncio.to_thread(lambda: list(process.logs(self._profile, params.n)))
        return [{"line": line} for line in lines]

    async def _locked_status(self) -> Json:
        used = await asyncio.to_thread(disk_bytes, self._profile.folder)
        trouble = self._unlocking.trouble
        message = f"{trouble.message} Nothing is sent or received until it is unlocked."
        return {
            **basics(self._profile, self.socket, self._started_at),
            "port": None,
            "interfaces": [],
            "visible_until": None,
            "vault": "locked",
            "vault_mode": await asyncio.to_thread(keyholder.mode, self._profile),
            "unread": 0,
            "queued": 0,
            "requests": 0,
            "requests_max": limits.REQUESTS,
            "disk_bytes": used,
            "warnings": [{"code": VaultLocked.code, "message": message, "hint": trouble.hint}],
        }


def _alone(method: Method) -> Method:
    """Return a method that takes params alone as one that is given the call, too."""

    async def with_call(params: api.Params, call: Call) -> object:
        return await method(params)

    return with_call
