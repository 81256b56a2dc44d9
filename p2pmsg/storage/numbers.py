"""The small numbers under which the tables know accounts, devices and conversations."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from p2pmsg.errors import NotInitialized
from p2pmsg.model.events import Conversation, ConversationKind
from p2pmsg.model.ids import AccountId, ConversationId, DeviceId
from p2pmsg.storage.cipher import Db

_IDENTITIES: Final[WeakKeyDictionary[Db, tuple[int, AccountId]]] = WeakKeyDictionary()
"""My account's number and id in each open database: asked for with every event, made once and never changed."""


def number_of_account(db: Db, account: AccountId) -> int:
    """Return an account's number; a new one where it is met for the first time."""
    return find_account(db, account) or _last(db, "INSERT INTO account (id) VALUES (?)", account)


def find_account(db: Db, account: AccountId) -> int | None:
    return _number(db, "SELECT number FROM account WHERE id = ?", account)


def number_of_device(db: Db, device: DeviceId, account: int | None = None, key: bytes | None = None) -> int:
    """Return a device's number; a new one where it is met for the first time. What is learnt of its account and key is kept."""
    row = db.execute("SELECT number, account, key FROM device WHERE id = ?", (device,)).fetchone()
    if row is None:
        return _last(db, "INSERT INTO device (id, account, key) VALUES (?, ?, ?)", device, account, key)
    number, known_account, known_key = row
    if (account is not None and known_account is None) or (key is not None and known_key is None):
        db.execute("UPDATE device SET account = coalesce(account, ?), key = coalesce(key, ?) WHERE number = ?", (account, key, number))
    return int(number)


def find_device(db: Db, device: DeviceId) -> int | None:
    return _number(db, "SELECT number FROM device WHERE id = ?", device)


def number_of_conversation(db: Db, conversation: Conversation) -> int:
    """Return a conversation's number; a new one, with its kind and the other account, where it is met for the first time."""
    row = db.execute("SELECT number, kind FROM conversation WHERE id = ?", (conversation.id,)).fetchone()
    if row is not None and row[1] is not None:
        return int(row[0])
    number = int(row[0]) if row is not None else _last(db, "INSERT INTO conversation (id) VALUES (?)", conversation.id)
    peer = _peer(db, conversation)
    db.execute("UPDATE conversation SET kind = ?, peer = ? WHERE number = ?", (conversation.kind, peer, number))
    return number


def number_of_named_conversation(db: Db, conversation: ConversationId) -> int:
    """Return the number of a conversation of which only the id may be known yet (a read mark of my other device names it)."""
    found = find_conversation(db, conversation)
    return found if found is not None else _last(db, "INSERT INTO conversation (id) VALUES (?)", conversation)


def find_conversation(db: Db, conversation: ConversationId) -> int | None:
    return _number(db, "SELECT number FROM conversation WHERE id = ?", conversation)


def my_account(db: Db) -> int:
    """Return my account's number.

    Raises:
        NotInitialized: this database has no identity yet.
    """
    return _mine(db)[0]


def my_id(db: Db) -> AccountId:
    """Return my account's id.

    Raises:
        NotInitialized: this database has no identity yet.
    """
    return _mine(db)[1]


def _mine(db: Db) -> tuple[int, AccountId]:
    if (known := _IDENTITIES.get(db)) is None:
        row = db.execute("SELECT a.number, a.id FROM identity i JOIN account a ON a.id = i.account").fetchone()
        if row is None:
            raise NotInitialized("This profile has no identity yet.")
        known = _IDENTITIES[db] = row[0], AccountId(row[1])
    return known


def _peer(db: Db, conversation: Conversation) -> int | None:
    if conversation.kind is not ConversationKind.DIRECT:
        return None
    mine = my_id(db)
    return number_of_account(db, next(member for member in conversation.members if member != mine))


def _number(db: Db, sql: str, *parameters: object) -> int | None:
    row = db.execute(sql, parameters).fetchone()
    return None if row is None else int(row[0])


def _last(db: Db, sql: str, *parameters: object) -> int:
    row = db.execute(sql, parameters).lastrowid
    assert row is not None
    return row
