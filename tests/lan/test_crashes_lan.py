"""kill -9 of either side, or both, with messages in flight: nothing lost, nothing twice, nothing shown as delivered that is not there.

Nor is anything left behind (remains.py).
The moment of each kill is drawn; the seed is in the failure.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from p2pmsg.errors import DaemonNotRunning
from tests.lan.lan import end
from tests.lan.people import Person, Scene, halted, start
from tests.lan.remains import Remains

MakeScene = Callable[..., Scene]
IN_FLIGHT = 40
ROUNDS = 5
WORDS = 5
"""The last of them are looked for in the clear."""
RECEIVING_S, WRITING_S, MEETING_S = 0.02, 0.04, 0.12
"""About what each takes here; kills are spread over it."""


class Pouring:
    """Messages of one person, written all at once by as many clients."""

    def __init__(self, writer: Person, to: Person, round_: int) -> None:
        self.texts = [f"{writer.name} {round_}.{number}" for number in range(IN_FLIGHT)]
        self._writer, self._to = writer, to
        self._pool = ThreadPoolExecutor(IN_FLIGHT)
        self._done = [self._pool.submit(self._write, text) for text in self.texts]

    def accepted(self) -> list[str]:
        """Wait for the end of all; return the texts for which `send` has answered."""
        self._pool.shutdown()
        return [text for text in (done.result() for done in self._done) if text is not None]

    def _write(self, text: str) -> str | None:
        try:
            self._writer.send(self._to, text)
        except DaemonNotRunning:
            return None
        return text


def wait(seconds: float) -> None:
    """Let the daemons run: the moment of the kill is what is tested."""
    threading.Event().wait(seconds)


def shown_as_delivered(writer: Person, to: Person) -> set[str]:
    return {text for text, state in writer.states(to).items() if state in ("delivered", "read")}


def check_all_there(writer: Person, to: Person, accepted: list[str], seed: str, remains: Remains) -> None:
    """Everything accepted arrives, once, in the order of the writer's own history; nothing remains that should not."""
    writer.until_delivered(to)
    written = [each["text"] for each in writer.texts(to) if each["mine"]]
    got = to.got(writer)
    assert got == written, seed
    assert len(set(got)) == len(got), seed
    assert set(accepted) <= set(got), seed
    remains.check(*(text.encode() for text in written[-WORDS:]))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name} {random.SystemRandom().randrange(1 << 32)}"


def test_the_receiver_is_killed(scene: MakeScene, seed: str) -> None:
    ann, bob = scene().pair()
    remains = Remains(ann, bob)
    draw, accepted = random.Random(seed), []
    for round_ in range(ROUNDS):
        with halted(bob):
            accepted += Pouring(ann, bob, round_).accepted()
            before = len(shown_as_delivered(ann, bob))
        wait(draw.uniform(0, RECEIVING_S))
        bob.kill()
        delivered = shown_as_delivered(ann, bob)
        assert len(ann.states(bob)) - before >= IN_FLIGHT
        with halted(ann):
            bob.start()
            assert delivered <= set(bob.got(ann)), seed
        check_all_there(ann, bob, accepted, seed, remains)


def test_the_sender_is_killed(scene: MakeScene, seed: str) -> None:
    ann, bob = scene().pair()
    remains = Remains(ann, bob)
    draw, accepted = random.Random(seed), []
    for round_ in range(ROUNDS):
        pouring = Pouring(ann, bob, round_)
        wait(draw.uniform(0, WRITING_S))
        ann.kill()
        accepted += pouring.accepted()
        with halted(bob):
            ann.start()
            assert set(accepted) <= set(ann.states(bob)), seed
        check_all_there(ann, bob, accepted, seed, remains)


def test_the_sender_is_killed_with_everything_in_flight(scene: MakeScene, seed: str) -> None:
    ann, bob = scene().pair()
    remains = Remains(ann, bob)
    accepted: list[str] = []
    for round_ in range(2):
        with halted(bob):
            accepted += Pouring(ann, bob, round_).accepted()
            ann.kill()
        ann.start()
        check_all_there(ann, bob, accepted, seed, remains)
    assert len(accepted) == 2 * IN_FLIGHT


def test_both_are_killed_while_both_write(scene: MakeScene, seed: str) -> None:
    ann, bob = scene().pair()
    remains = Remains(ann, bob)
    draw = random.Random(seed)
    of_ann: list[str] = []
    of_bob: list[str] = []
    for round_ in range(ROUNDS):
        pouring = Pouring(ann, bob, round_), Pouring(bob, ann, round_)
        wait(draw.uniform(0, 2 * WRITING_S))
        for person in draw.sample([ann, bob], 2):
            person.kill()
        of_ann += pouring[0].accepted()
        of_bob += pouring[1].accepted()
        start(ann, bob)
        check_all_there(ann, bob, of_ann, seed, remains)
        check_all_there(bob, ann, of_bob, seed, remains)


def test_one_is_killed_while_they_become_contacts(scene: MakeScene, seed: str) -> None:
    """The invite stays good for the same person until both have the contact, and no other end is possible."""
    here = scene()
    ann = here.person(1, "Ann")
    ann.start()
    draw = random.Random(seed)
    for round_ in range(ROUNDS):
        bob = here.person(2, f"Bob {round_}")
        bob.start()
        invite = ann.ask("contact.invite")["invite"]
        with ThreadPoolExecutor(1) as pool:
            adding = pool.submit(bob.ask, "contact.add", invite=invite, timeout_s=1)
            wait(draw.uniform(0, MEETING_S))
            victim = draw.choice([ann, bob])
            victim.kill()
            adding.exception()
        victim.start()
        bob.ask("contact.add", invite=invite)
        bob.send(ann, "made it", wait="delivered")
        ann.until_online(bob)
        ann.send(bob, "at last", wait="delivered")
        assert ann.got(bob) == ["made it"], seed
        assert [each["name"] for each in bob.ask("contact.list")] == ["Ann"], seed
        bob.kill()


def test_a_daemon_that_is_killed_while_it_starts_comes_back(scene: MakeScene, seed: str) -> None:
    here = scene()
    ann, bob = here.pair()
    draw = random.Random(seed)
    bob.send(ann, "are you alright?", wait="delivered")
    ann.kill()
    for _ in range(ROUNDS):
        starting = here.lan.popen(1, ann.command("daemon", "run"))
        wait(draw.uniform(0.1, 0.6))
        end(starting)
    ann.start()
    ann.until_online(bob)
    ann.send(bob, "I am", wait="delivered")
    assert ann.got(bob) == ["are you alright?"], seed
