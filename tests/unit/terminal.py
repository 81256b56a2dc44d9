"""A person at a terminal: the CLI as a process on a pty, what it writes, and keys pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2pmsg.cli import text
from tests.unit.scripted import command


class Terminal:
    """`screen` is every byte written so far."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.master = master
        self.process = process
        self.screen = b""

    def press(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def see(self, words: str | bytes, *, within_s: float = 10.0) -> None:
        """Wait until that is on the screen, behind what was seen before."""
        wanted = words.encode() if isinstance(words, str) else words
        end = time.monotonic() + within_s
        while wanted not in self.screen:
            left = end - time.monotonic()
            ready = select.select([self.master], [], [], max(0, left))[0]
            data = self._read() if ready else b""
            assert data, f"{wanted!r} never came: {self.screen!r}"
            self.screen += data

    def row(self, words: str, *, within_s: float = 10.0) -> None:
        """Wait until the last row is that."""
        end = time.monotonic() + within_s
        while (last := rows(self.screen)[-1]) != words:
            ready = select.select([self.master], [], [], max(0, end - time.monotonic()))[0]
            data = self._read() if ready else b""
            assert data, f"the last row stayed {last!r}"
            self.screen += data

    def end(self, within_s: float = 30.0) -> int:
        """Read what is left and return the exit status."""
        end = time.monotonic() + within_s
        while data := self._read() if select.select([self.master], [], [], max(0.0, end - time.monotonic()))[0] else b"":
            self.screen += data
        return self.process.wait(10)

    def _read(self) -> bytes:
        try:
            return os.read(self.master, 65_536)
        except OSError:  # the last process has closed its side
            return b""


@contextmanager
def terminal(home: Path, *words: str, stdin_too: bool = True, columns: int = 80, **environ: str) -> Iterator[Terminal]:
    """Run the CLI on a terminal of 80 x 24; with `stdin_too=False` its standard input is empty and no terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "P2PMSG_HOME": str(home), "TERM": "xterm", **environ}
    stdin = slave if stdin_too else subprocess.DEVNULL
    process = subprocess.Popen(command(*words), stdin=stdin, stdout=slave, stderr=slave, env=env, preexec_fn=_own_terminal(slave))
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)


def _own_terminal(slave: int):  # type: ignore[no-untyped-def]
    def make() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    return make


def rows(screen: bytes, columns: int = 80) -> list[str]:
    """Return what a terminal would show of text, newlines, returns and backspaces; anything else is a fault."""
    lines: list[list[str]] = [[]]
    column = 0
    for character in screen.decode():
        if character == "\n":
            lines.append([])
            column = 0
        elif character == "\r":
            column = 0
        elif character == "\b":
            column -= 1
            assert column >= 0
        else:
            assert character.isprintable(), repr(character)
            lines[-1][column:] = [character, *lines[-1][column + 1 :]]
            column += 1
            assert column < columns, "the line being typed must not wrap"
    return ["".join(line).rstrip() for line in lines]


def balanced(row: str) -> bool:
    """Say whether all that turns direction in it ends in it, so that it turns nothing beside it."""
    depth: list[str] = []
    for each in row:
        if each in "\u2066\u2067\u2068":
            depth.append("\u2069")
        elif each in "\u202a\u202b\u202d\u202e":
            depth.append("\u202c")
        elif each in "\u2069\u202c" and (not depth or depth.pop() != each):
            return False
    return not depth


def drawn(words: str, columns: int) -> list[str]:
    """Return the rows of a terminal that breaks where a row is full, and draws symbols as wide as any terminal does."""
    rows = []
    for line in words.split("\n"):
        row, used = "", 0
        for each in line:
            wide = text._most(each)
            if used + wide > columns:
                rows.append(row)
                row, used = "", 0
            row, used = row + each, used + wide
        rows.append(row)
    return rows
