"""A line being typed on a terminal while other lines appear above it.

Paints with carriage return, blanks and backspace alone: no escape code, so that a dumb terminal does as well. Knows nothing of what
the lines are.
"""

from __future__ import annotations

import codecs
import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from p2pmsg.cli import text

ENTER = "enter"
LEAST_COLUMNS = 10
"""What a note leaves for the line being typed; where there is less room it is not shown."""
SEQUENCE_CHARACTERS = 16
_KEYS = {
    "\x01": "home", "\x02": "left", "\x04": "delete", "\x05": "end", "\x06": "right", "\x08": "backspace", "\x7f": "backspace",
    "\x0b": "kill", "\x15": "clear", "\x17": "word", "\r": ENTER, "\n": ENTER,
}  # fmt: skip
_SEQUENCES = {
    "\x1b[C": "right", "\x1b[D": "left", "\x1b[H": "home", "\x1b[F": "end", "\x1b[3~": "delete",
    "\x1bOC": "right", "\x1bOD": "left", "\x1bOH": "home", "\x1bOF": "end",
}  # fmt: skip


class Line:
    """The text typed so far and the cursor in it; pure."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.text = ""
        self.cursor = 0

    def take(self) -> str:
        """Return the line and begin a new one."""
        taken, self.text, self.cursor = self.text, "", 0
        return taken

    def insert(self, character: str) -> None:
        """Put a character at the cursor; over the limit it is dropped."""
        if len(self.text) < self.limit:
            self.text = self.text[: self.cursor] + character + self.text[self.cursor :]
            self.cursor += 1

    def press(self, key: str) -> None:
        """Do what an editing key does."""
        start, end = self._span(key)
        if key in ("left", "right", "home", "end"):
            self.cursor = start
        else:
            self.text = self.text[:start] + self.text[end:]
            self.cursor = start

    def _span(self, key: str) -> tuple[int, int]:
        """Return where a movement ends (twice), or what a deletion takes."""
        here, length = self.cursor, len(self.text)
        before = self.text[:here].rstrip()
        return {
            "left": (max(0, here - 1),) * 2,
            "right": (min(length, here + 1),) * 2,
            "home": (0, 0),
            "end": (length, length),
            "backspace": (max(0, here - 1), here),
            "delete": (here, min(length, here + 1)),
            "clear": (0, here),
            "kill": (here, length),
            "word": (before.rfind(" ") + 1, here),
        }[key]


class Keys:
    """Bytes of a terminal become characters and keys; a sequence may come in pieces."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequence = ""

    def feed(self, data: bytes) -> Iterator[tuple[str, str]]:
        """Yield ("key", name) and ("character", text) in order; what is neither is dropped."""
        for character in self._decode.decode(data):
            if self._sequence or character == "\x1b":
                yield from self._escape(character)
            elif character in _KEYS:
                yield "key", _KEYS[character]
            elif character == "\t" or character.isprintable() or ord(character) > 0x9F:
                yield "character", " " if character == "\t" else character

    def _escape(self, character: str) -> Iterator[tuple[str, str]]:
        self._sequence = (self._sequence + character)[:SEQUENCE_CHARACTERS]
        started = len(self._sequence) > 2 and character not in "0123456789;"
        if started or (len(self._sequence) == 2 and character not in "[O"):
            name = _SEQUENCES.get(self._sequence)
            self._sequence = ""
            if name is not None:
                yield "key", name


class Prompt:
    """The line on the last row of a terminal, and a way to put finished lines above it."""

    def __init__(self, write: Callable[[bytes], None], prompt: str, limit: int, columns: Callable[[], int]) -> None:
        self._write = write
        self._prompt = prompt
        self._columns = columns
        self._painted = 0
        self._note = ""
        self.line = Line(limit)
        self._keys = Keys()

    def feed(self, data: bytes) -> Iterator[str | None]:
        """Take in typed bytes; yield each line that is entered, None at the end of input. What was typed is painted on return."""
        for kind, value in self._keys.feed(data):
            if kind == "character":
                self.line.insert(value)
            elif value == ENTER:
                yield self.line.take()
            elif value == "delete" and not self.line.text:
                yield None  # Ctrl-D on an empty line
            else:
                self.line.press(value)
        self.paint()

    def above(self, words: str) -> None:
        """Put a finished line, or several, above the one being typed."""
        self._write(self._blank() + words.encode() + b"\n")
        self.paint()

    def note(self, words: str) -> None:
        """Show a note at the end of the row, beside the line being typed; "" for none."""
        if words != self._note:
            self._note = words
            self.paint()

    def paint(self) -> None:
        """Paint the line anew: as much of it around the cursor as the row holds."""
        row = self._columns() - 1
        wide = text.width(self._note)
        noted = 0 < wide <= row - text.width(self._prompt) - 2 - LEAST_COLUMNS
        shown, behind = self._window(row - wide - 2 if noted else row)
        if noted:
            gap = max(0, row - text.width(shown) - wide)
            shown, behind = f"{shown}{' ' * gap}{self._note}", behind + gap + wide
        blank = self._blank()
        self._painted = text.width(shown)
        self._write(blank + shown.encode() + b"\b" * behind)

    def clear(self) -> None:
        """Take the line from the screen."""
        self._write(self._blank())

    def _blank(self) -> bytes:
        width, self._painted = self._painted, 0
        return b"\r" + b" " * width + b"\r"

    def _window(self, row: int) -> tuple[str, int]:
        """Return what to show in so many columns, and how many of them lie behind the cursor."""
        room = max(8, row - text.width(self._prompt))
        whole, cursor = self.line.text, self.line.cursor
        start = max(0, cursor - room)
        while text.width(whole[start:cursor]) >= room and start < cursor:
            start += 1
        end = min(len(whole), start + room)
        while text.width(whole[start:end]) >= room and end > cursor:
            end -= 1
        return self._prompt + text.line(whole[start:end]), text.width(text.line(whole[cursor:end]))


@contextmanager
def raw_keys(descriptor: int, continued: Callable[[], None]) -> Iterator[None]:
    """Let keys come one by one and unseen within the block; Ctrl-C and Ctrl-Z keep their meaning.

    The terminal is as before afterwards, also after SIGTERM. `continued` is called when the program comes back from Ctrl-Z.
    """
    before = termios.tcgetattr(descriptor)

    def again(*_: object) -> None:
        tty.setcbreak(descriptor)
        continued()

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    old = [(number, signal.signal(number, handler)) for number, handler in ((signal.SIGCONT, again), (signal.SIGTERM, end))]
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        for number, handler in old:
            signal.signal(number, handler)


def columns() -> int:
    """Return the width of the terminal, 80 where it does not say."""
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80
