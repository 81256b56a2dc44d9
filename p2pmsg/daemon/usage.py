"""How much of the disk a profile takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512
"""What `st_blocks` counts, whatever the file system's own blocks are (POSIX)."""


def disk_bytes(folder: Path) -> int:
    """Return what the files below a folder take on the disk; those that cannot be looked at, or go meanwhile, count as nothing."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * _BLOCK_BYTES  # noqa: PTH118
            except OSError:
                continue
    return total
