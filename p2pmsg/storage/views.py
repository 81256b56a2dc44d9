"""What the logs mean: messages in the order shown, unread counts, deliveries, contacts, settings.

All of it follows from the events (`rebuild`), but for the time at which a delivery was acknowledged. An event whose parents are
not held waits, with all that it would change; its log does not (DESIGN 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from p2pmsg.crypto import gates
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Conversation, ConversationKind, Event, Header, Kind
from p2pmsg.model.ids import AccountId, ConversationId, EventId
from p2pmsg.protocol.bodies import SILENT, Body, ContactBody, DeleteBody, ReadBody, SeenBody, SettingBody, decode_body
from p2pmsg.protocol.log import order_key
from p2pmsg.storage import delivery, erasing, feed, lines, numbers
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.stored import Author, Placed, author_of, event_of_row

UNKNOWN: Final = 2
"""In `message.system`, beside 0 (a text) and 1 (a system line): an event of a kind that this version does not know."""
CANNOT_SHOW: Final = "something this version cannot show"


class View:
    """Shows the events of one conversation, within one job; `close` writes what was counted meanwhile.

    `silent` keeps the feed out of it: what is shown again is no news.
    """

    def __init__(self, db: Db, conversation: int, now_ms: int, *, silent: bool = False) -> None:
        self._db = db
        self._conversation = conversation
        self._feed_ms = None if silent else now_ms
        self._now_ms = now_ms
        self._me = numbers.my_account(db)
        self._id, self._kind, self._peer, self._anything_waits = db.execute(
            "SELECT id, kind, peer, EXISTS (SELECT 1 FROM waiting) FROM conversation WHERE number = ?", (conversation,)
        ).fetchone()
        self._deletions = erasing.Deletions(db, conversation)
        self._unread = 0
        self._read_upto: dict[int, int] = {}

    def close(self) -> None:
        if self._unread:
            sql = "UPDATE conversation SET unread = unread + ? WHERE number = ?"
            self._db.execute(sql, (self._unread, self._conversation))
            self._unread = 0

    # -- the order shown

    def position_of(self, header: Header) -> int | None:
        """Return where an event stands; None while a parent is not held here, or itself waits."""
        if not header.parents:
            return header.hlc
        positions = self._positions(header.parents)
        return order_key(header.hlc, list(positions.values())) if len(positions) == len(header.parents) else None

    def add(self, number: int, event: Event, position: int | None, held_ms: int, author: Author) -> None:
        """Show a stored event and what waited for it; or, where it has no position yet, note what it waits for."""
        if position is None:
            self._wait(number, event.header)
            return
        self._show(Placed(number, event.id, event.header, event.body, position, held_ms, author))
        if self._anything_waits:
            self._release(event.id)

    def _positions(self, parents: Iterable[EventId]) -> dict[EventId, int]:
        sql = "SELECT position FROM event WHERE id = ? AND conversation = ? AND position IS NOT NULL"
        rows = ((parent, self._db.execute(sql, (parent, self._conversation)).fetchone()) for parent in parents)
        return {parent: row[0] for parent, row in rows if row is not None}

    def _wait(self, number: int, header: Header) -> None:
        held = self._positions(header.parents)
        rows = [(parent, number) for parent in header.parents if parent not in held]
        self._db.conn.executemany("INSERT INTO waiting (parent, event) VALUES (?, ?)", rows)
        self._anything_waits = True

    def _release(self, shown: EventId) -> None:
        """Show what waited for an event, and what waited for that; without recursion, as peers choose the depth."""
        arrived = [shown]
        while arrived:
            parent = arrived.pop()
            for number in self._waiting_for(parent):
                self._db.execute("DELETE FROM waiting WHERE parent = ? AND event = ?", (parent, number))
                if self._db.execute("SELECT 1 FROM waiting WHERE event = ?", (number,)).fetchone() is None:
                    arrived.append(self._place(number))

    def _waiting_for(self, parent: EventId) -> list[int]:
        sql = "SELECT w.event FROM waiting w JOIN event e ON e.number = w.event WHERE w.parent = ? AND e.conversation = ? ORDER BY w.event"
        return [row[0] for row in self._db.execute(sql, (parent, self._conversation))]

    def _place(self, number: int) -> EventId:
        row = self._db.execute("SELECT device, held_ms, header, signature, body FROM event WHERE number = ?", (number,)).fetchone()
        event = event_of_row(row[2:])
        position = self.position_of(event.header)
        assert position is not None
        self._db.execute("UPDATE event SET position = ? WHERE number = ?", (position, number))
        author = author_of(self._db, row[0], me=self._me)
        self._show(Placed(number, event.id, event.header, event.body, position, row[1], author))
        return event.id

    def is_deleted(self, event: Event, device: int) -> bool:
        """Say whether an event that is not stored yet was deleted."""
        return self._deletions.cover(None, event.id, device, event.header.seq)

    # -- what each kind changes

    def _show(self, event: Placed) -> None:
        """Change what the kind changes. One that I do not know leaves a line that says so; a body that is not of its kind, nothing."""
        kind, mine = event.header.kind, event.author.mine
        deleted = self._deletions.cover(event.number, event.id, event.author.device, event.header.seq)
        if event.body is None or (deleted and kind not in erasing.KEPT):
            if kind == Kind.TEXT:
                self._text(event, None)
            if deleted:
                erasing.delete_one(self._db, event.number)
            return
        try:
            body = decode_body(kind, event.body)
        except PeerMisbehaved:
            return  # its author signed it, so the log keeps it; whoever handed it on is not to blame
        if kind == Kind.TEXT:
            self._text(event, body.text)  # type: ignore[union-attr]
        elif body is None:
            if kind < SILENT and self._peer is not None:
                self._line(event, self._conversation, CANNOT_SHOW, system=UNKNOWN)
        elif isinstance(body, ReadBody):
            self._read(event, body)
        elif mine and self._kind == "self":
            self._noted(event, body, line_deleted=deleted)

    def _noted(self, event: Placed, body: Body, *, line_deleted: bool) -> None:
        """Change what only my own word in `self` changes."""
        match body:
            case ContactBody():
                self._contact(event, body, line_deleted=line_deleted)
            case SettingBody():
                self._setting(event, body)
            case DeleteBody():
                self._delete(body)
            case SeenBody():
                self._seen(event, body, line_deleted=line_deleted)

    def _text(self, event: Placed, text: str | None) -> None:
        author, seq = event.author, event.header.seq
        self._line(event, self._conversation, text, system=False)
        if not author.mine:
            self._unread += text is not None and seq > self._read_by_me(author.device)
        elif self._peer is not None:
            delivery.expect(self._db, event.number, self._peer)
            if not author.this:
                log = (self._conversation, author.device, seq, self._peer)
                delivery.catch_up(self._db, event.number, *log, self._now_ms, event.held_ms, silent=self._feed_ms is None)

    def _read_by_me(self, device: int) -> int:
        if device not in self._read_upto:
            self._read_upto[device] = delivery.read_upto(self._db, self._conversation, self._me, device)
        return self._read_upto[device]

    def _line(self, event: Placed, conversation: int, text: str | None, *, system: int) -> None:
        self._db.execute(
            "INSERT INTO message (number, conversation, position, tie, seq, system, mine, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.number,
                conversation,
                event.position,
                event.author.tie,
                event.header.seq,
                system,
                event.author.mine and not system,
                text,
            ),
        )
        if self._feed_ms is not None and text is not None:
            feed.message_changed(self._db, event.number, conversation, self._feed_ms)

    def _read(self, event: Placed, body: ReadBody) -> None:
        if self._kind == "self" and event.author.mine:
            conversation = numbers.number_of_named_conversation(self._db, ConversationId(body.conversation))
            for entry in body.upto:
                delivery.read_by_me(self._db, conversation, self._me, entry, event.held_ms)
        elif self._peer is not None and not event.author.mine and body.conversation == self._id:
            for entry in body.upto:
                delivery.read_by_peer(self._db, self._conversation, self._me, self._peer, entry, event.held_ms, self._feed_ms)

    def _delete(self, body: DeleteBody) -> None:
        conversation = numbers.number_of_named_conversation(self._db, ConversationId(body.conversation))
        erasing.delete(self._db, conversation, body)
        delivery.count_unread(self._db, conversation)
        if conversation == self._conversation:
            self._deletions = erasing.Deletions(self._db, conversation)

    def _contact(self, event: Placed, body: ContactBody, *, line_deleted: bool) -> None:
        account = numbers.number_of_account(self._db, AccountId(body.account))
        if body.via is not None and not body.removed:
            line = None if line_deleted else lines.of_contact(body)
            self._line(event, self._direct(AccountId(body.account)), line, system=True)
        self._db.execute(
            """INSERT INTO contact (account, position, tie, name, nickname, trust, verified_by, pair_key, removed, blocked)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET position = excluded.position, tie = excluded.tie,
                name = excluded.name, nickname = excluded.nickname, trust = excluded.trust, verified_by = excluded.verified_by,
                pair_key = excluded.pair_key, removed = excluded.removed, blocked = excluded.blocked
            WHERE (excluded.position, excluded.tie) > (contact.position, contact.tie)""",
            (
                account,
                event.position,
                event.tie,
                body.name,
                body.nickname,
                body.trust,
                body.verified_by,
                body.pair_key or b"",
                body.removed,
                body.blocked,
            ),
        )
        if body.removed and self._db.execute("SELECT 1 FROM contact WHERE account = ? AND removed = 1", (account,)).fetchone():
            erasing.parted(self._db, account)

    def _seen(self, event: Placed, body: SeenBody, *, line_deleted: bool) -> None:
        sql = "INSERT OR IGNORE INTO seen (subject, what, event) VALUES (?, ?, ?)"
        if self._db.execute(sql, (body.subject, body.what, event.number)).rowcount:
            line = None if line_deleted else lines.of_chain(body)
            self._line(event, self._direct(AccountId(body.account)), line, system=True)

    def _direct(self, account: AccountId) -> int:
        mine = AccountId(self._db.execute("SELECT id FROM account WHERE number = ?", (self._me,)).fetchone()[0])
        members = (mine, account) if mine < account else (account, mine)
        shown_in = Conversation(gates.direct_conversation(mine, account), ConversationKind.DIRECT, members)
        return numbers.number_of_conversation(self._db, shown_in)

    def _setting(self, event: Placed, body: SettingBody) -> None:
        self._db.execute(
            """INSERT INTO setting (key, position, tie, value) VALUES (?, ?, ?, ?)
            ON CONFLICT (key) DO UPDATE SET position = excluded.position, tie = excluded.tie, value = excluded.value
            WHERE (excluded.position, excluded.tie) > (setting.position, setting.tie)""",
            (body.key, event.position, event.tie, msgspec.msgpack.encode(body.value)),
        )
