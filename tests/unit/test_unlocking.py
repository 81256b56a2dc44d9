"""The row of sessions: what opens one, what ends it, and what is said to whom."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.config.settings import Settings
from p2pmsg.crypto import vault
from p2pmsg.crypto.vault import Mode
from p2pmsg.daemon import keyholder
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.unlocking import CURRENT, NEW, Unlocking
from p2pmsg.errors import NotPermitted, P2pmsgError, StorageFull, UsageError, VaultLocked, WrongPassphrase
from p2pmsg.rpc import api
from p2pmsg.storage import rekeying
from p2pmsg.storage.database import close_database, open_database
from tests.unit.test_keyholder import CHEAP

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(vault, "under_passphrase", partial(vault.under_passphrase, cost=CHEAP))
    monkeypatch.setattr(keyholder, "need_memory", lambda way: None)
    yield


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    profile = Profile(tmp_path, "default", home_was_named=True)
    profile.folder.mkdir(parents=True)
    close_database(open_database(profile.database, vault.database_key(vault.create(profile.key))).db)
    return profile


class House:
    """A daemon that does nothing but have sessions; they are counted."""

    def __init__(self, profile: Profile, settings: Settings | None = None) -> None:
        self.profile = profile
        self.unlocking = Unlocking(profile, settings or Settings())
        self.sessions = 0
        self.locked = 0
        self.was_locked = asyncio.Event()

    async def session(self, master: bytes, leave: asyncio.Event) -> None:
        assert rekeying.opens(self.profile.database, vault.database_key(master))
        self.sessions += 1
        self.unlocking.opened(self)  # type: ignore[arg-type]
        await leave.wait()

    async def live(self, life: Callable[[], Any]) -> None:
        """Run, do what `life` does once it is open or locked, and stop."""

        def locked() -> None:
            self.locked += 1
            self.was_locked.set()

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.unlocking.run(self.session, locked))
            await self.unlocking.settled.wait()
            try:
                await life()
            finally:
                self.unlocking.stop()

    async def do(self, method: str, *lines: str) -> Any:
        """Call a method; the lines are what is answered when it asks."""
        kinds = {"unlock": api.VaultUnlock, "lock": api.VaultLock, "passphrase_set": api.VaultPassphraseSet}
        kinds |= {"passphrase_change": api.VaultPassphraseChange, "passphrase_remove": api.VaultPassphraseRemove}
        return await getattr(self.unlocking, method)(kinds[method](), Client(list(lines)))


class Client:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.asked: list[object] = []

    async def ask(self, question: object) -> str:
        assert question in (CURRENT, NEW)
        self.asked.append(question)
        return self.lines.pop(0)


async def test_a_key_in_a_file_opens_at_once(profile: Profile) -> None:
    house = House(profile)

    async def life() -> None:
        assert await house.do("unlock") == {"vault": "open", "vault_mode": Mode.FILE}

    await house.live(life)
    assert (house.sessions, house.locked) == (1, 0)


async def test_each_change_is_made_between_two_sessions(profile: Profile) -> None:
    house = House(profile)

    async def life() -> None:
        assert (await house.do("passphrase_set", "one"))["vault_mode"] is Mode.PASSPHRASE
        assert (await house.do("passphrase_change", "one", "two"))["vault"] == "open"
        assert (await house.do("passphrase_remove", "two"))["vault_mode"] is Mode.FILE

    await house.live(life)
    assert (house.sessions, house.locked) == (4, 0)


async def test_locked_and_unlocked(profile: Profile) -> None:
    house = House(profile)

    async def life() -> None:
        await house.do("passphrase_set", "one")
        assert (await house.do("lock"))["vault"] == "locked"
        with pytest.raises(WrongPassphrase):
            await house.do("unlock", "two")
        with pytest.raises(VaultLocked):
            await house.do("passphrase_change", "one", "two")
        async with asyncio.TaskGroup() as both:
            opening = [both.create_task(house.do("unlock", "one")) for _ in range(2)]
        assert [each.result()["vault"] for each in opening] == ["open", "open"]
        assert (await house.do("lock"))["vault"] == "locked"

    await house.live(life)
    assert (house.sessions, house.locked) == (3, 2)
    assert house.unlocking.wrong == 0


async def test_a_vault_that_needs_a_passphrase_starts_locked(profile: Profile) -> None:
    keyholder.change(profile, vault.open_key(profile.key), partial(vault.under_passphrase, passphrase="p"))
    house = House(profile)

    async def life() -> None:
        assert house.unlocking.handler is None

    await house.live(life)
    assert (house.sessions, house.locked) == (0, 1)


async def test_a_change_that_fails_leaves_all_as_it_was(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(profile)

    def full(*_: object) -> None:
        raise StorageFull("full")

    async def life() -> None:
        await house.do("passphrase_set", "one")
        with monkeypatch.context() as patch, pytest.raises(StorageFull):
            patch.setattr(rekeying, "rekey", full)
            await house.do("passphrase_change", "one", "two")
        await house.unlocking.settled.wait()
        assert house.unlocking.handler is not None
        await house.do("passphrase_change", "one", "three")

    await house.live(life)


async def test_what_cannot_be_is_refused(profile: Profile) -> None:
    house = House(profile)

    async def life() -> None:
        for method in ("lock", "passphrase_change", "passphrase_remove"):
            with pytest.raises(NotPermitted):
                await house.do(method, "x", "y")
        for nothing in ("", "x" * 1025):
            with pytest.raises(UsageError):
                await house.do("passphrase_set", nothing)
        await house.do("passphrase_set", "x" * 1024)
        with pytest.raises(NotPermitted):
            await house.do("passphrase_set", "again")

    await house.live(life)


async def test_idle_it_locks_itself_but_not_in_the_middle_of_something(profile: Profile) -> None:
    house = House(profile)

    async def life() -> None:
        await house.do("passphrase_set", "one")
        house.unlocking.in_use = 1
        house.unlocking._idle_s = 1
        house.unlocking.used_at -= 5
        house.unlocking._perhaps_idle()
        assert house.unlocking.handler is not None
        house.unlocking.in_use = 0
        house.unlocking.used_at -= 5
        house.unlocking.settings_changed(Settings(lock_idle_s=1))
        await house.was_locked.wait()
        assert house.unlocking.handler is None

    await house.live(life)


async def test_a_guess_that_nobody_waits_for_any_more_meets_no_change(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its look at a key file that is being changed would take the change for an interrupted one, and undo half of it."""
    house, steps = House(profile), list[str]()
    begun, go_on, changing = threading.Event(), threading.Event(), threading.Event()
    unseal, change = keyholder.unseal, keyholder.change

    def slow(of: Profile, passphrase: str | None = None) -> bytes:
        if passphrase == "slow":
            begun.set()
            go_on.wait(10)
            steps.append("guessed")
        return unseal(of, passphrase)

    def noted(*args: Any) -> bytes:
        steps.append("changed")
        changing.set()
        return change(*args)

    monkeypatch.setattr(keyholder, "unseal", slow)

    async def life() -> None:
        await house.do("passphrase_set", "one")
        monkeypatch.setattr(keyholder, "change", noted)
        async with asyncio.TaskGroup() as tasks:
            guess = tasks.create_task(house.do("passphrase_change", "slow", "two"))
            await asyncio.to_thread(begun.wait, 10)
            guess.cancel()
            removing = tasks.create_task(house.do("passphrase_remove", "one"))
            assert not await asyncio.to_thread(changing.wait, 0.5)
            assert not removing.done()
            go_on.set()

    await house.live(life)
    assert steps == ["guessed", "changed"]


async def test_of_two_who_set_a_passphrase_at_once_one_is_told_that_his_does_not_count(profile: Profile) -> None:
    house = House(profile)

    async def life() -> None:
        first, second = Asked("one"), Asked("two")
        async with asyncio.TaskGroup() as tasks:
            setting = [tasks.create_task(_result(house.unlocking.passphrase_set(api.VaultPassphraseSet(), who))) for who in (first, second)]
            for who in (first, second):
                await who.asked.wait()
            first.answer.set()
            await setting[0]
            second.answer.set()
        assert isinstance(setting[0].result(), dict)
        assert isinstance(setting[1].result(), NotPermitted)

    await house.live(life)
    assert keyholder.unseal(profile, "one")


class Asked:
    """Somebody who answers late."""

    def __init__(self, line: str) -> None:
        self.line, self.asked, self.answer = line, asyncio.Event(), asyncio.Event()

    async def ask(self, question: object) -> str:
        self.asked.set()
        await self.answer.wait()
        return self.line


async def _result(work: Any) -> Any:
    try:
        return await work
    except P2pmsgError as error:
        return error


async def test_what_keeps_a_session_from_beginning_is_told_to_who_unlocks(profile: Profile) -> None:
    house = House(profile)
    session, faults = house.session, [StorageFull("The disk is full."), None]

    async def failing(master: bytes, leave: asyncio.Event) -> None:
        if house.locked and (fault := faults.pop(0)) is not None:
            raise fault
        await session(master, leave)

    house.session = failing  # type: ignore[method-assign]

    async def life() -> None:
        await house.do("passphrase_set", "one")
        await house.do("lock")
        with pytest.raises(StorageFull, match="is full"):
            await house.do("unlock", "one")
        assert house.unlocking.trouble.code == "storage_full"
        assert (await house.do("unlock", "one"))["vault"] == "open"

    await house.live(life)


async def test_a_session_that_fails_at_the_start_ends_the_daemon(profile: Profile) -> None:
    unlocking = Unlocking(profile, Settings())

    async def failing(master: bytes, leave: asyncio.Event) -> None:
        raise StorageFull("The disk is full.")

    with pytest.raises(StorageFull):
        await unlocking.run(failing, lambda: None)


async def test_a_change_that_fails_so_that_nothing_opens_any_more_leaves_it_locked(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(profile)

    def lost(*_: object) -> bytes:
        profile.key.write_text("rubbish")
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(keyholder, "change", lost)

    async def life() -> None:
        with pytest.raises(StorageFull):
            await house.do("passphrase_set", "one")
        await house.unlocking.settled.wait()
        assert house.unlocking.trouble.code == "storage_damaged"

    await house.live(life)


async def test_where_nothing_would_open_it_again_idleness_locks_nothing(profile: Profile) -> None:
    house = House(profile, Settings(lock_idle_s=1))

    async def life() -> None:
        await house.do("passphrase_set", "one")
        profile.key.unlink()
        house.unlocking.used_at -= 5
        house.unlocking._perhaps_idle()
        assert house.unlocking.settled.is_set()

    await house.live(life)
