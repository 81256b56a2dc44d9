"""Take events that a peer gave: checked and stored in one transaction, with all that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.errors import ConversationNotFound, PeerMisbehaved
from p2pmsg.model.accounts import Membership
from p2pmsg.model.events import Conversation, ConversationKind, Event, Tip
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
from p2pmsg.protocol.log import Verdict, check, runs, verify_run
from p2pmsg.storage import numbers
from p2pmsg.storage.branches import Log
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.stored import author_of
from p2pmsg.storage.views import View

OLD_COPY: Final = "old_copy"
"""Key in `meta`: this database has been overtaken by another copy of itself."""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What the node knows of those who wrote the events."""

    author: Membership
    """What the author's chain says."""
    mine: bool
    """The events are of this very device's log."""
    skew_ms: int | None = None
    """How far the author's clock is off mine, where a link told."""
    last_resort: bool = False
    """The giver is of the author's account, and nobody else linked claims to have more: a body that he leaves out is sought in vain."""


@dataclass(frozen=True, slots=True)
class Received:
    """What became of events that a peer gave; where `refused` is set nothing was stored."""

    tips: tuple[Tip, ...] = ()
    """The ends of the log now, one a branch."""
    accepted: int = 0
    clocks: tuple[int, ...] = ()
    """Clocks of the events accepted."""
    gap: bool = False
    heads_missing: bool = False
    body_missing: bool = False
    forked: bool = False
    """There is a branch that is new with this call: two events of one device with the same number, which nobody but it can make."""
    old_copy: bool = False
    refused: str | None = None


def receive(db: Db, conversation: ConversationId, events: Sequence[Event], context: CheckContext, now_ms: int) -> Received:
    """Check events of one log, oldest first, and store those that it takes; what has no place yet ends the call.

    One that no honest device makes undoes the whole call: then `refused` says why.
    """
    device = events[0].header.device
    if any(event.header.conversation != conversation or event.header.device != device for event in events):
        raise ValueError("events of one log at a time")
    db.execute("SAVEPOINT receive")
    try:
        number = _number_of(db, conversation, context.author.account)
        receipt = _Receipt(db, number, context, device, now_ms)
        for run in runs(events):
            if not receipt.take(run):
                break
        received = receipt.close()
    except PeerMisbehaved as fault:
        db.execute("ROLLBACK TO receive")
        found = numbers.find_conversation(db, conversation)
        tips = Log(db, found, numbers.find_device(db, device)).tips() if found is not None else ()
        received = Received(tips, refused=str(fault))
    db.execute("RELEASE receive")
    return received


def _number_of(db: Db, conversation: ConversationId, author: AccountId) -> int:
    """Return the number of a conversation that the author and I are in; mine with him is known as soon as he is."""
    mine = numbers.my_id(db)
    row = db.execute(
        "SELECT c.number, c.kind, a.id FROM conversation c LEFT JOIN account a ON a.number = c.peer WHERE c.id = ?", (conversation,)
    ).fetchone()
    if row is not None and row[1] is not None:
        if author not in (mine, row[2]):
            raise PeerMisbehaved("an event of somebody who is not in the conversation")
        return int(row[0])
    if author == mine and conversation == gates.self_conversation(mine):
        return numbers.number_of_conversation(db, Conversation(conversation, ConversationKind.SELF, (mine,)))
    if author != mine and conversation == gates.direct_conversation(mine, author):
        return numbers.number_of_conversation(db, Conversation(conversation, ConversationKind.DIRECT, (mine, author)))
    raise ConversationNotFound("There is no such conversation.")


class _Receipt:
    """One call of `receive`."""

    def __init__(self, db: Db, conversation: int, context: CheckContext, device: DeviceId, now_ms: int) -> None:
        self._db = db
        self._context = context
        self._now_ms = now_ms
        self._key = known.key if (known := context.author.devices.get(device)) is not None else None
        account = numbers.number_of_account(db, context.author.account)
        writer = numbers.number_of_device(db, device, account, self._key)
        self._log = Log(db, conversation, writer)
        self._view = View(db, conversation, now_ms)
        self._author = author_of(db, writer, me=numbers.my_account(db))
        self._result = Received()
        self._clocks: list[int] = []

    def take(self, run: Sequence[Event]) -> bool:
        """Take the events of a run whose last signature covers them all; say whether the next run may follow."""
        if self._key is not None:
            verify_run(run, self._key)
        for count, event in enumerate(run):
            if not self._take_one(event, last=event is run[-1]):
                self._end_early(run[:count])
                return False
        return True

    def _end_early(self, taken: Sequence[Event]) -> None:
        """A run is kept in part: then what is kept must end in a good signature too, as others will be given just that."""
        if taken and self._key is not None:
            verify_run(taken, self._key)
            self._db.execute("UPDATE event SET checked = 1 WHERE id = ?", (taken[-1].id,))

    def close(self) -> Received:
        self._log.close()
        self._view.close()
        return replace(
            self._result,
            tips=self._log.tips(),
            accepted=len(self._clocks),
            clocks=tuple(self._clocks),
        )

    def _take_one(self, event: Event, *, last: bool) -> bool:
        branch, held = self._log.around(event)
        context = self._context
        gone = event.body is None and self._is_gone(event)
        match check(event, held, context.author, mine=context.mine, now_ms=self._now_ms, gone=gone):
            case Verdict.KNOWN:
                return True
            case Verdict.ACCEPT:
                pass
            case Verdict.FORK:
                if not self._forks(branch):
                    return False
            case Verdict.OLD_COPY:
                self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (OLD_COPY, self._now_ms))
                self._result = replace(self._result, old_copy=True)
                return False
            case Verdict.HOLD_GAP:
                self._result = replace(self._result, gap=True)
                return False
            case Verdict.HOLD_HEADS | Verdict.HOLD_REMOVED:
                self._result = replace(self._result, heads_missing=True)
                return False
            case Verdict.HOLD_BODY:
                self._result = replace(self._result, body_missing=True)
                return False
        self._log.write(event, self._view, self._author, self._now_ms, branch=branch, checked=last, skew_ms=context.skew_ms)
        self._clocks.append(event.header.hlc)
        return True

    def _is_gone(self, event: Event) -> bool:
        """Say whether a body that was left out is not to be waited for: its author erased it, or my account did.

        What my devices wrote to myself they leave out only where it was deleted; the deletion may stand further on in that very log.
        """
        header = event.header
        mine_alone = self._author.mine and header.conversation == gates.self_conversation(numbers.my_id(self._db))
        return self._context.last_resort or mine_alone or self._view.is_deleted(event, self._author.device)

    def _forks(self, branch: int | None) -> bool:
        """Note a fork; say whether its branch can be kept."""
        if branch is not None:
            return True
        if len(self._log.ends) >= limits.BRANCHES:
            return False
        self._result = replace(self._result, forked=True)
        return True
