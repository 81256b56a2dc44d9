"""Visible mode by itself: when it ends, who is let in, and what waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
import pytest_asyncio

from p2pmsg.config import limits
from p2pmsg.crypto import chain
from p2pmsg.daemon.linkage import Link
from p2pmsg.daemon.visibility import Visibility, end_of_comparing
from p2pmsg.errors import PeerUnreachable, SasMismatch, TimedOut
from p2pmsg.model.addresses import Address, Path
from p2pmsg.protocol.comparing import ENTROPY_BYTES, ComparingDialler
from p2pmsg.protocol.messages import BYE, REFUSED
from p2pmsg.protocol.wire import FrameReader, FrameType, plain_frame
from p2pmsg.storage import feed, requests
from p2pmsg.storage.requests import RequestRow
from tests.unit.meeting import EXPORTER, End
from tests.unit.nodes import House, Wire, settle
from tests.unit.people import Person, seeded
from tests.unit.strangers import Asked, nearby
from tests.unit.test_comparing import knows

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")


@pytest_asyncio.fixture
async def ann() -> House:
    house = House(ANN).start()
    house.node.visibility.begin(60)
    return house


class Caller:
    """A stranger's connection to a house, driven by hand."""

    _ports: Iterator[int] = iter(range(50_000, 60_000))

    def __init__(self, house: House, name: str = "Bob", remote: Address | None = None) -> None:
        self.wire = Wire(remote or Address("10.0.0.9", next(self._ports)), house.node.linkage)
        self.end = End(ComparingDialler(knows(Person(name, seed="Bob")), EXPORTER, seeded("d", ENTROPY_BYTES), 0.0))
        house.node.linkage.connection_ready(self.wire, EXPORTER)  # type: ignore[arg-type]

    def ask(self) -> bool:
        """Go on until there is something to compare; say whether there is."""
        self.wire.take(self.end.start())
        self.wire.take(self.end.feed(self.wire.taken()))
        return bool(self.end.compared) and not self.wire.refused

    def leave(self, code: int | None = BYE) -> None:
        self.wire.lose(code)


def shown(visibility: Visibility) -> list[str]:
    return [request.row.nickname for request in visibility.requests.values()]


async def test_it_ends_by_itself_and_the_epoch_with_it() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        ann.node.visibility.begin(0.05)
        assert ann.node.visibility.on and [each.nickname for each in bob.air.nearby(0)] == ["Ann"]
        assert ann.air.published == []
        await asyncio.sleep(0.1)
        assert not ann.node.visibility.on and bob.air.nearby(0) == [] and len(ann.air.published) == 1


async def test_a_new_epoch_while_visible_draws_a_new_name_for_strangers_too() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        (before,) = bob.air.nearby(0)
        ann.house.announcer.new_epoch()
        (after,) = bob.air.nearby(0)
        assert before.nonce != after.nonce and before.tags != after.tags and before.addresses == after.addresses


async def test_strangers_see_a_new_nickname() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        ann.node.visibility.renamed()
        assert bob.air.nearby(0) == []
        await ann.visible()
        heads = ann.node.people.mine.heads
        link = chain.parse(chain.profile(ANN.secret, ANN.key, ANN.account, heads, "Annie"))
        ann.node.people.learn_chain((link,))
        ann.node.visibility.renamed()
        assert [each.nickname for each in bob.air.nearby(0)] == ["Annie"]


async def test_beginning_again_sets_the_time_anew(ann: House) -> None:
    visibility = ann.node.visibility
    first = visibility.until_ms
    visibility.begin(120)
    assert first is not None and visibility.until_ms is not None and visibility.until_ms >= first + 59_000
    visibility.end()
    visibility.end()
    assert visibility.until_ms is None


async def test_one_attempt_at_a_time(ann: House) -> None:
    first, second = Caller(ann), Caller(ann, "Carl")
    assert first.ask()
    assert not second.ask() and second.wire.refused and second.wire.written == b""
    first.leave()
    assert Caller(ann, "Carl").ask()


async def test_a_commit_alone_takes_the_place_for_five_seconds_at_most(ann: House) -> None:
    first = Caller(ann)
    first.wire.take(first.end.start())
    assert not Caller(ann, "Carl").ask() and shown(ann.node.visibility) == []
    first.wire.lose(None)
    assert Caller(ann, "Carl").ask()


async def test_people_get_longer_only_once_there_is_something_to_compare(ann: House) -> None:
    caller = Caller(ann)
    caller.wire.take(caller.end.start())
    assert not caller.wire.compares
    caller.wire.take(caller.end.feed(caller.wire.taken()))
    assert caller.wire.compares and caller.wire.frame_limit == limits.UNPROVEN_BYTES


async def test_ten_attempts_at_a_visible_node(ann: House) -> None:
    """Attack 10: three are let in, which ends visible mode; all others get what every stranger gets."""
    let_in = 0
    for _ in range(10):
        caller = Caller(ann)
        let_in += caller.ask()
        caller.leave()
    assert let_in == limits.VISIBLE_FAILURES and not ann.node.visibility.on
    await settle()
    alerts = [change for change in feed.after(ann.shelf.db, 0).changes if change.type == "alert"]
    assert [json.loads(alert.payload or "")["code"] for alert in alerts] == ["visible_ended"]


async def test_attempts_with_a_wrong_reveal_count(ann: House) -> None:
    for _ in range(limits.VISIBLE_FAILURES):
        caller = Caller(ann)
        caller.wire.take(caller.end.start())
        caller.wire.take(plain_frame(FrameType.REVEAL, bytes(96)))
        assert caller.wire.refused
    assert not ann.node.visibility.on and shown(ann.node.visibility) == []


async def test_beginning_again_forgets_failures(ann: House) -> None:
    for _ in range(2):
        for _ in range(limits.VISIBLE_FAILURES - 1):
            caller = Caller(ann)
            caller.ask()
            caller.leave()
        assert ann.node.visibility.on
        ann.node.visibility.begin(60)


async def test_declined_ones_are_no_failures(ann: House) -> None:
    visibility = ann.node.visibility
    for _ in range(limits.VISIBLE_FAILURES + 1):
        assert Caller(ann).ask()
        visibility.decline(next(iter(visibility.requests.values())))
    assert visibility.on and shown(visibility) == []


async def test_who_is_not_visible_refuses_like_anybody(ann: House) -> None:
    ann.node.visibility.end()
    caller = Caller(ann)
    assert not caller.ask() and caller.wire.refused and caller.wire.written == b""


async def test_who_compares_may_go_on_when_visible_mode_ends(ann: House) -> None:
    caller = Caller(ann)
    assert caller.ask()
    ann.node.visibility.end()
    (request,) = ann.node.visibility.requests.values()
    assert request.live
    ann.node.linkage.consent(caller.wire.number)
    caller.wire.take(caller.end.perform(caller.end.machine.consent(0.0)))  # type: ignore[union-attr]
    ready = FrameReader().feed(caller.wire.taken())
    assert [frame.type for frame in ready] == [FrameType.READY]


@pytest.mark.parametrize(
    ("code", "broken", "after_s", "error"),
    [
        (REFUSED, False, 3.0, SasMismatch),
        (None, True, 3.0, SasMismatch),
        (REFUSED, False, limits.COMPARE_TIMEOUT_S, TimedOut),
        (None, True, limits.COMPARE_TIMEOUT_S, TimedOut),
        (BYE, False, 3.0, PeerUnreachable),
        (None, False, 3.0, PeerUnreachable),
    ],
)
async def test_how_comparing_ends(code: int | None, broken: bool, after_s: float, error: type[Exception]) -> None:
    link = Link(Wire(), Path.INCOMING, None, broken=broken)  # type: ignore[arg-type]
    assert type(end_of_comparing(link, code, after_s, "Bob")) is error


# -- what waits


async def test_one_request_for_each_stranger(ann: House) -> None:
    visibility = ann.node.visibility
    Caller(ann).ask()
    (first,) = visibility.requests
    next(iter(visibility.requests.values())).link.connection.lose(BYE)  # type: ignore[union-attr]
    Caller(ann, "bob").ask()
    assert list(visibility.requests) == [first] and shown(visibility) == ["bob"]


async def test_one_who_calls_himself_something_else_each_time_is_one_stranger(ann: House) -> None:
    here = Address("10.0.0.9", 40_001)
    for name in ("Bob", "Bobby"):
        caller = Caller(ann, name, here)
        assert caller.ask()
        caller.leave()
    assert shown(ann.node.visibility) == ["Bobby"]


async def test_a_stranger_who_said_no_is_remembered_as_such(ann: House) -> None:
    for code, said_no in ((REFUSED, True), (BYE, False), (None, False)):
        ann.node.visibility.begin(60)
        caller = Caller(ann)
        caller.ask()
        caller.leave(code)
        (request,) = ann.node.visibility.requests.values()
        assert (request.live, request.said_no) == (False, said_no)


async def test_at_the_limit_and_one_above(ann: House) -> None:
    visibility = ann.node.visibility
    for number in range(limits.REQUESTS + 1):
        visibility.begin(60)
        caller = Caller(ann, f"Bob {number}")
        caller.ask()
        caller.leave()
    await settle()
    assert len(visibility.requests) == limits.REQUESTS and "Bob 0" not in shown(visibility)
    assert {row.nickname for row in requests.waiting(ann.shelf.db)} == set(shown(visibility))


async def test_only_name_and_time_are_stored_and_outlast_the_process(ann: House) -> None:
    caller = Caller(ann)
    caller.ask()
    await settle()
    (row,) = requests.waiting(ann.shelf.db)
    again = House(ANN, shelf=ann.shelf).start()
    again.node.visibility.load(requests.waiting(ann.shelf.db))
    (request,) = again.node.visibility.requests.values()
    assert request.row == row == RequestRow(request.id, "Bob", row.received_ms) and not request.live
    assert ann.shelf.db.execute("SELECT * FROM request").fetchall() == [(row.id, "Bob", row.received_ms)]


async def test_watchers_hear_of_a_request(ann: House) -> None:
    Caller(ann).ask()
    await settle()
    told = [json.loads(change.payload or "") for change in feed.after(ann.shelf.db, 0).changes if change.type == "request"]
    (request,) = ann.node.visibility.requests.values()
    assert told == [request.as_json()] and told[0]["live"]


async def test_an_accepted_request_is_forgotten() -> None:
    async with nearby(ANN, BOB) as (ann, bob):
        await ann.visible()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bob.add("Ann", Asked()))
            await ann.accept(await ann.asked_by("Bob"), Asked())
        await settle()
        assert ann.node.visibility.on and requests.waiting(ann.house.shelf.db) == []
