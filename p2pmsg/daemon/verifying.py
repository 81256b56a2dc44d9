"""Comparing with a contact on an open link: who asks, who is asked, and what waits for my user's answer.

Synchronous and in memory: what is compared on a link ends with it. One comparison at a time on each link.
"""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pmsg.config import limits
from p2pmsg.crypto.sas import NONCE_BYTES
from p2pmsg.daemon import objects
from p2pmsg.daemon.clock import Timer
from p2pmsg.errors import P2pmsgError, PeerMisbehaved, PeerUnreachable, SasMismatch, TimedOut
from p2pmsg.model.ids import AccountId, LinkNumber
from p2pmsg.protocol.links import Opened
from p2pmsg.protocol.verifying import Step, Verification
from p2pmsg.protocol.wire import Verify
from p2pmsg.storage import feed as feed_store
from p2pmsg.storage.feed import ChangeType

if TYPE_CHECKING:
    from p2pmsg.daemon.node import Node


class Comparison:
    """One comparison with a contact, from the first frame to both answers."""

    def __init__(self, node: Node, opened: Opened, *, asks: bool) -> None:
        self.account = opened.account
        self.link = opened.link
        self.id = os.urandom(8).hex()
        self.asks = asks
        self.received_ms = node.clock.wall_ms()
        self.outcome: asyncio.Future[P2pmsgError | None] = asyncio.get_running_loop().create_future()
        """None where both have said yes."""
        self.known = asyncio.Event()
        """Set once there is something to compare, or it is over."""
        self.machine = Verification(
            asks=asks, x=opened.id, mine=node.people.me.account, theirs=opened.account, nonce=os.urandom(NONCE_BYTES)
        )
        self.timer: Timer | None = None
        self.consented = False
        self._node = node

    @property
    def live(self) -> bool:
        return self.machine.strings is not None and not self.outcome.done()

    def as_json(self) -> dict[str, Any]:
        """Return the request object of the contract."""
        return {
            "id": self.id,
            "account": self.account.hex(),
            "nickname": self.nickname,
            "kind": "verify",
            "live": self.live,
            "received_at": objects.time(self.received_ms),
        }

    @property
    def nickname(self) -> str:
        return objects.name_of(self._node.people, self.account)

    def end(self, error: P2pmsgError | None) -> None:
        """Say how it ended; the first word counts."""
        if not self.outcome.done():
            self.outcome.set_result(error)
        self.known.set()
        if self.timer is not None:
            self.timer.cancel()


class Verifying:
    """What is compared on the open links of this node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._on: dict[LinkNumber, Comparison] = {}
        self._quiet_until: dict[LinkNumber, float] = {}

    @property
    def requests(self) -> dict[str, Comparison]:
        """What others ask of me, by id."""
        return {each.id: each for each in self._on.values() if not each.asks and each.live}

    def ask(self, account: AccountId) -> Comparison:
        """Begin, or take up what the contact has begun on the link to one of his devices. Raises: PeerUnreachable."""
        opened = next(iter(self._node.links.of_account(account)), None)
        if opened is None:
            raise PeerUnreachable(f"{objects.name_of(self._node.people, account)} is not online: both have to be there to compare.")
        standing = next((each for each in self._on.values() if each.account == account), None)
        if standing is not None:
            return standing
        made = self._begin(opened, asks=True)
        self._node.linkage.send(made.link, made.machine.start())
        return made

    def current(self, comparison: Comparison) -> Comparison:
        """Return what has taken its place, where both had asked at once."""
        return self._on.get(comparison.link, comparison)

    def consent(self, comparison: Comparison) -> None:
        """My user sees the same; where he says so in two windows, once counts."""
        if not comparison.consented:
            comparison.consented = True
            self._node.linkage.send(comparison.link, comparison.machine.consent())
        self._settle(comparison)

    def refuse(self, comparison: Comparison) -> None:
        """My user does not, or has gone. What both have agreed on stays."""
        if not comparison.outcome.done():
            self._node.linkage.send(comparison.link, comparison.machine.refuse())
            self._end(comparison, SasMismatch(f"You did not confirm that you and {comparison.nickname} see the same. Nothing was changed."))

    def received(self, number: LinkNumber, frame: Verify) -> None:
        """A contact asks, or goes on. Raises: PeerMisbehaved."""
        standing = self._on.get(number)
        if frame.step == Step.COMMIT:
            standing = self._asked(number, standing)
        if standing is None:
            return  # it has ended here, and he has not heard so yet
        try:
            answer = standing.machine.receive(frame)
        except PeerMisbehaved:
            self._end(
                standing, SasMismatch(f"{standing.nickname}'s machine showed another number than it had chosen. Nothing was changed.")
            )
            raise
        if answer is not None:
            self._node.linkage.send(number, answer)
        if standing.machine.strings is not None and not standing.known.is_set():
            standing.known.set()
            if not standing.asks:
                self._record(standing)
        self._settle(standing)

    def link_lost(self, number: LinkNumber) -> None:
        """What was compared on the link is over."""
        standing = self._on.get(number)
        if standing is not None:
            self._end(standing, PeerUnreachable(f"The link to {standing.nickname} has ended. Nothing was changed."))
        self._quiet_until.pop(number, None)

    # -- inside

    def _begin(self, opened: Opened, *, asks: bool) -> Comparison:
        made = self._on[opened.link] = Comparison(self._node, opened, asks=asks)
        clock = self._node.clock
        made.timer = clock.call_at(clock.now() + limits.COMPARE_TIMEOUT_S, partial(self._out_of_time, made))
        return made

    def _asked(self, number: LinkNumber, standing: Comparison | None) -> Comparison | None:
        """Return what a COMMIT belongs to: of two that ask at once the lower account's goes on."""
        opened = self._node.links.get(number)
        if opened is None or self._node.clock.now() < self._quiet_until.get(number, 0.0):
            return None
        if standing is not None:
            if not standing.asks:
                raise PeerMisbehaved("asks to compare twice at once")
            if standing.machine.strings is not None or self._node.people.me.account < opened.account:
                return None
        made = self._begin(opened, asks=False)
        if standing is not None:
            standing.end(None)
        return made

    def _settle(self, comparison: Comparison) -> None:
        if comparison.machine.over:
            self._end(comparison, SasMismatch(f"{comparison.nickname} does not confirm that you see the same. Nothing was changed."))
        elif comparison.machine.agreed:
            self._end(comparison, None)

    def _end(self, comparison: Comparison, error: P2pmsgError | None) -> None:
        if self._on.get(comparison.link) is comparison:
            del self._on[comparison.link]
            self._quiet_until[comparison.link] = self._node.clock.now() + limits.VERIFY_EVERY_S
        comparison.end(error)

    def _out_of_time(self, comparison: Comparison) -> None:
        if comparison.outcome.done():
            return
        self._node.linkage.send(comparison.link, comparison.machine.refuse())
        self._end(
            comparison,
            TimedOut(f"Not both of you said yes within {limits.COMPARE_TIMEOUT_S:.0f} s. Nothing was changed.", hint="Try again."),
        )

    def _record(self, comparison: Comparison) -> None:
        node, payload = self._node, json.dumps(comparison.as_json(), ensure_ascii=False)
        job = partial(feed_store.record, change=ChangeType.REQUEST, payload=payload, now_ms=comparison.received_ms)
        node.storage.submit(job, lambda result: node.wake(feed=True), room_bytes=limits.DISK_REFUSE_OTHERS_BYTES)
