"""Who knows everything: looks at each hand-over as it happens, and into all databases when asked."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

from p2pmsg.daemon.linkage import Link
from p2pmsg.model.events import Event
from p2pmsg.model.gates import Purpose
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId, EventId
from p2pmsg.protocol import wire
from p2pmsg.storage import queries, ranges
from p2pmsg.storage.rebuild import rebuild

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

_DELIVERED = """SELECT e.id, a.id FROM delivery r JOIN event e ON e.number = r.message JOIN account a ON a.number = r.account
    WHERE r.delivered_ms IS NOT NULL"""
_DOUBLED_IN_FEED = """SELECT count(*) FROM (
    SELECT 1 FROM feed WHERE type = 'message' GROUP BY event HAVING count(*) > 1 UNION ALL
    SELECT 1 FROM feed WHERE type = 'state' AND state IN ('delivered', 'read') GROUP BY event, state, account HAVING count(*) > 1)"""

_VIEWS = (
    "SELECT number, conversation, position, tie, seq, system, mine, text FROM message ORDER BY number",
    "SELECT account, name, nickname, trust, removed, blocked, pair_key FROM contact ORDER BY account",
    "SELECT number, unread FROM conversation ORDER BY number",
    "SELECT message, account, delivered_ms IS NULL, read_ms IS NULL FROM delivery ORDER BY message, account",
    "SELECT parent, event FROM waiting ORDER BY parent, event",
)


class Oracle:
    """Asserts what must hold at every moment, and what must hold in the end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.members: dict[ConversationId, frozenset[AccountId]] = {}
        self.accepted: dict[EventId, tuple[str, str]] = {}
        """Messages that `send` has accepted: from whom to whom."""
        self.said = {b" of a burst", b"x" * 24}
        """Parts of messages; a part that is shorter would turn up by chance."""
        self.events_handed = 0
        self.frames: Counter[str] = Counter()

    # -- at every hand-over

    def handed(self, machine: Machine, link: Link, message: wire.Message) -> None:
        """A node sends something on an open link: the other must be in the conversation, and it must all be durable here."""
        self.frames[type(message).__name__] += 1
        account = link.peering.account if link.peering else AccountId(b"")
        if (contact := machine.node.people.contacts.get(account)) is not None and contact.blocked:
            self._world.fail(f"{machine.name} told {self._world.name_of(account)}, who is blocked, {type(message).__name__}")
        match message:
            case wire.Events(events):
                self.events_handed += len(events)
                peer = machine.node.replication._peers.get(link.number)
                if peer is None or not peer.compared:
                    self._world.fail(f"{machine.name} handed events over before vectors were compared")
                for sent in events:
                    self._event(machine, account, wire.decode_event(sent.header, sent.signature, sent.body))
            case wire.Have(_, conversations) | wire.Ack(conversations):
                for entry in conversations:
                    self._member(machine, account, entry.conversation)
                    self._claims(machine, entry)
            case wire.Want(ranges_):
                for asked in ranges_:
                    self._member(machine, account, asked.conversation)

    def _member(self, machine: Machine, account: AccountId, conversation: bytes) -> None:
        members = self.members.get(ConversationId(conversation), frozenset())
        if account not in members or machine.account not in members:
            self._world.fail(f"{machine.name} told {self._world.name_of(account)} of a conversation that is not theirs")

    def _event(self, machine: Machine, account: AccountId, event: Event) -> None:
        self._member(machine, account, event.header.conversation)
        row = machine.db.execute("SELECT body IS NULL FROM event WHERE id = ?", (event.id,)).fetchone()
        if row is None:
            self._world.fail(f"{machine.name} handed over an event that is not committed")

    def _claims(self, machine: Machine, entry: wire.LogClaims) -> None:
        """A claim, or an acknowledgement, is of committed, whole events."""
        for claim in wire.unpack_claims(entry.vector):
            if not holds(machine, entry.conversation, claim.device, claim.seq, claim.id):
                self._world.fail(f"{machine.name} claims {claim.seq} of {claim.device.hex()[:8]} and does not hold it")

    def carried(self, data: bytes) -> None:
        """I6: nobody can read what is said."""
        if found := [word for word in self.said if word in data]:
            self._world.fail(f"the wire has {found[0]!r} in the clear")

    # -- at any time

    def check_ticks(self) -> None:
        """I1: what is shown as delivered is in the recipient's database, whole."""
        for machine in self._world.machines.values():
            for event, account in machine.db.execute(_DELIVERED).fetchall():
                others = [m for m in self._world.machines.values() if m.account == account]
                if event in self._world.stripped:
                    continue
                if not any(has_whole(other, event) for other in others) and not any(self._world.excused(m) for m in others):
                    self._world.fail(f"{machine.name} shows {event.hex()[:8]} as delivered, {others[0].name} does not hold it")

    def check_books(self) -> None:
        """What the parts of a node remember of its links agrees: a link that one of them forgets, or never forgets, shows up late."""
        for machine in self._world.machines.values():
            if machine.process is None:
                continue
            self._check_blocked(machine)
            node = machine.node
            opened = {each.link: each.account for each in node.links}
            if set(node.replication._peers) != set(opened):
                self._world.fail(f"{machine.name}: replication has links {set(node.replication._peers)}, open are {set(opened)}")
            if not set(opened) <= {link.number for link in node.linkage}:
                self._world.fail(f"{machine.name}: an open link has no connection")
            for account in opened.values():
                if account not in node.people.contacts:
                    self._world.fail(f"{machine.name} has a link with {self._world.name_of(account)}, who is no contact")
            for account, known in node.presence._contacts.items():
                if known.links != list(opened.values()).count(account):
                    self._world.fail(f"{machine.name}: presence counts {known.links} links with {self._world.name_of(account)}")
            dials = {(each.account, each.address) for each in node.linkage if each.number not in opened and is_pair(each)}
            for account, known in node.presence._contacts.items():
                for address, place in known.places.items():
                    if place.dialling and (account, address) not in dials:
                        self._world.fail(
                            f"{machine.name}: presence waits for a dial of {self._world.name_of(account)} that nobody knows of"
                        )

    def _check_blocked(self, machine: Machine) -> None:
        """Nobody who is blocked has a link, or is dialled but by an invite that my user has typed."""
        blocked = {account for account, contact in machine.node.people.contacts.items() if contact.blocked}
        for link in machine.node.linkage:
            whose = link.peering.account if link.peering else link.account
            if whose in blocked and link.joining is None:
                self._world.fail(f"{machine.name} has a link with {self._world.name_of(whose)}, who is blocked")

    # -- in the end

    def check_end(self) -> None:
        """I1 to I3, and properties 3, 5, 9 and 10 of all pairs that are whole."""
        self.check_ticks()
        for a, b in self._world.whole_pairs():
            self.check_pair(a, b)
        for machine in self._world.machines.values():
            self._check_views(machine)
            doubled = machine.db.execute(_DOUBLED_IN_FEED).fetchone()[0]
            if doubled and not self._world.excused(machine):
                self._world.fail(f"{machine.name}'s feed tells {doubled} things twice")

    def check_pair(self, a: Machine, b: Machine) -> None:
        fail = self._world.fail
        if vector(a, b) != vector(b, a):
            fail(f"vectors of {a.name} and {b.name} differ: {vector(a, b)} {vector(b, a)}")
        for machine, other in ((a, b), (b, a)):
            self._check_log(machine, other)
        stripped = self._world.stripped
        mine, theirs = ([event for event in shown(*pair) if event not in stripped] for pair in ((a, b), (b, a)))
        if mine != theirs:
            fail(f"{a.name} and {b.name} show their messages in different order: {brief(mine)} and {brief(theirs)}")
        if len(set(mine)) != len(mine):
            fail(f"{a.name} shows a message twice")
        for event, (author, recipient) in self.accepted.items():
            if {author, recipient} == {a.name, b.name} and event not in {*self._world.never_shown, *mine, *stripped}:
                fail(f"a message of {author} to {recipient} was accepted and is gone")
        for machine, other in ((a, b), (b, a)):
            for row in queries.history(machine.db, machine.node.people.direct(other.account).id, 10**6):
                if row.mine and row.kind == "text" and row.id not in stripped:
                    self._check_message(machine, other, row)

    def _check_message(self, machine: Machine, other: Machine, row: queries.MessageRow) -> None:
        """What arrived is shown as delivered; what was read, and nothing else, as read."""
        there = queries.messages(other.db, [row.id])[row.id]
        if not all(delivery.delivered_ms for delivery in row.deliveries):
            self._world.fail(f"a message of {machine.name} to {other.name} arrived and is not shown as delivered")
        if any((delivery.read_ms is None) is not there.unread for delivery in row.deliveries):
            self._world.fail(f"a message of {machine.name} is unread by {other.name}: {there.unread}, and shown otherwise")

    def _check_views(self, machine: Machine) -> None:
        """The views say what the logs say."""
        copy = machine.snapshot()
        with copy.atomic():
            rebuild(copy)
        for table in _VIEWS:
            now, anew = (db.execute(table).fetchall() for db in (machine.db, copy))
            if now != anew and not self._world.excused(machine):
                self._world.fail(f"{machine.name}'s views differ from its logs: {table}: {set(now) ^ set(anew)}"[:600])
        copy.conn.close()

    def _check_log(self, machine: Machine, other: Machine) -> None:
        """No gap, no body missing."""
        of = "FROM event e JOIN conversation c ON c.number = e.conversation WHERE c.id = ?"
        conversation = machine.node.people.direct(other.account).id
        for count, top in machine.db.execute(f"SELECT count(*), max(e.seq) {of} GROUP BY e.device", (conversation,)).fetchall():
            if count != top:
                self._world.fail(f"{machine.name} has {count} events up to {top} with {other.name}")
        without = {row[0] for row in machine.db.execute(f"SELECT e.id {of} AND e.body IS NULL", (conversation,))}
        if lost := without - self._world.stripped:
            self._world.fail(f"{machine.name} lacks the bodies of {len(lost)} events with {other.name}")

    def check_all_equal(self, machines: list[Machine]) -> None:
        for a, b in combinations(machines, 2):
            self.check_pair(a, b)


def is_pair(link: Link) -> bool:
    return link.gate is not None and link.gate.purpose is Purpose.PAIR


def holds(machine: Machine, conversation: bytes, device: bytes, seq: int, prefix: bytes) -> bool:
    sql = """SELECT 1 FROM event e JOIN conversation c ON c.number = e.conversation JOIN device d ON d.number = e.device
        WHERE c.id = ? AND substr(d.id, 1, 8) = ? AND e.seq = ? AND substr(e.id, 1, 8) = ?"""
    return machine.db.execute(sql, (conversation, device, seq, prefix)).fetchone() is not None


def has_whole(machine: Machine, event: bytes) -> bool:
    return machine.db.execute("SELECT 1 FROM event WHERE id = ? AND body IS NOT NULL", (event,)).fetchone() is not None


def vector(machine: Machine, other: Machine) -> dict[DeviceId, list[tuple[int, str]]]:
    """Return what a machine holds of its conversation with another: of each log its ends."""
    logs = ranges.tips(machine.db).get(machine.node.people.direct(other.account).id, {})
    return {device: sorted((tip.seq, tip.id.hex()[:8]) for tip in ends) for device, ends in logs.items()}


def shown(machine: Machine, other: Machine) -> list[EventId]:
    """Return the texts that a machine shows of its conversation with another, in order."""
    rows = queries.history(machine.db, machine.node.people.direct(other.account).id, 10**6)
    return [row.id for row in rows if row.kind == "text"]


def brief(events: list[EventId]) -> list[str]:
    return [event.hex()[:6] for event in events]
