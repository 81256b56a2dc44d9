"""Deleting, keeping and noticing with two real daemons, through the CLI; the files are read as a thief with the key would."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from p2pmsg.crypto import vault
from p2pmsg.rpc import client
from tests.integration import shapes
from tests.integration.daemons import Json, Somebody, until
from tests.unit.pages import opened

CANARY = "canary-6f1d"


def pages(who: Somebody) -> bytes:
    """Return every page of a database and its journal, opened."""
    return opened(who.folder / "data.db", vault.database_key(vault.open_key(who.folder / "key")))


def plain_files(who: Somebody) -> bytes:
    return b"".join(path.read_bytes() for path in who.folder.rglob("*") if path.is_file())


def test_a_deleted_message_has_left_the_disk(ann: Somebody, bob: Somebody) -> None:
    sent = ann.say(bob, f"{CANARY} one")
    until(lambda: f"{CANARY} one".encode() in pages(ann), "it is in the files")
    done = ann.good("delete", sent["id"][:12], "--json")
    assert done == [{"conversation": sent["conversation"], "deleted": 1, "still_to_deliver": 0}]
    assert CANARY.encode() not in pages(ann) + plain_files(ann)
    assert CANARY.encode() in pages(bob) and CANARY not in "".join(ann.texts(bob)) and f"{CANARY} one" in bob.texts(ann)
    ann.fails(4, "message_not_found", "delete", sent["id"], "--json")


def test_a_received_conversation_has_left_the_disk(ann: Somebody, bob: Somebody) -> None:
    for n in range(40):
        ann.say(bob, f"{CANARY} {n} {'x' * 50 * n}", wait=None)
    ann.say(bob, f"{CANARY} last")
    bob.fails(2, "confirmation_needed", "delete", "--in", "ann", "--json")
    assert CANARY.encode() in pages(bob)
    assert bob.good("delete", "--in", "ann", "-y", "--json")[0]["deleted"] >= 41
    assert CANARY.encode() not in pages(bob) and bob.ask("history", target="ann") == []
    assert bob.good("status", "--json")[0]["unread"] == 0
    bob.kill()
    bob.start()
    assert bob.ask("history", target="ann") == []
    until(lambda: bob.linked(ann), "they meet again")
    assert bob.say(ann, "still friends")["state"] in ("delivered", "read") and bob.texts(ann) == ["still friends"]


def test_what_is_not_delivered_is_delivered_all_the_same(ann: Somebody, bob: Somebody) -> None:
    bob.stop()
    until(lambda: not ann.linked(bob), "he is gone")
    sent = ann.say(bob, f"{CANARY} late", wait=None)
    error = ann.fails(2, "confirmation_needed", "delete", sent["id"], "--json")
    assert "does not have this message yet" in error["message"]
    assert ann.good("delete", sent["id"], "-y", "--json")[0]["still_to_deliver"] == 1
    assert f"{CANARY} late" not in ann.texts(bob) and ann.good("status", "--json")[0]["queued"] == 1
    bob.start()
    until(lambda: f"{CANARY} late" in bob.texts(ann), "he gets it")
    until(lambda: f"{CANARY} late".encode() not in pages(ann), "it leaves her disk then")
    assert ann.good("status", "--json")[0]["queued"] == 0


def test_what_is_older_than_is_kept_goes_when_the_setting_says_so(ann: Somebody, bob: Somebody) -> None:
    ann.good("send", "me", "--json", f"{CANARY} note")
    written = time.monotonic()
    until(lambda: time.monotonic() > written + 1.5, "the note is old")
    ann.configure("history.keep", "1s")
    until(lambda: ann.ask("history", target="me") == [], "the note is gone")
    assert CANARY.encode() not in pages(ann)
    ann.configure("history.keep", "forever")


def test_status_says_what_the_disk_holds(ann: Somebody) -> None:
    status = ann.good("status", "--json")[0]
    files = sum(path.stat().st_size for path in ann.folder.rglob("*") if path.is_file())
    assert shapes.faults(status, shapes.STATUS) == [] and abs(status["disk_bytes"] - files) < 1 << 20
    assert "disk:" in ann.cli("status").out


def test_a_program_is_told_of_new_messages(ann: Somebody, bob: Somebody, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = tmp_path / "notice me.py"
    program.write_text(f"import sys; open({str(out)!r}, 'a').write(sys.stdin.read())")
    bob.configure("notify.command", f"{sys.executable} '{program}'")
    until(lambda: bob.logged("notify.command has changed"), "he takes it up")
    sent = ann.say(bob, "look\nhere")
    notice: Json = json.loads(until(lambda: out.exists() and out.read_text(), "he is told"))
    assert (notice["id"], notice["name"], notice["text"], notice["missed"]) == (sent["id"], "Ann", "look here", 0)
    bob.configure("notify.command", "")


def test_watch_says_what_is_worth_a_notice(ann: Somebody, bob: Somebody) -> None:
    for text, notify in (("now", True), ("then", False)):
        with client.connect(bob.folder) as watching:
            watching.call("watch", {"since": 0})
            if notify:
                ann.say(bob, text)
            found = next(event for event in watching.events() if event.get("message", {}).get("text") == "now")
            assert found["notify"] is notify


def test_a_contact_goes_with_all_that_was_said(ann: Somebody, bob: Somebody) -> None:
    bob.say(ann, f"{CANARY} farewell")
    kept = ann.good("contact", "remove", "bob", "-y", "--json")[0]["account"]
    said = ann.good("history", kept, "--json")
    assert said[-1]["text"] == f"{CANARY} farewell" and said[-1]["from"]["name"] == "Bob"
    ann.fails(4, "contact_not_found", "send", "--json", kept, "x")
    assert kept[:16] in ann.fails(4, "contact_not_found", "history", "bob", "--json")["hint"]
    assert ann.good("delete", "--in", kept, "-y", "--json")[0]["deleted"] >= 1
    assert ann.good("history", kept, "--json") == [] and f"{CANARY} farewell".encode() not in pages(ann)
    bob.good("contact", "remove", "ann", "--history", "-y", "--json")
    assert bob.good("history", ann.account, "--json") == [] and CANARY.encode() not in pages(bob)
