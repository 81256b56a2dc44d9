"""`notify.command`: told of what is new, with little of everything, and never through a shell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon.notices import Notices
from tests.integration.daemons import ended, until
from tests.unit.nodes import House, moved_in, neighbours, settle
from tests.unit.people import Person
from tests.unit.shelves import Shelf, direct, line

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
WRITES = "import os, sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


def command(code: str, *words: str) -> Settings:
    return Settings(notify_command=shlex.join([sys.executable, "-c", code, *words]))


@contextlib.asynccontextmanager
async def told(house: House, settings: Settings, **how: Any) -> AsyncIterator[Notices]:
    """Tell of what is new for as long as the block lasts."""
    notices = Notices(house.node, settings, **how)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(notices.run())
        await settle(20)
        try:
            yield notices
        finally:
            task.cancel()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text().splitlines()] if path.exists() else []


async def written(path: Path, count: int) -> list[dict[str, Any]]:
    """Wait for so many lines in a file."""
    await asyncio.to_thread(until, lambda: len(_lines(path)) >= count, f"{count} notices are written")
    return _lines(path)


async def problem(notices: Notices, *, ends: bool = False) -> str | None:
    await asyncio.to_thread(until, lambda: (notices.problem is None) is ends, "the program fails, or works again")
    return notices.problem


async def test_a_new_message_of_somebody_else_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with neighbours(ANN, BOB) as (ann, bob):
        await bob.send("before", wait="delivered")
        async with told(ann, command(WRITES, str(out))):
            await ann.send("of mine", wait="delivered")
            sent = await bob.send("hello\n  <b>\x1b[2J\u202e", wait="delivered")
            (notice,) = await written(out, 1)
    assert set(notice) == {"type", "id", "conversation", "account", "name", "label", "text", "sent_at", "received_at", "unread", "missed"}
    assert (notice["label"], notice["id"], notice["name"], notice["text"]) == ("Bob", sent["id"], "Bob", "hello <b>\\x1b[2J")
    assert (notice["account"], notice["unread"], notice["missed"]) == (BOB.account.hex(), 2, 0)


async def test_a_long_text_is_cut(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, command(WRITES, str(out))):
            await bob.send("word " * 10_000, wait="delivered")
            (notice,) = await written(out, 1)
    assert len(notice["text"]) <= limits.NOTICE_CHARACTERS and notice["text"].endswith("…")


async def test_no_shell_sees_the_command(tmp_path: Path) -> None:
    out = tmp_path / "$(touch pwned); out"
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, command(WRITES, str(out))):
            await bob.send("$(touch pwned) `id`", wait="delivered")
            (notice,) = await written(out, 1)
    assert notice["text"] == "$(touch pwned) `id`" and not (tmp_path / "pwned").exists()


async def test_the_program_gets_little_of_the_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps(dict(os.environ) | {'cwd': os.getcwd()}) + chr(10))"
    environ = {"PATH": "/bin", "HOME": "/h", "SECRET": "x", "P2PMSG_HOME": "/p", "LD_PRELOAD": "x"}
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, command(code, str(out)), environ=environ):
            await bob.send("hello", wait="delivered")
            (found,) = await written(out, 1)
    assert {key: value for key, value in found.items() if not key.startswith("LC_")} == {
        "PATH": "/bin",
        "HOME": "/h",
        "P2PMSG_HOME": "/p",
        "cwd": "/",
    }


async def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "out"
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, command(parent, child, str(out)), timeout_s=3.0) as notices:
            await bob.send("hello", wait="delivered")
            assert "killed" in (await problem(notices) or "")
            assert notices.warnings()[0]["code"] == "notify_failed"
    assert caplog.text.count("notify.command") == 1
    await asyncio.to_thread(until, lambda: ended(int(out.read_text())), "the child has ended")


async def test_its_failures_are_said_once_until_it_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flag = tmp_path / "flag"
    code = "import pathlib, sys; sys.exit(0 if pathlib.Path(sys.argv[1]).exists() else 7)"
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, command(code, str(flag))) as notices:
            for _ in range(3):
                await bob.send("hello", wait="delivered")
                assert await problem(notices) == "it ended with exit status 7"
            flag.touch()
            await bob.send("hello", wait="delivered")
            assert await problem(notices, ends=True) is None and notices.warnings() == []
    assert caplog.text.count("exit status 7") == 1


@pytest.mark.parametrize("words", ["/no/such/program", "no-such-program-6f1d", "~/no-such-program"])
async def test_a_program_that_is_not_there(words: str) -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, Settings(notify_command=words)) as notices:
            await bob.send("hello", wait="delivered")
            assert "cannot be run" in (await problem(notices) or "")


async def test_a_program_that_does_not_read_is_no_failure(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, command("import sys; sys.stdin.close(); open(sys.argv[1], 'w').write('{}')", str(out))) as notices:
            await bob.send("hello", wait="delivered")
            await written(out, 1)
            await settle()
            assert notices.problem is None


async def test_too_many_at_once_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NOTICES_PER_S", 1e-6)
    house, out = House(ANN, shelf=moved_in(ANN, BOB)).start(), tmp_path / "out"
    async with told(house, command(WRITES, str(out))) as notices:
        events = line(Shelf(BOB), direct(ANN, BOB), [f"{n}" for n in range(300)])
        house.shelf.take(events, BOB)
        house.node.wake(feed=True)
        await written(out, limits.NOTICES_BURST)
        assert notices.missed == 300 - limits.NOTICES_BURST
        notices._allowed = 1.0
        house.shelf.take(line(Shelf(BOB), direct(ANN, BOB), ["last"], after=events[-1]), BOB)
        house.node.wake(feed=True)
        last = (await written(out, limits.NOTICES_BURST + 1))[-1]
    assert (last["text"], last["missed"], last["unread"]) == ("last", 300 - limits.NOTICES_BURST, 301)


async def test_of_the_last_of_too_many_somebody_is_told_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NOTICES_PER_S", 10.0)
    house, out = House(ANN, shelf=moved_in(ANN, BOB)).start(), tmp_path / "out"
    async with told(house, command(WRITES, str(out))) as notices:
        house.shelf.take(line(Shelf(BOB), direct(ANN, BOB), [f"{n}" for n in range(300)]), BOB)
        house.node.wake(feed=True)
        last = (await written(out, limits.NOTICES_BURST + 1))[-1]
        assert notices.missed == 0
    assert (last["text"], last["missed"], last["unread"]) == ("299", 300 - limits.NOTICES_BURST - 1, 300)


async def test_what_was_read_meanwhile_is_not_told_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NOTICES_PER_S", 5.0)
    house, out = House(ANN, shelf=moved_in(ANN, BOB)).start(), tmp_path / "out"
    async with told(house, command(WRITES, str(out))) as notices:
        events = line(Shelf(BOB), direct(ANN, BOB), [f"{n}" for n in range(30)])
        house.shelf.take(events, BOB)
        house.node.wake(feed=True)
        await written(out, limits.NOTICES_BURST)
        house.shelf.mark_read(direct(ANN, BOB).id, events[-1:])
        await asyncio.to_thread(until, lambda: notices._late is None, "it is looked at again")
        assert len(await written(out, limits.NOTICES_BURST)) == limits.NOTICES_BURST


async def test_what_was_read_elsewhere_is_not_told(tmp_path: Path) -> None:
    house, out = House(ANN, shelf=moved_in(ANN, BOB)).start(), tmp_path / "out"
    async with told(house, command(WRITES, str(out))):
        read, unread = line(Shelf(BOB), direct(ANN, BOB), ["read", "unread"])
        house.shelf.mark_read(direct(ANN, BOB).id, [read])
        house.shelf.take([read, unread], BOB)
        house.node.wake(feed=True)
        (notice,) = await written(out, 1)
    assert notice["text"] == "unread"


async def test_another_program_is_taken_up_while_it_runs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with neighbours(ANN, BOB) as (ann, bob):
        async with told(ann, Settings()) as notices:
            await bob.send("to nobody", wait="delivered")
            await settle()
            notices.settings_changed(command(WRITES, str(out)))
            await settle()
            await bob.send("to somebody", wait="delivered")
            assert [notice["text"] for notice in await written(out, 1)] == ["to somebody"]


async def test_who_stops_leaves_nothing_behind() -> None:
    async with neighbours(ANN, BOB) as (ann, bob):
        before = list(ann.node.changed)
        async with told(ann, command("import time; time.sleep(60)")):
            await bob.send("hello", wait="delivered")
            await asyncio.sleep(0.2)
        assert ann.node.changed == before
