"""The way between two linked nodes, as each of them sees it: who was heard announcing, and what a peer says of me (CHECK, CHECKED).

What is answered is numbers, and of the asker only: his address as it is seen here, when and how his announcements were heard, and this
clock.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.ids import AccountId, LinkNumber
from p2pmsg.protocol.wire import Check, Checked, Sighting

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node

PATIENCE_S: Final = 1.3
"""For an answer: longer than a link waits between two of them."""
LATELY_S: Final = limits.ANNOUNCE_MIN_S * 1.25
"""Who announces was heard within this time: on a network of many the question that goes before makes sure of it."""
_LOOK_EVERY_S: Final = 5.0
_NUMBERS: Final = {Path.MDNS: 1, Path.BEACON: 2, Path.HINT: 3}
_PATHS: Final = {number: path for path, number in _NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class Heard:
    """An announcement: when it was first and last heard, by the node's clock."""

    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer said of me."""

    clock_ahead_ms: int
    address: Address | None
    heard: dict[Path, tuple[int, int]]
    """Seconds ago of the first and of the last time, by path."""

    def hears(self, path: Path) -> bool:
        """Say whether my announcements were heard there lately."""
        return path in self.heard and self.heard[path][1] <= LATELY_S


class Checks:
    """Remembers whose announcements were heard, answers CHECK, and asks."""

    def __init__(self, node: Node) -> None:
        self.look: Callable[[], None] = lambda: None
        """Asks the network who is there: whoever is asked what he hears listens anew, for the next question."""
        self._looked = float("-inf")
        self._node = node
        self._heard: dict[AccountId, dict[Path, Heard]] = {}
        self._answered: dict[LinkNumber, float] = {}
        self._waiting: dict[tuple[LinkNumber, int], asyncio.Future[Checked]] = {}

    def sighted(self, account: AccountId, path: Path) -> None:
        """A contact's announcement was heard."""
        now = self._node.clock.now()
        heard = self._heard.setdefault(account, {})
        heard[path] = Heard(heard[path].first if path in heard else now, now)

    def heard(self, account: AccountId) -> dict[Path, Heard]:
        """Return how a contact's announcements were heard since this process began."""
        return self._heard.get(account, {})

    def hears(self, account: AccountId, path: Path) -> bool:
        """Say whether a contact's announcements were heard here lately."""
        heard = self.heard(account)
        return path in heard and self._node.clock.now() - heard[path].last <= LATELY_S

    def asked(self, number: LinkNumber, check: Check) -> None:
        """A peer asks; one that does so again within a second is not answered."""
        node = self._node
        opened, link, now = node.links.get(number), node.linkage.get(number), node.clock.now()
        if opened is None or link is None or now - self._answered.get(number, float("-inf")) < limits.CHECK_EVERY_S:
            return
        self._answered = {each: at for each, at in self._answered.items() if node.links.get(each) is not None} | {number: now}
        sightings = [
            Sighting(_NUMBERS[path], _ago(heard.first, now), _ago(heard.last, now))
            for path, heard in self.heard(opened.account).items()
            if path in _NUMBERS
        ]
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self.look()
        host = ipaddress.ip_address(link.address.host).packed
        node.linkage.send(number, Checked(check.number, node.clock.wall_ms(), host, link.address.port, sightings))

    def answered(self, number: LinkNumber, checked: Checked) -> None:
        """A peer answers; nobody may have asked, or not wait any more."""
        waiting = self._waiting.get((number, checked.number))
        if waiting is not None and not waiting.done():
            waiting.set_result(checked)

    async def ask(self, number: LinkNumber) -> Answer | None:
        """Return what the peer of a link says of me; None if it says nothing in time, as those of older versions do."""
        question = Check(int.from_bytes(os.urandom(4), "big"))
        key = number, question.number
        waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            self._node.linkage.send(number, question)
            async with asyncio.timeout(PATIENCE_S):
                return self._understood(await waiting)
        except TimeoutError:
            return None
        finally:
            del self._waiting[key]

    async def ask_all(self) -> dict[LinkNumber, Answer]:
        """Return what all linked peers say that answer in time."""
        async with asyncio.TaskGroup() as asking:
            numbers = [opened.link for opened in self._node.links]
            tasks = {number: asking.create_task(self.ask(number), name=f"check {number}") for number in numbers}
        return {number: answer for number, task in tasks.items() if (answer := task.result()) is not None}

    def _understood(self, checked: Checked) -> Answer:
        heard = {_PATHS[each.path]: (each.since_s, each.last_s) for each in checked.sightings if each.path in _PATHS}
        address = Address(str(ipaddress.ip_address(checked.host)), checked.port) if len(checked.host) in (4, 16) else None
        return Answer(checked.clock_ms - self._node.clock.wall_ms(), address, heard)


def _ago(then: float, now: float) -> int:
    return max(0, int(now - then))
