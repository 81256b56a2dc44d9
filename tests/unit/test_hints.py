"""Hints: what a node tells of itself and hands on of others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from p2pmsg.config import limits
from p2pmsg.daemon.hints import Hints
from p2pmsg.model.ids import AccountId, DeviceId, LinkNumber
from p2pmsg.protocol.links import Links, Opened
from p2pmsg.protocol.wire import Announced, Hint


def announced(name: str) -> Announced:
    return Announced(name.encode().ljust(10), b"a", bytes(8 * limits.TAGS))


class Place:
    """A node's links and clock: what is sent is kept, what is due runs when `tick` says so."""

    def __init__(self) -> None:
        self.links = Links(DeviceId(b"me".ljust(32)))
        self.sent: list[tuple[LinkNumber, Hint]] = []
        self.due: list[Any] = []
        self.peer_changed: list[Any] = []
        self.linkage = SimpleNamespace(send=lambda link, hint: self.sent.append((link, hint)))
        self.clock = SimpleNamespace(now=lambda: 0.0, call_at=lambda when, call: self.due.append(call))
        self.heard: list[Announced] = []
        self.hints = Hints(self, self.heard.append)  # type: ignore[arg-type]

    def open(self, number: int) -> LinkNumber:
        device = DeviceId(bytes([number]) * 32)
        self.links.opened(Opened(LinkNumber(number), AccountId(bytes(32)), device, b"i" * 8, True, 0, bytes(8)), (), None, 0.0)
        for tell in self.peer_changed:
            tell(device)
        return LinkNumber(number)

    def tick(self) -> dict[LinkNumber, Hint]:
        due, self.due = self.due, []
        self.sent = []
        for call in due:
            call()
        return dict(self.sent)


def test_who_is_linked_learns_how_i_announce_myself() -> None:
    place = Place()
    place.hints.epoch_changed(announced("mine"))
    bob = place.open(1)
    assert place.tick() == {bob: Hint(announced("mine"), [])}
    assert place.tick() == {}


def test_what_a_peer_says_of_itself_is_handed_on_to_others_only() -> None:
    place = Place()
    bob, carl = place.open(1), place.open(2)
    place.hints.received(bob, Hint(announced("bob"), []))
    assert place.tick() == {bob: Hint(None, []), carl: Hint(None, [announced("bob")])}
    place.hints.received(bob, Hint(announced("bob"), []))
    assert place.tick() == {}


def test_what_a_peer_says_of_others_is_heard_and_not_handed_on() -> None:
    place = Place()
    bob, _carl = place.open(1), place.open(2)
    place.tick()
    place.hints.received(bob, Hint(None, [announced("dora")]))
    assert place.heard == [announced("dora")] and place.tick() == {}


def test_the_newest_few_are_kept_and_strangers_say_nothing() -> None:
    place = Place()
    for number in range(1, limits.HINTS + 3):
        place.hints.received(place.open(number), Hint(announced(str(number)), []))
    assert all(len(hint.others) <= limits.HINTS for hint in place.tick().values())
    place.hints.received(LinkNumber(99), Hint(announced("x"), [announced("y")]))
    assert place.heard == []


def test_switched_off_it_neither_tells_nor_hears_and_tells_again_once_on() -> None:
    place = Place()
    place.hints.epoch_changed(announced("mine"))
    bob = place.open(1)
    place.hints.switch(False)
    assert place.tick() == {}, "what was due is not told"
    place.hints.received(bob, Hint(announced("bob"), [announced("dora")]))
    place.hints.epoch_changed(announced("mine2"))
    assert place.heard == [] and place.tick() == {}
    place.hints.switch(True)
    assert place.tick() == {bob: Hint(announced("mine2"), [])}
