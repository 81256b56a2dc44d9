"""What leaves the program: data on stdout, words for people on stderr, and the exit status.

Writes to the file descriptors themselves: nothing is left in a buffer whose reader has gone.
"""

from __future__ import annotations

import io
import json
import os
import re
import select
import sys
from typing import Any

from p2pmsg.cli import text
from p2pmsg.errors import P2pmsgError
from p2pmsg.rpc.escape import escape

STDIN, STDOUT, STDERR = 0, 1, 2
INTERRUPTED, READER_GONE = 130, 141


class ReaderGone(Exception):
    """Nobody reads stdout any more: end at once, silently."""


class StdoutFailed(P2pmsgError):
    """Free some space where standard output goes. What was accepted stays accepted."""


class Stdout(io.TextIOBase):
    """Stands for sys.stdout, so that help, too, ends as the contract says where nobody reads it."""

    def write(self, words: str) -> int:
        """Write words for people at once. Raises: ReaderGone, StdoutFailed."""
        paint(words.encode(sys.getfilesystemencoding(), "backslashreplace"))
        return len(words)


def claim_descriptors() -> None:
    """Put something in place of a stdin, stdout or stderr that the caller closed, lest a socket gets its number and our output.

    Then stdin is empty, a write to stdout fails, and stderr is lost.
    """
    for descriptor, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)
    sys.stdout = Stdout()


def line(words: str) -> None:
    """Write a line for people to stdout; text of others in it went through `text` before. Raises: ReaderGone, StdoutFailed."""
    Stdout().write(f"{_tame(words)}\n")


def _tame(words: str) -> str:
    """Return words with what could still command a terminal as escapes: a net below `text`, for fields that nobody thought of."""
    return _COMMANDING.sub(lambda found: text.line(found[0]), words)


_COMMANDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def paint(data: bytes) -> None:
    """Write bytes of ours to the terminal as they are. Raises: ReaderGone, StdoutFailed."""
    _write(STDOUT, data)


def json_line(value: Any) -> None:
    """Write one object on one line to stdout, at once. Raises: ReaderGone, StdoutFailed."""
    _write(STDOUT, as_json(value))


def as_json(value: Any) -> bytes:
    """Return the line of an object: UTF-8, exact text, what could command a terminal as \\u escapes."""
    # a lone surrogate, which UTF-8 cannot hold, becomes its own JSON escape
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")) + b"\n"


def columns(descriptor: int = STDOUT) -> int | None:
    """Return how wide the terminal is that stdout, or another, goes to; None where it goes elsewhere, or the terminal does not say."""
    try:
        return os.get_terminal_size(descriptor).columns or None
    except OSError:
        return None


def note(words: str) -> None:
    """Write a line for people to stderr, on a terminal broken between words; a stderr that is closed or full is no fault."""
    draw(_broken(_tame(words), columns(STDERR)))


def draw(words: str) -> None:
    """Write lines to stderr as they are."""
    _write_stderr(words.encode(sys.getfilesystemencoding(), "backslashreplace") + b"\n")


def _broken(words: str, width: int | None) -> str:
    """Return words in lines that fit, where a blank lets them; what follows is indented, lest it passes for something else."""
    if width is None or len(words) <= width:
        return words
    from textwrap import TextWrapper

    lines = []
    for line in words.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        wrapper = TextWrapper(max(width, 20), subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
        lines.append("\n".join(wrapper.wrap(line)) if len(line) > width else line)
    return "\n".join(lines)


def failed(error: P2pmsgError, *, as_object: bool, profile: str | None = None) -> int:
    """Say on stderr what went wrong and return the exit status; commands that are advised name the profile that was."""
    hint = of_profile(error.hint, profile) if error.hint else error.hint
    if as_object:
        _write_stderr(as_json({"error": error.as_json() | {"hint": hint}}))
    else:
        said = len(error.candidates) == 1 and error.candidates[0] in error.message
        lines = [f"Error: {text.line(error.message)}", *(f"  {text.line(name)}" for name in error.candidates if not said)]
        note("\n".join([*lines, f"Try: {text.line(hint)}"] if hint else lines))
    return error.exit_status


def of_profile(words: str, profile: str | None) -> str:
    """Return advice whose commands name the profile, without which they would reach another person; not those that others type."""
    return words if profile is None else re.sub(r"(?<!they type: )\bp2pmsg (?!--profile)", lambda _: f"p2pmsg --profile {profile} ", words)


def _write(descriptor: int, data: bytes) -> None:
    try:
        _write_all(descriptor, data)
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        raise StdoutFailed(f"Standard output cannot be written: {error.strerror}.") from error


def _write_stderr(data: bytes) -> None:
    try:
        _write_all(STDERR, data)
    except OSError:
        pass


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # somebody made the descriptor non-blocking: wait for its reader
            select.select([], [descriptor], [])
