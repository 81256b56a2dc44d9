"""What the daemon says of itself, and that it ends when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from p2pmsg import PROTOCOL_VERSION, __version__
from p2pmsg.config import limits
from p2pmsg.config.settings import Settings
from p2pmsg.daemon import running
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.notices import Notices
from p2pmsg.daemon.running import Running
from p2pmsg.errors import MdnsUnavailable, NotPermitted, SettingsInvalid
from p2pmsg.model.addresses import Address
from p2pmsg.model.addresses import Path as Way
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import presence
from p2pmsg.rpc import api
from tests.unit.nodes import House, moved_in
from tests.unit.people import Person

pytestmark = pytest.mark.asyncio
ANN, BOB = Person("Ann"), Person("Bob")
PROFILE = Profile(Path("/nowhere/p2pmsg"), "default", home_was_named=True)


def of(house: House, warnings: list[dict[str, str]] | None = None, profile: Profile = PROFILE) -> Running:
    started, notices = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), Notices(house.node, Settings())
    return Running(profile, house.node, house.storage, house.announcer, house.endpoint, notices, started, warnings or [])  # type: ignore[arg-type]


def alone() -> House:
    return House(ANN, shelf=moved_in(ANN, BOB)).start()


async def status(house: House, monkeypatch: pytest.MonkeyPatch, free_bytes: int = limits.DISK_WARN_BYTES) -> dict[str, Any]:
    monkeypatch.setattr(running, "_free_bytes", lambda profile: free_bytes)
    found: dict[str, Any] = await of(house).status(api.Status())
    return found


def codes(found: dict[str, Any]) -> list[str]:
    assert all(set(warning) == {"code", "message", "hint"} for warning in found["warnings"])
    return [warning["code"] for warning in found["warnings"]]


async def test_status(monkeypatch: pytest.MonkeyPatch) -> None:
    house = alone()
    await house.send("hello")
    found = await status(house, monkeypatch)
    assert found.pop("pid") > 0
    assert found == {
        "running": True,
        "version": __version__,
        "protocol": PROTOCOL_VERSION,
        "socket": "",
        "home": "/nowhere/p2pmsg",
        "log": "/nowhere/p2pmsg/profiles/default/daemon.log",
        "started_at": "2026-01-02T03:04:05.000Z",
        "port": 40_000,
        "interfaces": ["eth0"],
        "visible_until": None,
        "vault": "open",
        "vault_mode": None,
        "unread": 0,
        "queued": 1,
        "requests": 0,
        "requests_max": 16,
        "disk_bytes": 0,
        "warnings": [],
    }


async def test_status_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    house = alone()
    house.announcer.interfaces = ()
    house.announcer.problem = MdnsUnavailable("port 5353 is taken")
    house.announcer.other_versions = {BOB.account: 2}
    house.node.old_copy = True
    house.node.people.forked.add(BOB.device)
    found = await status(house, monkeypatch)
    assert codes(found) == ["no_network", "mdns_unavailable", "old_copy", "forked", "newer_version"]
    assert "--as-new" in found["warnings"][2]["hint"]
    assert "Bob" in found["warnings"][3]["message"] and "Bob is here with a newer version" in found["warnings"][4]["message"]


async def test_status_warns_of_a_contact_with_an_older_version_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    house = alone()
    house.announcer.other_versions = {BOB.account: 0, AccountId(bytes(32)): 2}
    found = await status(house, monkeypatch)
    assert codes(found) == ["older_version"]
    assert found["warnings"][0]["hint"] == "Ask Bob to install the newest p2pmsg."


@pytest.mark.parametrize(
    "free_bytes,code",
    [
        (limits.DISK_WARN_BYTES, []),
        (limits.DISK_WARN_BYTES - 1, ["disk_low"]),
        (limits.DISK_REFUSE_OTHERS_BYTES, ["disk_low"]),
        (limits.DISK_REFUSE_OTHERS_BYTES - 1, ["disk_reserve"]),
        (limits.DISK_REFUSE_BYTES, ["disk_reserve"]),
        (limits.DISK_REFUSE_BYTES - 1, ["disk_full"]),
    ],
)
async def test_status_warns_of_a_disk_that_fills(monkeypatch: pytest.MonkeyPatch, free_bytes: int, code: list[str]) -> None:
    assert codes(await status(alone(), monkeypatch, free_bytes)) == code


async def test_status_warns_of_a_network_that_keeps_devices_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    house = alone()
    now = house.node.clock.now()
    house.node.presence.sighted(BOB.account, [Address("10.0.0.9", 40_000)], Way.MDNS, now - presence.UNREACHABLE_S)
    found = await status(house, monkeypatch)
    assert codes(found) == ["devices_apart"]
    assert found["warnings"][0]["message"].startswith("Heard here and out of reach: Bob. This network keeps devices apart")


async def test_status_repeats_what_the_start_has_found() -> None:
    warning = {"code": "database_damaged", "message": "It was.", "hint": "Look."}
    found = await of(alone(), [warning]).status(api.Status())
    assert warning in found["warnings"]


async def test_status_warns_of_a_settings_file_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of(alone())
    monkeypatch.setattr(running, "_free_bytes", lambda profile: limits.DISK_WARN_BYTES)
    found.settings_problem = lambda: SettingsInvalid("It is bad.")
    assert codes(await found.status(api.Status())) == ["settings_invalid"]


async def test_status_warns_of_a_port_that_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of(alone())
    monkeypatch.setattr(running, "_free_bytes", lambda profile: limits.DISK_WARN_BYTES)
    found.network_problem = lambda: NotPermitted("UDP port 5555 cannot be used.", hint="p2pmsg config unset listen.port")
    (warning,) = (await found.status(api.Status()))["warnings"]
    assert warning["code"] == "port_unavailable" and "40000 serves on" in warning["message"] and "unset" in warning["hint"]
    found.network_problem = lambda: OSError("no sockets")
    assert codes(await found.status(api.Status())) == ["port_unavailable"]
