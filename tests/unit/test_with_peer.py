"""`doctor --with`: on which side the way to a contact breaks."""

from __future__ import annotations

from typing import Any

import pytest

from p2pmsg.daemon import with_peer
from p2pmsg.daemon.checks import Answer, Checks, Heard
from p2pmsg.daemon.rows import Row
from p2pmsg.model.addresses import Address, Interface, Path
from tests.unit.nodes import NETWORK, House, moved_in, neighbours
from tests.unit.people import Person

ANN, BOB = Person("Ann"), Person("Bob")
MINE = Address("10.0.0.1", 40_000)


async def with_bob(house: House) -> dict[str, Row]:
    return {row.check: row for row in await with_peer.examine(house.node, BOB.account, [NETWORK])}


def says(monkeypatch: pytest.MonkeyPatch, answer: Answer | None) -> None:
    """Let Bob answer this."""

    async def ask(checks: Checks, number: Any) -> Answer | None:
        return answer

    monkeypatch.setattr(Checks, "ask", ask)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("i_hear", "hears_me", "ok", "words"),
    [
        (True, True, True, "Both sides hear each other"),
        (True, False, False, "it breaks on Bob's side"),
        (False, True, False, "it breaks on this side"),
        (False, False, False, "it breaks between them, the network drops multicast"),
    ],
)
async def test_the_side(i_hear: bool, hears_me: bool, ok: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        if i_hear:
            ann.node.checks.sighted(BOB.account, Path.MDNS)
        says(monkeypatch, Answer(0, MINE, {Path.MDNS: (60, 2)} if hears_me else {Path.BEACON: (9, 9)}))
        row = (await with_bob(ann))["with_hears_me"]
    assert row.ok is ok and words in row.detail and bool(row.hint) is not ok


@pytest.mark.asyncio
@pytest.mark.parametrize(("old", "words"), [("mine", "it breaks on this side"), ("theirs", "it breaks on Bob's side")])
async def test_what_was_heard_long_ago_does_not_count(old: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        checks = ann.node.checks
        checks.sighted(BOB.account, Path.MDNS)
        says(monkeypatch, Answer(0, MINE, {Path.MDNS: (4000, 3000 if old == "theirs" else 3)}))
        if old == "mine":
            then = ann.node.clock.now() - 3000
            checks._heard[BOB.account][Path.MDNS] = Heard(then, then)
        rows = await with_bob(ann)
    assert rows["with_hears_me"].ok is False and words in rows["with_hears_me"].detail
    assert (rows["with_i_hear"].ok is True) is (old == "theirs")


@pytest.mark.asyncio
async def test_where_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        says(monkeypatch, Answer(1500, MINE, {}))
        rows = await with_bob(ann)
        assert rows["with"].ok is True and "Bob is linked" in rows["with"].detail
        assert rows["with_sees_me"].ok is True and str(MINE) in rows["with_sees_me"].detail
        assert rows["with_clock"].ok is True and "+1.5 s" in rows["with_clock"].detail
        says(monkeypatch, Answer(-3_600_000, Address("198.51.100.7", 9), {}))
        rows = await with_bob(ann)
        assert rows["with_sees_me"].ok is None and "translates" in rows["with_sees_me"].detail
        assert rows["with_clock"].ok is False and "60 min behind" in rows["with_clock"].detail
        says(monkeypatch, Answer(0, None, {}))
        assert (await with_bob(ann))["with_sees_me"].ok is None


@pytest.mark.asyncio
async def test_an_older_version_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async with neighbours(ANN, BOB) as (ann, _bob):
        says(monkeypatch, None)
        assert (await with_bob(ann))["with_hears_me"].ok is None


@pytest.mark.asyncio
async def test_who_is_not_linked_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_peer, "DIAL_S", 2.0)
    others: dict[Address, Any] = {}
    ann = House(ANN, others, moved_in(ANN, BOB)).start()
    bob = House(BOB, others, moved_in(BOB, ANN)).start()
    ann.node.presence.met(BOB.account, bob.address, Path.LAST_KNOWN, ann.node.clock.now())
    rows = await with_bob(ann)
    assert rows["with"].ok is True and "Bob answered a dial" in rows["with"].detail
    for house in (ann, bob):
        house.node.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("place", "heard", "refused", "words"),
    [
        (False, False, False, "It is not known where Bob is"),
        (True, False, False, "nobody answered; it was not heard either"),
        (True, True, False, "it broke on the way there, or at its firewall"),
        (True, True, True, "it broke on its side"),
    ],
)
async def test_who_cannot_be_reached(place: bool, heard: bool, refused: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_peer, "DIAL_S", 0.5 if refused else 0.01)
    others: dict[Address, Any] = {}
    ann = House(ANN, others, moved_in(ANN, BOB)).start()
    there = House(BOB, others, moved_in(BOB)).start().address if refused else Address("10.0.0.9", 9)
    if place:
        ann.node.presence.met(BOB.account, there, Path.LAST_KNOWN, ann.node.clock.now())
    if heard:
        ann.node.checks.sighted(BOB.account, Path.MDNS)
    rows = await with_bob(ann)
    assert rows["with"].ok is False and words in rows["with"].detail and rows["with"].hint
    assert rows["with_i_hear"].ok is (True if heard else None)
    ann.node.stop()


def test_an_interface_is_known_by_its_addresses() -> None:
    six = Interface("eth0", 2, (), (("fe80::1", 64),))
    assert with_peer._address(Answer(0, Address("fe80::1", 1), {}), "Bob", [six]).ok is True
