"""SQLCipher under sqlite-utils: the one place that imports either.

sqlite-utils takes `pysqlite3` where it is installed; SQLCipher stands in under that name, so that its `except` clauses
fit the errors that SQLCipher raises.
"""

from __future__ import annotations

import sys

import sqlcipher3
import sqlcipher3.dbapi2 as sqlite

sys.modules.setdefault("pysqlite3", sqlcipher3)
sys.modules.setdefault("pysqlite3.dbapi2", sqlite)

from sqlite_utils import Database as Db  # noqa: E402
from sqlite_utils import Migrations  # noqa: E402

SQL_FAULTS = (sqlite.Error, MemoryError)
"""What a statement may fail with: SQLCipher tells of a lack of memory by Python's own error."""

__all__ = ["SQL_FAULTS", "Db", "Migrations", "sqlite"]
