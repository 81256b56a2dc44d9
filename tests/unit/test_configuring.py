"""Settings through the local API: the file that the commands edit, and the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pmsg.config import edit, settings
from p2pmsg.daemon.configuring import Configuring
from p2pmsg.errors import InvalidValue, KeyNotFound
from p2pmsg.rpc import api

pytestmark = pytest.mark.asyncio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


async def test_what_is_set_is_listed_and_read_again_at_once(file: Path) -> None:
    read: list[str] = []
    configuring = Configuring(file)
    configuring.changed = lambda: read.append(file.read_text())  # type: ignore[method-assign]
    assert (await configuring.set(api.ConfigSet("history.keep", "30d")))["source"] == "file"
    assert "30d" in read[0]
    assert await configuring.get(api.ConfigGet("history.keep")) == edit.get(file, "history.keep")
    assert await configuring.list(api.ConfigList()) == edit.list_(file)
    assert (await configuring.unset(api.ConfigUnset("history.keep")))["source"] == "default"
    assert len(read) == 2 and "30d" not in read[1]
    assert (await configuring.path(api.ConfigPath()))["value"] == str(file)


@pytest.mark.parametrize("key", settings.RULES)
async def test_what_is_answered_can_be_given_back(file: Path, key: str) -> None:
    configuring = Configuring(file)
    found = await configuring.get(api.ConfigGet(key))
    assert (await configuring.set(api.ConfigSet(key, found["value"])))["value"] == found["value"]


async def test_typed_values_count_too(file: Path) -> None:
    configuring = Configuring(file)
    assert (await configuring.set(api.ConfigSet("typing", "off")))["value"] is False
    assert (await configuring.set(api.ConfigSet("discovery.paths", "mdns, hint")))["value"] == ["mdns", "hint"]
    assert (await configuring.set(api.ConfigSet("discovery.static", ["10.0.0.1:4000", "10.0.0.2:4000"])))["value"][1] == "10.0.0.2:4000"


async def test_what_cannot_be_set_changes_nothing(file: Path) -> None:
    configuring = Configuring(file)
    for key, value in (("listen.port", True), ("listen.port", -1), ("typing", 5), ("discovery.interfaces", ["a,b"])):
        with pytest.raises(InvalidValue):
            await configuring.set(api.ConfigSet(key, value))
    with pytest.raises(KeyNotFound):
        await configuring.set(api.ConfigSet("no.such", "1"))
    assert edit.path(file)["source"] == "default"
