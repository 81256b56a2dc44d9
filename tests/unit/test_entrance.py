"""Who is served while the vault is open, who while it is locked, and who is turned out when that changes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.config.settings import Settings
from p2pmsg.crypto import vault
from p2pmsg.daemon.entrance import Entrance
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.unlocking import Unlocking
from p2pmsg.errors import FileNotFound, VaultLocked
from p2pmsg.rpc import api
from tests.unit.test_keyholder import sealed

pytestmark = pytest.mark.asyncio


class Inside:
    """What stands behind the entrance while the vault is open."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()

    async def call(self, method: str, params: api.Params, call: Any) -> object:
        if method == "watch":
            self.waiting.set()
            await asyncio.Event().wait()
        if method == "send":
            raise TimeoutError("of its own")
        return f"{method} was done"


class Client:
    """Who calls: it hears what is said."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def reply(self, result: object) -> None:
        self.said.append(result)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    profile = Profile(tmp_path, "default", home_was_named=True)
    profile.folder.mkdir(parents=True)
    vault.write(profile.key, vault.KeyFile(sealed("p")(b"m" * 32)))
    return profile


def entrance(profile: Profile, *, unlocked: bool) -> Entrance:
    unlocking = Unlocking(profile, Settings())
    unlocking.settled.set()
    if unlocked:
        unlocking.handler = Inside()
    return Entrance(profile, unlocking, datetime(2026, 1, 2, tzinfo=UTC))


async def ask(at: Entrance, method: str, params: api.Params | None = None) -> Any:
    return await at.call(method, params or api.METHODS[method](), Client())  # type: ignore[arg-type]


async def test_an_open_vault_lets_everybody_in(profile: Profile) -> None:
    at = entrance(profile, unlocked=True)
    assert await ask(at, "whoami") == "whoami was done"
    assert await ask(at, "status") == "status was done"


async def test_a_locked_one_says_so(profile: Profile) -> None:
    at = entrance(profile, unlocked=False)
    with pytest.raises(VaultLocked) as caught:
        await ask(at, "whoami")
    assert caught.value.hint == "p2pmsg vault unlock"
    state = await ask(at, "daemon.status")
    assert (state["running"], state["vault"], state["vault_mode"], state["port"]) == (True, "locked", "passphrase", None)
    assert [warning["code"] for warning in state["warnings"]] == ["vault_locked"]
    assert [row["key"] for row in await ask(at, "config.list")]


async def test_who_comes_while_it_is_being_opened_waits(profile: Profile) -> None:
    unlocking = Unlocking(profile, Settings())
    at = Entrance(profile, unlocking, datetime(2026, 1, 2, tzinfo=UTC))
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask(at, "whoami"))
        await asyncio.sleep(0)
        assert not asking.done()
        unlocking.handler = Inside()
        unlocking.settled.set()
    assert asking.result() == "whoami was done"


async def test_who_is_inside_is_turned_out(profile: Profile) -> None:
    at = entrance(profile, unlocked=True)
    inside = at._unlocking.handler
    assert isinstance(inside, Inside)

    async def watching() -> None:
        with pytest.raises(VaultLocked, match="meanwhile"):
            await ask(at, "watch")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watching())
        await inside.waiting.wait()
        assert at._unlocking.in_use == 0  # who only watches keeps no vault open
        await at.turn_out()


async def test_what_is_about_to_end_ends_before_the_vault_is_locked(profile: Profile) -> None:
    at = entrance(profile, unlocked=True)
    going, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        async def call(self, method: str, params: object, call: object) -> str:
            going.set()
            await go_on.wait()
            return "stored"

    at._unlocking.handler = Slow()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(ask(at, "send", api.Send(target="me", text="x")))
        await going.wait()
        locking = tasks.create_task(at.turn_out())
        await asyncio.sleep(0)
        assert not locking.done()
        go_on.set()
    assert sending.result() == "stored"


async def test_who_asks_how_it_stands_again_and_again_does_not_keep_it_open(profile: Profile) -> None:
    at = entrance(profile, unlocked=True)
    for method in ("status", "daemon.status"):
        await ask(at, method)
        assert at._unlocking.used_at == 0.0
    await ask(at, "whoami")
    assert at._unlocking.used_at > 0.0


async def test_a_methods_own_timeout_stays_its_own(profile: Profile) -> None:
    at = entrance(profile, unlocked=True)
    with pytest.raises(TimeoutError, match="of its own"):
        await ask(at, "send", api.Send(target="me", text="x"))
    assert at._unlocking.in_use == 0


@pytest.mark.parametrize("unlocked", [True, False])
async def test_stop_answers_before_it_ends(profile: Profile, unlocked: bool) -> None:
    at, client = entrance(profile, unlocked=unlocked), Client()
    at.end = lambda: client.said.append("the end")
    await at.call("daemon.stop", api.DaemonStop(), client)  # type: ignore[arg-type]
    status, end = client.said
    assert end == "the end"
    assert status["running"] is False and status["pid"] is None
    assert set(status) == set(await ask(entrance(profile, unlocked=False), "status"))


async def test_logs(profile: Profile) -> None:
    at = entrance(profile, unlocked=False)
    with pytest.raises(FileNotFound):
        await ask(at, "daemon.logs")
    profile.log.write_text("".join(f"line {n}\n" for n in range(60)))
    assert await ask(at, "daemon.logs", api.DaemonLogs(n=2)) == [{"line": "line 58"}, {"line": "line 59"}]
    assert len(await ask(at, "daemon.logs")) == 50
