"""What becoming contacts stores, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from p2pmsg.crypto import gates
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.peering import Committed, commit_peering, confirm_gate
from p2pmsg.model.accounts import Trust
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.protocol import authority
from p2pmsg.protocol.messages import Peering
from p2pmsg.storage import doors
from p2pmsg.storage import people as people_store
from tests.unit.nodes import House, moved_in, settle
from tests.unit.people import Person, invite_row, pair_row

pytestmark = pytest.mark.asyncio
ANN, BOB, EVE = Person("Ann"), Person("Bob", nicknames=("Bobby",)), Person("Eve")
INVITE = invite_row(ANN)


def peering(who: Person, gate: GateRow = INVITE, *, dialled: bool = False, key: bytes | None = b"k" * 32) -> Peering:
    return Peering(who.account, who.key, who.device, authority.resolve(who.links), who.links, gate, key, dialled)


def commit(house: House, proven: Peering, name: str | None = None) -> Any:
    with house.shelf.db.atomic():
        return commit_peering(house.shelf.db, node=house.node, peering=proven, name=name, now_ms=house.shelf.now_ms)


def inviting() -> House:
    shelf = moved_in(ANN)
    doors.add_invite(shelf.db, INVITE.key, INVITE.reference, shelf.now_ms, shelf.now_ms + 1000)
    return House(ANN, shelf=shelf)


async def test_who_used_my_invite_is_invited() -> None:
    house = inviting()
    done = commit(house, peering(BOB))
    assert isinstance(done, Committed) and done.contact is not None and done.event is not None
    assert (done.contact.trust, done.contact.verified_by, done.contact.nickname, done.contact.name) == (Trust.INVITED, None, "Bobby", None)
    people = load_people(house.shelf.db)
    assert people.chains[BOB.account] == BOB.links and people.contacts[BOB.account] == done.contact and people.gates == done.gates
    pair, invite = done.gates
    assert (pair.purpose, pair.account, pair.key) == (Purpose.PAIR, BOB.account, gates.pair_gate(b"k" * 32, ANN.account, BOB.account))
    assert (invite.ended, invite.spent_by) == (Ended.USED, BOB.account)


async def test_whose_invite_i_used_is_verified() -> None:
    house = House(ANN, shelf=moved_in(ANN))
    done = commit(house, peering(BOB, invite_row(BOB), dialled=True), name="Robert")
    assert (done.contact.trust, done.contact.verified_by, done.contact.name) == (Trust.VERIFIED, "invite", "Robert")


@pytest.mark.parametrize("dialled", [True, False])
async def test_with_whom_i_compared_is_verified_by_that(dialled: bool) -> None:
    house = House(ANN)
    gate = GateRow(b"g" * 32, Purpose.SAS, None)
    done = commit(house, peering(BOB, gate, dialled=dialled))
    assert (done.contact.trust, done.contact.verified_by) == (Trust.VERIFIED, "sas")
    assert [row.purpose for row in done.gates] == [Purpose.PAIR]
    (line,) = house.shelf.db.execute("SELECT text FROM message WHERE system = 1").fetchall()
    assert line[0] == "You and Bobby are contacts now. You compared what your screens showed."


async def test_a_second_one_comes_too_late_and_stores_nothing() -> None:
    house = inviting()
    commit(house, peering(BOB))
    before = load_people(house.shelf.db)
    assert commit(house, peering(EVE)) is Ended.USED
    after = load_people(house.shelf.db)
    assert EVE.account not in after.contacts and after.chains == before.chains and after.gates == before.gates


async def test_an_invite_withdrawn_or_purged_meanwhile() -> None:
    house = inviting()
    doors.end_invite(house.shelf.db, INVITE.reference, Ended.WITHDRAWN, house.shelf.now_ms)
    assert commit(house, peering(BOB)) is Ended.WITHDRAWN
    gone = House(ANN, shelf=moved_in(ANN))
    assert commit(gone, peering(BOB)) is Ended.WITHDRAWN and load_people(gone.shelf.db).contacts == {}


async def test_the_same_one_again_gets_a_new_key_beside_the_old() -> None:
    house = inviting()
    done = commit(house, peering(BOB))
    house.node.people.contacts[BOB.account] = done.contact
    again = commit(house, peering(BOB, key=b"n" * 32))
    assert again.contact.pair_key == b"n" * 32 and [row.purpose for row in again.gates] == [Purpose.PAIR, Purpose.PAIR, Purpose.INVITE]


@pytest.mark.parametrize("dialled", [True, False])
async def test_who_dialled_knows_that_the_other_side_holds_the_new_key(dialled: bool) -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB)).start()
    proven = peering(BOB, GateRow(b"g" * 32, Purpose.SAS, None), dialled=dialled, key=b"n" * 32)
    people, new = house.node.people, gates.pair_gate(b"n" * 32, ANN.account, BOB.account)
    old = people.gates[0].key
    people.gates = commit(house, proven).gates
    assert {row.key: row.retired for row in people.gates} == {new: False, old: dialled}
    assert (found := people.gate_to(BOB.account, 0)) is not None and found.key == (new if dialled else old)

    confirm_gate(house.node, proven)  # the link opens
    await settle()
    assert {row.key: row.retired for row in people.gates} == {new: False, old: True}
    assert people.gates == load_people(house.shelf.db).gates


async def test_a_link_under_a_key_shows_that_it_is_held() -> None:
    shelf = moved_in(ANN, BOB)
    doors.add_pair(shelf.db, b"n" * 32, BOB.account, shelf.now_ms)
    house = House(ANN, shelf=shelf).start()
    new, old = house.node.people.gates
    confirm_gate(house.node, peering(BOB, old, key=None))
    await settle()
    assert [row.retired for row in house.node.people.gates] == [False, False]
    confirm_gate(house.node, peering(BOB, new, key=None))
    await settle()
    assert [row.retired for row in house.node.people.gates] == [False, True]


async def test_a_disk_that_fails_leaves_the_keys_as_they_are() -> None:
    shelf = moved_in(ANN, BOB)
    doors.add_pair(shelf.db, b"n" * 32, BOB.account, shelf.now_ms)
    house = House(ANN, shelf=shelf).start()
    before = house.node.people.gates
    shelf.db.execute("DROP TABLE gate")
    confirm_gate(house.node, peering(BOB, before[0], key=None))
    await settle()
    assert house.node.people.gates == before


async def test_trust_and_name_once_given_stay() -> None:
    house = inviting()
    first = commit(house, peering(BOB, invite_row(BOB), dialled=True), name="Robert").contact
    house.node.people.contacts[BOB.account] = first
    again = commit(house, peering(BOB))
    assert (again.contact.trust, again.contact.verified_by, again.contact.name) == (Trust.VERIFIED, "invite", "Robert")


async def test_a_contact_s_new_links_and_name_are_stored() -> None:
    house = House(ANN, shelf=moved_in(ANN, replace_chain(BOB)))
    row, _ = pair_row(ANN, BOB)
    done = commit(house, replace(peering(BOB, row, key=None), new_links=BOB.links[1:]))
    assert done.contact is None and done.event is None
    people = load_people(house.shelf.db)
    assert people.chains[BOB.account] == BOB.links and people.contacts[BOB.account].nickname == "Bobby"


def replace_chain(who: Person) -> Person:
    """Return the person before any change of name."""
    return Person(who.name)


async def test_who_compares_nearby_has_looked() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB))
    people_store.set_alert(house.shelf.db, BOB.account, "identity_changed")
    done = commit(house, peering(BOB, GateRow(b"g" * 32, Purpose.SAS, None)))
    assert isinstance(done, Committed) and done.contact is not None
    assert (done.contact.alert, done.contact.trust) == (None, Trust.VERIFIED)


async def test_who_comes_again_by_an_invite_is_still_to_be_looked_at() -> None:
    house = House(ANN, shelf=moved_in(ANN, BOB))
    house.shelf.meet(BOB, trust="unverified", verified_by=None, via=None)
    people_store.set_alert(house.shelf.db, BOB.account, "identity_changed")
    done = commit(house, peering(BOB, invite_row(BOB), dialled=True))
    assert isinstance(done, Committed) and done.contact is not None
    assert (done.contact.alert, done.contact.trust, done.contact.verified_by) == ("identity_changed", Trust.INVITED, None)
