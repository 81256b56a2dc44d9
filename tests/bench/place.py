"""Where figures are taken: two or more people on network namespaces, or all on loopback where those cannot be made."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lan.conftest import missing
from tests.lan.lan import REPOSITORY
from tests.lan.people import Person, Scene

SCRIPT = str(REPOSITORY / "scripts" / "p2pmsg")


class Loopback:
    """Takes the place of a LAN: every node is this machine."""

    def command(self, node: int, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def run(self, node: int, argv: Sequence[str], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=REPOSITORY)

    def ip(self, node: int, segment: int = 0) -> str:
        return "127.0.0.1"

    def __enter__(self) -> Loopback:
        return self

    def down(self) -> None:
        pass


class Place(Scene):
    """A scene that does with loopback where it must. Use as a context manager."""

    def __init__(self, nodes: int = 2) -> None:
        super().__init__(nodes)
        self.alone = missing() is not None
        if self.alone:
            self.lan: Any = Loopback()

    def person(self, node: int, name: str, **settings: str) -> Person:
        alone = {"discovery_interfaces": "lo"} if self.alone else {}
        return super().person(node, name, **alone, **settings)

    @property
    def interface(self) -> str:
        return "lo" if self.alone else "eth0"

    @property
    def folder(self) -> Path:
        """A folder on the disk on which the homes lie; removed at the end."""
        return self._folder


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that the threads of a process have used, in user and kernel."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory_mb(pid: int) -> tuple[float, float]:
    """Return resident memory, and the share of it that is the process's own (PSS), in MB of 10^6 bytes."""
    kib = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return kib["Rss"] * 1.024e-3, kib["Pss"] * 1.024e-3
