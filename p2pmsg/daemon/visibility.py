"""Visible mode, and the strangers who ask because of it: one attempt at a time, and what waits for its user's answer.

Synchronous and in memory, as the node is; what must outlast the process, a nickname and a time, goes to storage.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pmsg.config import limits
from p2pmsg.crypto.sas import Strings
from p2pmsg.daemon import objects
from p2pmsg.daemon.clock import Timer
from p2pmsg.errors import P2pmsgError, PeerUnreachable, RequestNotFound, SasMismatch, TimedOut
from p2pmsg.model.addresses import Address
from p2pmsg.model.names import fold
from p2pmsg.protocol.messages import REFUSED, CompareStrings
from p2pmsg.storage import feed as feed_store
from p2pmsg.storage import requests as request_store
from p2pmsg.storage.feed import ChangeType
from p2pmsg.storage.requests import RequestRow

if TYPE_CHECKING:
    from p2pmsg.daemon.attempts import Attempt
    from p2pmsg.daemon.linkage import Link
    from p2pmsg.daemon.node import Node

_log = logging.getLogger(__name__)
_MARGIN_S = 1.0
_ASKED = "p2pmsg contact requests"


@dataclass(slots=True, eq=False)
class Request:
    """What a stranger has asked: it waits until its user answers, whether the stranger is still there or not."""

    row: RequestRow
    link: Link | None = None
    strings: Strings | None = None
    """What is to be compared, while the stranger is there."""
    remote: Address | None = None
    since: float = 0.0
    agreed: bool = False
    """My user said on this link that he sees the same."""
    said_no: bool = False
    """The stranger said that the strings differ, or his machine proved it."""
    ended: list[Callable[[P2pmsgError | None], None]] = field(default_factory=list)
    """Told of the link's end: None where the two are contacts now."""

    def tell_ended(self, error: P2pmsgError | None) -> None:
        for tell in list(self.ended):
            tell(error)

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def live(self) -> bool:
        return self.strings is not None

    def as_json(self) -> dict[str, Any]:
        """Return the request object of the contract."""
        received = objects.time(self.row.received_ms)
        return {
            "id": self.id,
            "account": None,
            "nickname": self.row.nickname,
            "kind": "contact",
            "live": self.live,
            "received_at": received,
        }


class Visibility:
    """Whether strangers see this node, and who of them has asked."""

    def __init__(self, node: Node) -> None:
        self.until_ms: int | None = None
        """When visible mode ends by the wall clock; None while it is off."""
        self.requests: dict[str, Request] = {}
        self.changed: Callable[[], None] = lambda: None
        """Called when visible mode begins or ends: announces it."""
        self.asked: list[Callable[[Request], None]] = []
        """Called when somebody asks, or asks again."""
        self.asking: list[Attempt] = []
        """My own attempts at others."""
        self.known = asyncio.Event()
        """Clear while somebody asks of whom nothing is known yet."""
        self.known.set()
        self._node = node
        self._timer: Timer | None = None
        self._busy = False
        self._failures = 0
        self._excused: Link | None = None

    @property
    def on(self) -> bool:
        return self.until_ms is not None

    def load(self, rows: list[RequestRow]) -> None:
        """Take up what waited when the process ended."""
        self.requests |= {row.id: Request(row) for row in rows}

    def begin(self, for_s: float) -> None:
        """Be visible for this time from now."""
        clock = self._node.clock
        self._stop_timer()
        self._failures = 0
        self.until_ms = clock.wall_ms() + round(for_s * 1000)
        self._timer = clock.call_at(clock.now() + for_s, self.end)
        self.changed()

    def renamed(self) -> None:
        """My nickname has changed: strangers see the new one."""
        if self.on:
            self.changed()

    def end(self) -> None:
        """Be visible no more; who compares already may go on."""
        self._stop_timer()
        if self.on:
            self.until_ms = None
            self.changed()

    # -- attempts

    def admit(self) -> bool:
        """Begin the one attempt that may be under way; False where strangers do not see this node, or there is one.

        Two who dial each other at once would compare different strings. So of my own attempts that go first one that was answered
        keeps everybody else out, as the other side will have let it in; one that was not gives way.
        """
        mine = [attempt for attempt in self.asking if attempt.goes_first]
        if not self.on or self._busy or any(attempt.answered for attempt in mine):
            return False
        for attempt in mine:
            attempt.give_way()
        self._busy = True
        self.known.clear()
        return True

    def requested(self, link: Link, compare: CompareStrings) -> None:
        """A stranger has got as far as something to compare. One who asked before takes the place of what he asked then."""
        self.known.set()
        request = self._place_of(link.address, compare.nick)
        request.link, request.strings, request.remote = link, compare.strings, link.address
        request.since, request.said_no, request.agreed = self._node.clock.now(), False, False
        self._record(request)
        for tell in list(self.asked):
            tell(request)

    def succeeded(self, link: Link) -> None:
        """The attempt on this link has made a contact."""
        self._free()
        request = self._on(link)
        if request is not None:
            self.forget(request, None)

    def attempt_ended(self, link: Link, code: int | None) -> None:
        """The link of the attempt ended before it was open; three times, and strangers see this node no more."""
        self._free()
        request = self._on(link)
        if request is not None:
            error = end_of_comparing(link, code, self._node.clock.now() - request.since, request.row.nickname)
            request.link = request.strings = None
            request.said_no = isinstance(error, SasMismatch)
            request.tell_ended(error)
        excused, self._excused = self._excused, None
        if not self.on or excused is link:
            return
        self._failures += 1
        if self._failures >= limits.VISIBLE_FAILURES:
            self._warn()
            self.end()

    def forget(self, request: Request, error: P2pmsgError | None) -> None:
        """The request was answered: whoever else waits for how it ends hears so."""
        self.requests.pop(request.id, None)
        request.tell_ended(error)
        self._node.storage.submit(partial(request_store.drop, request=request.id), lambda result: None)

    def decline(self, request: Request) -> None:
        """Send a stranger away; that is no failed attempt."""
        link = request.link
        self.forget(request, _declined(request))
        if link is not None:
            self._excused = link
            self._node.linkage.refuse(link.number)

    # -- inside

    def _free(self) -> None:
        self._busy = False
        self.known.set()

    def _on(self, link: Link) -> Request | None:
        return next((request for request in self.requests.values() if request.link is link), None)

    def _place_of(self, remote: Address, nick: str) -> Request:
        """Return the request of this stranger, as far as strangers can be told apart, else a new one."""
        now_ms = self._node.clock.wall_ms()
        for known in list(self.requests.values()):
            if fold(known.row.nickname) == fold(nick):
                known.row = RequestRow(known.id, nick, now_ms)
                return known
            if known.remote == remote:
                self.forget(known, RequestNotFound(f"{known.row.nickname} asks by another name now.", hint=_ASKED))
        made = Request(RequestRow(os.urandom(8).hex(), nick, now_ms))
        if len(self.requests) >= limits.REQUESTS:
            oldest = min(self.requests.values(), key=lambda request: request.row.received_ms)
            self.forget(oldest, RequestNotFound("More people have asked than can wait.", hint=_ASKED))
        self.requests[made.id] = made
        return made

    def _record(self, request: Request) -> None:
        node, row = self._node, request.row
        payload = json.dumps(request.as_json(), ensure_ascii=False)

        def job(db: Any) -> None:
            request_store.put(db, row)
            feed_store.record(db, ChangeType.REQUEST, payload, row.received_ms)

        node.storage.submit(job, lambda result: node.wake(feed=True), room_bytes=limits.DISK_REFUSE_OTHERS_BYTES)

    def _warn(self) -> None:
        _log.warning("%d attempts to become a contact came to nothing: visible mode ends", self._failures)
        payload = json.dumps(
            {
                "code": "visible_ended",
                "message": f"{self._failures} attempts to become a contact nearby came to nothing, so strangers see this machine no more.",
                "account": None,
                "device": None,
            }
        )
        node = self._node
        job = partial(feed_store.record, change=ChangeType.ALERT, payload=payload, now_ms=node.clock.wall_ms())
        node.storage.submit(job, lambda result: node.wake(feed=True))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _declined(request: Request) -> P2pmsgError:
    return SasMismatch(f"The request of {request.row.nickname} was declined. Nothing was stored.", hint=_ASKED)


def end_of_comparing(link: Link, code: int | None, after_s: float, nick: str) -> P2pmsgError:
    """Return why a link ended on which two people compared, as far as can be told: there is no frame that says why."""
    if link.peering is not None:
        return PeerUnreachable(f"The link to {nick} broke while you became contacts.", hint="p2pmsg contact list")
    if after_s > limits.COMPARE_TIMEOUT_S - _MARGIN_S:
        return TimedOut(f"Not both of you said yes within {limits.COMPARE_TIMEOUT_S:.0f} s. Nothing was stored.", hint="Try again.")
    if link.broken or code == REFUSED:
        return SasMismatch(f"{nick} does not confirm that you see the same. Nothing was stored.")
    return PeerUnreachable(f"{nick} has gone. Nothing was stored.")
