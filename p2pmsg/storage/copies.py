"""A copy of the database from before a newer version changed its tables: the way back if that version turns out to be bad.

One is kept, for a week: what is deleted must not live on in it for ever.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Final

from p2pmsg import __version__
from p2pmsg.storage.cipher import SQL_FAULTS, Db

KEPT_S: Final = 7 * 86_400.0


def keep_copy(path: Path) -> Path:
    """Copy a database that nobody has open and that was closed cleanly to `NAME.before-VERSION`, durably; older copies go.

    Raises: OSError, after which no half of a copy is left and older ones are as they were.
    """
    target = path.with_name(f"{path.name}.before-{__version__}")
    half = target.with_name(f"{target.name}.new")
    try:
        with path.open("rb") as source, os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        half.replace(target)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    for other in copies(path):
        if other != target:
            other.unlink()
    return target


def copies(path: Path) -> list[Path]:
    """Return the copies that there are of a database: whoever deletes something for good deletes these, too."""
    return sorted(path.parent.glob(f"{path.name}.before-*"))


def drop_copies_of(db: Db) -> bool:
    """Delete the copies of an open database, of which something was erased for good; say whether that could be done."""
    try:
        file = db.execute("PRAGMA database_list").fetchone()[2]
        if file:  # none in memory
            drop_copies(Path(file))
    except (OSError, *SQL_FAULTS):
        return False
    return True


def drop_copies(path: Path, *, older_than_s: float = 0.0) -> None:
    """Delete the copies that are older than that by their own times."""
    for copy in copies(path):
        if older_than_s == 0.0 or copy.stat().st_mtime < time.time() - older_than_s:
            copy.unlink(missing_ok=True)
