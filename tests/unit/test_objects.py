"""The JSON objects of the CLI contract: every field, null where it does not apply."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pmsg.daemon import objects
from p2pmsg.model.accounts import Trust
from p2pmsg.storage.queries import ConversationRow, DeliveryRow
from tests.unit.nodes import House, moved_in, neighbours
from tests.unit.people import Person
from tests.unit.shelves import NOW, direct

ANN, BOB, EVE = Person("Ann"), Person("Bob"), Person("Eve")
NOW_TEXT = "2023-11-14T22:13:20.001Z"


@pytest.mark.parametrize(
    "ms,text",
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (NOW + 1, NOW_TEXT),
        (253402300799999, "9999-12-31T23:59:59.999Z"),
        (2**62, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times(ms: int | None, text: str | None) -> None:
    assert objects.time(ms) == text


@pytest.mark.parametrize(
    "text", [NOW_TEXT, "2023-11-14T22:13:20.001+00:00", "2023-11-15T00:13:20.001+02:00", "2023-11-14T22:13:20.001", "20231114T221320.001Z"]
)
def test_times_that_are_read(text: str) -> None:
    assert objects.parse_time_ms(text) == NOW + 1


@pytest.mark.parametrize("text", ["", "now", "10m", "2023-13-01", "2023-11-14T25:00:00Z", "2023-11-14T22:13:20.001ZZ", "9" * 5000])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        objects.parse_time_ms(text)


@pytest.mark.asyncio
async def test_a_contact_away() -> None:
    node = House(ANN, shelf=moved_in(ANN, BOB)).node
    assert objects.contact(node, node.people.contacts[BOB.account]) == {
        "account": BOB.account.hex(),
        "name": "Bob",
        "nickname": "Bob",
        "trust": "verified",
        "verified_by": "invite",
        "alert": None,
        "blocked": False,
        "online": False,
        "last_seen": None,
    }


@pytest.mark.asyncio
async def test_a_contact_seen_before() -> None:
    node = House(ANN, shelf=moved_in(ANN, BOB)).node
    who = replace(node.people.contacts[BOB.account], name="bobby", trust=Trust.INVITED, verified_by=None, last_seen_ms=NOW + 1)
    shown = objects.contact(node, who)
    assert (shown["name"], shown["nickname"], shown["trust"], shown["verified_by"], shown["last_seen"]) == (
        "bobby",
        "Bob",
        "invited",
        None,
        NOW_TEXT,
    )


@pytest.mark.asyncio
async def test_names_of_contacts_of_mine_and_of_strangers() -> None:
    people = House(ANN, shelf=moved_in(ANN, BOB)).node.people
    assert objects.name_of(people, BOB.account) == "Bob" and objects.name_of(people, ANN.account) == "Ann"
    assert objects.name_of(people, EVE.account) == EVE.account.hex()[:8]
    people.learn_chain(EVE.links)
    assert objects.name_of(people, EVE.account) == "Eve"


@pytest.mark.asyncio
async def test_a_message_of_mine() -> None:
    shelf = moved_in(ANN, BOB)
    event = shelf.say(BOB, "hello")
    node = House(ANN, shelf=shelf).node
    assert objects.message(node, shelf.row(event)) == {
        "id": event.id.hex(),
        "conversation": direct(ANN, BOB).id.hex(),
        "kind": "text",
        "from": {"account": ANN.account.hex(), "name": "Ann", "device": ANN.device.hex()},
        "mine": True,
        "text": "hello",
        "sent_at": objects.time(event.header.hlc >> 16),
        "received_at": None,
        "clock_skew_s": None,
        "state": "queued",
        "deliveries": [{"account": BOB.account.hex(), "name": "Bob", "state": "queued", "at": None}],
    }


@pytest.mark.asyncio
async def test_a_message_of_somebody_else() -> None:
    shelf, bob = moved_in(ANN, BOB), moved_in(BOB, ANN)
    event = bob.say(ANN, "hello")
    shelf.take([event], BOB)
    node = House(ANN, shelf=shelf).node
    row = replace(shelf.row(event), skew_ms=-90_400)
    shown = objects.message(node, row)
    assert (shown["mine"], shown["state"], shown["deliveries"], shown["clock_skew_s"]) == (False, "unread", [], -90)
    assert shown["from"] == {"account": BOB.account.hex(), "name": "Bob", "device": BOB.device.hex()}
    assert shown["received_at"] == objects.time(shelf.now_ms)
    assert objects.message(node, replace(row, unread=False))["state"] == "read"


@pytest.mark.asyncio
async def test_states_of_mine() -> None:
    shelf = moved_in(ANN, BOB)
    row = shelf.row(shelf.say(BOB, "hello"))
    node = House(ANN, shelf=shelf).node
    for delivered_ms, read_ms, state, at in ((NOW, None, "delivered", NOW), (NOW, NOW + 1, "read", NOW + 1), (None, NOW, "read", NOW)):
        shown = objects.message(node, replace(row, deliveries=(DeliveryRow(BOB.account, delivered_ms, read_ms),)))
        assert (shown["state"], shown["deliveries"][0]["state"], shown["deliveries"][0]["at"]) == (state, state, objects.time(at))


def test_the_least_state_of_all_recipients_counts() -> None:
    shelf = moved_in(ANN, BOB)
    row = shelf.row(shelf.say(BOB, "hello"))
    states = [{"state": state} for state in ("read", "sent", "delivered")]
    assert objects.state(row, states) == "sent" and objects.state(row, []) == "read"


@pytest.mark.asyncio
async def test_conversations() -> None:
    shelf = moved_in(ANN, BOB)
    row = shelf.row(shelf.say(BOB, "hello"))
    node = House(ANN, shelf=shelf).node
    talk = objects.conversation(node, ConversationRow(direct(ANN, BOB).id, "direct", BOB.account, 3, row))
    assert talk["last"] == objects.message(node, row)
    assert (talk["kind"], talk["name"], talk["account"], talk["unread"]) == ("direct", "Bob", BOB.account.hex(), 3)
    notes = objects.conversation(node, ConversationRow(node.people.own().id, "self", None, 0, None))
    assert (notes["kind"], notes["name"], notes["account"], notes["last"]) == ("self", "me", None, None)


@pytest.mark.asyncio
async def test_a_peer_away() -> None:
    node = House(ANN, shelf=moved_in(ANN, BOB)).node
    (peer,) = objects.peers(node)
    assert peer == {
        "account": BOB.account.hex(),
        "name": "Bob",
        "device": BOB.device.hex(),
        "device_name": "Bob's laptop",
        "online": False,
        **dict.fromkeys(("since", "path", "address", "interface", "rtt_ms")),
    }


@pytest.mark.asyncio
async def test_a_peer_on_a_live_link() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        ann.node.interface_name = lambda link: "eth0"
        (peer,) = objects.peers(ann.node)
        assert (peer["online"], peer["path"], peer["address"], peer["interface"], peer["rtt_ms"]) == (
            True,
            "mdns",
            str(bob.address),
            "eth0",
            1.0,
        )
        assert objects.parse_time_ms(peer["since"]) <= ann.node.clock.wall_ms()
        (other,) = objects.peers(bob.node)
        assert (other["online"], other["path"]) == (True, "incoming")
        assert objects.contact(ann.node, ann.node.people.contacts[BOB.account])["online"]


@pytest.mark.asyncio
async def test_who_is_there_comes_first() -> None:
    async with neighbours(ANN, BOB) as (ann, _):
        carl = Person("Aaron")
        ann.node.people.learn_chain(carl.links)
        ann.node.people.contacts[carl.account] = replace(ann.node.people.contacts[BOB.account], account=carl.account, nickname="Aaron")
        assert [peer["name"] for peer in objects.peers(ann.node)] == ["Bob", "Aaron"]
