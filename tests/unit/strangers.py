"""Strangers nearby in one process: each with a node, an ear for visible ones, and a user who answers what he is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

from p2pmsg.daemon.encounters import Encounters
from p2pmsg.daemon.trusting import Trusting
from p2pmsg.errors import P2pmsgError
from p2pmsg.model.addresses import Address, Interface
from p2pmsg.network.announcements import Announcement
from p2pmsg.rpc import api
from tests.unit.nodes import NETWORK, Endpoint, House, moved_in, settle
from tests.unit.people import Person


class Air:
    """What all announce and hear: stands for `Discovery`."""

    def __init__(self, shown: dict[int, Announcement]) -> None:
        self.multicasts = True
        self.published: list[bytes] = []
        self._shown = shown

    def publish(self, nonce: bytes, port: int, addresses: bytes, tags: bytes, interfaces: tuple[Interface, ...]) -> None:
        self.published.append(nonce)

    def show(self, announcement: Announcement, port: int, interfaces: tuple[Interface, ...]) -> None:
        self._shown[id(self)] = announcement

    def hide(self) -> None:
        self._shown.pop(id(self), None)

    def nearby(self, since: float) -> list[Announcement]:
        return [announcement for owner, announcement in self._shown.items() if owner != id(self)]

    def look(self) -> None:
        """Everything is heard at once."""

    def replay(self) -> None:
        """Nobody is heard again."""


class Asked:
    """A user in front of a screen: what he was asked is in `questions`; he answers with `line`, or what a test says later."""

    def __init__(self, line: str | None = "yes") -> None:
        self.line: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.questions: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        if line is not None:
            self.line.set_result(line)

    async def ask(self, question: dict[str, Any]) -> str:
        self.questions.put_nowait(question)
        return await asyncio.shield(self.line)


class Stranger:
    """Somebody with a machine, and what he types there."""

    def __init__(self, house: House, shown: dict[int, Announcement]) -> None:
        self.house, self.node, self.who = house, house.node, house.who
        self.air = Air(shown)
        house.announcer.interfaces = (replace(NETWORK, ipv4=((house.address.host, 24),)),)
        house.announcer.attach(self.air)  # type: ignore[arg-type]
        self.encounters = Encounters(self.node, house.announcer, Trusting(self.node))

    async def visible(self, for_s: float = 60.0) -> None:
        await self.encounters.visible_on(api.VisibleOn(for_s=for_s))

    async def add(self, word: str, user: Asked, **params: Any) -> dict[str, Any]:
        return await self.encounters.add(word, api.ContactAdd(nickname=word, **params), user)  # type: ignore[arg-type]

    async def accept(self, request: str, user: Asked) -> dict[str, Any]:
        return await self.encounters.accept(api.ContactAccept(id=request), user)  # type: ignore[arg-type]

    async def requests(self) -> list[dict[str, Any]]:
        return await self.encounters.requests(api.ContactRequests())

    async def asked_by(self, name: str, live: bool = True) -> str:
        """Return the id of a request as soon as it stands so."""
        async with asyncio.timeout(5):
            while True:
                for request in await self.requests():
                    if request["nickname"] == name and request["live"] is live:
                        return str(request["id"])
                await asyncio.sleep(0.005)

    @property
    def contacts(self) -> list[Any]:
        return list(self.node.people.contacts.values())


@contextlib.asynccontextmanager
async def nearby(*names: Person) -> AsyncIterator[list[Stranger]]:
    """People on one network who do not know each other."""
    others: dict[Address, Endpoint] = {}
    shown: dict[int, Announcement] = {}
    houses = [House(who, others, moved_in(who)).start() for who in names]
    try:
        async with asyncio.timeout(20):
            yield [Stranger(house, shown) for house in houses]
    finally:
        for house in houses:
            house.node.stop()
        await settle()


async def outcome(doing: Coroutine[Any, Any, Any]) -> Any:
    """Return what somebody's command returns, or the error that it ends with."""
    try:
        return await doing
    except P2pmsgError as error:
        return error
