"""The tables, as steps that are applied once each and recorded with their own transaction; none is ever edited.

Ids of 32 bytes are stored once and named by small numbers elsewhere: rows stay short and indexes quick. Times are milliseconds
since 1970 by my wall clock (`…_ms`), clocks of events are milliseconds << 16 | counter (`hlc`, `position`).
"""

from __future__ import annotations

from typing import Final

from p2pmsg.storage.cipher import Db, Migrations

MIGRATIONS: Final = Migrations("p2pmsg")


def newer_than_ours(db: Db) -> set[str]:
    """Return the names of steps that were applied to a database but that this version does not know."""
    ours = {step.name for step in MIGRATIONS.pending(Db(memory=True))}
    return {step.name for step in MIGRATIONS.applied(db)} - ours


def _create(db: Db, *statements: str) -> None:
    for statement in statements:
        db.execute(statement)


@MIGRATIONS()
def m0001_who_i_am_and_whom_i_know(db: Db) -> None:
    """My identity, account chains, gate keys, addresses: nothing here follows from the logs of events."""
    _create(
        db,
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE identity (
            number INTEGER PRIMARY KEY CHECK (number = 1), account BLOB NOT NULL, device BLOB NOT NULL, device_key BLOB NOT NULL,
            device_secret BLOB NOT NULL, root_key BLOB NOT NULL, backup_key BLOB NOT NULL, created_ms INTEGER NOT NULL) STRICT""",
        "CREATE TABLE account (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT",
        """CREATE TABLE chain_link (
            number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, account INTEGER NOT NULL REFERENCES account,
            wire BLOB NOT NULL, held_ms INTEGER NOT NULL) STRICT""",
        "CREATE INDEX chain_link_of_account ON chain_link (account)",
        """CREATE TABLE acquaintance (
            account INTEGER PRIMARY KEY REFERENCES account, nickname TEXT, presence_key BLOB, presence_number INTEGER NOT NULL DEFAULT 0,
            alert TEXT, last_seen_ms INTEGER) STRICT""",
        """CREATE TABLE gate (
            number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, purpose TEXT NOT NULL, account INTEGER REFERENCES account,
            reference TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER, spent_by INTEGER REFERENCES account,
            ended TEXT, ended_ms INTEGER, retired_ms INTEGER) STRICT""",
        "CREATE TABLE network (id TEXT PRIMARY KEY, port INTEGER NOT NULL, seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE last_known (
            account INTEGER NOT NULL REFERENCES account, network TEXT NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL,
            seen_ms INTEGER NOT NULL, PRIMARY KEY (account, network, host)) STRICT, WITHOUT ROWID""",
    )


@MIGRATIONS()
def m0002_logs(db: Db) -> None:
    """Events as received, the ends of logs, and what others have acknowledged."""
    _create(
        db,
        """CREATE TABLE conversation (
            number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind TEXT, peer INTEGER REFERENCES account,
            unread INTEGER NOT NULL DEFAULT 0) STRICT""",
        """CREATE TABLE device (
            number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, account INTEGER REFERENCES account, key BLOB) STRICT""",
        """CREATE TABLE event (
            number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, conversation INTEGER NOT NULL REFERENCES conversation,
            device INTEGER NOT NULL REFERENCES device, seq INTEGER NOT NULL, kind INTEGER NOT NULL, hlc INTEGER NOT NULL,
            position INTEGER, held_ms INTEGER NOT NULL, skew_ms INTEGER, checked INTEGER NOT NULL, branch INTEGER NOT NULL,
            header BLOB NOT NULL, signature BLOB NOT NULL, body BLOB) STRICT""",
        "CREATE INDEX event_of_log ON event (conversation, device, seq)",
        """CREATE TABLE tip (
            conversation INTEGER NOT NULL REFERENCES conversation, device INTEGER NOT NULL REFERENCES device, branch INTEGER NOT NULL,
            seq INTEGER NOT NULL, id BLOB NOT NULL, hlc INTEGER NOT NULL, account_heads BLOB NOT NULL,
            base_branch INTEGER NOT NULL, base_seq INTEGER NOT NULL,
            PRIMARY KEY (conversation, device, branch)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE ack (
            conversation INTEGER NOT NULL REFERENCES conversation, device INTEGER NOT NULL REFERENCES device,
            account INTEGER NOT NULL REFERENCES account, by_device INTEGER NOT NULL REFERENCES device,
            seq INTEGER NOT NULL, id BLOB NOT NULL,
            PRIMARY KEY (conversation, device, account, by_device)) STRICT, WITHOUT ROWID""",
        "CREATE TABLE send_key (key TEXT PRIMARY KEY, event BLOB NOT NULL, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    )


@MIGRATIONS()
def m0003_views(db: Db) -> None:
    """What follows from the logs (`views.rebuild`), and the feed of what changed."""
    _create(
        db,
        """CREATE TABLE message (
            number INTEGER PRIMARY KEY REFERENCES event, conversation INTEGER NOT NULL REFERENCES conversation,
            position INTEGER NOT NULL, tie BLOB NOT NULL, seq INTEGER NOT NULL, system INTEGER NOT NULL, mine INTEGER NOT NULL,
            text TEXT) STRICT""",
        "CREATE INDEX message_shown ON message (conversation, position, tie, seq)",
        """CREATE TABLE waiting (
            parent BLOB NOT NULL, event INTEGER NOT NULL REFERENCES event, PRIMARY KEY (parent, event)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX waiting_event ON waiting (event)",
        """CREATE TABLE delivery (
            message INTEGER NOT NULL REFERENCES event, account INTEGER NOT NULL REFERENCES account, delivered_ms INTEGER,
            read_ms INTEGER, PRIMARY KEY (message, account)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE mark (
            conversation INTEGER NOT NULL REFERENCES conversation, account INTEGER NOT NULL REFERENCES account,
            device INTEGER NOT NULL REFERENCES device, seq INTEGER NOT NULL, id BLOB NOT NULL, at_ms INTEGER NOT NULL,
            PRIMARY KEY (conversation, account, device)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE contact (
            account INTEGER PRIMARY KEY REFERENCES account, position INTEGER NOT NULL, tie BLOB NOT NULL, name TEXT,
            nickname TEXT NOT NULL, trust TEXT NOT NULL, verified_by TEXT, pair_key BLOB NOT NULL, removed INTEGER NOT NULL) STRICT""",
        """CREATE TABLE setting (
            key TEXT PRIMARY KEY, position INTEGER NOT NULL, tie BLOB NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE feed (
            cursor INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, type TEXT NOT NULL, conversation INTEGER,
            event INTEGER, state TEXT, account INTEGER, payload TEXT) STRICT""",
    )


@MIGRATIONS()
def m0004_requests(db: Db) -> None:
    """What strangers nearby have asked."""
    _create(db, "CREATE TABLE request (id TEXT PRIMARY KEY, nickname TEXT NOT NULL, received_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID")


@MIGRATIONS()
def m0005_deletions(db: Db) -> None:
    """What `self` says is deleted (`erasing`): single events, conversations up to a vector, and what still waits for its delivery."""
    _create(
        db,
        "CREATE TABLE deleted (event BLOB PRIMARY KEY) STRICT, WITHOUT ROWID",
        """CREATE TABLE cleared (
            conversation INTEGER NOT NULL REFERENCES conversation, device INTEGER NOT NULL REFERENCES device, seq INTEGER NOT NULL,
            id BLOB NOT NULL, PRIMARY KEY (conversation, device, seq, id)) STRICT, WITHOUT ROWID""",
        "CREATE TABLE doomed (event INTEGER PRIMARY KEY REFERENCES event) STRICT",
    )


@MIGRATIONS()
def m0006_blocks(db: Db) -> None:
    """Who is blocked, and which of my presence keys each contact holds: a new one follows each block."""
    _create(
        db,
        "ALTER TABLE contact ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE acquaintance ADD COLUMN holds INTEGER NOT NULL DEFAULT 0",
    )


@MIGRATIONS()
def m0007_chains_seen(db: Db) -> None:
    """What was seen of the chains of contacts (`alerts`): each once, whichever of my devices saw it first."""
    _create(
        db,
        """CREATE TABLE seen (
            subject BLOB NOT NULL, what TEXT NOT NULL, event INTEGER NOT NULL REFERENCES event,
            PRIMARY KEY (subject, what)) STRICT, WITHOUT ROWID""",
    )
