"""People nearby with real daemons and the real CLI: what scripts see that read and write pipes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from p2pmsg.config import limits
from tests.integration import shapes
from tests.integration.daemons import Done, Json, Somebody, town, until

SAS = {"type", "numbers", "emoji"}


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    with town("Ann", "Bob", friends=False) as found:
        yield found


@pytest.fixture
def ann(people: list[Somebody]) -> Iterator[Somebody]:
    with people[0].visible():
        yield people[0]


class Asking:
    """`contact add` or `contact accept` under way: its strings are read, its answer is written when the test says."""

    def __init__(self, who: Somebody, *words: str) -> None:
        self.process = who.popen("contact", *words, "--json", stdin=subprocess.PIPE)
        assert self.process.stdout is not None
        self.strings: Json = json.loads(self.process.stdout.readline() or b"{}")

    def say(self, answer: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(answer)
        self.process.stdin.flush()

    def end(self, answer: bytes = b"") -> Done:
        """Write the answer, and the end of input."""
        out, err = self.process.communicate(answer, timeout=30)
        return Done(self.process.returncode, out.decode(), err.decode())


def request_of(ann: Somebody, live: bool = True) -> str:
    found = until(lambda: [each for each in ann.ask("contact.requests") if each["live"] is live], "Bob's request is there")
    return str(found[0]["id"])


def failed(done: Done) -> None:
    assert (done.status, done.error["code"], done.out) == (6, "sas_mismatch", "")


def meet(ann: Somebody, bob: Somebody) -> tuple[Asking, Asking]:
    bobs = Asking(bob, "add", "Ann")
    return Asking(ann, "accept", request_of(ann)), bobs


def test_strangers_see_each_other_only_in_visible_mode(ann: Somebody, bob: Somebody) -> None:
    assert ann.ask("status")["visible_until"] is not None and bob.ask("status")["visible_until"] is None
    (found,) = bob.good("contact", "nearby", "--json")
    assert set(found) == {"id", "nickname"} and found["nickname"] == "Ann"
    assert ann.good("visible", "off", "--json") == [{"visible_until": None}]
    until(lambda: bob.good("contact", "nearby", "--timeout", "1s", "--json") == [], "Ann's goodbye is heard")
    bob.fails(4, "contact_not_found", "contact", "add", "Ann", "--json")


@pytest.mark.parametrize("answer", [b"no\n", b"", b"yes!\n"])
def test_no_of_who_accepts(ann: Somebody, bob: Somebody, answer: bytes) -> None:
    anns, bobs = meet(ann, bob)
    assert anns.strings == bobs.strings and set(anns.strings) == SAS
    bobs.say(b"yes\n")
    failed(anns.end(answer))
    failed(bobs.end())
    assert ann.ask("contact.list") == bob.ask("contact.list") == ann.ask("contact.requests") == []


@pytest.mark.parametrize("answer", [b"no\n", b""])
def test_no_of_who_asked(ann: Somebody, bob: Somebody, answer: bytes) -> None:
    anns, bobs = meet(ann, bob)
    failed(bobs.end(answer))
    failed(anns.end(b"yes\n"))
    assert ann.ask("contact.list") == bob.ask("contact.list") == []


def test_a_no_before_anybody_looked(ann: Somebody, bob: Somebody) -> None:
    failed_at_once = bob.cli("contact", "add", "Ann", "--json", stdin=b"no\n")
    assert (failed_at_once.status, set(failed_at_once.objects[0])) == (6, SAS)
    done = ann.cli("contact", "accept", request_of(ann, live=False), "--json", stdin=b"yes\n")
    assert (done.status, done.error["code"]) == (6, "sas_mismatch")


def test_a_request_while_nobody_looks_waits_and_outlasts_a_restart(ann: Somebody, bob: Somebody) -> None:
    gone = bob.cli("contact", "add", "Ann", "--timeout", "1s", "--json", stdin=b"yes\n")
    assert (gone.status, gone.error["code"]) == (7, "timeout")
    request = request_of(ann, live=False)
    ann.stop()
    ann.start()
    (kept,) = ann.good("contact", "requests", "--json")
    assert kept["id"] == request and (kept["account"], kept["kind"], kept["nickname"], kept["live"]) == (None, "contact", "Bob", False)
    assert shapes.time(kept["received_at"]) and len(kept) == 6
    assert ann.ask("status")["visible_until"] is None
    declined = ann.good("contact", "decline", request[:6], "--json")
    assert declined[0]["id"] == request and ann.ask("contact.requests") == []
    ann.fails(4, "request_not_found", "contact", "decline", request, "--json")


def test_three_failures_end_visible_mode(ann: Somebody, bob: Somebody) -> None:
    for _ in range(limits.VISIBLE_FAILURES):
        assert bob.cli("contact", "add", "Ann", "--json", stdin=b"no\n").status == 6
    until(lambda: ann.ask("status")["visible_until"] is None, "she is visible no more")
    assert bob.cli("contact", "add", "Ann", "--timeout", "2s", "--json", stdin=b"yes\n").status in (4, 9)


def test_both_say_yes(ann: Somebody, bob: Somebody) -> None:
    anns, bobs = meet(ann, bob)
    assert anns.strings == bobs.strings
    assert len(anns.strings["numbers"]) == 3 and all(1000 <= number <= 9191 for number in anns.strings["numbers"])
    bobs.say(b"yes\n")
    of_bob, of_ann = anns.end(b"yes\n"), bobs.end()
    assert (of_bob.status, of_ann.status) == (0, 0), (of_bob.err, of_ann.err)
    for done, account in ((of_bob, bob.account), (of_ann, ann.account)):
        (found,) = done.objects
        assert shapes.faults(found, shapes.CONTACT) == []
        assert (found["account"], found["trust"], found["verified_by"]) == (account, "verified", "sas")
    assert ann.ask("contact.requests") == []
    assert ann.say(bob, "nice to meet you")["state"] in ("delivered", "read")
    for somebody in (ann, bob):
        somebody.kill()
        somebody.start()
    until(lambda: ann.linked(bob), "they find each other again")
