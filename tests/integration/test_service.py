"""The daemon under all that its systemd unit takes away from it, in homes whose paths mean something to systemd, on loopback."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.daemon import unit
from p2pmsg.daemon.home import Profile
from tests.integration.daemons import PATIENCE_S, Json, Somebody, until

CHECKOUT = Path(__file__).resolve().parents[2]
FILTER = "SystemCallFilter=@system-service"
TOLD = """#!/bin/sh
{ cat "$HOME/private" && cat; } > "$1/told.new" && mv "$1/told.new" "$1/told"
"""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd")


class Served(Somebody):
    """A person whose daemon is started as by systemd, from the unit that `daemon install` would write."""

    process: subprocess.Popen[bytes] | None = None
    patience_s = PATIENCE_S
    filter = FILTER
    """Of the unit, or another in its place."""

    @property
    def unit(self) -> str:
        return unit.unit_text(Profile(self.home, self.profile, home_was_named=True), {})

    def start(self) -> Json:
        """Start it as a service of Type=notify: it runs once it has said so."""
        path, ready = self.home.with_name(f"{self.home.name}.service"), str(self.home.with_name(f"{self.home.name}.notify"))
        path.write_text(self.unit.replace(FILTER, self.filter))
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.home.parent), "LANG": "C.UTF-8", "NOTIFY_SOCKET": ready}
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
            manager.bind(ready)
            manager.settimeout(self.patience_s)
            command = [sys.executable, "-m", "tests.integration.confined", str(path)]
            with self.home.with_name(f"{self.home.name}.log").open("wb") as log:
                self.process = subprocess.Popen(command, cwd=CHECKOUT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            assert manager.recv(100) == b"READY=1"
        Path(ready).unlink()
        found: Json = self.ask("status")
        return found

    def stop(self) -> None:
        super().stop()
        self.leave()

    def leave(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="p2p %h $HOME "))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def people(folder: Path) -> Iterator[list[Served]]:
    """Ann and Bob, whose daemons run."""
    people = [Served(folder / "ann 100% $x", "Ann", "work"), Served(folder / 'b"ob', "Bob")]
    try:
        for somebody in people:
            somebody.arrive()
        yield people
    finally:
        for somebody in people:
            somebody.leave()


def test_two_services_talk_and_end(people: list[Served], folder: Path) -> None:
    ann, bob = people
    for somebody in people:
        assert somebody.process is not None and somebody.pid == somebody.process.pid
        status = Path(f"/proc/{somebody.pid}/status").read_text()
        assert "NoNewPrivs:\t1\n" in status and "Seccomp:\t2\n" in status
    ann.befriend(bob)
    ann.say(bob, "as a service")
    bob.say(ann, "so am I")
    assert ann.texts(bob) == bob.texts(ann) == ["as a service", "so am I"]
    for somebody in people:
        assert somebody.process is not None
        somebody.process.terminate()
        assert somebody.process.wait(PATIENCE_S) == 0 and not somebody.logged("not permitted")


def test_home_and_temporary_folder_are_there_for_the_daemon_and_for_what_it_runs(people: list[Served], folder: Path) -> None:
    """A program for notices reads a file in the home and writes one in the temporary folder."""
    ann, bob = people
    assert Path(tempfile.gettempdir()) in folder.parents and Path(f"/proc/{bob.pid}/ns/mnt").samefile("/proc/self/ns/mnt")
    (folder / "private").write_text("of mine\n")
    (folder / "tell").write_text(TOLD)
    (folder / "tell").chmod(0o755)
    bob.stop()
    bob.configure("notify.command", f"'{folder}/tell' '{folder}'")
    bob.start()
    ann.befriend(bob)
    ann.say(bob, "look")
    told = until(lambda: (folder / "told").exists() and (folder / "told").read_text(), "the program was run").splitlines()
    assert told[0] == "of mine" and json.loads(told[1])["text"] == "look"


def test_a_unit_that_takes_too_much_away_is_noticed(folder: Path) -> None:
    somebody = Served(folder / "ann", "Ann").arrive(start=False)
    assert isinstance(somebody, Served)
    somebody.filter = "SystemCallFilter=@default @basic-io @file-system @process @signal @io-event @ipc @memlock"
    somebody.patience_s = 1.0
    with pytest.raises(TimeoutError):
        somebody.start()
    assert somebody.process is not None and somebody.process.wait(PATIENCE_S) != 0
