"""Mallory: speaks UDP, QUIC and the protocol well enough to lie at any point of it, to a real daemon on loopback."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from p2pmsg.config import limits
from p2pmsg.crypto import domains, gates
from p2pmsg.crypto.channel import Channel
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.addresses import Address
from p2pmsg.model.events import Claim, Event, Header, Tip
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.model.ids import AccountId, ConversationId
from p2pmsg.network.connection import Connection
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol import log as rules
from p2pmsg.protocol.addresses import decode_invite
from p2pmsg.protocol.bodies import Body, TextBody, encode_body, kind_of
from p2pmsg.protocol.handshake import Dialler
from p2pmsg.protocol.knowledge import Knowledge
from p2pmsg.protocol.messages import CommitPeering, OpenLink, SendBytes
from p2pmsg.protocol.wire import Frame, Message
from tests.integration.daemons import Somebody
from tests.unit.people import Person

PATIENCE_S = 10.0
AT_ONCE_S = 3.0
"""Within this time comes what is a daemon's own decision; later it may be the end of its patience."""


@dataclass(eq=False, slots=True)
class Line:
    """A connection of Mallory's: below the handshake he writes what he likes."""

    connection: Connection
    exporter: asyncio.Future[bytes]
    lost: asyncio.Future[int | None]
    frames: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    began: float = field(default_factory=time.monotonic)

    def write(self, data: bytes) -> None:
        self.connection.write(data)

    async def ready(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.exporter

    async def ended(self, within_s: float = PATIENCE_S) -> int | None:
        """Return the code that the daemon closed with; None for none."""
        async with asyncio.timeout(within_s):
            return await asyncio.shield(self.lost)


@dataclass(eq=False, slots=True)
class Talk:
    """An open link: Mallory is a contact, or seems to be one."""

    line: Line
    channel: Channel
    hello: wire.Hello
    inbox: asyncio.Queue[tuple[int, bytes]] = field(default_factory=asyncio.Queue)

    def frame(self, number: int, payload: bytes) -> None:
        self.line.write(self.channel.send(number, payload, 0.0))

    def send(self, message: Message) -> None:
        self.frame(*wire.encode(message))

    def events(self, *events: Event) -> None:
        self.send(wire.Events([wire.sent_event(event) for event in events]))

    def have(self, *claims: tuple[ConversationId, list[Claim]], complete: bool = True) -> None:
        self.send(wire.Have(complete, [wire.LogClaims(conversation, wire.pack_claims(claim)) for conversation, claim in claims]))

    async def listen(self) -> None:
        """Open what comes, and answer the renewal of keys, until the link ends."""
        while True:
            frame = await self.line.frames.get()
            payload, out = self.channel.receive(frame.type, frame.body, 0.0)
            if out:
                self.line.write(out)
            if payload is not None:
                self.inbox.put_nowait((frame.type, payload))

    async def next(self, kind: int) -> Message:
        """Return the next message of a kind, passing over others."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                number, payload = await self.inbox.get()
                if number == kind:
                    message = wire.decode(number, payload)
                    assert message is not None
                    return message

    def heard(self) -> list[tuple[int, bytes]]:
        """Return what came and was not taken yet."""
        return [self.inbox.get_nowait() for _ in range(self.inbox.qsize())]

    async def ended(self, within_s: float = PATIENCE_S) -> int | None:
        return await self.line.ended(within_s)


class Mallory:
    """An account like any other, and an endpoint; made from a name, so that a failing test fails again."""

    def __init__(self, name: str, tasks: asyncio.TaskGroup) -> None:
        self.person = Person(name)
        self.endpoint = Endpoint(self)
        self.pair_keys: dict[AccountId, bytes] = {}
        self.victims: dict[AccountId, tuple[ChainLink, ...]] = {}
        self.log: dict[AccountId, list[Event]] = {}
        self.callers: asyncio.Queue[Line] = asyncio.Queue()
        """Who dialled him."""
        self._tasks = tasks
        self._lines: dict[int, Line] = {}

    # -- the endpoint's listener

    def connection_ready(self, connection: Connection, exporter: bytes) -> None:
        connection.frame_limit = limits.FRAME_BYTES
        connection.authenticated()  # else his own patience ends as soon as theirs
        line = self._lines.get(connection.number)
        if line is None:
            line = self._line(connection)
            self.callers.put_nowait(line)
        line.exporter.set_result(exporter)

    def frame_received(self, connection: Connection, frame: Frame) -> None:
        if (line := self._lines.get(connection.number)) is not None:
            line.frames.put_nowait(frame)

    def connection_lost(self, connection: Connection, code: int | None) -> None:
        if (line := self._lines.get(connection.number)) is not None:
            line.lost.set_result(code)

    # -- links

    def dial(self, victim: Somebody) -> Line:
        return self._line(self.endpoint.dial(Address("127.0.0.1", victim.ask("status")["port"])))

    async def called(self) -> Line:
        """Return the next connection of somebody who dialled him."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.callers.get()

    def _line(self, connection: Connection) -> Line:
        loop = asyncio.get_running_loop()
        line = self._lines[connection.number] = Line(connection, loop.create_future(), loop.create_future())
        return line

    async def join(self, victim: Somebody, invite: str | None = None) -> Talk:
        """Become a contact by an invite of the victim's."""
        made = decode_invite(invite or victim.ask("contact.invite")["invite"])
        gate = GateRow(gates.invite_gate(made.secret, made.account), Purpose.INVITE, None)
        return await self.shake(self.dial(victim), gate, made.account)

    async def link(self, victim: Somebody) -> Talk:
        """Open a link as the contact that he is."""
        account = AccountId(bytes.fromhex(victim.account))
        return await self.shake(self.dial(victim), self.gate(account), account)

    def gate(self, account: AccountId) -> GateRow:
        return GateRow(gates.pair_gate(self.pair_keys[account], self.person.account, account), Purpose.PAIR, account)

    async def shake(self, line: Line, gate: GateRow, account: AccountId) -> Talk:
        """Play the dialler's part as it should be played."""
        machine = Dialler(self.knowledge(), await line.ready(), gate, account, os.urandom(64), 0.0)
        commands = machine.start()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for command in commands:
                    match command:
                        case SendBytes(data):
                            line.write(data)
                        case CommitPeering(peering):
                            self.victims[account] = peering.new_links or self.victims.get(account, ())
                            if peering.pair_key is not None:
                                self.pair_keys[account] = peering.pair_key
                            commands.extend(machine.committed(0.0))
                        case OpenLink(_, channel, hello):
                            line.connection.authenticated()
                            talk = Talk(line, channel, hello)
                            self._tasks.create_task(talk.listen())
                            return talk
                commands = machine.receive(await line.frames.get(), 0.0)

    def knowledge(self) -> Knowledge:
        return Knowledge(
            me=self.person.identity,
            rows=lambda: (),
            known=lambda account: authority.resolve(self.victims[account]) if self.victims.get(account) else None,
            links_of=lambda account: self.victims.get(account, ()),
            may_link=lambda account, device: True,
            hello=lambda device: wire.encode(self.hello())[1],
        )

    def hello(self) -> wire.Hello:
        return wire.Hello(os.urandom(8), time.time_ns() // 1_000_000, limits.UNACKNOWLEDGED_BYTES, [], os.urandom(32), 1)

    # -- events

    def conversation(self, victim: Somebody) -> ConversationId:
        return gates.direct_conversation(self.person.account, AccountId(bytes.fromhex(victim.account)))

    def write(self, victim: Somebody, body: Body | bytes, *, keep: bool = True, **changes: object) -> Event:
        """Sign the next event of the log; `changes` are fields of the header that differ from what is right."""
        log = self.log.setdefault(AccountId(bytes.fromhex(victim.account)), [])
        last = log[-1] if log else None
        tip = Tip(last.header.seq, last.id, last.header.hlc) if last else None
        event = self.sign(self.conversation(victim), body, tip, **changes)
        if keep:
            log.append(event)
        return event

    def sign(self, conversation: ConversationId, body: Body | bytes, tip: Tip | None = None, **changes: object) -> Event:
        data = body if isinstance(body, bytes) else encode_body(body, os.urandom(16))
        kind = 1 if isinstance(body, bytes) else int(kind_of(body))
        event = rules.write(
            tip,
            conversation,
            self.person.device,
            kind,
            data,
            hlc=rules.next_hlc(time.time_ns() // 1_000_000, 0, tip.hlc if tip else 0),
            account_heads=self.person.identity.heads,
            sign=self.person.sign,
        )
        if not changes:
            return event
        header = replace(event.header, **changes)  # type: ignore[arg-type]
        return self.resign(header, data)

    def resign(self, header: Header, body: bytes) -> Event:
        data = wire.encode_header(header)
        return Event(wire.event_id(data), header, data, self.person.sign(domains.EVENT + data), body)

    def text(self, victim: Somebody, words: str, **changes: object) -> Event:
        return self.write(victim, TextBody(words), **changes)  # type: ignore[arg-type]

    def claim(self, event: Event) -> Claim:
        return wire.claim_of(event.header.device, event.header.seq, event.id)


@asynccontextmanager
async def mallory(name: str = "Mallory", *hosts: str) -> AsyncIterator[Mallory]:
    """Mallory with an endpoint of his own, at 127.0.0.1 if nothing else is named."""
    async with asyncio.timeout(25), asyncio.TaskGroup() as tasks:
        attacker = Mallory(name, tasks)
        await attacker.endpoint.bind(hosts or ("127.0.0.1",))
        try:
            yield attacker
        finally:
            await attacker.endpoint.close()
            for task in list(tasks._tasks):  # type: ignore[attr-defined]
                task.cancel()
