"""One try at becoming contacts with a visible node: all its addresses are dialled, its user and mine compare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from p2pmsg.config import limits
from p2pmsg.crypto.sas import Strings
from p2pmsg.daemon.linkage import Joining, Link
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.visibility import end_of_comparing
from p2pmsg.errors import P2pmsgError, SasMismatch
from p2pmsg.model.addresses import Address
from p2pmsg.protocol.messages import BYE, REFUSED, CompareStrings
from p2pmsg.rpc.connection import Call

Outcome = asyncio.Future[P2pmsgError | None]
"""How comparing ends: None where the two are contacts."""


class Attempt:
    """One try at a visible node: all its addresses are dialled at once, and the link counts that it lets in."""

    def __init__(self, node: Node, nickname: str, name: str | None, *, goes_first: bool = False) -> None:
        """`goes_first`: where both dial each other it is this attempt that goes on, as both sides know."""
        self.goes_first = goes_first
        self.outcome: Outcome = asyncio.get_running_loop().create_future()
        self.link: Link | None = None
        self.strings: Strings | None = None
        self._node, self._nickname, self._name = node, nickname, name
        self._links: list[Link] = []
        self._lost = 0
        self._since = 0.0
        self._known = asyncio.Event()

    async def dial(self, addresses: Sequence[Address]) -> tuple[Link, Strings] | None:
        """Return the link on which there is something to compare; None where none was let in, or this attempt has given way."""
        self._node.visibility.asking.append(self)
        for address in addresses[: limits.ADDRESSES_PER_CONTACT]:
            joining = Joining(self._name, self._opened, self._failed, self._compare)
            self._links.append(self._node.dial_nearby(address, joining))
        if self._links:
            await self._known.wait()
        return None if self.link is None or self.strings is None else (self.link, self.strings)

    def _compare(self, link: Link, compare: CompareStrings) -> None:
        if self.link is None:
            self.link, self.strings, self._since = link, compare.strings, self._node.clock.now()
            self._known.set()
        else:
            self._node.linkage.close(link.number, BYE)

    def _opened(self) -> None:
        settle(self.outcome, None)

    def _failed(self, reason: Exception | bool) -> None:
        self._lost += 1
        if self.link is not None and self._node.linkage.get(self.link.number) is None:
            after_s = self._node.clock.now() - self._since
            ended = end_of_comparing(self.link, REFUSED if reason else None, after_s, self._nickname)
            settle(self.outcome, reason if isinstance(reason, P2pmsgError) else ended)
        if self._lost == len(self._links):
            self._known.set()

    @property
    def answered(self) -> bool:
        """Whether a machine has answered: the other side may have been told already that this attempt is under way."""
        return any(link.handshake is not None or link.channel is not None for link in self._links)

    def give_way(self) -> None:
        """Leave it to somebody who asks meanwhile: it may be the one who is dialled."""
        self._hang_up()
        self._known.set()

    def refuse(self) -> None:
        """Say no."""
        if self.link is not None:
            self._node.linkage.refuse(self.link.number)

    def leave(self) -> None:
        """Give up whatever is not open; what is about to be stored on both sides goes on."""
        if self in self._node.visibility.asking:
            self._node.visibility.asking.remove(self)
        self._hang_up()

    def _hang_up(self) -> None:
        for link in self._links:
            if link.channel is None and link.peering is None:
                link.joining = None
                self._node.linkage.close(link.number, BYE)


async def confirm(call: Call, strings: Strings, outcome: Outcome, consent: Callable[[], None]) -> None:
    """Let my user compare, and wait for the other's answer; what ends the link meanwhile ends the question, too.

    Raises:
        SasMismatch: my user did not say yes; else what the outcome is.
    """
    line = await _answer(call, strings, outcome)
    if line is not None:
        if line.strip().lower() != "yes":
            raise SasMismatch("You did not say yes. Nothing was stored.")
        consent()
    error = await outcome
    if error is not None:
        raise error


async def _answer(call: Call, strings: Strings, outcome: Outcome) -> str | None:
    """Return what my user says; None where that is needless by then."""
    try:
        async with asyncio.timeout(None) as asking:

            def hurry(_: Outcome) -> None:
                if not answered:
                    asking.reschedule(0.0)

            answered: list[str] = []
            outcome.add_done_callback(hurry)
            answered.append(await call.ask({"type": "sas", "numbers": list(strings.numbers), "emoji": list(strings.emoji)}))
    except TimeoutError:
        return None
    finally:
        outcome.remove_done_callback(hurry)
    return answered[0]


def settle(outcome: Outcome, error: P2pmsgError | None) -> None:
    """Say how it ended; the first word counts."""
    if not outcome.done():
        outcome.set_result(error)
