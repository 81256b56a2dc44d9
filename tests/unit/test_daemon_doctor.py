"""`doctor` in its own process: each row as it is well, and as it is not. Everything on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.config.settings import Settings
from p2pmsg.crypto import vault
from p2pmsg.daemon import doctor
from p2pmsg.daemon.home import Profile
from p2pmsg.daemon.lock import Lock
from p2pmsg.daemon.rows import Row
from p2pmsg.errors import ContactNotFound, DaemonNotRunning, StorageFailed, VaultLocked
from p2pmsg.model.addresses import Interface
from p2pmsg.network.multicast import Ear
from p2pmsg.storage.database import close_database, open_database
from tests.unit.scripted import Daemon

ETH0 = Interface("eth0", 2, (("10.0.0.1", 24),), ())
LO = Interface("lo", 1, (("127.0.0.1", 8),), (), loopback=True)
STATUS = {"socket": "/s", "pid": 7, "port": 45_454, "warnings": [{"code": "disk_low", "message": "m", "hint": "h"}]}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")


def lived_in(profile: Profile) -> Profile:
    """Make a profile as `init` leaves it, that keeps to loopback."""
    profile.folder.mkdir(parents=True, exist_ok=True)
    profile.folder.chmod(0o700)
    profile.key.unlink(missing_ok=True)
    close_database(open_database(profile.database, vault.database_key(vault.create(profile.key))).db)
    profile.config.write_text('[discovery]\ninterfaces = ["lo"]\n')
    return profile


@pytest.fixture
def profile(home: Path) -> Profile:
    return lived_in(Profile(home, "default", True))


def look(profile: Profile, who: str | None = None) -> dict[str, Row]:
    return {row.check: row for row in doctor.examine(profile, who, listen_s=0.1)}


def test_without_a_daemon_that_was_ever_started(profile: Profile) -> None:
    rows = look(profile)
    well = {check for check, row in rows.items() if row.ok}
    assert {"versions", "home", "settings", "database", "disk", "interfaces", "multicast"} <= well
    assert (rows["daemon"].ok, rows["daemon"].hint) == (None, "p2pmsg daemon start")
    assert not [row for row in rows.values() if row.ok is False and row.check != "firewall"]


def test_where_nobody_is(home: Path) -> None:
    nobody = Profile(home, "default", True)
    nobody.folder.mkdir(parents=True)
    nobody.config.write_text('[discovery]\ninterfaces = ["lo"]\n')
    rows = look(nobody)
    assert [rows[check].ok for check in ("home", "database", "daemon")] == [None, None, None]
    assert rows["daemon"].hint == "p2pmsg init --name YOUR-NAME"


def test_a_daemon_that_was_stopped(profile: Profile) -> None:
    profile.log.touch()
    row = look(profile)["daemon"]
    assert (row.ok, row.hint) == (False, "p2pmsg daemon start")


def test_a_daemon_that_does_not_answer(profile: Profile) -> None:
    with Lock.acquire(profile) as held:
        held.publish(socket=profile.folder / "nothing", version="1", protocol=1, started_at="")
        row = look(profile)["daemon"]
    assert row.ok is False and str(os.getpid()) in row.detail and row.hint == "p2pmsg daemon restart"


def test_somebody_can_be_asked_by_a_daemon_alone(profile: Profile) -> None:
    with pytest.raises(DaemonNotRunning):
        look(profile, "bob")


@pytest.fixture
def beside(daemon: Daemon) -> Iterator[Profile]:
    """A profile whose daemon answers as the script says."""
    daemon.script.answers |= {"status": STATUS, "doctor": [Row("port", True, "open").as_json()]}
    yield lived_in(Profile(daemon.home, "default", True))


def test_beside_a_daemon_its_rows_and_warnings_come_too(beside: Profile, daemon: Daemon) -> None:
    warning = {"code": "old_copy", "message": "An old copy.", "hint": "Use the newer."}
    daemon.script.answers["status"] = STATUS | {"warnings": [*STATUS["warnings"], warning]}  # type: ignore[misc]
    rows = look(beside, "bob")
    assert rows["daemon"].ok is True and rows["port"] == Row("port", True, "open")
    assert rows["old_copy"] == Row("old_copy", None, "An old copy.", "Use the newer.")
    assert "disk_low" not in rows and "same version" in rows["versions"].detail
    assert daemon.script.asked("doctor")[0]["with"] == "bob"


def test_a_firewall_here_is_not_laid_to_the_network(beside: Profile, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.script.answers["doctor"] = [Row("multicast", False, "This network drops multicast.", "x").as_json()]
    for echo, network in ((False, False), (True, True)):
        monkeypatch.setattr("p2pmsg.network.multicast.listen", lambda used, listen_s, echo=echo: [Ear("lo", echo=echo)])
        row = look(beside)["multicast"]
        assert row.ok is False and ("a firewall of this machine" in row.detail, "This network" in row.detail) == (not network, network)


def test_what_the_daemon_refuses_is_told(beside: Profile, daemon: Daemon) -> None:
    daemon.script.answers["doctor"] = ContactNotFound("There is no contact 'bob'.")
    with pytest.raises(ContactNotFound):
        look(beside, "bob")
    daemon.script.answers["doctor"] = StorageFailed("It broke.")
    row = look(beside)["daemon"]
    assert row.ok is False and "It broke." in row.detail


def test_a_daemon_of_another_version(beside: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pmsg.rpc.client.__version__", "9.9")
    rows = look(beside)
    assert rows["versions"].ok is False and rows["versions"].hint == "p2pmsg daemon restart" and rows["daemon"].ok is None


def test_settings_that_cannot_be_read(profile: Profile) -> None:
    profile.config.write_text('log.level = "loud"\n[discovery]\ninterfaces = ["lo"]\n')
    found, row = doctor._settings(profile)
    assert row.ok is False and "loud" in row.detail and "log.level" in row.hint and found == Settings()


def test_a_home_that_others_own_or_read(profile: Profile) -> None:
    profile.key.chmod(0o644)
    row = doctor._home(profile)
    assert row.ok is False and row.hint.startswith("chmod 600")


def test_a_damaged_database(profile: Profile) -> None:
    profile.database.write_bytes(b"x" * 8192)
    row = doctor._database(profile)
    assert row.ok is False and row.hint


@needs_root
def test_a_database_that_is_read_only(profile: Profile) -> None:
    path = str(profile.database)
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        rows = look(profile)
    finally:
        subprocess.run(["umount", path], check=True)
    assert rows["database"].ok is False and "read-only" in rows["database"].detail and "findmnt" in rows["database"].hint
    assert [check for check, row in rows.items() if row.ok is False and check != "firewall"] == ["database"]


@needs_root
def test_a_home_that_is_read_only(profile: Profile) -> None:
    path = str(profile.folder)
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        row = doctor._home(profile)
    finally:
        subprocess.run(["umount", path], check=True)
    assert row.ok is False and row.hint


def test_a_full_disk(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in (("DISK_WARN_BYTES", None), ("DISK_REFUSE_OTHERS_BYTES", False), ("DISK_REFUSE_BYTES", False)):
        monkeypatch.setattr(doctor.limits, limit, 1 << 60)
        row = doctor._disk(profile)
        assert row.ok is expected and row.hint


@pytest.mark.parametrize(("free", "said"), [(83_857_000_000, "83.9 GB are free."), (999_000_000, "999 MB are free.")])
def test_room_is_said_as_people_say_it(profile: Profile, monkeypatch: pytest.MonkeyPatch, free: int, said: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10 * free, 9 * free, free))
    assert doctor._disk(profile).detail.startswith(said[:-1])


@pytest.mark.parametrize(
    ("used", "named", "ok"),
    [
        ((ETH0,), (), True),
        ((LO,), (), False),
        ((LO,), ("lo",), True),
        ((), (), False),
        ((), ("wlan0",), False),
        ((LO,), ("lo", "wlan0"), None),
    ],
)
def test_interfaces(used: tuple[Interface, ...], named: tuple[str, ...], ok: bool | None) -> None:
    row = doctor._interfaces(used, Settings(discovery_interfaces=named))
    assert row.ok is ok and bool(row.hint) is (ok is not True)


@pytest.mark.parametrize(
    ("ears", "ok", "words"),
    [
        ([], None, "No interface"),
        ([Ear("eth0", echo=True)], True, "nobody else was heard"),
        ([Ear("eth0", echo=True, others={"10.0.0.2", "10.0.0.3"})], True, "2 others heard"),
        ([Ear("eth0")], False, "Not even our own question came back on eth0"),
        ([Ear("eth0", echo=True), Ear("eth1")], False, "on eth1"),
        ([Ear("eth0", fault="UDP port 5353 is not to be had: in use")], False, "5353"),
    ],
)
def test_multicast(ears: list[Ear], ok: bool | None, words: str) -> None:
    row = doctor._multicast(ears)
    assert row.ok is ok and words in row.detail and bool(row.hint) is (ok is False)


def test_only_a_port_that_is_taken_is_the_fault_of_another_program() -> None:
    assert "avahi" in doctor._multicast([Ear("eth0", fault="UDP port 5353 is not to be had: in use")]).hint
    assert "avahi" not in doctor._multicast([Ear("eth0", fault="Cannot assign requested address")]).hint


def test_others_that_are_heard_clear_the_network() -> None:
    dropped = Row("multicast", False, "This network drops multicast.", "hint")
    assert doctor._not_dropped(dropped).ok is None
    assert doctor._not_dropped(Row("port", False, "", "")) == Row("port", False, "", "")


def test_under_a_passphrase_nothing_is_said_to_be_damaged(profile: Profile) -> None:
    vault.write(profile.key, vault.KeyFile(vault.under_passphrase(vault.open_key(profile.key), "one", vault.Cost(1, 8 << 20))))
    rows = look(profile)
    assert rows["home"].ok
    assert (rows["database"].ok, "sealed under the passphrase" in rows["database"].detail) == (None, True)


def test_a_daemon_that_is_locked_says_so_once(daemon: Daemon) -> None:
    warning = {"code": "vault_locked", "message": "The vault is locked.", "hint": "p2pmsg vault unlock"}
    daemon.script.answers |= {"status": STATUS | {"warnings": [warning]}, "doctor": VaultLocked("The vault is locked.")}
    rows = look(lived_in(Profile(daemon.home, "default", True)))
    assert rows["daemon"].ok
    assert (rows["vault_locked"].ok, rows["vault_locked"].hint) == (None, "p2pmsg vault unlock")
