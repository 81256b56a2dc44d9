"""The ways by which this node says where it is and hears where others are: those that are switched on, as long as they are."""

from __future__ import annotations

import asyncio

from p2pmsg.config.settings import Settings
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.hints import Hints
from p2pmsg.daemon.node import Node
from p2pmsg.model.addresses import Path
from p2pmsg.network.beacon import Beacon
from p2pmsg.network.discovery import Discovery, Listener
from p2pmsg.protocol.messages import BYE


def paths_of(settings: Settings) -> frozenset[Path]:
    """Return the paths that are switched on."""
    return frozenset(Path(path) for path in settings.discovery_paths)


class Ways:
    """mDNS, beacon and hints, and what the node may dial. The site's DNS and static peers are the surroundings' business."""

    def __init__(self, node: Node, announcer: Announcer, listener: Listener, settings: Settings) -> None:
        """`listener` hears of mDNS and of interfaces."""
        self._node = node
        self._announcer = announcer
        self._paths = paths_of(settings)
        self._discovery = Discovery(listener, settings.discovery_interfaces, mdns=Path.MDNS in self._paths, seeking=node.seeking)
        self._beacon = Beacon(announcer.beacon_heard, lambda: node.presence.missing)
        self._beaconing: asyncio.Task[None] | None = None
        self._hints = Hints(node, announcer.hint_heard, on=Path.HINT in self._paths)
        node.hinted = self._hints.received
        announcer.attach(self._discovery, self._beacon, self._hints)

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin; returns when the listener knows the interfaces."""
        self._tasks = tasks
        self._switch_beacon()
        await self._discovery.start(tasks)

    async def stop(self) -> None:
        """Say goodbye and end."""
        if self._beaconing is not None:
            self._beaconing.cancel()
        await self._discovery.close()

    def settings_changed(self, settings: Settings) -> None:
        """Use these interfaces and paths from now on. Links stay; what is being dialled on a path that is switched off ends."""
        self._discovery.allow(settings.discovery_interfaces)
        paths = paths_of(settings)
        if paths == self._paths:
            return
        self._paths = paths
        self._node.presence.switch(paths)
        self._end_dials()
        self._discovery.switch(Path.MDNS in paths)
        self._hints.switch(Path.HINT in paths)
        self._switch_beacon()
        self._announcer.new_epoch()  # a way that is new says it to all, and its hearers answer what they know
        self._node.wake()

    def _end_dials(self) -> None:
        for link in self._node.linkage:
            if link.account is not None and link.joining is None and link.channel is None and not self._node.presence.uses(link.path):
                self._node.close(link.number, BYE)

    def _switch_beacon(self) -> None:
        on = Path.BEACON in self._paths
        if on and self._beaconing is None:
            self._beaconing = self._tasks.create_task(self._beacon.run(), name="beacon")
        elif not on and self._beaconing is not None:
            self._beaconing.cancel()
            self._beaconing = None
