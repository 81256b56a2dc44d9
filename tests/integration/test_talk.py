"""Two or three people talk: states of messages, receipts, names that two share, parting and meeting again, invites."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from p2pmsg.errors import P2pmsgError
from p2pmsg.rpc import client
from tests.integration import shapes
from tests.integration.daemons import Json, Somebody, town, until


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    with town("Ann", "Bob", "Carl") as found:
        yield found


@pytest.fixture
def carl(people: list[Somebody]) -> Somebody:
    return people[2]


def test_trust_after_an_invite(ann: Somebody, bob: Somebody) -> None:
    seen_by_maker, seen_by_user = ann.ask("contact.show", name="bob"), bob.ask("contact.show", name="ann")
    assert (seen_by_maker["trust"], seen_by_maker["verified_by"]) == ("invited", None)
    assert (seen_by_user["trust"], seen_by_user["verified_by"]) == ("verified", "invite")
    lines = [m for m in ann.ask("history", target="bob", n=1000) if m["kind"] == "system"]
    assert len(lines) == 1 and "Bob" in lines[0]["text"]


def test_a_message_to_somebody_absent_waits(ann: Somebody, bob: Somebody) -> None:
    bob.stop()
    until(lambda: not ann.linked(bob), "Bob said goodbye")
    waiting = ann.cli("send", "bob", "--wait", "sent", "--timeout", "0.2", "--json", "later")
    assert waiting.status == 7 and waiting.objects[0]["state"] == "queued"
    assert waiting.objects[0]["deliveries"][0] | {"account": 0} == {"account": 0, "name": "Bob", "state": "queued", "at": None}
    assert ann.ask("status")["queued"] == 1
    bob.start()
    until(lambda: ann.state(bob, waiting.objects[0]) == "delivered", "it arrived")
    assert ann.ask("status")["queued"] == 0
    assert bob.ask("history", target="ann")[-1]["text"] == "later"


def test_both_killed_with_messages_on_their_way(ann: Somebody, bob: Somebody) -> None:
    sent = [ann.ask("send", target="bob", text=f"m{n}") for n in range(20)]
    bob.kill()
    sent += [ann.ask("send", target="bob", text=f"n{n}") for n in range(5)]
    ann.kill()
    for somebody in (ann, bob):
        somebody.start()
    until(lambda: all(ann.state(bob, message) == "delivered" for message in sent), "all arrived")
    assert [text for text in bob.texts(ann) if text[0] in "mn"] == [*(f"m{n}" for n in range(20)), *(f"n{n}" for n in range(5))]


def test_read_marks_and_says_so(ann: Somebody, bob: Somebody) -> None:
    message = ann.say(bob, "look")
    assert bob.ask("status")["unread"] > 0
    assert message["id"] in [m["id"] for m in bob.good("read", "ann", "--json")]
    assert bob.ask("inbox") == []
    until(lambda: ann.state(bob, message) == "read", "the receipt came")
    assert bob.good("read", "ann", "--json") == []


def test_history_marks_nothing_read(ann: Somebody, bob: Somebody) -> None:
    ann.say(bob, "unseen")
    assert bob.ask("history", target="ann")[-1]["state"] == "unread"
    assert bob.ask("inbox")[0]["unread"] == 1
    bob.ask("read", target="ann")


def test_without_receipts_nobody_learns_that_it_was_read(ann: Somebody, bob: Somebody) -> None:
    bob.configure("receipts.read", "false")
    bob.good("daemon", "restart", "--json")
    until(lambda: ann.linked(bob), "Bob is back")
    quiet = ann.say(bob, "psst")
    assert [m["text"] for m in bob.good("read", "ann", "--json")] == ["psst"]
    answer = bob.say(ann, "sealed")  # comes after whatever told of the reading
    assert ann.ask("history", target="bob")[-1]["id"] == answer["id"]
    assert ann.state(bob, quiet) == "delivered"
    bob.good("config", "unset", "receipts.read", "--json")
    bob.good("daemon", "restart", "--json")
    until(lambda: ann.linked(bob), "Bob is back")


def test_two_who_share_a_name(ann: Somebody, bob: Somebody, carl: Somebody) -> None:
    carl.ask("profile.set", name="Bob")
    until(lambda: ann.ask("contact.show", name=carl.account)["nickname"] == "Bob", "the nickname came")
    error = ann.fails(5, "ambiguous", "send", "bob", "--json", "hi")
    assert error["candidates"] == sorted(f"Bob~{who.account[:8]}" for who in (bob, carl))
    assert {c["name"] for c in ann.ask("contact.list")} == set(error["candidates"])
    assert ann.ask("send", target=error["candidates"][0], text="to one")["text"] == "to one"
    ann.good("contact", "rename", "--json", carl.account[:10], "Carl")
    assert ann.ask("contact.show", name="carl")["account"] == carl.account
    assert ann.ask("contact.show", name="BOB")["account"] == bob.account  # a nickname whose bearer has a local name counts last
    ann.fails(8, "name_taken", "contact", "rename", "--json", bob.account, "CARL")
    carl.ask("profile.set", name="Carl")
    until(lambda: ann.ask("contact.show", name="carl")["nickname"] == "Carl", "the nickname came")


def test_a_contact_removed_and_met_again(ann: Somebody, carl: Somebody) -> None:
    before = ann.say(carl, "before")
    ann.fails(2, "confirmation_needed", "contact", "remove", "carl", "--json")
    removed = ann.good("contact", "remove", "carl", "-y", "--json")[0]
    assert shapes.faults(removed, shapes.CONTACT) == [] and removed["online"] is False
    ann.fails(4, "contact_not_found", "send", "carl", "--json", "x")
    assert carl.account not in json.dumps([ann.ask(m) for m in ("contact.list", "peers")] + [ann.ask("inbox", all=True)])
    lost = carl.ask("send", target="ann", text="into the void", wait="delivered", timeout_s=1.0)
    assert lost["state"] == "queued"
    invite = ann.ask("contact.invite")["invite"]
    assert carl.good("contact", "add", invite, "--json")[0]["account"] == ann.account
    until(lambda: carl.state(ann, lost) == "delivered", "what waited came")
    assert ann.texts(carl)[-2:] == ["before", "into the void"]
    assert ann.state(carl, before) in ("delivered", "read")


def add(somebody: Somebody, invite: str, **more: object) -> str:
    """Return how the use of an invite ends: its error's code, or the contact's account."""
    try:
        return str(somebody.ask("contact.add", invite=invite, timeout_s=5, **more)["account"])
    except P2pmsgError as error:
        return error.code


def test_an_invite_works_once(ann: Somebody, bob: Somebody, carl: Somebody) -> None:
    invite = ann.ask("contact.invite")["invite"]
    assert add(carl, invite.lower()) == ann.account
    assert add(bob, invite) == "invite_used"
    assert add(carl, invite) == ann.account  # who used it may come again: his answer may have been lost
    bob.fails(8, "invite_used", "contact", "add", invite, "--json")


def test_an_invite_that_was_withdrawn(ann: Somebody, bob: Somebody) -> None:
    made = ann.ask("contact.invite")
    ann.ask("contact.uninvite", id=made["id"])
    bob.fails(8, "invite_withdrawn", "contact", "add", made["invite"], "--json")


def test_an_invite_over_its_time(ann: Somebody, bob: Somebody) -> None:
    made = ann.ask("contact.invite", valid_s=1.0)
    time.sleep(1.1)
    bob.fails(8, "invite_expired", "contact", "add", made["invite"], "--json")


def test_an_invite_ends_also_where_the_daemon_was_restarted(ann: Somebody, bob: Somebody) -> None:
    made = ann.ask("contact.invite", valid_s=1.5)
    ann.good("daemon", "restart", "--json")
    time.sleep(1.6)
    assert made["id"] not in [each["id"] for each in ann.ask("contact.invites")]
    assert add(bob, made["invite"]) == "invite_expired"


def test_an_invite_to_nowhere(ann: Somebody, bob: Somebody, carl: Somebody) -> None:
    made = carl.ask("contact.invite")["invite"]
    known = [contact["account"] for contact in bob.ask("contact.list")]
    carl.stop()
    error = bob.fails(9, "peer_unreachable", "contact", "add", made, "--timeout", "0.5", "--json")
    assert "127.0.0.1" in error["message"]
    assert [contact["account"] for contact in bob.ask("contact.list")] == known
    carl.start()
    until(lambda: ann.linked(carl), "Carl is back")


def test_an_invite_with_a_name_that_is_taken(ann: Somebody, bob: Somebody, carl: Somebody) -> None:
    made = carl.ask("contact.invite")["invite"]
    bob.ask("contact.rename", name="ann", new="Anna")
    bob.fails(8, "name_taken", "contact", "add", made, "--name", "ANNA", "--json")
    bob.fails(2, "invalid_name", "contact", "add", made, "--name", "a~b", "--json")
    bob.fails(2, "invite_malformed", "contact", "add", "-", "--json", stdin=b"")
    contact = bob.good("contact", "add", "-", "--name", "C", "--json", stdin=f"{made}\n".encode())[0]
    assert (contact["name"], contact["nickname"]) == ("C", "Carl")
    bob.ask("contact.rename", name="anna", new="Ann")


def test_two_changes_of_my_name_at_once(people: list[Somebody]) -> None:
    carl = people[2]
    with client.connect(carl.folder) as connection:
        for number, name in enumerate(("Carlo", "Karl")):
            connection._send({"jsonrpc": "2.0", "id": number, "method": "profile.set", "params": {"name": name}})
        answers = [connection._receive() for _ in range(2)]
    assert all("result" in answer for answer in answers), answers
    assert carl.good("daemon", "restart", "--json")[0]["running"]
    assert carl.ask("whoami")["name"] in ("Carlo", "Karl")
    until(lambda: people[0].linked(carl), "the others still believe his chain")


def test_many_senders_at_once_lose_nothing(ann: Somebody, bob: Somebody) -> None:
    def talk(who: Somebody, to: Somebody, mark: str) -> None:
        with client.connect(who.folder) as connection:
            for number in range(40):
                connection.call("send", {"target": to.account, "text": f"{mark}{number}"})

    talkers = [threading.Thread(target=talk, args=args) for args in ((ann, bob, "p"), (ann, bob, "q"), (bob, ann, "r"), (bob, ann, "s"))]
    for each in talkers:
        each.start()
    for each in talkers:
        each.join()

    def said(who: Somebody, other: Somebody) -> list[Json]:
        found = who.ask("history", target=other.account, n=1000)
        return [m["id"] for m in found if m["kind"] == "text" and m["text"][0] in "pqrs" and m["text"][1:].isdecimal()]

    until(lambda: len(said(ann, bob)) == len(said(bob, ann)) == 160, "all have all")
    assert said(ann, bob) == said(bob, ann)  # and in the same order
