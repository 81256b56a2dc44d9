from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2pmsg.daemon import linux
from p2pmsg.daemon.linux import OtherProcess, file_system_type, is_local

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


def test_kinds_of_file_systems_are_told_apart() -> None:
    assert file_system_type(Path("/proc")) == 0x9FA0
    assert is_local(Path("/proc"))


def test_nothing_has_no_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_local(tmp_path / "nothing")


def test_the_end_of_a_process_is_seen() -> None:
    with subprocess.Popen(["sleep", "60"]) as child, OtherProcess.opened(child.pid) as seen:
        assert not seen.wait(0.01)
        seen.signal(signal.SIGTERM)
        assert seen.wait(10)
        child.wait()
        seen.signal(signal.SIGTERM)  # gone: nobody is hit


def test_there_is_no_such_process() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError), OtherProcess.opened(child.pid):
        pass


ORDINARY = """
import ctypes, os, resource
from p2pmsg.daemon import linux
from p2pmsg.daemon.linux import keep_memory_private
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process that was never root's
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
"""


@pytest.mark.parametrize("private", [True, False])
def test_nobody_else_reads_the_memory_and_a_crash_leaves_no_core(tmp_path: Path, private: bool) -> None:
    program = f"{ORDINARY}\n{'keep_memory_private()' if private else ''}\nprint(flush=True)\ninput()\nos.abort()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environ, **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout.readline() == b"\n"
        reader = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        reading = subprocess.run(["cat", f"/proc/{child.pid}/environ"], capture_output=True, text=True, **reader)  # type: ignore[call-overload]
        assert ("Permission denied" in reading.stderr) is private
        limit = next(row for row in Path(f"/proc/{child.pid}/limits").read_text().splitlines() if row.startswith("Max core"))
        assert (limit.split()[4:6] == ["0", "0"]) is private
        child.stdin.write(b"\n")
        child.stdin.close()
        assert child.wait(10) == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []


def group(folder: Path, limit: str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\nactive_file 0\n")


@pytest.mark.parametrize(
    ("outer", "inner", "free"),
    [(("1000", 400, 100), ("max", 5, 0), 700), (("1000", 400, 0), ("500", 450, 0), 50), (("1000", 2000, 0), ("max", 1, 0), 0)],
)
def test_every_limit_of_a_group_counts(tmp_path: Path, outer: tuple[str, int, int], inner: tuple[str, int, int], free: int) -> None:
    group(tmp_path / "outer", *outer)
    group(tmp_path / "outer/inner", *inner)
    left = list(linux._free_below(tmp_path, "/outer/inner", ("memory.max", "memory.current"), ""))
    assert max(0, min(left)) == free


def test_memory_is_free() -> None:
    free = linux.free_memory_bytes()
    assert free is not None and 1 << 20 < free
