"""A contact who shows chains that no honest person shows, or a new device: what a real daemon says, and what it sends no more."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from p2pmsg.errors import P2pmsgError
from p2pmsg.model.accounts import ChainLink
from p2pmsg.protocol import wire
from p2pmsg.protocol.proofs import encode_chain
from p2pmsg.protocol.wire import FrameType
from tests.hostile.mallory import Mallory, Talk, mallory
from tests.hostile.test_contact import soon
from tests.integration.daemons import Json, Somebody
from tests.unit.people import Person, join

pytestmark = pytest.mark.asyncio


@dataclass(frozen=True, slots=True)
class Acquainted:
    """Mallory, whom Ann has verified, and his open link to her."""

    mallory: Mallory
    talk: Talk
    ann: Somebody

    @property
    def name(self) -> str:
        return self.mallory.person.account.hex()

    @property
    def contact(self) -> Json:
        found: Json = self.ann.ask("contact.show", name=self.name)
        return found

    def show(self, links: tuple[ChainLink, ...]) -> None:
        for page in encode_chain(links):
            self.talk.frame(FrameType.CHAIN, page)

    def lines(self) -> list[str]:
        return [each["text"] for each in self.ann.ask("history", target=self.name, n=50) if each["kind"] == "system"]

    def code_of_send(self) -> tuple[str, int]:
        with pytest.raises(P2pmsgError) as caught:
            self.ann.ask("send", target=self.name, text="a secret")
        return caught.value.code, caught.value.exit_status

    def warnings(self) -> list[str]:
        return [each["code"] for each in self.ann.ask("status")["warnings"]]

    def number(self) -> str:
        number: str = self.ann.ask("contact.verify", name=self.name, number=True)["number"]
        return number

    def compare(self) -> Json:
        found: Json = self.ann.ask("contact.verify", name=self.name, number=self.number())
        return found

    def given(self) -> list[int]:
        return [number for number, _ in self.talk.heard() if number == FrameType.EVENTS]


@pytest_asyncio.fixture
async def acquainted(ann: Somebody) -> AsyncIterator[Acquainted]:
    async with mallory(f"M{os.urandom(4).hex()}") as attacker:
        talk = await attacker.join(ann)
        talk.have()
        await talk.next(FrameType.HAVE)
        scene = Acquainted(attacker, talk, ann)
        assert scene.compare()["trust"] == "verified"
        yield scene


async def test_a_new_device_gets_nothing_before_the_look(acquainted: Acquainted) -> None:
    scene, person = acquainted, acquainted.mallory.person
    join(person, "phone")
    scene.show(person.links)
    await soon(lambda: scene.contact["alert"] == "device_added")
    assert scene.contact["trust"] == "verified" and scene.code_of_send() == ("device_needs_look", 6)
    assert f'{person.name} added "phone", signed by "{person.name}\'s laptop".' in scene.lines()
    assert "device_added" in scene.warnings() and scene.given() == []
    assert scene.ann.ask("contact.show", name=scene.name, yes=True)["alert"] is None
    scene.ann.ask("send", target=scene.name, text="not so secret")
    assert isinstance(await scene.talk.next(FrameType.EVENTS), wire.Events)


async def twins(person: Person) -> tuple[ChainLink, ...]:
    first, other = person.links, Person(person.name)
    person.rename("Mal")
    other.rename("Lory")
    return (*first, person.links[-1], other.links[-1])


async def words_in_use(person: Person) -> tuple[ChainLink, ...]:
    join(person, "found by the words", by_root=True)
    return person.links


@pytest.mark.parametrize("chain_of", [twins, words_in_use])
async def test_chains_that_say_somebody_else_may_be_there_stop_sending(acquainted: Acquainted, chain_of: object) -> None:
    scene = acquainted
    scene.show(await chain_of(scene.mallory.person))  # type: ignore[operator]
    await soon(lambda: scene.contact["alert"] == "identity_changed")
    assert (scene.contact["trust"], scene.contact["verified_by"]) == ("unverified", None)
    assert scene.code_of_send() == ("identity_changed", 6) and "identity_changed" in scene.warnings()
    assert any(line.startswith("Warning: ") for line in scene.lines())
    with pytest.raises(P2pmsgError) as caught:
        scene.ann.ask("contact.show", name=scene.name, yes=True)
    assert caught.value.code == "identity_changed" and scene.given() == []
    assert scene.compare()["alert"] is None
    scene.ann.ask("send", target=scene.name, text="now then")
    assert isinstance(await scene.talk.next(FrameType.EVENTS), wire.Events)


async def test_who_comes_back_with_an_older_chain_of_his_own_is_an_alarm(acquainted: Acquainted) -> None:
    scene, person = acquainted, acquainted.mallory.person
    old = person.links
    person.rename("Mal")
    scene.show(person.links)
    await soon(lambda: scene.contact["nickname"] == "Mal")
    person.links = old
    again = await scene.mallory.link(scene.ann)
    await soon(lambda: scene.contact["alert"] == "identity_changed")
    assert scene.contact["nickname"] == "Mal" and scene.code_of_send() == ("identity_changed", 6)
    assert not again.line.lost.done()
