"""Reads what a process in a namespace prints, one JSON object a line, and waits for the line that a test expects."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any


class Lines:
    """The lines of one process: each is seen once, in order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def expect(self, wanted: Callable[[dict[str, Any]], object], within_s: float) -> dict[str, Any]:
        """Return the next line that is wanted, leaving out those before it. Raises AssertionError with all of them in time."""
        deadline, seen = time.monotonic() + within_s, []
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left_s)
            except queue.Empty:
                break
            if wanted(line):
                return line
            seen.append(line)
        raise AssertionError(f"not seen within {within_s} s; instead: {seen}")

    def forget(self) -> None:
        """Leave out what was printed up to now."""
        while not self._lines.empty():
            self._lines.get_nowait()

    def say(self, line: str) -> None:
        """Write a line to the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
