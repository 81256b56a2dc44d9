"""Becoming contacts with people nearby, without an invite: both see the same numbers, and say so."""

from __future__ import annotations

import asyncio
from functools import partial

from p2pmsg.config import limits
from p2pmsg.crypto.sas import Strings
from p2pmsg.daemon import names, objects
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.attempts import Attempt, Outcome, confirm, settle
from p2pmsg.daemon.linkage import Link
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import Json
from p2pmsg.daemon.trusting import Trusting
from p2pmsg.daemon.verifying import Comparison
from p2pmsg.daemon.visibility import Request
from p2pmsg.errors import (
    Ambiguous,
    ContactNotFound,
    NoNetwork,
    NotPermitted,
    P2pmsgError,
    PeerUnreachable,
    RequestNotFound,
    SasMismatch,
    TimedOut,
    UsageError,
)
from p2pmsg.model.ids import AccountId
from p2pmsg.model.names import fold
from p2pmsg.network.announcements import Announcement
from p2pmsg.protocol.messages import BYE
from p2pmsg.rpc import api
from p2pmsg.rpc.connection import Call

AGAIN_S = 1.0
QUIET_S = 1.0
"""A look around ends this long after it found the last one."""
RECENT_S = 5.0
"""Who was heard so shortly before a look counts, too: an answer that was just given is not given again."""
_LOOK_S = 0.5
_PREFIX_MIN = 4
_WAITS_THERE = "Your request waits there. Ask them to type: p2pmsg contact requests"
_WAITS_HERE = "Their request waits here: p2pmsg contact requests"


class Encounters:
    """The methods `visible.…`, `contact.nearby`, `contact.requests`, `contact.accept`, `contact.decline`, and `contact.add` by a name."""

    def __init__(self, node: Node, announcer: Announcer, trusting: Trusting) -> None:
        self._node = node
        self._announcer = announcer
        self._trusting = trusting

    # -- visible mode

    async def visible_on(self, params: api.VisibleOn) -> Json:
        """Show my nickname to everybody on the network, for a while."""
        if not 1 <= params.for_s <= limits.VISIBLE_MAX_S:
            raise UsageError("Visible mode lasts 1 second to 1 day.", hint="p2pmsg visible on --for 10m")
        self._check_network()
        self._node.visibility.begin(params.for_s)
        return self._visible()

    async def visible_off(self, params: api.VisibleOff) -> Json:
        """Hide again; whoever is comparing already may go on."""
        self._node.visibility.end()
        return self._visible()

    def _visible(self) -> Json:
        return {"visible_until": objects.time(self._node.visibility.until_ms)}

    def _check_network(self) -> None:
        if not self._announcer.can_show:
            raise NotPermitted("Visible mode needs mDNS, which is switched off.", hint="p2pmsg config unset discovery.paths")
        if not self._announcer.interfaces:
            raise NoNetwork("There is no network on which somebody could be nearby.")

    # -- who is there

    async def nearby(self, params: api.ContactNearby) -> list[Json]:
        """Return who is visible: as soon as nobody new has answered for a second, at the latest when the time is over."""
        self._check_network()
        found = await self._look(params.timeout_s)
        shown = [{"id": each.nonce.hex(), "nickname": each.nickname} for each in found]
        return sorted(shown, key=lambda each: (fold(str(each["nickname"])), each["id"]))[: limits.RPC_LIST]

    async def _look(self, timeout_s: float) -> list[Announcement]:
        now = self._node.clock.now
        began = news = now()
        found: list[Announcement] = []
        while now() < began + timeout_s and not (found and now() >= news + QUIET_S):
            self._announcer.look()
            await asyncio.sleep(min(_LOOK_S, max(0.0, began + timeout_s - now())))
            seen = self._announcer.nearby(began - RECENT_S)
            if {each.nonce for each in seen} - {each.nonce for each in found}:
                news = now()
            found = seen
        return found

    async def _find(self, word: str, timeout_s: float) -> Announcement:
        """Return the visible node that is meant: by its nickname, or the start of its id. Raises: ContactNotFound, Ambiguous."""
        found = self._matching(self._announcer.nearby(self._node.clock.now() - RECENT_S), word)
        if len(found) != 1:
            found = self._matching(await self._look(timeout_s), word)
        if not found:
            raise ContactNotFound(f"Nobody nearby is called {word!r}.", hint="p2pmsg contact nearby shows who is visible now.")
        if len(found) > 1:
            ids = sorted(each.nonce.hex() for each in found)
            raise Ambiguous(f"{word!r} may be {len(found)} people nearby.", candidates=ids, hint="p2pmsg contact add ID")
        return found[0]

    def _matching(self, found: list[Announcement], word: str) -> list[Announcement]:
        if exactly := [each for each in found if each.nonce.hex() == word.lower()]:
            return exactly  # whatever somebody calls himself
        named = [each for each in found if fold(each.nickname or "") == fold(word)]
        by_id = [each for each in found if len(word) >= _PREFIX_MIN and each.nonce.hex().startswith(word.lower())]
        return named or by_id

    # -- I ask

    async def add(self, word: str, params: api.ContactAdd, call: Call) -> Json:
        """Ask a visible node, compare, and become contacts; returns when both sides have stored it. One who asks me already is answered.

        Raises:
            ContactNotFound, Ambiguous: nobody, or more than one, was meant.
            SasMismatch: one of the two said no, or the strings were not the same.
            TimedOut: not both have said yes in time. PeerUnreachable: no link came to be, or it broke.
        """
        self._check_network()
        name = names.check_name(self._node.people, params.name) if params.name is not None else None
        timeout_s = limits.COMPARE_TIMEOUT_S if params.timeout_s is None else params.timeout_s
        until = self._node.clock.now() + timeout_s
        if (request := self._asks_already(word)) is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    return self._shown(await self._compare(request, call, name))
            except TimeoutError as error:
                self._take_back(request)
                raise _not_in_time(request.row.nickname, _WAITS_HERE) from error
        found = await self._find(word, min(RECENT_S, timeout_s))
        return self._shown(await self._ask(found, name, call, until - self._node.clock.now()))

    def _asks_already(self, word: str) -> Request | None:
        """Return the request of who is meant: would both dial, each would see another string."""
        requests = self._node.visibility.requests.values()
        found = [request for request in requests if request.live and fold(request.row.nickname) == fold(word)]
        return found[0] if found else None

    async def _ask(self, found: Announcement, name: str | None, call: Call, timeout_s: float) -> AccountId:
        """Dial until somebody compares with us: one attempt at a time is admitted there, so it may be another's turn.

        Who asks me meanwhile is answered instead.
        """
        nickname, waits, answered = found.nickname or "", None, None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if (request := await self._asks(found)) is not None:
                        answered, waits = request, _WAITS_HERE
                        return await self._compare(request, call, name)
                    attempt = Attempt(self._node, nickname, name, goes_first=self._goes_first(found))
                    try:
                        if (admitted := await attempt.dial(self._announcer.addresses_of(found))) is not None:
                            waits = _WAITS_THERE
                            return await self._confirmed(attempt, *admitted, call)
                    finally:
                        attempt.leave()
                    await asyncio.sleep(AGAIN_S)
                    if not any(_same(found, each) for each in self._announcer.nearby(0.0)):
                        raise _not_in_time(nickname, waits)
        except TimeoutError as error:
            if answered is not None:
                self._take_back(answered)
            raise _not_in_time(nickname, waits) from error

    async def _asks(self, found: Announcement) -> Request | None:
        """Return the request of a visible node, once it is known who asks; None where it does not ask."""
        while not self._node.visibility.known.is_set():
            await self._node.visibility.known.wait()
        request = self._asks_already(found.nickname or "")
        if request is None or request.remote is None:
            return None
        hosts = {address.host for address in self._announcer.addresses_of(found)}
        of_that_name = self._matching(self._announcer.nearby(self._node.clock.now() - RECENT_S), request.row.nickname)
        return request if request.remote.host in hosts or len(of_that_name) < 2 else None

    def _goes_first(self, found: Announcement) -> bool:
        mine = self._announcer.shown
        return mine is not None and (mine.nickname or "", mine.nonce) < (found.nickname or "", found.nonce)

    async def _confirmed(self, attempt: Attempt, link: Link, strings: Strings, call: Call) -> AccountId:
        try:
            await confirm(call, strings, attempt.outcome, partial(self._node.linkage.consent, link.number))
        except SasMismatch:
            attempt.refuse()
            raise
        assert link.account is not None
        return link.account

    def _shown(self, account: AccountId) -> Json:
        self._announcer.contacts_changed()
        return objects.contact(self._node, self._node.people.contacts[account])

    # -- I am asked

    async def requests(self, params: api.ContactRequests) -> list[Json]:
        """Return what waits for my answer, oldest first."""
        return sorted(
            (request.as_json() for request in self._waiting().values()), key=lambda each: (str(each["received_at"]), str(each["id"]))
        )

    async def accept(self, params: api.ContactAccept, call: Call) -> Json:
        """Compare with whoever asked, and become contacts. One who has gone meanwhile is asked in turn, or waited for.

        Raises:
            RequestNotFound, Ambiguous: no request, or more than one, was meant.
            SasMismatch, TimedOut, PeerUnreachable: as of `add`; the request is answered by the first of them.
        """
        visibility = self._node.visibility
        request = self._request(params.id)
        if isinstance(request, Comparison):
            return await self._trusting.compare(request, call)
        if request.said_no:
            error = SasMismatch(f"{request.row.nickname} did not confirm that you see the same. Nothing was stored.")
            visibility.forget(request, error)
            raise error
        if not request.live and (found := await self._seen(request)) is not None:
            account = await self._ask(found, None, call, limits.COMPARE_TIMEOUT_S)
            visibility.forget(request, None)
            return self._shown(account)
        await self._await(request)
        return self._shown(await self._compare(request, call, None))

    async def _compare(self, request: Request, call: Call, name: str | None) -> AccountId:
        outcome: Outcome = asyncio.get_running_loop().create_future()
        link, tell = request.link, partial(settle, outcome)
        assert link is not None and request.strings is not None
        link.name = name or link.name

        def consent() -> None:
            request.agreed = True
            self._node.linkage.consent(link.number)

        request.ended.append(tell)
        try:
            await confirm(call, request.strings, outcome, consent)
        except SasMismatch as error:
            self._node.visibility.forget(request, error)
            self._node.linkage.refuse(link.number)
            raise
        finally:
            request.ended.remove(tell)
        assert link.account is not None
        return link.account

    def _take_back(self, request: Request) -> None:
        """My yes counts no longer than the command waits: the link ends, and with it what was said on it."""
        if request.agreed and request.link is not None and request.link.peering is None:
            self._node.linkage.close(request.link.number, BYE)

    async def _seen(self, request: Request) -> Announcement | None:
        """Return the visible node of whoever asked, if he can be seen now, and is the only one of that name."""
        if not self._announcer.can_show or not self._announcer.interfaces:
            return None
        found = self._matching(await self._look(2 * QUIET_S), request.row.nickname)
        return found[0] if len(found) == 1 and not request.live else None

    async def _await(self, request: Request) -> None:
        """Wait until who has gone asks again. Raises: PeerUnreachable; what the request was answered with meanwhile."""
        if request.live:
            return
        if request.id not in self._node.visibility.requests:  # answered elsewhere meanwhile
            raise RequestNotFound(f"There is no request of {request.row.nickname} any more.")
        if not self._node.visibility.on:
            raise PeerUnreachable(f"{request.row.nickname} is not there any more.", hint="p2pmsg visible on, and let them ask again.")
        again: Outcome = asyncio.get_running_loop().create_future()
        tell = partial(settle, again)

        def asked(by: Request) -> None:
            if by is request:
                tell(None)

        self._node.visibility.asked.append(asked)
        request.ended.append(tell)
        try:
            async with asyncio.timeout(limits.COMPARE_TIMEOUT_S):
                error = await again
        except TimeoutError as error:
            raise PeerUnreachable(f"{request.row.nickname} has not asked again. The request still waits.") from error
        finally:
            self._node.visibility.asked.remove(asked)
            request.ended.remove(tell)
        if error is not None:
            raise error

    async def decline(self, params: api.ContactDecline) -> Json:
        """Send a request away; whoever made it learns no more than from any fault."""
        request = self._request(params.id)
        shown = request.as_json()
        if isinstance(request, Comparison):
            self._node.verifying.refuse(request)
        else:
            self._node.visibility.decline(request)
        return shown | {"live": False}

    def _waiting(self) -> dict[str, Request | Comparison]:
        return {**self._node.visibility.requests, **self._node.verifying.requests}

    def _request(self, prefix: str) -> Request | Comparison:
        requests = self._waiting()
        found = [requests[each] for each in requests if len(prefix) >= _PREFIX_MIN and each.startswith(prefix.lower())]
        if not found:
            raise RequestNotFound(f"There is no request {prefix!r}.")
        if len(found) > 1:
            raise Ambiguous(f"{prefix!r} may mean several requests.", candidates=[each.id for each in found])
        return found[0]


def _same(one: Announcement, other: Announcement) -> bool:
    """Say whether two announcements are of one node, though it may have begun to be visible anew meanwhile."""
    return one.nonce == other.nonce or (one.nickname, one.addresses) == (other.nickname, other.addresses)


def _not_in_time(nickname: str, waits: str | None) -> P2pmsgError:
    """Return what happened; `waits` says whose request is left where the two have compared."""
    if waits is not None:
        return TimedOut(f"{nickname} and you have not both said yes in time. Nothing was stored.", hint=waits)
    return PeerUnreachable(f"{nickname} lets nobody in now. Nothing was stored.", hint="p2pmsg contact nearby shows who is visible now.")
