"""Strangers in one room: they see each other only because one wants it, compare, and are contacts from then on."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

from tests.lan.people import SOON_S, Json, Person, Scene, start

MakeScene = Callable[..., Scene]


def typing(who: Person, *words: str) -> subprocess.Popen[str]:
    """Begin a command in the person's namespace that reads a line of stdin."""
    command = who.lan.command(who.node, who.command(*words, "--json"))
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def strings(typed: subprocess.Popen[str]) -> Json:
    assert typed.stdout is not None
    found: Json = json.loads(typed.stdout.readline())
    assert found.pop("type") == "sas"
    return found


def test_two_strangers_meet(scene: MakeScene) -> None:
    here = scene(3)
    ann, bob, carl = (here.person(node, name) for node, name in ((1, "Ann"), (2, "Bob"), (3, "Carl")))
    start(ann, bob, carl)
    assert bob.ask("contact.nearby", timeout_s=1) == []
    ann.cli("visible", "on", "--for", "1m")
    assert [each["nickname"] for each in bob.ask("contact.nearby")] == ["Ann"]
    asking = typing(bob, "contact", "add", "ann")
    his = strings(asking)
    (request,) = ann.until(lambda: ann.ask("contact.requests"))
    accepting = typing(ann, "contact", "accept", request["id"])
    assert strings(accepting) == his
    for typed in (asking, accepting):
        assert typed.stdin is not None
        typed.stdin.write("yes\n")
        typed.stdin.flush()
    for typed, account in ((asking, ann.account), (accepting, bob.account)):
        out, err = typed.communicate(timeout=SOON_S)
        assert typed.returncode == 0, err
        assert (json.loads(out)["account"], json.loads(out)["verified_by"]) == (account, "sas")
    assert ann.peer(bob)["path"] == "incoming" and bob.peer(ann)["path"] == "mdns"
    ann.send(bob, "hello", wait="delivered")
    assert ann.cli("visible", "off") == {"visible_until": None}
    assert carl.ask("contact.nearby", timeout_s=2) == []
    for person in (ann, bob):
        person.kill()
    start(ann, bob)
    ann.until_online(bob)


def test_two_who_add_each_other_at_once(scene: MakeScene) -> None:
    """Each is dialled at several addresses; still it is one string that both see."""
    here = scene()
    ann, bob = here.person(1, "Ann"), here.person(2, "Bob")
    start(ann, bob)
    for person in (ann, bob):
        person.cli("visible", "on")
    assert bob.ask("contact.nearby") and ann.ask("contact.nearby")
    both = [typing(ann, "contact", "add", "bob"), typing(bob, "contact", "add", "ann")]
    hers, his = map(strings, both)
    assert hers == his
    for typed in both:
        assert typed.stdin is not None
        typed.stdin.write("yes\n")
        typed.stdin.flush()
    for typed in both:
        _, err = typed.communicate(timeout=SOON_S)
        assert typed.returncode == 0, err
    assert ann.ask("contact.requests") == bob.ask("contact.requests") == []
    ann.send(bob, "hello", wait="delivered")


def test_visible_mode_ends_by_itself_and_says_goodbye(scene: MakeScene) -> None:
    here = scene()
    ann, bob = here.person(1, "Ann"), here.person(2, "Bob")
    start(ann, bob)
    ann.cli("visible", "on", "--for", "3s")
    assert [each["nickname"] for each in bob.ask("contact.nearby")] == ["Ann"]
    deadline = time.monotonic() + SOON_S
    while bob.ask("contact.nearby", timeout_s=1):
        assert time.monotonic() < deadline
    assert ann.ask("status")["visible_until"] is None
