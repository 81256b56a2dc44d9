"""What the daemon alone can tell `doctor`: its links, its clock beside others', its port, what it hears of whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon import names
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.checks import LATELY_S, Answer
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json, name_of
from p2pmsg.daemon.rows import Row
from p2pmsg.daemon.with_peer import dial, examine
from p2pmsg.errors import P2pmsgError
from p2pmsg.model.addresses import Path
from p2pmsg.model.ids import AccountId, DeviceId, LinkNumber
from p2pmsg.network import interfaces
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol.links import Opened
from p2pmsg.rpc import api
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.worker import Storage

LISTEN_S: Final = 1.6
"""Others answer a question within 120 ms, and a second later where they said the same just before."""


class Health:
    """Performs the method `doctor`."""

    def __init__(
        self, node: Node, storage: Storage, announcer: Announcer, endpoint: Endpoint, settings: Settings, *, listen_s: float = LISTEN_S
    ) -> None:
        self._node = node
        self._storage = storage
        self._announcer = announcer
        self._endpoint = endpoint
        self._settings = settings
        self._listen_s = listen_s

    def settings_changed(self, settings: Settings) -> None:
        self._settings = settings

    async def doctor(self, params: api.Doctor) -> list[Json]:
        """Look, which takes some seconds, and return the rows. Raises: ContactNotFound, Ambiguous."""
        contact = None if params.who is None else names.find_contact(self._node.people, params.who)
        self._announcer.look()
        async with asyncio.TaskGroup() as looking:
            asking = looking.create_task(self._node.checks.ask_all(), name="checks")
            looking.create_task(asyncio.sleep(self._listen_s), name="listening")
        if (loud := self._loud()) and not self._linked_here():
            await dial(self._node, loud[0])
        rows = [await self._database(), self._mdns(), self._multicast(), self._port(), self._clock(asking.result())]
        rows += [self._links(), self._isolation()]
        if contact is not None:
            rows += await examine(self._node, contact.account, self._announcer.interfaces)
        return [row.as_json() for row in rows if row is not None]

    async def _database(self) -> Row:
        try:
            await self._storage.run(_write)
        except P2pmsgError as error:
            return Row("database", False, f"The daemon cannot write to it: {error}", "Look at the disk and at who may write to the folder.")
        return Row("database", True, "The daemon can write to it.")

    def _mdns(self) -> Row:
        if Path.MDNS.value not in self._settings.discovery_paths:
            return Row("mdns", None, "Switched off by discovery.paths.", "p2pmsg config unset discovery.paths")
        if self._announcer.problem is not None:
            return Row("mdns", False, str(self._announcer.problem), self._announcer.problem.hint)
        if not self._announcer.interfaces:
            return Row("mdns", None, "No interface is in use: nothing is announced or heard.")
        return Row("mdns", True, "The daemon announces itself and listens.")

    def _multicast(self) -> Row | None:
        """Who is linked on this network and announces is to be heard, unless the network drops multicast."""
        here = self._linked_here()
        if Path.MDNS.value not in self._settings.discovery_paths or self._announcer.problem is not None or not here:
            return None
        heard = [account for account in here if self._heard_lately(account, (Path.MDNS,))]
        if heard:
            return Row("multicast", True, f"{len(heard)} of {len(here)} contacts linked here were heard by mDNS in the last minute.")
        detail = f"This network drops multicast: {_count(here, 'contact')} linked here, and none was heard by mDNS."
        return Row("multicast", False, detail, _OTHER_WAYS)

    def _port(self) -> Row:
        port = self._endpoint.port
        if not port:
            return Row("port", False, "No UDP port is open.", "p2pmsg daemon restart")
        fixed = self._settings.listen_port
        if fixed and fixed != port:
            detail = f"UDP {fixed} (listen.port) is not to be had; UDP {port} is open in its place."
            return Row("port", False, detail, f"See who has it: ss -lunp sport = {fixed}; or p2pmsg config unset listen.port")
        how = "fixed by listen.port" if fixed else "drawn for this network, and kept"
        came = sum(not opened.dialled for opened in self._node.links)
        by = f"{_count(range(came), 'link')} came in by it" if came else "no link has come in by it so far"
        return Row("port", True, f"UDP {port} is open ({how}); {by}.")

    def _clock(self, answers: dict[LinkNumber, Answer]) -> Row:
        skews = self._skews(answers)
        if not skews:
            return Row("clock", None, "Nobody is linked whose clock could be compared.")
        off = {device: skew for device, skew in skews.items() if abs(skew) > limits.CLOCK_AHEAD_MS}
        if not off:
            return Row("clock", True, f"It goes with {_count(skews, 'clock')} of others, to {max(map(abs, skews.values())) / 1000:.1f} s.")
        near = len(skews) - len(off)
        if near > len(off):
            return Row("clock", True, f"It goes with most others. Off are: {self._named(off)}.")
        whose = "One of the two is wrong" if len(skews) == 1 else "This one may be wrong"
        return Row("clock", False, f"{whose}: {self._named(off)}.", _SET_CLOCK)

    def _skews(self, answers: dict[LinkNumber, Answer]) -> dict[DeviceId, int]:
        """Return how far each linked device's clock is ahead: as it said now, else when its link opened."""
        found = {}
        for opened in self._node.links:
            answer = answers.get(opened.link)
            found[opened.device] = opened.clock_ahead_ms if answer is None else answer.clock_ahead_ms
        return found

    def _named(self, skews: dict[DeviceId, int]) -> str:
        people = self._node.people
        owners = {device: people.account_of(device) or people.me.account for device in skews}
        said = [f"{name_of(people, owners[device])}'s clock is {_span(skew)} this one" for device, skew in list(skews.items())[:3]]
        return ", ".join(said) + (f", and {len(skews) - 3} more" if len(skews) > 3 else "")

    def _links(self) -> Row:
        linkage, counters = self._node.linkage, self._endpoint.counters
        detail = (
            f"{_count(list(self._node.links), 'link')} open, {self._endpoint.half_open} half open. Since the start: "
            f"{linkage.refused} refused, {linkage.misbehaved} misbehaved, {counters.turned_away} turned away, "
            f"{counters.retries} asked to prove their address, {counters.strays} stray packets."
        )
        return Row("links", None, detail)

    def _isolation(self) -> Row:
        """Say whether devices reach each other on this network at all."""
        real = [interface for interface in self._announcer.interfaces if not interface.loopback]
        if not real:
            return Row("isolation", None, "No network is in use but this machine's own.")
        if here := self._linked_here():
            return Row("isolation", True, f"Devices reach each other here: {_count(here, 'contact')} linked.")
        if loud := self._loud():
            detail = f"This network keeps devices apart: {_count(loud, 'contact')} announced here, and none can be reached."
            return Row("isolation", False, detail, _APART)
        if not self._node.people.contacts:
            return Row("isolation", None, "There is no contact yet by whom it could be told.", "p2pmsg contact invite")
        return Row("isolation", None, "No contact is heard or reached here. If one is here, this network keeps devices apart.", _APART)

    def _loud(self) -> list[AccountId]:
        """Return the contacts without a link who were heard in the last minute and did not answer by a refusal."""
        node = self._node
        return [
            account
            for account in node.people.contacts
            if not node.links.of_account(account)
            and self._heard_lately(account, (Path.MDNS, Path.BEACON))
            and not any(place.refusals for place in node.presence.places(account))
        ]

    def _linked_here(self) -> set[AccountId]:
        """Return the contacts whose links go to an address on one of my networks."""
        return {opened.account for opened in self._node.links if self._on_link(opened)}

    def _on_link(self, opened: Opened) -> bool:
        link = self._node.linkage.get(opened.link)
        return link is not None and interfaces.on_link(link.address, self._announcer.interfaces)

    def _heard_lately(self, account: AccountId, paths: Iterable[Path]) -> bool:
        """Say whether the contact was heard by one of these paths in the last minute."""
        now, heard = self._node.clock.now(), self._node.checks.heard(account)
        return any(path in heard and now - heard[path].last <= LATELY_S for path in paths)


def _write(db: Db) -> None:
    """Change something that means nothing: only then it shows whether the disk takes it."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('checked', hex(randomblob(4)))")


def _count(things: Iterable[object], what: str) -> str:
    number = len(list(things))
    return f"{number} {what}{'' if number == 1 else 's'}"


def _span(ahead_ms: int) -> str:
    minutes = round(abs(ahead_ms) / 60_000)
    return f"{minutes} min {'ahead of' if ahead_ms > 0 else 'behind'}"


_OTHER_WAYS = "The other ways go on: leave beacon on in discovery.paths, or p2pmsg config set discovery.static ADDRESS:PORT"
_SET_CLOCK = "See which is right: timedatectl; then sudo timedatectl set-ntp true, or sudo timedatectl set-time 'YYYY-MM-DD hh:mm:ss'"
_APART = "Use a network without client isolation (guest networks mostly have it), a cable, or a phone's hotspot."
