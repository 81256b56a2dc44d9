"""The victims: Ann, who is attacked, and Bob, her friend, whose messages must go on arriving meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.daemons import Somebody, town


@dataclass(frozen=True, slots=True)
class Victims:
    ann: Somebody
    bob: Somebody
    pid: int

    def unharmed(self) -> None:
        """See that Ann's daemon is the same as before, has met no fault of its own, and that she and Bob still talk."""
        assert self.ann.pid == self.pid
        assert self.ann.say(self.bob, "still here?")["state"] in ("delivered", "read")
        assert self.bob.say(self.ann, "still here")["state"] in ("delivered", "read")
        for words in ("Traceback", "fault of our own", "could not be stored", "ERROR"):
            assert not self.ann.logged(words), (self.ann.folder / "daemon.log").read_text()[-4000:]


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with town("Ann", "Bob") as (ann, bob):
        yield Victims(ann, bob, ann.pid)


@pytest.fixture
def ann(victims: Victims) -> Iterator[Somebody]:
    """Ann, attacked; whatever was done to her, she is well afterwards."""
    yield victims.ann
    victims.unharmed()


@pytest.fixture
def bob(victims: Victims) -> Somebody:
    return victims.bob
