"""Two ends of a handshake and the wire between them, for tests that read as conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from p2pmsg.config import limits
from p2pmsg.model.accounts import ChainLink, Membership
from p2pmsg.model.gates import GateRow
from p2pmsg.model.ids import AccountId, DeviceId
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol.handshake import Dialler, Responder
from p2pmsg.protocol.knowledge import Identity, Knowledge
from p2pmsg.protocol.messages import CommitPeering, CompareStrings, HandshakeCommand, OpenLink, Peering, SendBytes
from p2pmsg.protocol.proofs import Proof, ShownChain, Verifier
from p2pmsg.protocol.wire import Frame, FrameReader, Hello
from tests.unit.people import Person, seeded

EXPORTER = seeded("the TLS session")


def hello_of(person: Person) -> Hello:
    return Hello(seeded(person.name, 8), 1_700_000_000_000, limits.UNACKNOWLEDGED_BYTES, [], seeded(f"{person.name}/presence"), 1)


def knowledge(
    person: Person,
    rows: Sequence[GateRow] = (),
    stored: Iterable[ChainLink] = (),
    may_link: Callable[[AccountId, DeviceId], bool] = lambda account, device: True,
    me: Identity | None = None,
) -> Knowledge:
    """Return what a node of this person knows; `stored` are links of others' chains."""
    chains: dict[AccountId, tuple[ChainLink, ...]] = {}
    for link in stored:
        chains[link.account] = (*chains.get(link.account, ()), link)

    def known(account: AccountId) -> Membership | None:
        return authority.resolve(chains[account]) if account in chains else None

    return Knowledge(
        me=me or person.identity,
        rows=lambda: rows,
        known=known,
        links_of=lambda account: chains.get(account, ()),
        may_link=may_link,
        hello=lambda device: wire.encode(hello_of(person))[1],
    )


@dataclass(slots=True)
class End:
    """One end: performs its machine's commands and notes what happened."""

    machine: Dialler | Responder
    commits: bool = True
    """Whether a commit is done at once; else the test calls `committed`."""
    peerings: list[Peering] = field(default_factory=list)
    compared: list[CompareStrings] = field(default_factory=list)
    opened: OpenLink | None = None
    sent: bytes = b""
    now: float = 0.0
    reader: FrameReader = field(default_factory=lambda: FrameReader(limits.FRAME_BYTES))

    def start(self) -> bytes:
        return self.perform(self.machine.start())

    def committed(self) -> bytes:
        return self.perform(self.machine.committed(self.now))

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the wire; return the answer."""
        return b"".join(self.take(frame) for frame in self.reader.feed(data))

    def take(self, frame: Frame) -> bytes:
        return self.perform(self.machine.receive(frame, self.now))

    def perform(self, commands: Iterable[HandshakeCommand]) -> bytes:
        out = b""
        for command in commands:
            match command:
                case SendBytes(data):
                    out += data
                    self.sent += data
                case CompareStrings():
                    self.compared.append(command)
                case CommitPeering(peering):
                    self.peerings.append(peering)
                    out += self.committed() if self.commits else b""
                case OpenLink():
                    assert self.opened is None
                    self.opened = command
        return out


def dialler(
    person: Person, to: Person, gate: GateRow, know: Knowledge | None = None, exporter: bytes = EXPORTER, entropy: bytes = seeded("d", 64)
) -> End:
    return End(Dialler(know or knowledge(person), exporter, gate, to.account, entropy, 0.0))


def responder(know: Knowledge, exporter: bytes = EXPORTER, entropy: bytes = seeded("r", 64)) -> End:
    return End(Responder(know, exporter, entropy, 0.0))


class Gullible(Verifier):
    """The verifier of an attacker's own node, which goes on whatever it is shown."""

    def check_signed(self, proof: Proof, text: bytes) -> None:
        return

    def check_chain(self, proof: Proof, forms: Sequence[bytes]) -> ShownChain:
        return ShownChain(Membership(proof.account, (), frozenset(), {}, ""), (), None)


def hostile(end: End) -> End:
    """Take all scruples from an end."""
    verifier = end.machine._verifier
    end.machine._verifier = Gullible(verifier.own_device, verifier.known, verifier.links_of, verifier.may_link)
    return end


def meet(d: End, r: End) -> None:
    """Carry bytes to and fro until both are silent."""
    data = d.start()
    while data:
        data = d.feed(r.feed(data))


def frames(data: bytes) -> list[Frame]:
    return FrameReader(limits.FRAME_BYTES).feed(data)


def posing(person: Person, **changes: object) -> Identity:
    """Return an identity that says of itself what an attacker wants."""
    return replace(person.identity, **changes)  # type: ignore[arg-type]
