"""Two people who have the README and nothing else: a fresh copy of the checkout each, a home in which nothing is, a terminal.

Nothing is typed but the lines of its blocks. Their machines have a network, but no Internet: what `scripts/p2pmsg` would get from
there for its environment it finds in a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lan.lan import Lan
from tests.readme import steps

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_CHECKED_IN = (".git", ".venv", ".venv.lock", "__pycache__", "*.pyc", ".*_cache", ".hypothesis", "*.egg-info", "build", "dist")
PATIENCE_S = 90
"""For one line; the first makes the environment."""
SOON_S = 10
PROMPT = re.compile(r"<(\d+)> $")


class Newcomer:
    """Somebody on a machine of the LAN, at a terminal of 80 x 24 in a fresh copy of the checkout."""

    def __init__(self, lan: Lan, node: int, folder: Path, name: str) -> None:
        home = folder / name
        shutil.copytree(CHECKOUT, home / "p2pmsg", ignore=shutil.ignore_patterns(*NOT_CHECKED_IN))
        self.terminal, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environ = {"HOME": str(home), "PATH": f"{folder / 'bin'}:/usr/bin:/bin", "TERM": "dumb", "PS1": "<$?> ", "PS2": ""}
        environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "wheels")}
        shell = lan.command(node, ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"])
        self.shell = subprocess.Popen(shell, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=home / "p2pmsg")
        os.close(slave)
        self.seen(PROMPT)

    def types(self, line: str) -> str:
        """Type a line at the prompt and return what came; a command that fails is a fault."""
        os.write(self.terminal, f"{line}\n".encode())
        said = self.seen(PROMPT)
        assert said.endswith("<0> "), said
        return said.replace("\r\n", "\n")

    def sees(self, line: str, words: str) -> None:
        """Type a line again and again, as one does who waits for something, until its answer has these words."""
        deadline = time.monotonic() + SOON_S
        while words not in (said := self.types(line)):
            assert time.monotonic() < deadline, said

    def chats(self, line: str, text: str) -> str:
        """Type a line that opens a chat, one message there, and Ctrl-D when that has been delivered."""
        os.write(self.terminal, f"{line}\n".encode())
        said = self.seen(re.compile("> $"))
        os.write(self.terminal, f"{text}\n".encode())
        said += self.seen(re.compile(r"\((delivered|read)\)[^>]*> $"))
        os.write(self.terminal, b"\x04")
        return said + self.seen(PROMPT)

    def seen(self, awaited: re.Pattern[str]) -> str:
        """Return what came since the last time, as soon as it ends in what is awaited."""
        said, deadline = b"", time.monotonic() + PATIENCE_S
        while not awaited.search(text := said.decode(errors="replace")):
            left_s = max(deadline - time.monotonic(), 0)
            assert select.select([self.terminal], [], [], left_s)[0], f"{awaited.pattern} did not come: {text}"
            said += os.read(self.terminal, 65_536)
        return text

    def leave(self) -> None:
        """Stop what the README began, and close the terminal."""
        with contextlib.suppress(AssertionError, OSError):
            self.types("scripts/p2pmsg daemon stop")
        self.shell.send_signal(signal.SIGKILL)
        self.shell.wait()
        os.close(self.terminal)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A Python, and all that p2pmsg needs as files."""
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))  # for which the wheels are
    subprocess.run([sys.executable, "-I", CHECKOUT / "scripts" / "wheels.py", "--folder", folder / "wheels"], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def newcomers(lan: Callable[..., Lan], folder: Path) -> Iterator[dict[str, Newcomer]]:
    two = lan(2)
    people: dict[str, Newcomer] = {}
    try:
        for node, name in enumerate(("Ann", "Bob"), 1):
            people[name] = Newcomer(two, node, folder, name)
        yield people
    finally:
        for person in people.values():
            person.leave()


def test_someone_with_only_the_readme_gets_two_machines_talking(newcomers: dict[str, Newcomer]) -> None:
    ann, bob = newcomers["Ann"], newcomers["Bob"]
    invite, typed = "", []
    with ThreadPoolExecutor() as machines:
        for who, line in steps("First steps on two machines"):
            typed.append(line)
            if who is None:
                list(machines.map(lambda person, line=line: person.types(line), (ann, bob)))
            elif line == "p2pmsg contact invite":
                invite = re.findall(r"P2PMSG:[A-Z0-9]+", ann.types(line))[0]
            elif "chat" in line:
                assert "Yes. Same place?" in newcomers[who].chats(line, "At the usual one?")
            elif (waited_for := {"p2pmsg inbox": "Lunch at noon?", "p2pmsg history bob": "Yes. Same place?"}.get(line)) is not None:
                newcomers[who].sees(line, waited_for)
            else:
                newcomers[who].types(line.replace("INVITE", invite))
    assert len(typed) > 12
    assert "me: Lunch at noon?  (read)" in ann.types("p2pmsg history bob")
    assert "At the usual one?" in bob.types("p2pmsg read ann")
