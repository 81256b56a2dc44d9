"""What the machine itself can do: disk, network, Python; measured once a run, where the figures are taken."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.figures import Figure, median, number, quantile
from tests.bench.place import Place

_ECHO: Final = [sys.executable, "-m", "tests.bench.echo"]
_IMPORTS: Final = (
    "import aioquic.quic.connection, zeroconf, cryptography.hazmat.primitives.hpke, nacl.bindings, msgspec, sqlcipher3, sqlite_utils"
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Two quantiles of a time, in milliseconds."""

    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{number(self.p50_ms)} / {number(self.p99_ms)} ms"


class Floors:
    """The floors of one run."""

    def __init__(self, quick: bool) -> None:
        self._quick = quick

    def measured(self) -> list[Figure]:
        """Return those that were asked for, as rows of the table."""
        rows = {
            "fsync": "fsync of 4 KiB, p50 / p99",
            "round_trip": "UDP round trip of 200 bytes, p50 / p99",
            "durable": "asyncio, AES-GCM, SQLite FULL commit, p50 / p99",
        }
        found = [(name, self.__dict__[key]) for key, name in rows.items() if key in self.__dict__]
        return [Figure(f"floor: {name}", spread.p50_ms, "ms", note=f"p99 {number(spread.p99_ms)} ms") for name, spread in found]

    @property
    def ease(self) -> tuple[float, float]:
        """Return fsync p50 and round trip p50, in milliseconds; 0 for what was not measured."""
        spreads = [self.__dict__.get(key) for key in ("fsync", "round_trip")]
        return tuple(spread.p50_ms if spread else 0.0 for spread in spreads)  # type: ignore[return-value]

    @functools.cached_property
    def fsync(self) -> Spread:
        """Appending 4 KiB to a file and fsync."""
        with Place(0) as here, (here.folder / "fsync").open("wb", buffering=0) as file:
            return spread([_timed(lambda: (file.write(bytes(4096)), os.fsync(file.fileno()))) for _ in range(200 if self._quick else 1000)])

    @functools.cached_property
    def round_trip(self) -> Spread:
        """A datagram to the other node and back, by plain sockets."""
        return self._echo("plain", 500 if self._quick else 2000)

    @functools.cached_property
    def durable(self) -> Spread:
        """A sealed datagram to the other node, a commit there, a sealed answer: by asyncio, AES-GCM and SQLite."""
        return self._echo("durable", 200 if self._quick else 1000)

    @functools.cached_property
    def commits(self) -> str:
        """SQLite's commits a second, with one row each; and rows a second with a hundred in each."""
        single, hundred = self._commits_a_second(1), 100 * self._commits_a_second(100)
        return f"{number(single)}/s of 1 row, {number(hundred)}/s of 100"

    @functools.cached_property
    def python_s(self) -> float:
        return self._process_s("-I", "-c", "pass")

    @functools.cached_property
    def click_s(self) -> float:
        return self._process_s("-I", "-c", "import click")

    @functools.cached_property
    def imports_s(self) -> float:
        """Python and the libraries that a daemon needs."""
        return self._process_s("-I", "-c", _IMPORTS)

    @functools.cached_property
    def imports_mb(self) -> float:
        """The resident memory of a Python with these libraries and nothing else."""
        program = f"{_IMPORTS}; print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
        return int(subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True).stdout) * 1.024e-3

    def _echo(self, how: str, count: int) -> Spread:
        with Place(2) as here:
            place = [str(here.folder / "echo"), here.lan.ip(2)]
            answering = subprocess.Popen(here.lan.command(2, [*_ECHO, how, "answer", *place]), stdout=subprocess.PIPE, text=True)
            try:
                assert answering.stdout is not None
                answering.stdout.readline()
                done = here.lan.run(1, [*_ECHO, how, "ask", *place, str(count)])
                assert done.returncode == 0, done.stderr
                return spread(json.loads(done.stdout))
            finally:
                answering.kill()
                answering.communicate()

    def _commits_a_second(self, rows: int) -> float:
        with Place(0) as here:
            db = sqlite3.connect(here.folder / "commits", isolation_level=None)
            db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
            begun, count = time.monotonic(), 0
            while (elapsed_s := time.monotonic() - begun) < (0.3 if self._quick else 1.0):
                db.execute("BEGIN")
                db.executemany("INSERT INTO t (data) VALUES (?)", [(bytes(200),)] * rows)
                db.execute("COMMIT")
                count += 1
            db.close()
            return count / elapsed_s

    def _process_s(self, *words: str) -> float:
        command = [sys.executable, *words]
        return median([_timed(lambda: subprocess.run(command, check=True)) for _ in range(5 if self._quick else 15)])


def spread(times_s: Sequence[float]) -> Spread:
    return Spread(1000 * median(times_s), 1000 * quantile(times_s, 0.99))


def _timed(act: object) -> float:
    begun = time.monotonic()
    act()  # type: ignore[operator]
    return time.monotonic() - begun
