"""The daemon's log file: rotated, closed to others, one line a record, with nothing in it that could steer a terminal.

Who logs names a short peer id and never a plaintext, a key or a code; this file cannot check that.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from p2pmsg.errors import file_faults

LOG_BYTES = 2 << 20
LOG_FILES = 3
"""The one being written and two older ones."""


@contextlib.contextmanager
def writing(path: Path, level: str) -> Iterator[None]:
    """Write what is logged inside the block to a file, and to stderr too where that is a terminal.

    `level` is one of `settings.LEVELS`. Raises: HomeUnusable, StorageFull.
    """
    with file_faults(path):
        handlers: list[logging.Handler] = [_File(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8")]
    if sys.stderr is not None and sys.stderr.isatty():
        handlers.append(logging.StreamHandler())
    root = logging.getLogger()
    before = root.level
    set_level(level)
    for handler in handlers:
        handler.setFormatter(_Lines())
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            with contextlib.suppress(OSError):  # a full disk: what could not be written is lost, and no more
                handler.close()


def set_level(level: str) -> None:
    """Log from this level of `settings.LEVELS` on."""
    logging.getLogger().setLevel(level.upper())


def older(path: Path) -> tuple[Path, ...]:
    """Return where rotation puts what was written before, oldest first; they need not exist."""
    return tuple(path.with_name(f"{path.name}.{number}") for number in range(LOG_FILES - 1, 0, -1))


class _File(RotatingFileHandler):
    """Makes files that only their owner reads."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a full disk costs lines, nothing else
            super().handleError(record)


class _Lines(logging.Formatter):
    """`2026-05-01T12:00:00.000Z level logger: message`; a traceback follows, indented, each line escaped like the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # as another handler cached it: not escaped
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"  {_escaped(line)}" for line in super().formatException(ei).split("\n"))


def _escaped(text: str) -> str:
    """Return the text with everything that is no visible character or blank as a Python escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
