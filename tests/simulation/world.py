"""The world of a simulation: its time, its network, its machines, and the oracle that knows all of them.

Everything random in it, what the nodes draw too, comes from one seed: the same seed and the same steps are the same run.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Any, Final

from p2pmsg.errors import P2pmsgError
from p2pmsg.model.addresses import Address
from p2pmsg.model.events import Event
from p2pmsg.model.ids import AccountId, EventId
from p2pmsg.protocol.addresses import Invite
from p2pmsg.storage.cipher import Db
from tests.simulation.machine import Machine
from tests.simulation.network import Network, Weather
from tests.simulation.oracle import Oracle, vector
from tests.simulation.scheduler import Scheduler
from tests.unit.people import Person

NAMES: Final = ("ann", "bob", "carl", "dora", "emil", "fay")
_PATIENCE_S: Final = 120.0
_people: dict[str, Person] = {}


class Failed(AssertionError):
    """Something that must hold does not; the text has the seed."""


class World:
    """To be used in a `with` block: meanwhile `os.urandom` is the seed's, and errors in the log are failures."""

    def __init__(self, seed: int, names: tuple[str, ...] = NAMES[:2]) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, self.rng)
        self.network.carried = self._carried
        self.oracle = Oracle(self)
        self.machines: dict[str, Machine] = {}
        self.spoilt: set[AccountId] = set()
        """Accounts whose database was copied or set back: old copies and forks are to be expected of them."""
        self.never_shown: set[EventId] = set()
        """Messages whose parents are withheld for ever."""
        self.stripped: set[EventId] = set()
        """Events whose author's node once left out their bodies: nobody else has them, so the log goes on without."""
        self._names = names
        self.wanted: dict[tuple[str, str], Invite] = {}
        self._failures: list[str] = []
        self._hosts = 1
        self._trace = hashlib.blake2b()
        self._journal = _Journal(self)

    def __enter__(self) -> World:
        self._urandom, os.urandom = os.urandom, self.rng.randbytes  # type: ignore[assignment]
        self._level = logging.getLogger("p2pmsg").level
        logging.getLogger("p2pmsg").addHandler(self._journal)
        for name in self._names:
            self.add(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.urandom = self._urandom
        logging.getLogger("p2pmsg").removeHandler(self._journal)
        for machine in self.machines.values():
            machine.db.conn.close()
        if error is not None and not isinstance(error, Failed) and isinstance(error, Exception):
            error.add_note(f"seed {self.seed}, at {self.scheduler.now:.3f} s")

    # -- who is there

    def add(self, name: str) -> Machine:
        """Bring a new person's machine up."""
        person = _people.get(name) or _people.setdefault(name, Person(name))
        machine = self.machines[name] = Machine(self, name, person, self.new_host())
        machine.start()
        return machine

    def copy(self, original: Machine, db: Db | None = None) -> Machine:
        """Bring a copy of a machine's folder up, as it is now or as it was."""
        name = f"{original.name}'"
        machine = self.machines[name] = Machine(self, name, original.person, self.new_host(), db or original.snapshot())
        self.spoilt.add(original.account)
        return machine

    def new_host(self) -> str:
        self._hosts += 1
        return f"10.0.{self._hosts // 200}.{1 + self._hosts % 200}"

    def address_of(self, account: AccountId) -> Address | None:
        return next((m.address for m in self.machines.values() if m.account == account and m.runs), None)

    def name_of(self, account: AccountId) -> str:
        return next((m.name for m in self.machines.values() if m.account == account), "?")

    def excused(self, machine: Machine) -> bool:
        return machine.account in self.spoilt

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    # -- becoming contacts, and talking

    def pairs(self) -> list[tuple[Machine, Machine]]:
        """Return those who are to be contacts."""
        return [(self.machines[a], self.machines[b]) for a, b in self.wanted]

    def invite(self, inviter: str, guest: str) -> None:
        """Have one use the other's invite; heal() sees to it that it is tried until it works."""
        a, b = self.machines[inviter], self.machines[guest]
        self.oracle.members[a.direct(b).id] = frozenset((a.account, b.account))
        self.wanted[inviter, guest] = a.invite(self.rng.randbytes(16), lambda invite: b.join(invite) if b.runs else None)

    def introduce(self, *pairs: tuple[str, str]) -> None:
        """Make contacts in good weather, and wait until all are linked."""
        for inviter, guest in pairs:
            self.invite(inviter, guest)
        self.wait(lambda: all(self.settled(a, b) for a, b in self.pairs()), "becoming contacts")

    def say(self, author: str, recipient: str, text: str = "", parents: tuple[EventId, ...] = (), *, shown: bool = True) -> None:
        """Have somebody who runs say something; what `send` accepts is remembered as a promise."""
        self.oracle.said.add(f"{author} to {recipient} at ".encode())
        text = text or f"{author} to {recipient} at {self.scheduler.now:.3f}"

        def done(result: Any) -> None:
            if isinstance(result, Event):
                self.oracle.accepted[result.id] = (author.rstrip("'"), recipient)
                if not shown:
                    self.never_shown.add(result.id)
            elif not isinstance(result, P2pmsgError):
                self.fail(f"send: {result!r}")

        self.machines[author].say(self.machines[recipient], text, parents, done)

    # -- what befalls them

    def part(self, a: str, b: str, *, one_way: bool = False) -> None:
        hosts = self.machines[a].host, self.machines[b].host
        self.network.blocked.add(hosts)
        if not one_way:
            self.network.blocked.add(hosts[::-1])

    def join(self, a: str, b: str) -> None:
        hosts = self.machines[a].host, self.machines[b].host
        self.network.blocked -= {hosts, hosts[::-1]}

    def cut(self, after_bytes: int) -> None:
        """Let one of the lines that stand fall silent for ever after so many more bytes of one direction."""
        lines = [line for line in self.network.lines if not line.dead and line.responder is not None and not line.dialler.gone]
        if lines:
            line = self.rng.choice(lines)
            end = self.rng.choice((line.dialler, line.responder))
            assert end is not None
            end.pipe.left = after_bytes

    def restore(self, name: str, db: Db) -> None:
        """Set a machine's database back; it does not run then."""
        machine = self.machines[name]
        self.spoilt.add(machine.account)
        machine.restore(db)

    # -- time

    def run(self, seconds: float) -> None:
        self.scheduler.run_until(self.scheduler.now + seconds)
        self.check()

    def turns(self, count: int) -> None:
        """Let so many things happen, however little time that takes: to stop in the midst of something."""
        end = self.scheduler.now + 5.0
        while count and self.scheduler.turn(end):
            count -= 1
        self.check()

    def wait(self, until: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
        """Let time pass until something is so.

        Raises:
            Failed: it is not within the patience.
        """
        end = self.scheduler.now + patience_s
        while not until():
            if self.scheduler.now >= end:
                self.fail(f"{what}: not within {patience_s:g} s; {self.state()}")
            self.run(0.25)

    # -- the end

    def heal(self) -> None:
        """Mend the network, bring all up, have liars tell the truth; who did not become contacts, or parted, does so by an invite."""
        self.network.blocked.clear()
        self.network.weather = Weather(announcement_loss=0, announcement_late=0)
        for line in self.network.lines:
            for end in (line.dialler, line.responder):
                if end is not None and end.pipe.left is not None:
                    end.pipe.left = None
        for machine in self.machines.values():
            machine.low_disk = False
            if machine.strips_bodies:
                machine.strips_bodies = False
                machine.crash()
            machine.start()
        self.run(1.0)  # a removal that was just ordered is stored first
        for one, other in [pair for a, b in self.pairs() for pair in ((a, b), (b, a))]:
            if one.blocks(other) and self.rng.random() < 0.5:
                one.unblock(other)
        self.run(1.0)
        for inviter, guest in list(self.wanted):
            a, b = self.machines[inviter], self.machines[guest]
            if a.blocks(b) or b.blocks(a):
                continue
            if not (a.knows(b) and b.knows(a) and a.doors_to(b) & b.doors_to(a)):
                self._join_again(inviter, guest)  # his `contact add` has failed, so the guest repeats it
        for machine in self.machines.values():
            assert machine.process is not None
            machine.process.announce()

    def _join_again(self, inviter: str, guest: str) -> None:
        """Use the same invite again, unless a crash came before it was stored, or its maker's clock has jumped over its end."""
        invite = self.wanted[inviter, guest]
        if self.machines[inviter].offers(invite):
            self.machines[guest].join(invite)
        else:
            self.invite(inviter, guest)

    def drain(self) -> None:
        """Wait until everybody who is to talk is linked and has all of the other; property 3: then nothing moves any more."""
        self.wait(lambda: all(self.settled(a, b) for a, b in self.whole_pairs()), "healing")
        self.run(2.0)
        self._check_rest()
        before = self.oracle.events_handed
        for _ in range(10):
            for machine in self.machines.values():
                for peer in machine.node.replication._peers.values():
                    peer.compare_at = 0.0
                machine.node.wake()
            self.run(1.0)
        if self.oracle.events_handed != before:
            self.fail(f"{self.oracle.events_handed - before} events moved between nodes that had everything")
        for a, b in self.whole_pairs():
            self._check_nothing_owed(a, b)

    def _check_rest(self) -> None:
        """Nodes that have nothing to do do nothing, but for pings and redials."""
        before = self.scheduler.turns
        self.run(5.0)
        if self.scheduler.turns - before > 100 * len(self.machines):
            self.fail(f"{self.scheduler.turns - before} turns in 5 s of rest")

    def finish(self) -> None:
        """Heal, drain, and check all that must hold in the end."""
        self.heal()
        self.drain()
        self.oracle.check_end()
        self.check()

    def whole_pairs(self) -> list[tuple[Machine, Machine]]:
        return [(a, b) for a, b in self.pairs() if not (self.excused(a) or self.excused(b) or a.blocks(b) or b.blocks(a))]

    def settled(self, a: Machine, b: Machine) -> bool:
        """Say whether two are linked and hold the same, and nothing is on its way between them."""
        if not (a.runs and b.runs and linked(a, b) and linked(b, a)):
            return False
        return vector(a, b) == vector(b, a) and not owed(a, b) and not owed(b, a)

    def _check_nothing_owed(self, a: Machine, b: Machine) -> None:
        for machine, other in ((a, b), (b, a)):
            if owed(machine, other):
                self.fail(f"{machine.name} still has something on its way to {other.name}: {owed(machine, other)}")

    # -- failures

    def fail(self, text: str) -> None:
        self._failures.append(text)

    def check(self) -> None:
        """Raises: Failed, with the first thing that went wrong and the seed."""
        if self._failures:
            raise Failed(f"seed {self.seed}, at {self.scheduler.now:.3f} s, turn {self.scheduler.turns}: {self._failures[0]}")

    @property
    def failed(self) -> bool:
        return bool(self._failures)

    def state(self) -> str:
        """Return in a line who is linked to whom and holds what."""
        lines = []
        for a, b in self.pairs():
            if a.runs and b.runs:
                lines.append(f"{a.name}{'-' if linked(a, b) else '/'}{'-' if linked(b, a) else '/'}{b.name}")
                lines.append(f"{_tops(vector(a, b))} {_tops(vector(b, a))} owed {owed(a, b)} {owed(b, a)}")
        return "; ".join(lines)

    @property
    def trace(self) -> str:
        """A sum over all that the network has carried and when: equal for equal runs."""
        return self._trace.hexdigest()[:16]

    def _carried(self, source: str, target: str, data: bytes) -> None:
        self._trace.update(f"{self.scheduler.now:.6f} {source} {target} {len(data)}\n".encode())
        self.oracle.carried(data)

    def announce(self, machine: Machine, said: tuple[bytes, bytes, bytes]) -> None:
        hosts = [host for host in self.network.endpoints if host != machine.host]
        self.network.announce(machine.host, lambda host: self._hear(host, said), hosts)

    def _hear(self, host: str, said: tuple[bytes, bytes, bytes]) -> None:
        for machine in self.machines.values():
            if machine.host == host and machine.process is not None:
                machine.process.hear(said)


class _Journal(logging.Handler):
    """An error in the log is a failure of the run; warnings are of peers' faults, of which honest ones make none."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world
        self.allowed = ("could not be stored: The disk is nearly full",)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not any(part in text for part in self.allowed):
            cause = f" {record.exc_info[1]!r}" if record.exc_info else ""
            self._world.fail(f"logged: {text}{cause}")


def linked(a: Machine, b: Machine) -> bool:
    return any(opened.account == b.account for opened in a.node.links)


def owed(a: Machine, b: Machine) -> str:
    """Return what a machine has on its way to another, or has asked it for; empty where there is nothing."""
    replication = a.node.replication
    for number, peer in replication._peers.items():
        if peer.account == b.account:
            asked = [ask for ask in replication._asks._asks.values() if ask.link == number and not ask.parked]
            parts = {
                "asked": asked,
                "giving": list(peer.giving),
                "unacknowledged": peer.unacknowledged_bytes,
                "received": peer.receiving_bytes,
            }
            return ", ".join(f"{name} {value}" for name, value in parts.items() if value)
    return ""


def _tops(vector_: dict[Any, Any]) -> str:
    return "/".join(f"{device.hex()[:4]}:{ends[-1][0]}{'*' if len(ends) > 1 else ''}" for device, ends in sorted(vector_.items()))
