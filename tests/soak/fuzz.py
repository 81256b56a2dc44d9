"""Every decoder of `tests.hostile.decoders` a million times, led by coverage (atheris, libFuzzer): none may raise what it does not promise.

python -m tests.soak.fuzz NAME FOLDER RUNS SECONDS SEED     one decoder, in a process of its own
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

RUNS: Final = 10**6
SECONDS: Final = 600
"""Of one decoder at most; the table says how far that went."""
MOST_BYTES: Final = 4096
_DONE = re.compile(r"Done (\d+) runs in")
_AT = re.compile(r"^#(\d+)\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    inputs: int
    crashed: bool
    words: str
    """What libFuzzer and Python said, where something was found."""


def run(runs: int, names: Sequence[str], seconds: int = SECONDS, seed: int = 0) -> bool:
    """Fuzz the decoders of these names, all without any; print a table; say whether nothing was found."""
    from tests.hostile.decoders import DECODERS

    good = True
    sys.stdout.write(f"{'DECODER':24}{'INPUTS':>12}{'CRASHES':>9}{'SECONDS':>9}   seed {seed}\n")
    for name in names or DECODERS:
        began = time.monotonic()
        found = one(name, runs, seconds, seed)
        sys.stdout.write(f"{name:24}{found.inputs:12,}{int(found.crashed):9}{time.monotonic() - began:9.0f}\n{found.words}")
        sys.stdout.flush()
        good = good and not found.crashed
    return good


def one(name: str, runs: int, seconds: int, seed: int) -> Outcome:
    """Fuzz one decoder in a process of its own: atheris never returns, and what it finds ends the process."""
    with tempfile.TemporaryDirectory() as outer:
        folder = str(Path(outer) / "corpus")
        Path(folder).mkdir()
        command = [sys.executable, "-m", "tests.soak.fuzz", name, folder, str(runs), str(seconds), str(seed)]
        environ = {**os.environ, "TMPDIR": outer}  # libFuzzer ends a process before it can tidy up
        done = subprocess.run(command, capture_output=True, check=False, env=environ)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    whole = _DONE.search(said)
    inputs = int(whole[1]) if whole else max((int(number) for number in _AT.findall(said)), default=0)
    return Outcome(inputs, done.returncode != 0, f"{said[-4000:]}\n" if done.returncode else "")


def main(name: str, folder: str, runs: int, seconds: int, seed: int) -> NoReturn:
    import atheris

    with atheris.instrument_imports(include=["p2pmsg"]):
        from tests.hostile.decoders import DECODERS
    decoder, corpus = DECODERS[name], Path(folder)
    for number, data in enumerate(decoder.good):
        (corpus / f"good{number}").write_bytes(data)
    options = [f"-runs={runs}", f"-max_total_time={seconds}", f"-seed={seed or 1}", f"-max_len={MOST_BYTES}", "-timeout=10"]
    atheris.Setup([name, *options, f"-artifact_prefix={folder}/", folder], decoder.holds)
    atheris.Fuzz()
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))  # type: ignore[call-arg]
