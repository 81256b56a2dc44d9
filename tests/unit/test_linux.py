from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
