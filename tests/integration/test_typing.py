"""Two people with a chat open see each other type, unless one of them wants none of that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from p2pmsg.rpc import client
from tests.integration.daemons import Somebody, town, until
from tests.unit.terminal import terminal


@pytest.fixture(scope="module")
def friends() -> Iterator[list[Somebody]]:
    with town("Ann", "Bob") as people:
        yield people


def test_each_sees_the_other_type_until_the_message_comes(friends: list[Somebody]) -> None:
    ann, bob = friends
    with terminal(ann.home, "chat", "bob") as anns, terminal(bob.home, "chat", "ann") as bobs:
        anns.row(">")
        bobs.row(">")
        anns.press("hel")
        bobs.row(">" + "Ann is typing…".rjust(78))
        bobs.press("wait")
        anns.row("> hel" + f"Bob~{bob.account[:8]} is typing…".rjust(74))
        anns.press("lo\r")
        bobs.see("Ann: hello")
        bobs.row("> wait")
        anns.press("\x04")
        assert anns.end() == 0
    assert ann.good("watch", "--since", "0", "-n", "2", "--json")[1]["type"] == "message"


def test_who_wants_none_of_it_tells_and_is_told_nothing(friends: list[Somebody]) -> None:
    ann, bob = friends
    bob.configure("typing", "off")
    until(lambda: bob.logged("the setting typing has changed and counts from now on"), "Bob's daemon notices")
    with client.connect(ann.folder) as anns, client.connect(bob.folder) as bobs:
        for watching in (anns, bobs):
            watching.call("watch", {"typing": True})
        assert bob.ask("chat.typing", target="ann") == {"told": 0}
        assert until(lambda: ann.ask("chat.typing", target="bob")["told"] == 1, "nobody was told for 3 s")
        ann.say(bob, "after that")
        types: list[str] = []
        for watching in (anns, bobs):
            for event in watching.events():
                types.append(event["type"])
                if event["type"] == "message":
                    break
        assert "typing" not in types
        assert ann.ask("config.set", key="typing", value=False)["value"] is False
        assert ann.ask("chat.typing", target="bob") == {"told": 0}
        for somebody in (ann, bob):
            somebody.ask("config.unset", key="typing")
        assert until(lambda: bob.ask("chat.typing", target="ann")["told"] == 1, "Bob tells again")
        event = next(event for event in anns.events() if event["type"] == "typing" and event["typing"]["for_s"])
        assert event["typing"] == {"account": bob.account, "name": "Bob", "for_s": 6.0}
