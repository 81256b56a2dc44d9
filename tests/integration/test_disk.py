"""Disks that fill up, databases that are damaged or of a newer version: said clearly, survived, nothing lost."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.crypto import vault
from p2pmsg.storage.database import close_database, open_database
from tests.integration.daemons import Json, Somebody, small_disk, town, until

MB = 1_000_000
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")


@pytest.fixture
def people(home: Path) -> Iterator[tuple[Somebody, Somebody]]:
    """Ann, whose home is a disk of 64 MB, and Bob."""
    ann = Somebody(home / "ann", "Ann")
    ann.home.mkdir()
    with small_disk(ann.home, 64 * MB), town("Bob") as (bob,):
        ann.arrive()
        try:
            ann.befriend(bob)
            yield ann, bob
        finally:
            ann.cli("daemon", "stop")


def fill(folder: Path, but_bytes: int = 0) -> Path:
    """Leave so much room on a disk."""
    ballast = folder / "ballast"
    room = os.statvfs(folder)
    with ballast.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - but_bytes)
        except OSError:
            pass
    return ballast


@needs_root
@pytest.mark.parametrize("left_bytes", [10 * MB, 0], ids=["nearly full", "full"])
def test_a_full_disk_refuses_and_recovers(people: tuple[Somebody, Somebody], left_bytes: int) -> None:
    ann, bob = people
    assert [w["code"] for w in ann.ask("status")["warnings"]] == ["disk_low"]
    kept = ann.say(bob, "before")
    ballast = fill(ann.home, left_bytes)

    def refused() -> bool:
        done = ann.cli("send", "me", "--json", "filling up")
        return done.status == 8 and done.error["code"] == "storage_full" and done.out == ""

    until(refused, "the disk is seen to be full")
    ann.fails(8, "storage_full", "send", "bob", "--json", "no room")
    assert [w["code"] for w in ann.ask("status")["warnings"]] == ["disk_full"]
    waiting = bob.ask("send", target="ann", text="for when there is room", wait="delivered", timeout_s=1.5)
    assert waiting["state"] in ("queued", "sent")  # what is not stored is never acknowledged
    ballast.unlink()
    until(lambda: bob.state(ann, waiting) == "delivered", "it went on by itself")
    assert ann.texts(bob) == ["before", "for when there is room"]
    assert bob.texts(ann)[0] == "before" and "no room" not in bob.texts(ann)
    assert ann.say(bob, "after")["id"] != kept["id"]


@needs_root
def test_what_others_send_leaves_me_room_to_write(people: tuple[Somebody, Somebody]) -> None:
    ann, bob = people
    ballast = fill(ann.home, 30 * MB)
    until(lambda: [w["code"] for w in ann.ask("status")["warnings"]] == ["disk_reserve"], "status says so")

    def held_back() -> Json | None:
        message: Json = bob.ask("send", target="ann", text="one more", wait="delivered", timeout_s=1.5)
        return None if message["state"] == "delivered" else message

    waiting = until(held_back, "the disk is seen to be full for others")
    ann.say(bob, "my disk is nearly full")
    ballast.unlink()
    until(lambda: bob.state(ann, waiting) == "delivered", "it went on by itself", 45)
    assert bob.texts(ann)[-1] == "my disk is nearly full"


@needs_root
def test_killed_on_a_full_disk(people: tuple[Somebody, Somebody]) -> None:
    ann, bob = people
    kept = ann.say(bob, "before")
    ballast = fill(ann.home)
    ann.kill()
    done = ann.cli("daemon", "start", "--json")
    assert done.status in (0, 8), done.err
    if done.status:
        assert done.error["code"] == "storage_full"
    ballast.unlink()
    ann.start()
    assert ann.state(bob, kept) == "delivered"
    until(lambda: ann.linked(bob), "they meet again")
    until(lambda: ann.cli("send", "bob", "--wait", "delivered", "--json", "after").status == 0, "there is room again")


@needs_root
def test_init_on_a_full_disk_leaves_nothing(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann")
    ann.home.mkdir()
    with small_disk(ann.home, 64 * 1024):
        ann.fails(8, "storage_full", "init", "--name", "Ann", "--words-file", str(home / "words"), "--json")
        assert list(ann.home.iterdir()) == [] and not (home / "words").exists()


def test_a_damaged_database_is_set_aside(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann").arrive()
    ann.ask("send", target="me", text="x" * 60_000)
    ann.stop()
    database = ann.folder / "data.db"
    damaged = bytearray(database.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    database.write_bytes(damaged)
    done = ann.cli("daemon", "start", "--json")
    aside = list(ann.folder.glob("data.db.damaged-*"))
    assert len(aside) == 1 and aside[0].read_bytes() == damaged
    assert (done.status, done.error["code"]) == (8, "storage_damaged")  # whose profile it is stood in it
    assert str(aside[0]) in done.error["message"]
    again = ann.cli("daemon", "start", "--json")
    assert (again.status, again.error["code"]) == (8, "storage_damaged")
    database.unlink()
    damaged[len(damaged) // 2] ^= 1
    database.write_bytes(damaged)  # mended, or a copy from before
    database.chmod(0o600)
    assert ann.start()["running"] and len(ann.ask("history", target="me")) == 1
    ann.stop()


def test_files_that_are_deleted_while_the_daemon_runs(home: Path) -> None:
    with town("Ann", "Bob") as (ann, bob):
        (ann.folder / "data.db-wal").unlink()
        ann.say(bob, "one")
        bob.say(ann, "two")
        ann.kill()
        ann.start()
        assert ann.texts(bob) == ["one", "two"] and ann.ask("status")["warnings"] == []
        until(lambda: ann.linked(bob), "they meet again")
        (ann.folder / "data.db").unlink()
        refused = ann.fails(8, "storage_damaged", "send", "bob", "--json", "not this")
        assert "deleted" in refused["message"] and f"/proc/{ann.pid}/fd" in refused["hint"]
        waiting = bob.ask("send", target="ann", text="three", wait="delivered", timeout_s=1.5)
        assert waiting["state"] != "delivered" and ann.texts(bob) == ["one", "two"]
        files = Path(f"/proc/{ann.pid}/fd")
        (number,) = [each for each in files.iterdir() if str(each.readlink()) == f"{ann.folder / 'data.db'} (deleted)"]
        subprocess.run(["install", "-m", "600", str(number), str(ann.folder / "data.db")], check=True)  # as the hint says
        ann.good("daemon", "restart", "--json")
        until(lambda: bob.state(ann, waiting) == "delivered", "they go on")


def test_files_that_are_deleted_while_no_daemon_runs(home: Path) -> None:
    with town("Ann", "Bob") as (ann, bob):
        ann.stop()
        ann.start()
        ann.say(bob, "one")
        ann.kill()
        (ann.folder / "data.db-wal").unlink()
        ann.start()
        assert "journal_missing" in [warning["code"] for warning in ann.ask("status")["warnings"]]
        until(lambda: "old_copy" in [warning["code"] for warning in ann.ask("status")["warnings"]], "it learns what it lacks")
        ann.fails(8, "not_permitted", "send", "bob", "--json", "under a number that is taken")
        ann.stop()
        (ann.folder / "data.db").unlink()
        gone = ann.fails(8, "storage_damaged", "daemon", "start", "--json")
        assert "gone" in gone["message"] and not (ann.folder / "data.db").exists()


def test_an_old_copy_that_is_put_back(home: Path) -> None:
    with town("Ann", "Bob") as (ann, bob):
        ann.stop()
        old = (ann.folder / "data.db").read_bytes()
        ann.start()
        until(lambda: ann.linked(bob), "they meet again")
        ann.say(bob, "later than the copy")
        ann.stop()
        (ann.folder / "data.db").write_bytes(old)
        ann.start()
        until(lambda: "old_copy" in [warning["code"] for warning in ann.ask("status")["warnings"]], "it is told what it lacks")
        refused = ann.fails(8, "not_permitted", "send", "bob", "--json", "under a number that is taken")
        assert "--as-new" in refused["hint"]
        assert bob.texts(ann) == ["later than the copy"] and bob.ask("status")["warnings"] == []


def test_a_newer_database_is_refused_untouched(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann").arrive(start=False)
    database = ann.folder / "data.db"
    opened = open_database(database, vault.database_key(vault.open_key(ann.folder / "key")))
    opened.db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('p2pmsg', 'm9999_the_future', 'x')")
    close_database(opened.db)
    before = hashlib.sha256(database.read_bytes()).digest()
    ann.fails(8, "database_newer", "daemon", "start", "--json")
    assert hashlib.sha256(database.read_bytes()).digest() == before
    assert [path.name for path in ann.folder.glob("data.db*")] == ["data.db"]


def test_a_key_that_is_gone_or_cut(home: Path) -> None:
    ann = Somebody(home / "ann", "Ann").arrive(start=False)
    key = ann.folder / "key"
    whole = key.read_bytes()
    key.write_bytes(whole[: len(whole) // 2])
    done = ann.cli("daemon", "start", "--json")
    assert done.status == 8 and done.error["code"] != "internal", done.err
    assert list(ann.folder.glob("data.db.damaged-*")) == []
    key.write_bytes(whole)
    assert ann.start()["running"]
    ann.stop()
