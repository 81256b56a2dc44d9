"""What a contact's chain comes to say: lines, alerts, what waits for a look, and what ends by it. The peer's frames are the test's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pmsg.crypto import chain
from p2pmsg.daemon import alerts
from p2pmsg.daemon.load import load_people
from p2pmsg.daemon.relations import Relations
from p2pmsg.daemon.saying import say
from p2pmsg.errors import DeviceNeedsLook, IdentityChanged
from p2pmsg.model.accounts import Contact, Trust
from p2pmsg.model.ids import DeviceKey
from p2pmsg.protocol import authority, wire
from p2pmsg.protocol.messages import BYE
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import FrameType, Have
from p2pmsg.rpc import api
from p2pmsg.storage import feed, rebuild
from tests.unit.meeting import End
from tests.unit.nodes import House, moved_in, settle
from tests.unit.people import Person, join, put_out
from tests.unit.test_link_events import Visit

pytestmark = pytest.mark.asyncio
ANN = Person("Ann")


class Meeting:
    """Ann's node, and Bob's devices, each at the other end of a connection of its own."""

    def __init__(self, trust: Trust = Trust.VERIFIED) -> None:
        self.bob = Person("Bob")
        self.house = House(ANN, shelf=moved_in(ANN, Person("Bob"))).start()
        if trust is not Trust.VERIFIED:
            self.house.shelf.meet(self.bob, trust=trust.value, verified_by=None, via=None)
            self.house.node.people.contacts[self.bob.account] = load_people(self.house.shelf.db).contacts[self.bob.account]

    async def comes(self, device: Person) -> tuple[Visit, End]:
        visit = Visit(device, self.house)
        end = await visit.comes()
        await settle()
        return visit, end

    async def shows(self, visit: Visit, end: End, links: Any) -> None:
        for page in encode_chain(links):
            visit.say(end, FrameType.CHAIN, page)
        await settle()

    @property
    def contact(self) -> Contact:
        """As memory and storage say alike."""
        found = self.house.node.people.contacts[self.bob.account]
        stored = load_people(self.house.shelf.db).contacts[self.bob.account]
        assert (found.trust, found.verified_by, found.alert) == (stored.trust, stored.verified_by, stored.alert)
        return found

    @property
    def alert(self) -> str | None:
        return self.contact.alert

    async def lines(self) -> list[str]:
        return [each["text"] for each in await self.house.history(n=50) if each["kind"] == "system"][1:]

    def told(self) -> list[str]:
        """The codes of alerts in the feed."""
        rows = feed.after(self.house.shelf.db, 0).changes
        return [json.loads(row.payload or "")["code"] for row in rows if row.type is feed.ChangeType.ALERT]

    async def look(self) -> None:
        await alerts.look(self.house.node, self.contact)
        await settle()


def given(visit: Visit, end: End) -> list[str]:
    """The texts of the events that came over a link."""
    assert end.opened is not None
    texts = []
    for frame in visit.wire.frames():
        payload, _ = end.opened.channel.receive(frame.type, frame.body, 0.0)
        if frame.type == FrameType.EVENTS and payload is not None:
            message = wire.decode(frame.type, payload)
            assert isinstance(message, wire.Events)
            texts += [event.body for event in message.events]
    return [str(text) for text in texts]


async def test_a_device_added_to_a_verified_contact_needs_a_look() -> None:
    meeting = Meeting()
    visit, end = await meeting.comes(meeting.bob)
    visit.say(end, *wire.encode(Have(True, [])))
    await settle()
    given(visit, end)
    join(meeting.bob, "phone")
    await meeting.shows(visit, end, meeting.bob.links)
    assert meeting.alert == "device_added" and meeting.contact.trust is Trust.VERIFIED
    assert await meeting.lines() == ['Bob added "phone", signed by "Bob\'s laptop".'] and meeting.told() == ["device_added"]
    with pytest.raises(DeviceNeedsLook, match="new device") as caught:
        await meeting.house.send("secret")
    assert (caught.value.code, caught.value.exit_status) == ("device_needs_look", 6) and "--yes" in caught.value.hint
    await meeting.look()
    assert meeting.alert is None
    await meeting.house.send("not so secret")


async def test_what_was_written_before_waits_for_the_look_and_then_goes_out() -> None:
    meeting = Meeting()
    await meeting.house.send("written while Bob was away")
    phone = join(meeting.bob, "phone")
    visit, end = await meeting.comes(phone)
    assert meeting.alert == "device_added"
    visit.say(end, *wire.encode(Have(True, [])))
    ask(meeting, visit, end)
    await settle()
    assert given(visit, end) == []
    await meeting.look()
    assert len(given(visit, end)) == 1


def ask(meeting: Meeting, visit: Visit, end: End) -> None:
    """Have a device ask for all that Ann wrote to Bob."""
    node = meeting.house.node
    talk = node.people.direct(meeting.bob.account).id
    (claim,) = node.replication._conversations[talk].tips[node.people.me.device[:8]]
    visit.say(end, *wire.encode(wire.Want([wire.Range(talk, b"", wire.pack_claims([claim]))])))


@pytest.mark.parametrize("trust", [Trust.UNVERIFIED, Trust.INVITED])
async def test_a_device_of_who_is_not_verified_is_shown_and_works_at_once(trust: Trust) -> None:
    meeting = Meeting(trust)
    await meeting.house.send("first")
    phone = join(meeting.bob, "phone")
    visit, end = await meeting.comes(phone)
    visit.say(end, *wire.encode(Have(True, [])))
    ask(meeting, visit, end)
    await settle()
    assert meeting.alert is None and meeting.told() == [] and len(given(visit, end)) == 1
    assert await meeting.lines() == ['Bob added "phone", signed by "Bob\'s laptop".']
    await meeting.house.send("second")


async def test_two_links_side_by_side_end_verified_and_stop_sending_until_compared() -> None:
    meeting = Meeting()
    visit, end = await meeting.comes(meeting.bob)
    first = meeting.bob.links
    meeting.bob.rename("Bobby")
    twin = Person("Bob")
    twin.rename("Robert")
    await meeting.shows(visit, end, (*first, meeting.bob.links[1], twin.links[1]))
    assert meeting.alert == "identity_changed" and meeting.told() == ["identity_changed"]
    assert (meeting.contact.trust, meeting.contact.verified_by) == (Trust.UNVERIFIED, None)
    with pytest.raises(IdentityChanged):
        await meeting.house.send("secret")
    with pytest.raises(IdentityChanged, match="somebody else"):
        await meeting.look()
    assert meeting.alert == "identity_changed"
    await say(meeting.house.node, meeting.contact, verified_by="number")
    assert meeting.alert is None and meeting.contact.trust is Trust.VERIFIED
    await meeting.house.send("to Bob")


async def test_the_recovery_words_in_use_are_an_alarm() -> None:
    meeting = Meeting(Trust.INVITED)
    recovered = join(meeting.bob, "new laptop", by_root=True)
    put_out(recovered, meeting.bob, by_root=True)
    visit, _ = await meeting.comes(recovered)
    assert meeting.alert == "identity_changed" and meeting.contact.trust is Trust.INVITED
    assert meeting.house.node.links.of_account(meeting.bob.account)
    lines = await meeting.lines()
    assert 'Bob added "new laptop", signed by the recovery words.' in lines and 'Bob removed "Bob\'s laptop".' in lines
    assert any(line.startswith("Warning: the recovery words of Bob were used.") for line in lines)
    assert not visit.wire.over


async def test_a_device_without_a_link_of_its_own_went_back_once() -> None:
    meeting = Meeting()
    old = meeting.bob.links
    meeting.bob.rename("Bobby")
    await meeting.comes(meeting.bob)
    meeting.house.node.close(next(iter(meeting.house.node.links)).link, BYE)
    meeting.bob.links = old
    await meeting.comes(meeting.bob)
    assert meeting.alert == "identity_changed" and meeting.told() == ["identity_changed"]
    assert meeting.house.node.people.memberships[meeting.bob.account].nickname == "Bobby"
    await say(meeting.house.node, meeting.contact, verified_by="sas")
    meeting.house.node.close(next(iter(meeting.house.node.links)).link, BYE)
    await meeting.comes(meeting.bob)
    assert meeting.alert is None and meeting.told() == ["identity_changed"]


async def test_a_chain_that_goes_back_on_an_open_link_is_an_alarm_too() -> None:
    meeting = Meeting()
    old = meeting.bob.links
    meeting.bob.rename("Bobby")
    visit, end = await meeting.comes(meeting.bob)
    await meeting.shows(visit, end, old)
    assert meeting.alert == "identity_changed" and not visit.wire.over


async def test_a_second_device_that_lags_is_no_alarm() -> None:
    """It shows a chain without what the laptop signed since, and its own link beside that."""
    meeting = Meeting(Trust.INVITED)
    phone = join(meeting.bob, "phone")
    await meeting.comes(phone)
    meeting.bob.rename("Bobby")
    await meeting.comes(meeting.bob)
    meeting.house.node.close(meeting.house.node.links.of_account(meeting.bob.account)[0].link, BYE)
    await settle()
    phone.rename("Bobster")
    visit, _ = await meeting.comes(phone)
    assert meeting.alert is None and not visit.wire.over
    ids = {link.id for link in (*meeting.bob.links, *phone.links)}
    assert meeting.house.node.people.memberships[meeting.bob.account].links == ids


async def test_the_links_of_a_device_that_was_put_out_end_at_once() -> None:
    meeting = Meeting(Trust.INVITED)
    phone = join(meeting.bob, "phone")
    by_laptop, end = await meeting.comes(meeting.bob)
    by_phone, _ = await meeting.comes(phone)
    put_out(meeting.bob, phone)
    await meeting.shows(by_laptop, end, meeting.bob.links)
    assert by_phone.wire.closed == BYE and not by_laptop.wire.over
    again, _ = await meeting.comes(phone)
    assert again.wire.refused and meeting.alert is None
    assert await meeting.lines() == ['Bob added "phone", signed by "Bob\'s laptop".', 'Bob removed "phone".']


async def test_an_alarm_outweighs_a_new_device_and_stays() -> None:
    meeting = Meeting()
    visit, end = await meeting.comes(meeting.bob)
    join(meeting.bob, "phone", by_root=True)
    await meeting.shows(visit, end, meeting.bob.links)
    assert meeting.alert == "identity_changed"
    join(meeting.bob, "tablet")
    await meeting.shows(visit, end, meeting.bob.links)
    assert meeting.alert == "identity_changed" and meeting.told() == ["identity_changed"]


async def test_an_alert_outlives_a_restart_and_nothing_is_handed_over_then() -> None:
    meeting = Meeting()
    await meeting.house.send("before")
    visit, end = await meeting.comes(meeting.bob)
    join(meeting.bob, "phone")
    await meeting.shows(visit, end, meeting.bob.links)
    meeting.house.node.stop()
    meeting.house = House(ANN, shelf=meeting.house.shelf).start()
    assert meeting.alert == "device_added"
    visit, end = await meeting.comes(meeting.bob)
    visit.say(end, *wire.encode(Have(True, [])))
    ask(meeting, visit, end)
    await settle()
    assert given(visit, end) == []


async def test_what_was_seen_is_seen_again_from_the_log() -> None:
    meeting = Meeting()
    visit, end = await meeting.comes(meeting.bob)
    join(meeting.bob, "phone")
    await meeting.shows(visit, end, meeting.bob.links)
    before = await meeting.lines()
    rebuild.rebuild(meeting.house.shelf.db)
    assert await meeting.lines() == before != []


async def test_a_name_in_a_line_cannot_leave_its_quotation_marks() -> None:
    meeting = Meeting(Trust.INVITED)
    join(meeting.bob, 'x", signed by "Bob')
    await meeting.comes(meeting.bob)
    assert await meeting.lines() == ['Bob added "x\', signed by \'Bob", signed by "Bob\'s laptop".']


async def test_show_lists_the_devices_and_takes_the_look() -> None:
    meeting = Meeting()
    visit, end = await meeting.comes(meeting.bob)
    join(meeting.bob, "phone")
    await meeting.shows(visit, end, meeting.bob.links)
    relations = Relations(meeting.house.node, None, None, None)  # type: ignore[arg-type]
    found = await relations.show(api.ContactShow(name="Bob"))
    assert [(each["name"], each["added_by"], each["online"]) for each in found["devices"]] == [
        ("Bob's laptop", None, True),
        ("phone", "Bob's laptop", False),
    ]
    assert found["alert"] == "device_added"
    assert (await relations.show(api.ContactShow(name="Bob", yes=True)))["alert"] is None


async def test_of_who_is_no_contact_nothing_is_noted() -> None:
    house = House(ANN, shelf=moved_in(ANN)).start()
    eve = Person("Eve")
    phone = authority.resolve(join(eve, "phone").links)
    seen = alerts.news(house.node, authority.resolve(eve.links[:1]), phone)
    assert [body.what for body in seen] == ["added"]
    with house.shelf.db.atomic():
        assert alerts.note(house.shelf.db, house.node, eve.account, seen, 0) is None
    assert chain.device_id(eve.account, DeviceKey(eve.key)) in phone.devices
