"""A memory cgroup of a test's own, of whichever version this machine has; in it only what the test puts there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
GONE_S = 5.0


@dataclass(frozen=True)
class Group:
    """A group with a limit; its processes are killed by the kernel where they cannot do with less."""

    folder: Path
    version: int

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a command in this group, with all that it starts."""
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.folder), *argv]

    def holds(self, pid: int) -> bool:
        return str(pid) in (self.folder / "cgroup.procs").read_text().split()

    @property
    def killed(self) -> int:
        """How many of its processes were killed for want of memory."""
        lines = (self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")).read_text().splitlines()
        return int(dict(line.split() for line in lines).get("oom_kill", "0"))

    @property
    def own_bytes(self) -> int:
        """Memory of its processes themselves, which the kernel cannot take back: no cached files."""
        lines = (self.folder / "memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["anon" if self.version == 2 else "total_rss"])


@contextlib.contextmanager
def limited(limit_bytes: int) -> Iterator[Group]:
    """Make a group below that of the test itself. Raises: OSError where that is not allowed (`why_not` says what to do)."""
    group = _made()
    try:
        _limit(group, limit_bytes)
        yield group
    finally:
        deadline = time.monotonic() + GONE_S
        while True:
            with contextlib.suppress(OSError):  # its last process is still ending
                group.folder.rmdir()
            if not group.folder.exists() or time.monotonic() > deadline:
                break
            time.sleep(0.05)


def why_not() -> str | None:
    """Return why no group can be made here, and what to do about it; None where it can."""
    try:
        with limited(1 << 27):
            return None
    except OSError as fault:
        return f"no memory cgroup can be made here ({fault}): be root and mount -t cgroup2 none {ROOT}, or docker run --privileged"


def _made() -> Group:
    name = f"p2pmsg-test-{os.getpid()}"
    own = {names: path for _, names, path in (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())}
    first = next((own[names] for names in own if "memory" in names.split(",")), None)
    if first is not None:
        parent = _below(ROOT / "memory", first)
        group = Group(parent / name, 1)
    else:
        at = ROOT / "unified" if (ROOT / "unified" / "cgroup.controllers").exists() else ROOT
        parent = _below(at, own.get("", "/"))
        while "memory" not in (parent / "cgroup.subtree_control").read_text().split() and parent != at:
            parent = parent.parent  # a group that has processes of its own can have no limited groups below it
        if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            (parent / "cgroup.subtree_control").write_text("+memory")
        group = Group(parent / name, 2)
    group.folder.mkdir(exist_ok=True)
    return group


def _below(root: Path, path: str) -> Path:
    """Return the folder of a group; in a container its path may be that of outside, and the root is its own."""
    folder = root / path.lstrip("/")
    return folder if folder.exists() else root


def _limit(group: Group, limit_bytes: int) -> None:
    if group.version == 2:
        (group.folder / "memory.max").write_text(str(limit_bytes))
        swap = group.folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        return
    (group.folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
    with contextlib.suppress(OSError):  # kernels without accounting of swap
        (group.folder / "memory.memsw.limit_in_bytes").write_text(str(limit_bytes))
