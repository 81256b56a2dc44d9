"""A log's ends: a line of events has one; a log that forked is a tree of at most `limits.BRANCHES` lines.

Branch 0 is the one that came first; another starts after an event of an earlier one (`base`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from p2pmsg.model.events import Event, Tip
from p2pmsg.model.ids import ID_BYTES, ChainLinkId, EventId
from p2pmsg.protocol.log import Held
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.stored import Author, event_of_row
from p2pmsg.storage.views import View

_NOTHING: Final[frozenset[EventId]] = frozenset()


@dataclass(slots=True)
class End:
    """The end of a branch and where the branch starts."""

    branch: int
    tip: Tip
    base_branch: int = 0
    base_seq: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Events of one branch: numbers above `after` up to `upto`."""

    branch: int
    after: int
    upto: int


class Log:
    """One device's log in one conversation; its ends are kept in memory until `close`."""

    def __init__(self, db: Db, conversation: int, device: int | None) -> None:
        self._db = db
        self._key = (conversation, device)
        sql = """SELECT branch, seq, id, hlc, account_heads, base_branch, base_seq FROM tip
            WHERE conversation = ? AND device = ? ORDER BY branch"""
        self.ends = {row[0]: end_of_row(row) for row in db.execute(sql, self._key)}
        self._changed: set[int] = set()

    def tips(self) -> tuple[Tip, ...]:
        return tuple(end.tip for end in self.ends.values())

    def segments(self, branch: int, upto: int) -> Iterator[Segment]:
        """Yield the line that ends in a number of a branch, the newest part first, down to the start of the log."""
        while True:
            end = self.ends[branch]
            yield Segment(branch, end.base_seq, upto)
            if end.base_seq == 0:
                return
            branch, upto = end.base_branch, end.base_seq

    def around(self, event: Event) -> tuple[int | None, Held]:
        """Return the branch that an event goes on (None: a new one), and what is held around it."""
        header = event.header
        end = self.ends.get(0)
        if len(self.ends) < 2 and (header.previous == end.tip.id and header.seq == end.tip.seq + 1 if end else header.seq == 1):
            return 0, Held(_NOTHING, end.tip if end else None)
        sql = "SELECT id FROM event WHERE conversation = ? AND device = ? AND seq = ?"
        at_seq = frozenset(EventId(row[0]) for row in self._db.execute(sql, (*self._key, header.seq)))
        branch = next((end.branch for end in self.ends.values() if end.tip.id == header.previous), None)
        if branch is None and not self.ends and header.seq == 1:
            branch = 0
        return branch, Held(at_seq, self._predecessor(event))

    def write(
        self, event: Event, view: View, author: Author, now_ms: int, *, branch: int | None, checked: bool, skew_ms: int | None
    ) -> None:
        """Add an event to a branch, or start one (None), and show it."""
        header = event.header
        if branch is None:
            branch = self._start_branch(event)
        position = view.position_of(header)
        row = self._db.execute(
            """INSERT INTO event (id, conversation, device, seq, kind, hlc, position, held_ms, skew_ms, checked, branch,
                header, signature, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                event.id,
                *self._key,
                header.seq,
                header.kind,
                header.hlc,
                position,
                now_ms,
                skew_ms,
                checked,
                branch,
                event.header_bytes,
                event.signature,
                event.body,
            ),
        ).lastrowid
        assert row is not None
        tip = tip_of(event)
        if branch in self.ends:
            self.ends[branch].tip = tip
        else:
            self.ends[branch] = End(branch, tip)
        self._changed.add(branch)
        view.add(row, event, position, now_ms, author)

    def close(self) -> None:
        """Store the ends that have moved."""
        for end in (self.ends[branch] for branch in sorted(self._changed)):
            self._db.execute(
                """INSERT OR REPLACE INTO tip (conversation, device, branch, seq, id, hlc, account_heads, base_branch, base_seq)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    *self._key,
                    end.branch,
                    end.tip.seq,
                    end.tip.id,
                    end.tip.hlc,
                    b"".join(end.tip.account_heads),
                    end.base_branch,
                    end.base_seq,
                ),
            )

    def _start_branch(self, event: Event) -> int:
        sql = "SELECT branch FROM event WHERE id = ?"
        base = self._db.execute(sql, (event.header.previous,)).fetchone()
        branch = len(self.ends)
        seq = event.header.seq - 1
        self.ends[branch] = End(branch, Tip(seq, event.header.previous, 0), base[0] if base else 0, seq)
        return branch

    def _predecessor(self, event: Event) -> Tip | None:
        sql = "SELECT header, signature, body FROM event WHERE id = ? AND conversation = ? AND device = ? AND seq = ?"
        row = self._db.execute(sql, (event.header.previous, *self._key, event.header.seq - 1)).fetchone()
        return tip_of(event_of_row(row)) if row else None


def tip_of(event: Event) -> Tip:
    """Return an event as the end of a log."""
    return Tip(event.header.seq, event.id, event.header.hlc, event.header.account_heads)


def end_of_row(row: tuple[Any, ...]) -> End:
    branch, seq, event, hlc, heads, base_branch, base_seq = row
    links = tuple(ChainLinkId(heads[at : at + ID_BYTES]) for at in range(0, len(heads), ID_BYTES))
    return End(branch, Tip(seq, EventId(event), hlc, links), base_branch, base_seq)
