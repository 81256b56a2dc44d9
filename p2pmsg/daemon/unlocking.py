"""Whether the vault is open, and what opens, locks and changes it: `vault …` of the local API.

The daemon's life is a row of sessions: one begins when there is a key, and ends when the vault is locked or its key is to be changed.
Between two of them nothing of the daemon is there but the local API. Wrong passphrases are counted, and each costs more time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from p2pmsg.config.settings import Settings
from p2pmsg.crypto import vault
from p2pmsg.crypto.vault import KeyFile, Mode
from p2pmsg.daemon import keyholder
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.keyholder import Wrap
from p2pmsg.daemon.objects import Json
from p2pmsg.errors import KeyringUnavailable, NotPermitted, P2pmsgError, UsageError, VaultLocked, WrongPassphrase
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call, Handler

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_FREE_GUESSES: Final = 3
_WAIT_AT_MOST_S: Final = 30.0
CURRENT, NEW = {"type": "passphrase", "which": "current"}, {"type": "passphrase", "which": "new"}
"""What is asked of who unlocks, and of who sets."""


class Session(Protocol):
    """Be the daemon with this master key until `leave` is set."""

    async def __call__(self, master: bytes, leave: asyncio.Event) -> None:
        """Raises: P2pmsgError, before it has `opened`, where the vault cannot be used; what is raised later ends the daemon."""


@dataclass(frozen=True, slots=True)
class _Change:
    wrap: Wrap = field(repr=False)
    before: str | None = field(repr=False)
    """The passphrase that holds on if it fails."""
    done: asyncio.Future[None]


class Unlocking:
    """Runs sessions; its methods are called by the local API's clients, also while there is no session."""

    def __init__(self, profile: Profile, settings: Settings) -> None:
        self._profile = profile
        self._idle_s = settings.lock_idle_s
        self.handler: Handler | None = None
        """What performs the methods that need an open vault; None while it is locked."""
        self.settled = asyncio.Event()
        """Set while the vault is open or locked, and not on its way from one to the other."""
        self.trouble: P2pmsgError = VaultLocked("The vault is locked.")
        """Why it is locked."""
        self.wrong = 0
        """Wrong passphrases since the last right one."""
        self.used_at = 0.0
        self.in_use = 0
        self._moved = asyncio.Event()
        self._leave = asyncio.Event()
        self.stopping = False
        """The process ends: no session begins any more."""
        self._master: bytes | None = None
        self._change: _Change | None = None
        self._guessing = asyncio.Semaphore(1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vault")
        """All that reads and writes keys, one after the other: a guess that nobody waits for any more may not meet a change."""
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False
        """Whether the vault was locked before: then it is somebody here who opens it."""
        self._was_open = False

    # -- the row of sessions

    async def run(self, session: Session, locked: Callable[[], None]) -> None:
        """Hold one session after the other until `stop`; `locked` is called each time there is none.

        Raises: what a session raises, but for one that an unlocking began; NotInitialized, HomeUnusable, StorageDamaged for a key that
        cannot be read.
        """
        try:
            await self._unseal(None)
            while not self.stopping:
                master, self._master = self._master, None
                if master is None:
                    self._asked = True
                    self.settled.set()
                    locked()
                    self._moved.clear()
                    await self._moved.wait()
                    continue
                await self._hold(session, master)
                if self._change is not None and not self.stopping:
                    await self._perform(master, self._change)
        finally:
            self._thread.shutdown(wait=False)

    async def _hold(self, session: Session, master: bytes) -> None:
        """Have one session. One that cannot begin where somebody has unlocked is for him to hear of: it stays locked."""
        self.wrong = 0
        self._leave = asyncio.Event()
        self._was_open = False
        try:
            await session(master, self._leave)
        except P2pmsgError as error:
            if self._was_open or not self._asked:
                raise
            _log.error("the vault was unlocked and cannot be used: %s", error)
            self.trouble = error
        self._end_session()

    def opened(self, handler: Handler) -> None:
        """The session is up: clients are served."""
        self.handler = handler
        self._was_open = True
        self.settled.set()
        self.used_at = asyncio.get_running_loop().time()
        self._wait_for_idleness()

    def stop(self) -> None:
        """End the session, and begin no other."""
        self.stopping = True
        self._leave.set()
        self._moved.set()

    def settings_changed(self, settings: Settings) -> None:
        """These hold from now on."""
        self._idle_s = settings.lock_idle_s
        self._wait_for_idleness()

    def _end_session(self) -> None:
        self.handler = None
        if self._timer is not None:
            self._timer.cancel()

    async def _unseal(self, passphrase: str | None) -> None:
        """Take the key if it can be had; else `trouble` says why not."""
        try:
            self._master = await self._aside(partial(keyholder.unseal, self._profile, passphrase))
        except (VaultLocked, KeyringUnavailable, WrongPassphrase) as trouble:
            self.trouble = trouble
            _log.info("the vault stays locked: %s", trouble)

    async def _perform(self, master: bytes, change: _Change) -> None:
        self._change = None
        fault: P2pmsgError | None = None
        try:
            self._master = await self._aside(partial(keyholder.change, self._profile, master, change.wrap))
        except P2pmsgError as error:
            fault = error
            _log.warning("the key was not changed: %s", error)
            try:
                await self._unseal(change.before)
            except P2pmsgError as trouble:
                self.trouble = trouble
        if change.done.done():
            return
        if fault is None:
            change.done.set_result(None)
        else:
            change.done.set_exception(fault)

    async def _aside(self, work: Callable[[], _T]) -> _T:
        """Do it in the vault's own thread, after what is under way there."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # -- the methods

    async def unlock(self, params: api.VaultUnlock, call: Call) -> Json:
        """Open the vault; asks for the passphrase where there is one. An open one is fine.

        Raises: WrongPassphrase, KeyringUnavailable; what keeps the daemon from using it: it stays locked then.
        """
        await self.settled.wait()
        if self.handler is None:
            sealed = await self._mode() is Mode.PASSPHRASE
            master = await self._guess(await call.ask(CURRENT) if sealed else None)
            if self.handler is None and self.settled.is_set():  # else another client was faster
                self._master = master
                self.settled.clear()
                self._moved.set()
            await self.settled.wait()
            if self.handler is None:
                raise self.trouble
        return await self._state()

    async def lock(self, params: api.VaultLock, call: Call) -> Json:
        """Forget the key and stop all that needs it. A locked one is fine. Raises: NotPermitted where the key lies in a file."""
        await self.settled.wait()
        if await self._mode() is Mode.FILE:
            raise NotPermitted(
                "There is no passphrase: a locked vault would open for anybody who reads this folder.", hint="p2pmsg vault passphrase set"
            )
        await self.settled.wait()
        self._lock()
        await self.settled.wait()
        return await self._state()

    async def passphrase_set(self, params: api.VaultPassphraseSet, call: Call) -> Json:
        """Seal the key under a passphrase, and encrypt the database anew. Raises: NotPermitted where there is one already."""
        await self._need_open()
        file = await self._file()
        if file.now.mode is Mode.PASSPHRASE:
            raise NotPermitted("There is a passphrase already.", hint="p2pmsg vault passphrase change")
        new = _checked(await call.ask(NEW))
        return await self._rewrap(keyholder.under_passphrase(new), file, None)

    async def passphrase_change(self, params: api.VaultPassphraseChange, call: Call) -> Json:
        """Replace the passphrase, and encrypt the database anew: whoever kept the old key file opens nothing with it."""
        file, before = await self._current(call)
        new = _checked(await call.ask(NEW))
        return await self._rewrap(keyholder.under_passphrase(new), file, before)

    async def passphrase_remove(self, params: api.VaultPassphraseRemove, call: Call) -> Json:
        """Keep the key where no passphrase is needed, and encrypt the database anew."""
        file, before = await self._current(call)
        return await self._rewrap(keyholder.without_passphrase(self._profile), file, before)

    async def _current(self, call: Call) -> tuple[KeyFile, str]:
        """Return the key file, and the passphrase that opens it."""
        await self._need_open()
        if await self._mode() is not Mode.PASSPHRASE:
            raise NotPermitted("There is no passphrase.", hint="p2pmsg vault passphrase set")
        passphrase = await call.ask(CURRENT)
        await self._guess(passphrase)
        return await self._file(), passphrase

    async def _guess(self, passphrase: str | None) -> bytes:
        """Try a passphrase, one at a time for all clients. Raises: WrongPassphrase, counted."""
        async with self._guessing:
            if self.wrong >= _FREE_GUESSES:
                await asyncio.sleep(min(2.0 ** (self.wrong - _FREE_GUESSES), _WAIT_AT_MOST_S))
            try:
                return await self._aside(partial(keyholder.unseal, self._profile, passphrase))
            except WrongPassphrase as error:
                self.wrong += 1
                _log.warning("a wrong passphrase was given, the %d. since the last right one", self.wrong)
                if self.wrong == 1:
                    raise
                raise WrongPassphrase(f"{error.message} It is the {self.wrong}. wrong one in a row.", hint=error.hint) from error

    async def _rewrap(self, wrap: Wrap, file: KeyFile, before: str | None) -> Json:
        """Have the key changed between two sessions. Cancelled: it is changed all the same.

        Raises: NotPermitted where `file`, which the caller has seen, is another one by now. What `keyholder.change` raises.
        """
        await self._need_open()
        if await self._file() != file or self._change is not None or not self.settled.is_set() or self.handler is None:
            raise NotPermitted(
                "Meanwhile the vault was locked, or its key changed by somebody else. Nothing was changed.", hint="p2pmsg status"
            )
        self._change = _Change(wrap, before, asyncio.get_running_loop().create_future())
        done = self._change.done
        self._lock()
        await done
        await self.settled.wait()
        return await self._state()

    async def _need_open(self) -> None:
        await self.settled.wait()
        if self.handler is None:
            raise self.trouble

    async def _state(self) -> Json:
        return {"vault": "locked" if self.handler is None else "open", "vault_mode": await self._mode()}

    async def _mode(self) -> Mode:
        return (await self._file()).now.mode

    async def _file(self) -> KeyFile:
        return await asyncio.to_thread(vault.read, self._profile.key)

    def _lock(self) -> None:
        if self.handler is not None:
            self.settled.clear()
            self.trouble = VaultLocked("The vault is locked.")
            self._leave.set()

    # -- idleness

    def _wait_for_idleness(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._idle_s and self.handler is not None:
            self._timer = asyncio.get_running_loop().call_at(self.used_at + self._idle_s, self._perhaps_idle)

    def _perhaps_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.in_use:
            self.used_at = now
        if now < self.used_at + self._idle_s:
            self._wait_for_idleness()
        elif self._protects():
            _log.info("nobody has asked for anything for %d s: the vault is locked", self._idle_s)
            self._lock()

    def _protects(self) -> bool:
        """Say whether a locked vault keeps anybody out, and can be opened again."""
        try:
            return keyholder.mode(self._profile) is not Mode.FILE
        except P2pmsgError as error:
            _log.error("the vault stays open, for nothing would open it again: %s", error)
            return False


def _checked(passphrase: str) -> str:
    """Return a new passphrase if it is one. Raises: UsageError."""
    passphrase = vault.prepared(passphrase)
    if not passphrase:
        raise UsageError("A passphrase has at least one character.", hint="p2pmsg vault passphrase set")
    if len(passphrase.encode(errors="replace")) > vault.PASSPHRASE_BYTES:
        raise UsageError(f"A passphrase has at most {vault.PASSPHRASE_BYTES} bytes.", hint="Choose five or six words.")
    return passphrase


Method = Callable[..., Awaitable[object]]


def methods(unlocking: Unlocking) -> dict[str, Method]:
    """Return the methods by their names in the local API; each takes params and call."""
    return {
        "vault.unlock": unlocking.unlock,
        "vault.lock": unlocking.lock,
        "vault.passphrase.set": unlocking.passphrase_set,
        "vault.passphrase.change": unlocking.passphrase_change,
        "vault.passphrase.remove": unlocking.passphrase_remove,
    }
