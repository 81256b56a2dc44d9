"""The daemon as a process: what keeps it from starting, and one whole life on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pmsg import __version__
from p2pmsg.config import edit
from p2pmsg.daemon import identity, process, service
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.lock import Lock, is_held
from p2pmsg.errors import (
    AlreadyRunning,
    DatabaseNewer,
    HomeUnusable,
    NotInitialized,
    P2pmsgError,
    SettingsInvalid,
    StorageDamaged,
    StorageFull,
)
from p2pmsg.rpc import client


@pytest.fixture
def profile(home: Path) -> Profile:
    return Profile(home / "p2p", "default", home_was_named=True)


@pytest.fixture
def ann(profile: Profile) -> Profile:
    identity.init(profile, "Ann", "laptop", None, lambda words: None)
    edit.set_(profile.config, "discovery.interfaces", "lo")
    return profile


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The pipe on which whoever started the daemon waits; call it for what came."""
    reading, writing = os.pipe()
    monkeypatch.setenv(process.READY_FD, str(writing))
    yield lambda: json.loads(os.read(reading, 10_000) or b"null")
    os.close(reading)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def fails(profile: Profile, ready: Any) -> P2pmsgError:
    """Run the daemon; it must not start, and say the same to both who wait."""
    with pytest.raises(P2pmsgError) as caught:
        service.run(profile)
    told = ready()["error"]
    assert (told["message"], told["data"]["code"]) == (caught.value.message, caught.value.code)
    assert not is_held(profile)
    return caught.value


def test_nobody_lives_here(profile: Profile, ready: Any) -> None:
    assert isinstance(fails(profile, ready), NotInitialized) and not profile.home.exists()


def test_another_one_runs(ann: Profile, ready: Any) -> None:
    with Lock.acquire(ann) as held:
        held.publish(socket=Path("s"), version="1", protocol=1, started_at="now")
        with pytest.raises(AlreadyRunning):
            service.run(ann)
    assert ready()["error"]["data"]["code"] == "already_running"


def test_settings_that_are_none(ann: Profile, ready: Any) -> None:
    ann.config.write_text("listen.port = 'x'\n")
    assert isinstance(fails(ann, ready), SettingsInvalid)


@pytest.mark.parametrize("key", ["{}", "", '{"version":1,"mode":"other","key":""}'])
def test_a_key_that_is_none(ann: Profile, ready: Any, key: str) -> None:
    ann.key.write_text(key)
    assert isinstance(fails(ann, ready), StorageDamaged)


def test_a_key_that_others_may_read(ann: Profile, ready: Any) -> None:
    ann.key.chmod(0o644)
    assert isinstance(fails(ann, ready), HomeUnusable)


def test_a_port_that_is_taken(ann: Profile, ready: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        edit.set_(ann.config, "listen.port", str(port))
        error = fails(ann, ready)
        assert str(port) in error.message and error.code == "not_permitted"


def test_a_damaged_database_is_no_reason_to_lose_the_key(ann: Profile, ready: Any) -> None:
    ann.database.write_bytes(b"rubbish" * 1000)
    assert isinstance(fails(ann, ready), P2pmsgError)
    assert ann.key.exists() and list(ann.folder.glob("data.db.damaged-*"))


def test_one_life(ann: Profile, ready: Any) -> None:
    told: dict[str, Any] = {}

    def outside() -> None:
        """What the person does meanwhile."""
        told["ready"] = ready()
        told["threads"] = {thread.name for thread in threading.enumerate()}
        try:
            with client.connect(ann.folder) as connection:
                told["status"] = connection.call("status", {})
                told["sent"] = connection.call("send", {"target": "me", "text": "a note"})
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    person = threading.Thread(target=outside)
    person.start()
    service.run(ann)
    assert {"storage", "watchdog"} <= told["threads"]
    person.join(5)
    assert told["ready"] == {"ok": True} and told["status"]["version"] == __version__ and told["status"]["interfaces"] == ["lo"]
    assert told["sent"]["state"] == "read" and not is_held(ann)
    assert "stopped" in ann.log.read_text() and "a note" not in ann.log.read_text()


@pytest.mark.parametrize(
    "errors,expected",
    [
        ([StorageFull("full")], StorageFull),
        ([ValueError("ours"), DatabaseNewer("newer")], DatabaseNewer),
        ([ExceptionGroup("inner", [StorageFull("full")])], StorageFull),
        ([ValueError("ours")], P2pmsgError),
        ([ExceptionGroup("inner", [ExceptionGroup("deeper", [KeyError("ours")])])], P2pmsgError),
    ],
)
def test_of_all_that_went_wrong_the_user_reads_one_thing(errors: list[Exception], expected: type[P2pmsgError]) -> None:
    cause = service._only_cause(ExceptionGroup("tasks", errors))
    assert type(cause) is expected and "Group" not in cause.message
