"""Every fenced block of the README is run, in order, as two newcomers would; what is only to be looked at is indented there.

Ann and Bob have a home folder each and nothing else, and a terminal for what the program says beside its output. Whatever a block
starts on the network is confined to loopback by the one line that is added to it. `scripts/test` is not run, as it runs this.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.readme import BLOCKS, README

CHECKOUT = Path(__file__).parents[2]
DAEMON = "p2pmsg daemon start"
ON_LOOPBACK = f"p2pmsg config set discovery.interfaces lo\n{DAEMON}"


@dataclass(slots=True)
class Machine:
    """A home folder in which nothing is yet, and a shell in the checkout."""

    name: str
    home: Path
    screen: str = ""
    """What the last block wrote beside its output."""

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.home}/.local/bin:{Path(sys.executable).parent}:/usr/bin:/bin"
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # where the environment of a read-only checkout lies
        return {"HOME": str(self.home), "XDG_CACHE_HOME": cache, "PATH": path, "TERM": "dumb", "TZ": "UTC"}

    def run(self, block: str, typed: str = "") -> str:
        """Run a block with standard error on a terminal; return what it printed. Every command in it must succeed."""
        master, slave = pty.openpty()
        said: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(master, said))
        reader.start()
        try:
            done = subprocess.run(
                ["sh", "-euc", block],
                cwd=CHECKOUT,
                env=self.environment,
                input=typed,
                stdout=subprocess.PIPE,
                stderr=slave,
                text=True,
                timeout=120,
            )
        finally:
            os.close(slave)
            reader.join()
            os.close(master)
        self.screen = b"".join(said).decode()
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{self.screen}"
        return done.stdout


def _drain(master: int, said: list[bytes]) -> None:
    """Read a terminal until nobody has it open any more."""
    with contextlib.suppress(OSError):
        while data := os.read(master, 65_536):
            said.append(data)


@dataclass(slots=True)
class Play:
    """The README as it is acted: who is there, and what was said so far."""

    ann: Machine
    bob: Machine
    folder: Path
    invite: str = ""
    acted: list[str] = field(default_factory=list)

    def act(self, language: str, block: str) -> None:
        """Run one block, on the machine that its first line names; without one, on both."""
        who = re.match(r"# (?:echo\.py, )?on (Ann|Bob)'s machine\n", block)
        if language == "python":
            self._echo(block)
        elif "scripts/test\n" in block:
            self._try_out(block)
        elif who is None:
            for machine in (self.ann, self.bob):
                machine.run(block)
        else:
            self._talk(self.ann if who[1] == "Ann" else self.bob, block)
        self.acted.append(block)

    def _talk(self, machine: Machine, block: str) -> None:
        block = block.replace(DAEMON, ON_LOOPBACK).replace("INVITE", self.invite)
        for command, other, text in (("read ann", "ann", "Lunch at noon?"), ("history bob", "bob", "Yes. Same place?")):
            if command in block:  # who reads it to the end types slower than a message travels
                _until(lambda other=other, text=text: text in machine.run(f"p2pmsg history {other}"))
        out = machine.run(block, typed="And the menu?\n" if "chat" in block else "")
        if "contact invite" in block:
            self.invite = out.strip()
        if "init" in block:
            assert len(re.findall(r"\b\d+\.? +[a-z]+\b", machine.screen)) == 24, machine.screen
        if "Lunch" in block:
            assert out.startswith("sent")
        if "read" in block:
            assert "Ann: Lunch at noon?" in out
        if "history" in block:
            assert "me: Lunch at noon?  (read)" in out
            assert re.search(r"Bob~\w{8}: Yes. Same place\?", out) and re.search(r"^Bob~\w{8} +\S+ +yes", out, re.MULTILINE)
        if "backup" in block:
            self._heard_of_the_backup()

    def _try_out(self, block: str) -> None:
        demo, test = block.splitlines()
        self.ann.run(demo)
        assert os.access(CHECKOUT / test, os.X_OK)  # not run: it runs this

    def _heard_of_the_backup(self) -> None:
        _until(lambda: "Backup" in self.bob.run("p2pmsg history ann"))
        lines = self.bob.run("p2pmsg read ann").splitlines()
        assert any("Filesystem" in line for line in lines) and any("Backup is done." in line for line in lines)
        assert any("And the menu?" in line for line in lines)

    def _echo(self, program: str) -> None:
        """Run the bot twice: it answers what comes, and after a restart what came meanwhile, each once."""
        (self.folder / "echo.py").write_text(program)
        for text in ("one", "two"):
            with self._bot():
                if text == "one":
                    _until(lambda: (self.folder / "echo-cursor").exists())
                self.ann.run(f"p2pmsg send bob {text}")
                _until(lambda text=text: f": You said: {text}" in self.ann.run("p2pmsg history bob"))
            self.ann.run(f"p2pmsg send bob while-away-{text} --wait delivered")
        with self._bot():
            _until(lambda: "You said: while-away-two" in self.ann.run("p2pmsg history bob"))
        answers = re.findall(r"You said: (\S+)", self.ann.run("p2pmsg history bob"))
        assert answers == ["one", "while-away-one", "two", "while-away-two"]

    @contextlib.contextmanager
    def _bot(self) -> Iterator[None]:
        bot = subprocess.Popen([sys.executable, "echo.py"], cwd=self.folder, env=self.bob.environment, start_new_session=True)
        try:
            yield
            assert bot.poll() is None
        finally:
            os.killpg(bot.pid, signal.SIGTERM)
            bot.wait(10)


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # a person who looks again


@pytest.fixture
def play() -> Iterator[Play]:
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    machines = [Machine(name, folder / name) for name in ("ann", "bob")]
    for machine in machines:
        machine.home.mkdir()
    yield Play(*machines, folder)
    for machine in machines:
        machine.run("scripts/p2pmsg daemon stop || true")  # where the README failed it may not run
    shutil.rmtree(folder)


def test_every_block_is_run(play: Play) -> None:
    for language, block in BLOCKS:
        play.act(language, block)
    assert len(play.acted) == README.count("\n```") / 2 > 10


def test_only_what_can_be_run_is_fenced() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python"}


def test_links_lead_somewhere() -> None:
    assert [link for link in re.findall(r"\]\((.*?)\)", README) if not (CHECKOUT / link).exists()] == []
