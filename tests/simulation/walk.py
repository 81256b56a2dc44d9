"""A walk through a world: what people do and what befalls them, drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

from p2pmsg.model.ids import EventId
from tests.simulation.machine import Machine
from tests.simulation.network import Weather
from tests.simulation.oracle import shown
from tests.simulation.scheduler import EPOCH_MS
from tests.simulation.world import NAMES, World

YEAR_MS: Final = 365 * 86_400_000
TO_1970_MS: Final = -EPOCH_MS + 1000
TO_2036_MS: Final = 9 * YEAR_MS


@contextmanager
def walked(seed: int, steps: int = 60) -> Iterator[World]:
    """Take a walk of so many steps, with checks on the way; the world is as it was left, not healed yet."""
    rng = Random(f"walk {seed}")
    names = NAMES[: rng.choice((2, 2, 3, 3, 4, 5, 6))]
    with World(seed, names) as world:
        world.network.weather = _weather(rng)
        walk = Walk(world, rng)
        for step in range(steps):
            walk.step()
            world.oracle.check_books()
            if step % 8 == 0:
                world.oracle.check_ticks()
            world.check()
        yield world


def _weather(rng: Random) -> Weather:
    return Weather(latency_s=rng.choice((0.002, 0.02, 0.3)), announcement_loss=rng.choice((0.1, 0.5)), split=rng.choice((0.05, 0.5)))


class Walk:
    """Chooses one step after the other."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world, self._rng = world, rng
        names = list(world.machines)
        for at, name in enumerate(names[1:]):
            world.invite(name, names[rng.randrange(at + 1)])
        self._actions: list[tuple[int, Callable[[], None]]] = [
            (30, self.say),
            (6, self.burst),
            (2, self.long),
            (6, self.reply),
            (2, self.withheld),
            (6, self.read),
            (6, self.crash),
            (2, self.stop),
            (12, self.start),
            (6, self.part),
            (8, self.join),
            (6, self.cut),
            (3, self.move),
            (4, self.clock),
            (2, self.disk),
            (2, self.liar),
            (2, self.meet),
            (2, self.remove),
            (3, self.block),
            (2, self.unblock),
        ]

    def step(self) -> None:
        weights = [weight for weight, _ in self._actions]
        self._rng.choices([action for _, action in self._actions], weights)[0]()
        if self._rng.random() < 0.5:
            self._world.turns(self._rng.randrange(60))
        else:
            self._world.run(self._rng.choice((0.01, 0.2, 1.0, 5.0, 15.0)))

    # -- talking

    def say(self) -> None:
        if pair := self._talking():
            self._world.say(pair[0].name, pair[1].name)

    def burst(self) -> None:
        if pair := self._talking():
            for number in range(self._rng.choice((10, 60, 300))):
                self._world.say(pair[0].name, pair[1].name, f"{number} of a burst")

    def long(self) -> None:
        if pair := self._talking():
            for _ in range(self._rng.choice((1, 30))):
                self._world.say(pair[0].name, pair[1].name, "x" * self._rng.choice((20_000, 65_536)))

    def reply(self) -> None:
        """Answer the newest message held: it must be shown below it everywhere."""
        if (pair := self._talking()) and (seen := shown(*pair)):
            self._world.say(pair[0].name, pair[1].name, parents=(seen[-1],))

    def withheld(self) -> None:
        """Answer something that nobody will ever have: the log goes on, the view waits."""
        if pair := self._talking():
            self._world.say(pair[0].name, pair[1].name, parents=(EventId(self._rng.randbytes(32)),), shown=False)

    def read(self) -> None:
        if pair := self._talking():
            pair[0].read(pair[1])

    # -- machines

    def crash(self) -> None:
        if machine := self._any(runs=True):
            machine.crash()

    def stop(self) -> None:
        if machine := self._any(runs=True):
            machine.stop()

    def start(self) -> None:
        if machine := self._any(runs=False):
            machine.strips_bodies = False
            machine.start()

    def clock(self) -> None:
        if machine := self._any():
            jump = self._rng.choice((TO_1970_MS, TO_2036_MS, 0, -5_000, 90_000, 3_600_000, -YEAR_MS))
            machine.skew_ms = jump

    def disk(self) -> None:
        if machine := self._any():
            machine.low_disk = not machine.low_disk

    def liar(self) -> None:
        if machine := self._any():
            machine.strips_bodies = True

    # -- the network

    def part(self) -> None:
        a, b = self._rng.sample(list(self._world.machines), 2)
        self._world.part(a, b, one_way=self._rng.random() < 0.3)

    def join(self) -> None:
        for a in self._world.machines:
            for b in self._world.machines:
                if a < b and self._rng.random() < 0.5:
                    self._world.join(a, b)

    def cut(self) -> None:
        self._world.cut(self._rng.choice((0, 1, 100, 1500, 4000, 20_000)))

    def move(self) -> None:
        if machine := self._any():
            machine.move(self._world.new_host())

    def meet(self) -> None:
        """Two who are no contacts become such; or contacts once more, by a new invite."""
        a, b = self._rng.sample(list(self._world.machines.values()), 2)
        if a.runs and b.runs and not a.low_disk and (b.name, a.name) not in self._world.wanted:
            self._world.invite(a.name, b.name)

    def remove(self) -> None:
        if pair := self._talking():
            pair[0].remove(pair[1])

    def block(self) -> None:
        if pair := self._talking():
            pair[0].block(pair[1])

    def unblock(self) -> None:
        pairs = [pair for a, b in self._world.pairs() for pair in ((a, b), (b, a)) if pair[0].runs and pair[0].blocks(pair[1])]
        if pairs:
            a, b = self._rng.choice(pairs)
            a.unblock(b)

    # -- inside

    def _any(self, *, runs: bool | None = None) -> Machine | None:
        found = [machine for machine in self._world.machines.values() if runs is None or machine.runs is runs]
        return self._rng.choice(found) if found else None

    def _talking(self) -> tuple[Machine, Machine] | None:
        """Return somebody who runs and a contact of his, whom he has not blocked."""
        pairs = [pair for a, b in self._world.pairs() for pair in ((a, b), (b, a)) if pair[0].runs and pair[0].knows(pair[1])]
        pairs = [(a, b) for a, b in pairs if not a.blocks(b)]
        return self._rng.choice(pairs) if pairs else None
