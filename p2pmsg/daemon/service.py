"""The daemon as a process: start, run, stop on a signal, say goodbye."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pathlib
import signal
import sys
from datetime import UTC, datetime
from functools import partial

from p2pmsg import PROTOCOL_VERSION, __version__
from p2pmsg.config import settings as settings_file
from p2pmsg.config.settings import Settings
from p2pmsg.crypto import kem, vault
from p2pmsg.daemon import home, journal, linux, ownership, process, watchdog
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.api import Api
from p2pmsg.daemon.clock import LoopClock
from p2pmsg.daemon.entrance import Entrance
from p2pmsg.daemon.following import Following
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.load import invite_ends, load_people
from p2pmsg.daemon.lock import Lock
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.surroundings import Surroundings
from p2pmsg.daemon.unlocking import Unlocking
from p2pmsg.daemon.ways import Ways, paths_of
from p2pmsg.errors import NotInitialized, P2pmsgError
from p2pmsg.network.connection import Connection
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.network.listener import Listener
from p2pmsg.protocol.wire import Frame
from p2pmsg.rpc.server import Server, listen
from p2pmsg.storage import log as log_store
from p2pmsg.storage import ranges, rebuild
from p2pmsg.storage import requests as request_store
from p2pmsg.storage.worker import Worker

_log = logging.getLogger(__name__)
_SWITCH_S = 0.0003
"""How long the storage thread and the event loop wait for each other: at Python's 5 ms one append beside a busy loop took 765 ms at p99, at
0.3 ms it takes 18."""


def run(profile: Profile) -> None:
    """Be the daemon of a profile until SIGTERM or SIGINT; whoever waits on the readiness pipe is told when it answers, or why it cannot.

    Raises:
        NotInitialized, AlreadyRunning, SettingsInvalid, StorageFull, DatabaseNewer, HomeUnusable: it cannot start.
    """
    os.umask(0o077)
    linux.keep_memory_private()
    sys.setswitchinterval(_SWITCH_S)
    try:
        if not profile.initialized:
            raise NotInitialized(f"There is nobody here yet: profile {profile.name} in {profile.home} was never made.")
        ownership.check_private(profile)
        with Lock.acquire(profile) as lock:
            settings = settings_file.load(profile.config)
            with journal.writing(profile.log, settings.log_level):
                asyncio.run(_Daemon(profile, settings, lock).run())
    except P2pmsgError as error:
        process.report_ready(error=error)
        raise
    except BaseExceptionGroup as group:
        cause = _only_cause(group)
        process.report_ready(error=cause)
        raise cause from group


def _only_cause(group: BaseExceptionGroup[BaseException]) -> P2pmsgError:
    """Return what ended the tasks: what the user should read, else the first fault of ours."""
    cause = _first_of(group)
    _log.error("the daemon failed", exc_info=cause)
    return cause if isinstance(cause, P2pmsgError) else P2pmsgError(f"The daemon failed ({type(cause).__name__}: {cause}).")


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    while True:
        cause = next((each for each in group.exceptions if isinstance(each, P2pmsgError)), group.exceptions[0])
        if not isinstance(cause, BaseExceptionGroup):
            return cause
        group = cause


class _Daemon:
    """Everything that runs, in the order in which it starts; it stops the other way round."""

    def __init__(self, profile: Profile, settings: Settings, lock: Lock) -> None:
        self._profile = profile
        self._lock = lock
        self._started_at = datetime.now(UTC)
        self._ready = False
        self._unlocking = Unlocking(profile, settings)
        self._entrance = Entrance(profile, self._unlocking, self._started_at)
        self._following = Following(
            profile.config, settings, [lambda settings: journal.set_level(settings.log_level), self._unlocking.settings_changed]
        )
        self._entrance.configuring.changed = self._following.look
        self._publish(None)

    async def run(self) -> None:
        kem.require_post_quantum()
        loop = asyncio.get_running_loop()
        stopping, interrupted = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._end, stopping)
        loop.add_signal_handler(signal.SIGINT, self._end, stopping, interrupted)
        self._entrance.end = partial(self._end, stopping)
        self._following.start()
        with watchdog.watching(loop):
            async with asyncio.TaskGroup() as tasks:
                self._serving = tasks.create_task(self._answer(), name="rpc")
                await self._unlocking.run(self._session, locked=self._say_ready)
                self._following.stop()
                self._serving.cancel()
        _log.info("stopped")
        if interrupted.is_set():
            raise KeyboardInterrupt

    def _end(self, *said: asyncio.Event) -> None:
        for each in said:
            each.set()
        self._unlocking.stop()

    async def _session(self, master: bytes, leave: asyncio.Event) -> None:
        """Be the daemon with an open vault, until told to leave."""
        worker = Worker(self._profile.database, vault.database_key(master), existing=True)
        warnings = await worker.open()
        try:
            notes = [{"code": w.code, "message": w.message, "hint": w.hint} for w in warnings]
            async with asyncio.TaskGroup() as tasks:
                await self._serve(worker, notes, leave, tasks)
        except BaseExceptionGroup as group:
            if isinstance(cause := _first_of(group), P2pmsgError):
                raise cause from group
            raise
        finally:
            await worker.close()

    async def _serve(self, worker: Worker, warnings: list[dict[str, str]], leave: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        self._following.look()
        settings = self._following.settings
        if await worker.ask(rebuild.is_behind) and await worker.run(rebuild.catch_up):
            _log.info("what an older version could not show is shown now")
        people = await worker.ask(load_people)
        clock = LoopClock()
        people.invite_ends = await worker.ask(partial(invite_ends, now=clock.now(), wall_ms=clock.wall_ms()))
        relay = _Relay()
        endpoint = Endpoint(relay)
        node = Node(people, worker, endpoint, clock, paths_of(settings))
        node.old_copy = await worker.ask(log_store.is_old_copy)
        node.visibility.load(await worker.ask(request_store.waiting))
        relay.node = node
        announcer = Announcer(node, endpoint)
        surroundings = Surroundings(node, endpoint, announcer, worker, settings)
        await surroundings.bind()
        node.start(await worker.ask(ranges.tips))
        ways = Ways(node, announcer, surroundings, settings)
        node.recognises_more = announcer.contacts_changed
        await ways.start(tasks)
        surroundings.start(tasks)
        api = Api(self._profile, settings, node, worker, announcer, endpoint, self._started_at, warnings)
        api.running.socket = self._entrance.socket
        api.running.settings_problem = lambda: self._following.problem
        api.running.network_problem = lambda: surroundings.problem
        followers = (api.settings_changed, surroundings.settings_changed, ways.settings_changed)
        self._following.tell(followers, settings)
        aside = (tasks.create_task(api.deleting.keep_clean(), name="retention"), tasks.create_task(api.notices.run(), name="notices"))
        self._unlocking.opened(api)
        self._say_ready()
        await leave.wait()
        self._unlocking.handler = None
        if self._unlocking.stopping:
            _log.info("stopping")
            self._serving.cancel()  # clients are told first
        else:
            _log.info("the vault is being locked")
            await self._entrance.turn_out()
        self._following.spare(followers)
        node.stop()
        for task in aside:
            task.cancel()
        surroundings.stop()
        await ways.stop()
        await endpoint.close()

    async def _answer(self) -> None:
        path = home.socket_path(self._profile)
        listener = listen(path)
        self._entrance.socket = str(path)
        self._publish(path)
        server = Server(self._entrance, profile=self._profile.name, log=str(self._profile.log))
        await server.serve(listener)

    def _say_ready(self) -> None:
        """Tell whoever started us that we answer; only the first time counts."""
        if self._ready:
            return
        self._ready = True
        process.report_ready()
        gc.freeze()  # modules and what was loaded stay for good: looking through them again and again takes a tenth of the CPU under load
        _log.info("p2pmsg %s answers", __version__)

    def _publish(self, path: pathlib.Path | None) -> None:
        self._lock.publish(socket=path, version=__version__, protocol=PROTOCOL_VERSION, started_at=self._started_at.isoformat())


class _Relay(Listener):
    """The endpoint's listener: exists before the node does."""

    node: Node

    def connection_ready(self, connection: Connection, exporter: bytes) -> None:
        self.node.linkage.connection_ready(connection, exporter)

    def frame_received(self, connection: Connection, frame: Frame) -> None:
        self.node.linkage.frame_received(connection, frame)

    def connection_lost(self, connection: Connection, code: int | None) -> None:
        self.node.linkage.connection_lost(connection, code)
