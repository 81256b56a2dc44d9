"""The schema, made in steps."""

from __future__ import annotations

from p2pmsg.storage.cipher import Db, sqlite
from p2pmsg.storage.database import open_memory
from p2pmsg.storage.migrations import MIGRATIONS, newer_than_ours


def test_steps_are_numbered_without_gap() -> None:
    names = [step.name for step in MIGRATIONS.pending(Db(memory=True))]
    assert [name[:5] for name in names] == [f"m{number:04}" for number in range(1, len(names) + 1)]


def test_a_step_that_was_applied_is_not_applied_again() -> None:
    db = open_memory()
    MIGRATIONS.apply(db)
    assert MIGRATIONS.pending(db) == [] and newer_than_ours(db) == set()


def test_every_step_leads_from_the_one_before_to_the_same_schema() -> None:
    def schema(db: Db) -> list[str]:
        return sorted(sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))

    whole = schema(open_memory())
    for step in MIGRATIONS.pending(Db(memory=True)):
        db = Db(sqlite.connect(":memory:", isolation_level=None), strict=True, execute_plugins=False)
        MIGRATIONS.apply(db, stop_before=step.name)
        MIGRATIONS.apply(db)
        assert schema(db) == whole


def test_steps_that_we_do_not_know_are_named() -> None:
    db = open_memory()
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('p2pmsg', 'm9999_later', '')")
    assert newer_than_ours(db) == {"m9999_later"}
