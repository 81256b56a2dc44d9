"""Who announces what on the local network, and when we announce, ask and move.

One task owns the mDNS object; whatever happens sets a flag and wakes it. Everything heard is an unproved hint.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from p2pmsg.config import limits
from p2pmsg.errors import MdnsUnavailable
from p2pmsg.model.addresses import Interface
from p2pmsg.network.announcements import Announcement, nonce_of, parse
from p2pmsg.network.heard import Heard
from p2pmsg.network.interfaces import network_ids
from p2pmsg.network.mdns import Mdns, Publication
from p2pmsg.network.nearby import Nearby
from p2pmsg.network.watcher import Reason, Watcher

ROUTER_PATIENCE_S = 0.1
RETRY_S = 5.0
SEEK_S, SEEK_NODE_S, SEEK_PARTS = 4.0, 0.25, 12.0
"""After a move, while somebody is sought, an announcement every 4 s; never more than 4 a second by all of us, and later one after each
twelfth of the time since."""
LOSING_S = 15.0
"""By then whoever cannot hear us any more counts as silent."""
OWN_NONCES = 16

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Told on the event loop. What it raises ends discovery, so it raises nothing for what peers say."""

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int) -> None:
        """Somebody else's announcement was heard: again for each repetition (at most once in two seconds) and after a cut."""

    def interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        """Interfaces or addresses are these now, at start too; or they are the same and the machine slept.

        A new epoch is due: nothing is published from now on until publish() is called.
        """

    def network_returned(self, slept_s: float) -> None:
        """A network may be there again, or be another one: a carrier is back, addresses changed, or the machine slept so long.

        Told before interfaces_changed().
        """

    def mdns_changed(self, problem: MdnsUnavailable | None) -> None:
        """Multicast DNS stopped working, or works again (None). It is tried again by itself."""


class Discovery:
    """Publishes one announcement and hears those of others, on the interfaces in use, through every change of network."""

    def __init__(
        self,
        listener: Listener,
        allowed: Sequence[str] = (),
        *,
        mdns: bool = True,
        seeking: Callable[[], bool] = lambda: False,
        announce_min_s: float = limits.ANNOUNCE_MIN_S,
        announce_max_s: float = limits.ANNOUNCE_MAX_S,
    ) -> None:
        """`allowed` names the interfaces to use (none: choose); without `mdns` interfaces are watched and nothing is sent.

        `seeking` says whether somebody has fallen silent who may still be here.
        """
        self._listener = listener
        self._announce_s = announce_min_s, announce_max_s
        self._seeking = seeking
        self._moved_at = -math.inf
        self._watcher = Watcher(allowed, self._changed)
        self._on = mdns
        self._mdns: Mdns | None = None
        self._problem: MdnsUnavailable | None = None
        self._wanted: Publication | None = None
        self._shown: Publication | None = None
        self._own: deque[bytes] = deque(maxlen=OWN_NONCES)
        self._heard = Heard()
        self._nearby = Nearby()
        self._looking = False
        self._reason: Reason | None = None
        self._wake = asyncio.Event()
        self._running = self._closing = False
        self._closed = asyncio.Event()
        self._announce_at = 0.0

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Look at the interfaces, tell the listener, and go on in a task of the group until close()."""
        self._watcher.start()
        await self._tell_interfaces()
        self._reason = Reason.RETURNED
        self._running = True
        tasks.create_task(self._run(), name="discovery")

    async def close(self) -> None:
        """Say goodbye and stop: a quarter of a second, in the worst case two. Harmless when not running."""
        self._closing = True
        self._wake.set()
        if self._running:
            await self._closed.wait()

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces in use now."""
        return self._watcher.interfaces

    @property
    def multicasts(self) -> bool:
        """Whether anything is said and heard at all."""
        return self._on

    def publish(self, nonce: bytes, port: int, addresses: bytes, tags: bytes, interfaces: tuple[Interface, ...]) -> None:
        """Announce this from now on, and withdraw what was announced before under another nonce. Returns at once.

        Nonce, addresses and tags have 10, 1 to 128 and 64 bytes.
        """
        self._wanted = self._publication(Announcement(nonce, addresses, tags), port, interfaces)
        self._wake.set()

    def show(self, announcement: Announcement, port: int, interfaces: tuple[Interface, ...]) -> None:
        """Be visible to strangers: announce this too, which names a nickname, until hide() or a change of interfaces."""
        self._shown = self._publication(announcement, port, interfaces)
        self._wake.set()

    def hide(self) -> None:
        """Be visible no more, and say goodbye to those who saw us."""
        self._shown = None
        self._wake.set()

    def look(self) -> None:
        """Ask now who is visible; who answers is in nearby() within a second."""
        self._looking = True
        self._wake.set()

    def nearby(self, since: float) -> list[Announcement]:
        """Return the visible nodes that were heard since a moment of the loop's time and have not said goodbye."""
        return self._nearby.since(since)

    def _publication(self, announcement: Announcement, port: int, interfaces: tuple[Interface, ...]) -> Publication:
        if announcement.nonce not in self._own:
            self._own.append(announcement.nonce)
        return Publication(announcement, port, interfaces)

    def allow(self, allowed: Sequence[str]) -> None:
        """Use these interfaces from now on (none: choose); the listener is told where that makes a difference."""
        self._watcher.allow(allowed)

    def switch(self, mdns: bool) -> None:
        """Say and hear something from now on, or nothing any more: then what was announced is withdrawn. Returns at once."""
        self._on = mdns
        self._wake.set()

    def refresh(self) -> None:
        """Ask and announce now, because somebody wants to see who is there."""
        self._watcher.poke(Reason.RETURNED)

    def replay(self) -> None:
        """Tell the listener once more of everybody heard lately: for when it recognises more than it did."""
        for announcement in self._heard.lately(asyncio.get_running_loop().time()):
            self._tell(announcement)

    async def _run(self) -> None:
        try:
            while not self._closing:
                self._wake.clear()
                await self._settle()
                await self._rest()
        finally:
            self._watcher.stop()
            if self._mdns is not None:
                await self._mdns.close()
            self._closed.set()

    async def _rest(self) -> None:
        """Wait for something to happen, or for the next announcement to be due."""
        try:
            async with asyncio.timeout_at(self._announce_at):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _settle(self) -> None:
        reason, self._reason = self._reason, None
        if reason in (Reason.MOVED, Reason.WOKE):
            self._wanted = self._shown = None
            await self._tell_interfaces()
        if self._on:
            await self._work(reason)
        elif self._mdns is not None:
            await self._fall_silent()
        now = asyncio.get_running_loop().time()
        if reason in (Reason.MOVED, Reason.WOKE):
            self._moved_at = self._announce_at = now
        if now >= self._announce_at:
            self._announce_at = now + (RETRY_S if self._problem else self._pause_s(self._heard.count(now), now))

    async def _work(self, reason: Reason | None) -> None:
        if self._mdns is None:
            self._mdns = Mdns(self._hear, self._forget)
        try:
            await self._serve(self._mdns, reason)
            self._report(None)
        except MdnsUnavailable as problem:
            self._report(problem)

    async def _fall_silent(self) -> None:
        """Take back what was said, and forget who was heard: where nobody says goodbye to us any more."""
        mdns, self._mdns = self._mdns, None
        self._heard, self._nearby = Heard(), Nearby()
        if mdns is not None:
            await mdns.close()
        self._report(None)

    async def _serve(self, mdns: Mdns, reason: Reason | None) -> None:
        """Bring sockets, publication and questions in line with what is wanted."""
        grown = await mdns.use(self._watcher.interfaces)
        rotated = await mdns.publish(self._wanted, self._shown)
        returned = grown or (reason is not None and reason is not Reason.REFRESHED)
        if returned:
            mdns.ask()
        if reason is Reason.RETURNED:
            self.replay()  # whom our question names as known does not answer it
        if self._looking:
            self._looking = False
            mdns.ask_all()
        if not rotated and (returned or asyncio.get_running_loop().time() >= self._announce_at):
            mdns.announce()

    async def _tell_interfaces(self) -> None:
        """Let the kernel meet a new router first, so that the listener sees the network's full identity."""
        await asyncio.to_thread(network_ids, self._watcher.interfaces, ROUTER_PATIENCE_S)
        self._listener.interfaces_changed(self._watcher.interfaces)

    def _changed(self, reason: Reason) -> None:
        self._reason = reason if self._reason is None else max(reason, self._reason)
        if reason is not Reason.REFRESHED:
            self._listener.network_returned(self._watcher.take_sleep_s())
        self._wake.set()

    def _pause_s(self, nodes: int, now: float) -> float:
        """Return the time to the next announcement.

        Who has moved while somebody fell silent is the only one to know where he is now. When what parts them is gone nothing tells:
        it is said again every few seconds, and ever more rarely, so that being found takes a small part of the time they were apart.
        """
        moved_s = now - self._moved_at
        period_s = self._period_s(nodes)
        if moved_s < LOSING_S or self._seeking():
            return min(period_s, max(SEEK_S, nodes * SEEK_NODE_S, moved_s / SEEK_PARTS) * random.uniform(0.75, 1.25))
        return period_s

    def _period_s(self, nodes: int) -> float:
        """Return the time to the next announcement: about one packet a second on the link, however many nodes there are."""
        least, most = self._announce_s
        return min(max(float(nodes), least), most) * random.uniform(0.75, 1.25)

    def _report(self, problem: MdnsUnavailable | None) -> None:
        if str(problem) != str(self._problem):
            log.info("%s", problem or "mDNS works again")
            self._listener.mdns_changed(problem)
        self._problem = problem

    def _hear(self, name: str, text: bytes) -> None:
        announcement = parse(name, text)
        if announcement is None or announcement.nonce in self._own:
            return
        now = asyncio.get_running_loop().time()
        if announcement.nickname is not None:
            self._nearby.note(announcement, now)
        if self._heard.note(announcement, now):
            self._tell(announcement)

    def _forget(self, name: str) -> None:
        nonce = nonce_of(name)
        if nonce is not None:
            self._nearby.gone(nonce)

    def _tell(self, announcement: Announcement) -> None:
        self._listener.announced(announcement.nonce, announcement.addresses, announcement.tags, announcement.version)
