"""A machine of the world: a disk with a real database, a wall clock that may be wrong, and now and then a process on it: the node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon.announcer import Announcer
from p2pmsg.daemon.linkage import Joining
from p2pmsg.daemon.load import invite_ends, load_people
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.presence_keys import PRESENCE_KEY
from p2pmsg.daemon.saying import saying
from p2pmsg.errors import InviteExpired, P2pmsgError, StorageFull
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.model.events import Conversation, ConversationKind, Event, Kind, Tip
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import DeviceId, EventId
from p2pmsg.protocol import log, wire
from p2pmsg.protocol.addresses import Invite
from p2pmsg.protocol.bodies import ReadBody, ReadEntry, SettingBody, TextBody, encode_body
from p2pmsg.storage import doors, queries, ranges
from p2pmsg.storage import log as log_store
from p2pmsg.storage import people as people_store
from p2pmsg.storage.batches import Job, run_batch
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import connect, open_memory
from p2pmsg.storage.people import OwnIdentity
from p2pmsg.storage.queries import MessageRow
from p2pmsg.storage.worker import Storage
from tests.simulation.network import PORT, Endpoint
from tests.simulation.scheduler import EPOCH_MS, NodeClock
from tests.unit.people import Person, seeded

if TYPE_CHECKING:
    from tests.simulation.world import World

_PATHS = frozenset({Path.MDNS, Path.LAST_KNOWN})
_ANNOUNCE_S = 60.0
_INVITE_VALID_MS = 7 * 86_400_000
_JOIN_AGAIN_S = 1.0


class Disk(Storage):
    """The storage's worker on virtual time: commits take a while, and are told of a little later, in order."""

    def __init__(self, machine: Machine, clock: NodeClock) -> None:
        self._machine, self._clock = machine, clock
        self._waiting: deque[Job] = deque()
        self._told = clock.now()

    def _take(self, job: Job) -> None:
        self._waiting.append(job)
        if len(self._waiting) == 1:
            self._clock.call_in(self._machine.world.rng.uniform(0.0001, self._machine.fsync_s), self._commit)

    def _commit(self) -> None:
        settled = run_batch(
            self._machine.db, self._waiting, free_bytes=0 if self._machine.low_disk else None, folder=None, budget_s=float("inf")
        )
        self._told = max(self._told, self._clock.now() + self._machine.world.rng.uniform(0, 0.002))
        for each in settled:
            if isinstance(each.outcome, Exception) and not isinstance(each.outcome, P2pmsgError):
                self._machine.world.fail(f"{self._machine.name}'s storage: {each.outcome!r}")
            self._clock.call_at(self._told, each.tell)


class Process:
    """One life of a node, from its start to its stop or crash."""

    def __init__(self, machine: Machine) -> None:
        world = machine.world
        self.clock = NodeClock(world.scheduler, machine.wall_ms, began=world.rng.uniform(0, 1e5))
        self.endpoint = Endpoint(world.network, self.clock, machine.host)
        people = load_people(machine.db)
        people.invite_ends = invite_ends(machine.db, self.clock.now(), machine.wall_ms())
        self.node = Node(people, Disk(machine, self.clock), self.endpoint, self.clock, _PATHS)  # type: ignore[arg-type]
        self.node.old_copy = log_store.is_old_copy(machine.db)
        self.node.people.invite_ends = invite_ends(machine.db, self.clock.now(), machine.wall_ms())
        self.endpoint.listener = self.node.linkage  # type: ignore[assignment]
        self.node.network = lambda address: "lan"
        self.announcer = Announcer(self.node, self.endpoint)  # type: ignore[arg-type]
        self.announcer.interfaces = (Interface("sim0", 2, ((machine.host, 16),), ()),)
        self.announcer.attach(self)  # type: ignore[arg-type]
        self.node.hide = self.announcer.new_epoch
        self.node.recognises_more = self.announcer.contacts_changed
        self._machine = machine
        self._said: tuple[bytes, bytes, bytes] | None = None
        self._heard: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._watch_links()

    def start(self) -> None:
        node, db = self.node, self._machine.db
        node.start(ranges.tips(db))
        self.announcer.new_epoch()
        for account, addresses in people_store.last_known(db, "lan").items():
            node.presence.sighted(account, addresses, Path.LAST_KNOWN, self.clock.now())
        node.wake()
        self.clock.call_in(self._machine.world.rng.uniform(0.75, 1.25) * _ANNOUNCE_S, self._announce_again)

    # -- discovery, as the announcer sees it

    def publish(self, nonce: bytes, port: int, addresses: bytes, tags: bytes, interfaces: Sequence[Interface]) -> None:
        self._said = (nonce, addresses, tags)
        self.announce()

    def replay(self) -> None:
        for said in list(self._heard.values()):
            self._machine.world.scheduler.call_in(0, lambda said=said: self.hear(said))  # type: ignore[misc]

    def announce(self) -> None:
        assert self._said is not None
        self._machine.world.announce(self._machine, self._said)

    def _announce_again(self) -> None:
        self.announce()
        self.clock.call_in(self._machine.world.rng.uniform(0.75, 1.25) * _ANNOUNCE_S, self._announce_again)

    def hear(self, said: tuple[bytes, bytes, bytes]) -> None:
        if self.clock.alive and (self._said is None or said[0] != self._said[0]):
            self._heard[said[0]] = said
            self.announcer.announced(*said, 1)

    # -- the oracle's ear

    def _watch_links(self) -> None:
        linkage, machine = self.node.linkage, self._machine
        send = linkage.send

        def watched(number: Any, message: wire.Message) -> None:
            link = linkage.get(number)
            if link is not None and link.peering is not None and link.channel is not None:
                machine.world.oracle.handed(machine, link, message)
                if machine.strips_bodies and isinstance(message, wire.Events):
                    message = wire.Events([machine.without_body(sent) for sent in message.events])
            send(number, message)

        linkage.send = watched  # type: ignore[method-assign]


class Machine:
    """A machine and who lives on it. `db` survives crashes; a copy of it makes a second machine with the same identity."""

    def __init__(self, world: World, name: str, person: Person, host: str, db: Db | None = None) -> None:
        self.world, self.name, self.person, self.host = world, name, person, host
        self.skew_ms = 0
        self.fsync_s = world.rng.choice((0.0005, 0.004, 0.03))
        self.low_disk = False
        self.strips_bodies = False
        self.process: Process | None = None
        self.db = db or self._new_database()

    @property
    def account(self) -> Any:
        return self.person.account

    @property
    def device(self) -> DeviceId:
        return self.person.device

    @property
    def address(self) -> Address:
        return Address(self.host, PORT)

    @property
    def node(self) -> Node:
        assert self.process is not None
        return self.process.node

    @property
    def announcer(self) -> Announcer:
        assert self.process is not None
        return self.process.announcer

    @property
    def runs(self) -> bool:
        return self.process is not None

    def wall_ms(self) -> int:
        return max(1, EPOCH_MS + int(self.world.scheduler.now * 1000) + self.skew_ms)

    def without_body(self, sent: wire.SentEvent) -> wire.SentEvent:
        """Return a text without what it says, as a node whose user has erased it would give it; others as they are."""
        event = wire.decode_event(sent.header, sent.signature, sent.body)
        if event.header.kind != Kind.TEXT:
            return sent
        self.world.stripped.add(event.id)
        return wire.SentEvent(sent.header, sent.signature, None)

    # -- life and death

    def start(self) -> None:
        if self.process is None:
            self.process = Process(self)
            self.process.start()

    def crash(self) -> None:
        """Kill the process where it stands: what is committed stays."""
        if self.process is not None:
            process, self.process = self.process, None
            process.clock.alive = False
            process.endpoint.crash()

    def stop(self) -> None:
        """End the process as SIGTERM does: with goodbyes."""
        if self.process is not None:
            self.process.node.stop()
            self.crash()

    def snapshot(self) -> Db:
        """Return a copy of the database as it is committed now."""
        copy = connect(":memory:", bytes(32))
        self.db.conn.backup(copy.conn)
        return copy

    def restore(self, db: Db) -> None:
        """Put an older copy in place of the database."""
        self.crash()
        self.db = db

    def move(self, host: str) -> None:
        """Get another address: links die without a word and are left, a new epoch is announced."""
        self.host = host
        if self.process is not None:
            endpoint = self.process.endpoint
            for connection in endpoint.connections:
                connection._line.dead = True
            network = self.world.network
            del network.endpoints[endpoint.host]
            endpoint.host = host
            network.endpoints[host] = endpoint
            for link in self.node.linkage:
                self.node.leave(link)
            self.process.announcer.interfaces_changed((Interface("sim0", 2, ((host, 16),), ()),))
            self.process.node.presence.network_changed(list(self.node.people.contacts), self.process.clock.now())
            self.process.node.wake()

    # -- what its user does

    def direct(self, other: Machine) -> Conversation:
        return self.node.people.direct(other.account)

    def knows(self, other: Machine) -> bool:
        return people_store.contact(self.db, other.account) is not None

    def say(self, other: Machine, text: str, parents: Sequence[EventId] = (), done: Callable[[Any], None] = lambda result: None) -> None:
        """Write a text; `done` gets the Event once `send` would have returned."""
        conversation = self.direct(other)
        node = self.node

        def job(db: Db) -> Event:
            return node.write(db, conversation, TextBody(text)) if not parents else self._reply(db, node, conversation, text, parents)

        node.submit_write(job, done, room_bytes=limits.DISK_REFUSE_BYTES)

    def read(self, other: Machine) -> None:
        """Read what is unread, as the CLI's `read` does, with a receipt."""
        node, conversation = self.node, self.direct(other)

        def job(db: Db) -> list[Event]:
            rows = queries.unread(db, conversation.id)
            if not rows:
                return []
            mark = _mark(conversation, rows)
            return [node.write(db, node.people.own(), mark), node.write(db, conversation, mark)]

        node.submit_write(job, lambda result: None)

    def doors_to(self, other: Machine) -> set[bytes]:
        """Return the gate keys of the pair; after a removal and an invite whose use broke off the two may have none in common."""
        return {row.key for row in self.node.people.gates if row.account == other.account}

    def remove(self, other: Machine) -> None:
        """Part from a contact, as `contact remove` does."""
        self._say_of(other, self.announcer.new_epoch, removed=True)

    def block(self, other: Machine) -> None:
        """Fall silent to a contact, as `contact block` does."""
        self._say_of(other, blocked=True)

    def unblock(self, other: Machine) -> None:
        """Take it back, as `contact unblock` does."""
        self._say_of(other, blocked=False)

    def blocks(self, other: Machine) -> bool:
        """Say whether it is stored that the other is blocked."""
        contact = people_store.contact(self.db, other.account)
        return contact is not None and contact.blocked

    def _say_of(self, other: Machine, afterwards: Callable[[], None] = lambda: None, **what: Any) -> None:
        node = self.node
        contact = node.people.contacts.get(other.account)
        if contact is None:
            return
        job, then = saying(node, contact, **what)

        def done(result: Any) -> None:
            if isinstance(result, tuple):
                then(result)
                afterwards()
            elif not isinstance(result, P2pmsgError):
                self.world.fail(f"{self.name} says of {other.name} {what}: {result!r}")

        node.submit_write(job, done)

    def invite(self, secret: bytes, stored: Callable[[Invite], None]) -> Invite:
        """Make an invite; it can be used from when it is `stored`."""
        invite = Invite(self.account, secret, (self.address,))
        node, wall = self.node, self.wall_ms()

        def job(db: Db) -> tuple[GateRow, ...]:
            doors.add_invite(db, gates.invite_gate(secret, self.account), gates.invite_id(secret), wall, wall + _INVITE_VALID_MS)
            return doors.gates(db, 0)

        def done(rows: Any) -> None:
            node.people.gates = rows
            node.people.invite_ends[gates.invite_id(secret)] = node.clock.now() + _INVITE_VALID_MS / 1000
            stored(invite)

        node.submit_write(job, done)
        return invite

    def offers(self, invite: Invite) -> bool:
        """Say whether an invite of this machine's user can still be used, at least by whoever has used it."""
        rows = self.node.people.rows(self.node.clock.now())
        return any(row.reference == gates.invite_id(invite.secret) and (row.ended is None or row.spent_by) for row in rows)

    def join(self, invite: Invite) -> None:
        """Use an invite, again and again while this process lives and nobody refuses, as `contact add` does."""
        process = self.process
        assert process is not None
        node = process.node
        gate = GateRow(gates.invite_gate(invite.secret, invite.account), Purpose.INVITE, None)

        joined: list[bool] = []

        def opened() -> None:
            joined.append(True)
            process.announcer.contacts_changed()

        def failed(reason: Exception | bool) -> None:
            if joined:
                return
            if reason is False:
                process.clock.call_in(_JOIN_AGAIN_S, attempt)
            elif reason is not True and not isinstance(reason, InviteExpired | StorageFull) and not self.world.excused(self):
                self.world.fail(f"{self.name} could not use an invite: {reason!r}")

        def attempt() -> None:
            address = self.world.address_of(invite.account) or invite.addresses[0]
            node.dial(invite.account, address, Path.INVITE, gate=gate, joining=Joining(None, opened, failed))

        attempt()

    # -- inside

    def _reply(self, db: Db, node: Node, conversation: Conversation, text: str, parents: Sequence[EventId]) -> Event:
        """Like `Node.write`, with parents: no command of the CLI makes any yet, the log's rules are there."""
        if node.old_copy:
            return node.write(db, conversation, TextBody(text))
        wall = node.clock.wall_ms() + node.links.clock_ahead_ms()
        return log_store.append(
            db,
            conversation,
            self.device,
            lambda tip: log.write(
                tip,
                conversation.id,
                self.device,
                Kind.TEXT,
                encode_body(TextBody(text), self.world.rng.randbytes(16)),
                hlc=log.next_hlc(wall, node._adopted, tip.hlc if tip else 0),
                account_heads=node.people.mine.heads,
                sign=self.person.sign,
                parents=parents,
            ),
            self.wall_ms(),
        )

    def _new_database(self) -> Db:
        db, person = open_memory(), self.person
        own = Conversation(gates.self_conversation(self.account), ConversationKind.SELF, (self.account,))
        setting = encode_body(SettingBody(PRESENCE_KEY, [seeded(f"{person.name}/presence"), 1]), bytes(16))

        def make(tip: Tip | None) -> Event:
            hlc = log.next_hlc(self.wall_ms(), 0, 0)
            heads = tuple(link.id for link in person.links)
            return log.write(tip, own.id, person.device, Kind.SETTING, setting, hlc=hlc, account_heads=heads, sign=person.sign)

        with db.atomic():
            identity = OwnIdentity(person.account, person.device, person.key, person.secret, person.root[0], bytes(1216), self.wall_ms())
            people_store.create_identity(db, identity)
            people_store.add_links(db, person.links, self.wall_ms())
            log_store.append(db, own, person.device, make, self.wall_ms())
        return db


def _mark(conversation: Conversation, rows: Sequence[MessageRow]) -> ReadBody:
    upto: dict[DeviceId, MessageRow] = {}
    for row in rows:
        if row.device not in upto or upto[row.device].seq < row.seq:
            upto[row.device] = row
    return ReadBody(conversation.id, [ReadEntry(device, row.seq, row.id[:8]) for device, row in sorted(upto.items())])
