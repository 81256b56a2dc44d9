"""A daemon whose machine can be put to sleep: run by the LAN tests in place of `p2pmsg daemon run`.

    python -m tests.lan.sleeper FILE

It says one line when it answers. FILE holds two doubles: by how many seconds its monotonic clock lags behind the machine's, and by how
many its wall clock and the clock that counts sleep are ahead. A test halts the process, writes to the file, and lets it go on: as a machine
that has slept.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from pathlib import Path

_CLOCKS = struct.Struct("dd")
_SLEEPLESS = (time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW)


def make(file: Path) -> None:
    """Make a file for a machine that has not slept yet."""
    file.write_bytes(_CLOCKS.pack(0.0, 0.0))


def slept(file: Path, halted_s: float, slept_s: float) -> None:
    """Let the machine, which was halted for so long, have slept for so long instead."""
    lags_s, ahead_s = _CLOCKS.unpack(file.read_bytes())
    with file.open("r+b") as changed:
        changed.write(_CLOCKS.pack(lags_s + halted_s, ahead_s + slept_s - halted_s))


def _live_by(file: Path) -> None:
    with file.open("r+b") as opened:
        clocks = mmap.mmap(opened.fileno(), _CLOCKS.size)
    monotonic, wall, wall_ns, clock = time.monotonic, time.time, time.time_ns, time.clock_gettime

    def skew_s(number: int) -> float:
        lags_s, ahead_s = _CLOCKS.unpack_from(clocks)
        return float(-lags_s if number in _SLEEPLESS else ahead_s)

    time.monotonic = lambda: monotonic() + skew_s(time.CLOCK_MONOTONIC)
    time.time = lambda: wall() + skew_s(time.CLOCK_REALTIME)
    time.time_ns = lambda: wall_ns() + round(skew_s(time.CLOCK_REALTIME) * 1e9)
    time.clock_gettime = lambda number: clock(number) + skew_s(number)


def main() -> None:
    """Be the daemon of P2PMSG_HOME."""
    _live_by(Path(sys.argv[1]))
    from p2pmsg.cli.main import main as p2pmsg
    from p2pmsg.daemon.process import READY_FD

    os.environ[READY_FD] = str(os.dup(sys.stdout.fileno()))
    sys.argv[:] = ["p2pmsg", "daemon", "run"]
    p2pmsg()


if __name__ == "__main__":
    main()
