"""The world as a Hypothesis state machine: what befalls it is chosen, and made smaller where it fails."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2pmsg.model.ids import EventId
from tests.simulation.machine import Machine
from tests.simulation.network import Weather
from tests.simulation.oracle import shown
from tests.simulation.walk import TO_1970_MS, TO_2036_MS
from tests.simulation.world import NAMES, World

SKEWS_MS = (0, TO_1970_MS, TO_2036_MS, 3_600_000, -90_000)
any_number = st.integers(0, 5)


class Worlds(RuleBasedStateMachine):
    """Two to four people; at the end all is mended and must be whole."""

    world: World

    @initialize(seed=st.integers(0, 2**16), people=st.integers(2, 4), latency_s=st.sampled_from((0.002, 0.02, 0.3)))
    def begin(self, seed: int, people: int, latency_s: float) -> None:
        self.world = World(seed, NAMES[:people])
        self.world.__enter__()
        self.world.network.weather = Weather(latency_s=latency_s)
        for name in NAMES[1:people]:
            self.world.invite(NAMES[0], name)

    # -- talking

    @rule(who=any_number, count=st.sampled_from((1, 1, 3, 250)), size=st.sampled_from((10, 10, 65_000)))
    def say(self, who: int, count: int, size: int) -> None:
        author, recipient = self.pair(who)
        if author.runs and author.knows(recipient):
            for _ in range(count if size == 10 else 1):
                self.world.say(author.name, recipient.name, "x" * size)

    @rule(who=any_number, withheld=st.booleans())
    def reply(self, who: int, withheld: bool) -> None:
        author, recipient = self.pair(who)
        if author.runs and author.knows(recipient):
            parents = (EventId(self.world.rng.randbytes(32)),) if withheld else tuple(shown(author, recipient)[-1:])
            self.world.say(author.name, recipient.name, parents=parents, shown=not withheld)

    @rule(who=any_number)
    def read(self, who: int) -> None:
        reader, author = self.pair(who)
        if reader.runs and reader.knows(author):
            reader.read(author)

    # -- what befalls machines

    @rule(who=any_number, turns=st.integers(0, 40))
    def crash(self, who: int, turns: int) -> None:
        """Kill somebody after so many more things have happened."""
        self.world.turns(turns)
        self.machine(who).crash()

    @rule(who=any_number)
    def stop(self, who: int) -> None:
        self.machine(who).stop()

    @rule(who=any_number)
    def start(self, who: int) -> None:
        self.machine(who).start()

    @rule(who=any_number, skew_ms=st.sampled_from(SKEWS_MS))
    def jump(self, who: int, skew_ms: int) -> None:
        self.machine(who).skew_ms = skew_ms

    @rule(who=any_number)
    def fill_disk(self, who: int) -> None:
        self.machine(who).low_disk = True

    @rule(who=any_number)
    def lie(self, who: int) -> None:
        self.machine(who).strips_bodies = True

    # -- what befalls the network

    @rule(who=any_number, one_way=st.booleans())
    def part(self, who: int, one_way: bool) -> None:
        a, b = self.pair(who)
        self.world.part(a.name, b.name, one_way=one_way)

    @precondition(lambda self: self.world.network.blocked)
    @rule()
    def mend(self) -> None:
        self.world.network.blocked.clear()

    @rule(after_bytes=st.sampled_from((0, 1, 700, 1300, 4000, 20_000)))
    def cut(self, after_bytes: int) -> None:
        self.world.cut(after_bytes)

    @rule(who=any_number)
    def move(self, who: int) -> None:
        self.machine(who).move(self.world.new_host())

    @rule(turns=st.integers(1, 60))
    def pass_turns(self, turns: int) -> None:
        self.world.turns(turns)

    @rule(seconds=st.sampled_from((0.05, 1.0, 10.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.run(seconds)

    # -- what must hold

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.oracle.check_ticks()
            self.world.oracle.check_books()
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.world.failed:
                self.world.finish()
        finally:
            self.world.__exit__(None, None, None)

    def machine(self, which: int) -> Machine:
        machines = list(self.world.machines.values())
        return machines[which % len(machines)]

    def pair(self, which: int) -> tuple[Machine, Machine]:
        both = [pair for a, b in self.world.pairs() for pair in ((a, b), (b, a))]
        return both[which % len(both)]


TestWorlds = Worlds.TestCase
TestWorlds.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, derandomize=True, print_blob=True, suppress_health_check=list(HealthCheck)
)
