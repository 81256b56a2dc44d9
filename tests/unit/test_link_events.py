"""What the node does when something happens on a link, against a peer whose frames the test writes."""

from __future__ import annotations

from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.daemon import link_events
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.relations import Relations
from p2pmsg.model.addresses import Path
from p2pmsg.model.gates import GateRow, Purpose
from p2pmsg.protocol import wire
from p2pmsg.protocol.messages import BYE, MISBEHAVED, NEWER_LINK_KEPT
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import Ack, FrameType, Have, Want
from p2pmsg.rpc import api
from p2pmsg.storage import feed
from p2pmsg.storage import people as people_store
from tests.unit.meeting import EXPORTER, End, dialler, hello_of, knowledge
from tests.unit.nodes import PAIR_KEY, House, Wire, moved_in, neighbours, settle
from tests.unit.people import Person, pair_row
from tests.unit.shelves import direct

pytestmark = pytest.mark.asyncio
ANN = Person("Ann")
TALK = direct(ANN, Person("Bob"))


class Visit:
    """Ann's node, and Bob at the other end of one connection."""

    def __init__(self, bob: Person | None = None, house: House | None = None) -> None:
        self.bob = bob or Person("Bob")
        self.house = house or House(ANN, shelf=moved_in(ANN, Person("Bob"))).start()
        self.wire = Wire(listener=self.house.node.linkage)
        _, self.gate = pair_row(ANN, self.bob, PAIR_KEY)

    async def comes(self) -> End:
        """Bob dials Ann, up to the end that the link takes."""
        self.house.node.linkage.connection_ready(self.wire, EXPORTER)  # type: ignore[arg-type]
        end = dialler(self.bob, ANN, self.gate, knowledge(self.bob, [self.gate], ANN.links))
        await self.carry(end, end.start())
        return end

    async def carry(self, end: End, data: bytes = b"") -> None:
        """Carry bytes to and fro until both are silent."""
        while True:
            self.wire.take(data)
            await settle(10)
            out = self.wire.taken()
            if not out or end.opened is not None:
                self.wire.written = out + self.wire.written  # what came on the open link is the test's to read
                break
            data = end.feed(out)

    def say(self, end: End, frame_type: int, payload: bytes) -> None:
        assert end.opened is not None
        self.wire.take(end.opened.channel.send(frame_type, payload, 0.0))

    @property
    def node(self) -> Any:
        return self.house.node


async def test_an_open_link_is_known_everywhere() -> None:
    visit = Visit()
    heard: list[bytes] = []
    visit.node.peer_changed.append(heard.append)
    await visit.comes()
    (opened,) = visit.node.links
    assert (opened.account, opened.device, opened.instance, opened.dialled) == (
        visit.bob.account,
        visit.bob.device,
        hello_of(visit.bob).instance,
        False,
    )
    assert heard == [visit.bob.device] and visit.wire.proven
    await settle()
    stored = people_store.contact(visit.house.shelf.db, visit.bob.account)
    assert stored is not None and stored.last_seen_ms is not None
    assert (stored.presence_key, stored.presence_number) == (hello_of(visit.bob).presence_key, 1)
    assert people_store.last_known(visit.house.shelf.db, "home") == {visit.bob.account: [visit.wire.remote]}


async def test_an_older_presence_key_changes_nothing() -> None:
    visit = Visit()
    people_store.set_presence(visit.house.shelf.db, visit.bob.account, b"n" * 32, 7)
    house = House(ANN, shelf=visit.house.shelf).start()
    await Visit(house=house).comes()
    await settle()
    assert house.node.people.contacts[visit.bob.account].presence_key == b"n" * 32
    assert load_people(house.shelf.db).contacts[visit.bob.account].presence_key == b"n" * 32


async def test_a_link_that_ends_is_forgotten_everywhere() -> None:
    visit = Visit()
    await visit.comes()
    heard: list[bytes] = []
    visit.node.peer_changed.append(heard.append)
    visit.wire.lose(None)
    assert list(visit.node.links) == [] == list(visit.node.linkage) and heard == [visit.bob.device]
    await settle()


async def test_a_second_link_of_the_same_process_leaves_one() -> None:
    visit = Visit()
    await visit.comes()
    again = Visit(house=visit.house)
    await again.comes()
    await settle()
    closed = [each.closed for each in (visit.wire, again.wire) if each.closed is not None]
    assert closed == [NEWER_LINK_KEPT] and len(list(visit.node.links)) == len(list(visit.node.linkage)) == 1


async def test_a_name_changed_meanwhile_is_learnt_by_the_handshake_and_kept() -> None:
    visit = Visit(Person("Bob", nicknames=("Bobby",)))
    cursor = feed.last_cursor(visit.house.shelf.db)
    await visit.comes()
    await settle()
    assert visit.node.people.contacts[visit.bob.account].nickname == "Bobby"
    assert load_people(visit.house.shelf.db).contacts[visit.bob.account].nickname == "Bobby"
    changes = feed.after(visit.house.shelf.db, cursor).changes
    assert any(change.type is feed.ChangeType.CONTACT and '"nickname": "Bobby"' in (change.payload or "") for change in changes)


async def test_a_chain_that_grows_while_the_link_is_open() -> None:
    visit = Visit()
    end = await visit.comes()
    visit.bob.rename("Bobby")
    (page,) = encode_chain(visit.bob.links)
    visit.say(end, FrameType.CHAIN, page)
    assert visit.node.people.contacts[visit.bob.account].nickname == "Bobby"
    await settle()
    stored = load_people(visit.house.shelf.db)
    assert stored.chains[visit.bob.account] == visit.bob.links and stored.contacts[visit.bob.account].nickname == "Bobby"


async def test_links_known_already_are_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit()
    end = await visit.comes()
    parsed: list[bytes] = []
    real = link_events.chain.parse
    monkeypatch.setattr(link_events.chain, "parse", lambda form: parsed.append(form) or real(form))
    (page,) = encode_chain(visit.bob.links)
    visit.say(end, FrameType.CHAIN, page)
    visit.say(end, FrameType.CHAIN, page)
    assert parsed == [] and visit.wire.closed is None


@pytest.mark.parametrize("what", ["another account", "rubbish"])
async def test_a_chain_that_is_none_ends_the_link(what: str) -> None:
    visit = Visit()
    end = await visit.comes()
    before = visit.node.people.links_of(visit.bob.account)
    match what:
        case "another account":
            pages = encode_chain(Person("Eve").links)
        case _:
            pages = [b"\x01\x00\x50" + bytes(80)]
    for page in pages:
        visit.say(end, FrameType.CHAIN, page)
    assert visit.wire.closed == MISBEHAVED and visit.node.people.links_of(visit.bob.account) == before


async def test_a_second_hello_ends_the_link() -> None:
    visit = Visit()
    end = await visit.comes()
    visit.say(end, *wire.encode(hello_of(visit.bob)))
    assert visit.wire.closed == MISBEHAVED


async def test_messages_of_every_kind_reach_replication() -> None:
    visit = Visit()
    end = await visit.comes()
    for message in (Have(True, []), Want([]), Ack([]), wire.Events([])):
        visit.say(end, *wire.encode(message))
    await settle()
    assert visit.wire.closed is None and visit.node.linkage.misbehaved == 0


async def test_a_contact_removed_during_the_handshake_gets_no_link() -> None:
    visit = Visit()
    house = visit.house
    house.node.linkage.connection_ready(visit.wire, EXPORTER)  # type: ignore[arg-type]
    end = dialler(visit.bob, ANN, visit.gate, knowledge(visit.bob, [visit.gate], ANN.links))
    visit.wire.take(end.start())
    answer = end.feed(visit.wire.taken())
    relations = Relations(house.node, house.storage, house.announcer, house.endpoint)  # type: ignore[arg-type]
    await relations.remove(api.ContactRemove(name="Bob"))
    await visit.carry(end, answer)
    await settle()
    assert list(house.node.links) == [] == list(house.node.linkage) and visit.wire.over


async def test_a_fault_of_the_disk_while_a_link_is_proven_ends_it() -> None:
    visit = Visit(Person("Bob", nicknames=("Bobby",)))
    visit.house.storage.free_bytes = 0
    end = await visit.comes()
    await settle()
    assert end.opened is None and visit.wire.refused and list(visit.node.linkage) == []


# -- dials of mine


async def test_contacts_who_use_an_invite_once_more_both_know_by_hello_that_the_new_key_is_held() -> None:
    async with neighbours(ANN, bob_who := Person("Bob")) as (ann, bob):
        relations = [Relations(each.node, each.storage, each.announcer, each.endpoint) for each in (ann, bob)]  # type: ignore[arg-type]
        made = await relations[0].invite(api.ContactInvite())
        await relations[1].add(api.ContactAdd(invite=made["invite"], timeout_s=2.0))
        await settle()
        for house, other in ((ann, bob_who.account), (bob, ANN.account)):
            rows = [row for row in house.node.people.gates if row.account == other]
            assert [row.retired for row in rows] == [False, True]
            assert house.node.people.gate_to(other, 0) == rows[0]


async def test_a_refused_dial_is_tried_under_another_row() -> None:
    visit = Visit()
    people = visit.node.people
    old = people.gates[0]
    newer = GateRow(b"n" * 32, Purpose.PAIR, visit.bob.account)
    people.gates = (newer, old)
    people_rows = [people.gate_to(visit.bob.account, turn) for turn in range(3)]
    assert people_rows == [old, newer, old]
    visit.node.refused(visit.bob.account, old)
    visit.node.refused(visit.bob.account, old)
    assert visit.node.dial(visit.bob.account, visit.wire.remote, Path.MDNS).gate == newer
    visit.node.accepted(visit.bob.account)
    assert visit.node.dial(visit.bob.account, visit.wire.remote, Path.MDNS).gate == old
    await settle()


async def test_both_ends_say_goodbye() -> None:
    async with neighbours(ANN, Person("Bob")) as (ann, bob):
        (link,) = ann.node.linkage
        ann.node.stop()
        assert link.connection.closed == BYE  # type: ignore[comparison-overlap]
        await settle()
        assert list(bob.node.links) == []


async def test_hello_says_what_it_must() -> None:
    visit = Visit()
    end = await visit.comes()
    assert end.opened is not None
    hello = end.opened.hello
    me = visit.node.people.me
    assert (hello.instance, hello.unacknowledged_bytes) == (visit.node.instance, limits.UNACKNOWLEDGED_BYTES)
    assert (hello.heads, hello.presence_key, hello.presence_number) == ([ANN.account], me.presence_key, me.presence_number)
    assert TALK.id == visit.node.people.direct(visit.bob.account).id


async def test_a_new_presence_key_has_announcements_looked_at_again() -> None:
    visit = Visit()
    looked: list[bool] = []
    visit.node.recognises_more = lambda: looked.append(True)
    await visit.comes()
    await settle()
    assert looked == [True]


@pytest.mark.parametrize("turned", [False, True])
async def test_a_link_that_one_side_has_lost_is_replaced_at_once(turned: bool) -> None:
    """Whoever dialled it, and though the other side heard something on it just now."""
    async with neighbours(ANN, Person("Bob")) as (ann, bob):
        loser, keeper = (bob, ann) if turned else (ann, bob)
        (old,) = loser.node.linkage
        (standing,) = keeper.node.linkage
        assert old.id == standing.id and len(old.id) == 8
        old.connection.peer = None  # type: ignore[attr-defined]  # the close does not arrive
        loser.node.close(old.number, BYE)
        loser.sees(keeper)
        await keeper.until(lambda: keeper.node.linkage.get(standing.number) is None)
        await loser.until(lambda: loser.linked(keeper))
        assert [link.id for link in loser.node.linkage] == [link.id for link in keeper.node.linkage] != [old.id]
        assert keeper.linked(loser)
