"""SQLCipher under sqlite-utils."""

from __future__ import annotations

import subprocess
import sys

from p2pmsg.storage.cipher import Db, sqlite


def test_sqlite_utils_catches_what_sqlcipher_raises() -> None:
    db = Db(sqlite.connect(":memory:", isolation_level=None), strict=True, execute_plugins=False)
    table = db.table("t")
    table.insert({"a": 1})
    table.insert({"a": 2, "b": 3}, alter=True)
    assert list(db.query("INSERT INTO t (a) VALUES (4) RETURNING a")) == [{"a": 4}]


def test_it_is_sqlcipher_and_stands_in_from_the_first_import() -> None:
    code = "from p2pmsg.storage.cipher import Db; print(Db(memory=True).execute('PRAGMA cipher_version').fetchone()[0])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("4.")
