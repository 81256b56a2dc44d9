"""Who I am and whom I know, as far as it is not said by events: identity, chains, gates, addresses, presence keys.

Contacts are a view of `self` events; here they are joined with what only this device keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from p2pmsg.config import limits
from p2pmsg.crypto import chain
from p2pmsg.errors import AlreadyInitialized, NotInitialized, StorageDamaged
from p2pmsg.model.accounts import ChainLink, Contact, Trust
from p2pmsg.model.addresses import Address
from p2pmsg.model.ids import AccountId, DeviceId, DeviceKey
from p2pmsg.storage import numbers
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.database import BEGIN_ANEW, SET_ASIDE


@dataclass(frozen=True, slots=True)
class OwnIdentity:
    """This device's key and its account; the account's names stand in its chain."""

    account: AccountId
    device: DeviceId
    device_key: DeviceKey
    device_secret: bytes = field(repr=False)
    root_key: bytes
    """Public half of the recovery root."""
    backup_key: bytes = field(repr=False)
    """Public half of the key that backups are sealed to."""
    created_ms: int


def create_identity(db: Db, me: OwnIdentity) -> None:
    """Store who I am, once.

    Raises:
        AlreadyInitialized: this database has an identity.
    """
    if db.execute("SELECT 1 FROM identity").fetchone() is not None:
        raise AlreadyInitialized("This profile has an identity already.")
    db.execute(
        """INSERT INTO identity (number, account, device, device_key, device_secret, root_key, backup_key, created_ms)
        VALUES (1, ?, ?, ?, ?, ?, ?, ?)""",
        (me.account, me.device, me.device_key, me.device_secret, me.root_key, me.backup_key, me.created_ms),
    )
    numbers.number_of_device(db, me.device, numbers.number_of_account(db, me.account), me.device_key)


def identity(db: Db) -> OwnIdentity:
    """Return who I am.

    Raises:
        NotInitialized: this database has no identity yet.
        StorageDamaged: it stands in the place of a damaged one that had it.
    """
    row = db.execute("SELECT account, device, device_key, device_secret, root_key, backup_key, created_ms FROM identity").fetchone()
    if row is not None:
        return OwnIdentity(*row)
    if (aside := get_meta(db, SET_ASIDE)) is not None:
        raise StorageDamaged(
            f"The database was damaged, and this profile's identity was in it. It was moved to {aside!s}.",
            hint=BEGIN_ANEW,
        )
    raise NotInitialized("This profile has no identity yet.")


# -- account chains


def add_links(db: Db, links: Iterable[ChainLink], now_ms: int) -> None:
    """Store links of account chains, predecessors first; those held already are passed over."""
    for link in links:
        account = numbers.number_of_account(db, link.account)
        sql = "INSERT OR IGNORE INTO chain_link (id, account, wire, held_ms) VALUES (?, ?, ?, ?)"
        db.execute(sql, (link.id, account, chain.wire_form(link), now_ms))


def chains(db: Db) -> dict[AccountId, tuple[ChainLink, ...]]:
    """Return all account chains, each in the order in which its links were stored."""
    found: dict[AccountId, list[ChainLink]] = {}
    for account, wire in db.execute("SELECT a.id, l.wire FROM chain_link l JOIN account a ON a.number = l.account ORDER BY l.number"):
        found.setdefault(AccountId(account), []).append(chain.parse(wire))
    return {account: tuple(links) for account, links in found.items()}


# -- contacts


def contacts(db: Db) -> list[Contact]:
    """Return my contacts in the order in which they were first met."""
    return [_contact(row) for row in db.execute(f"{_CONTACT} ORDER BY c.account")]


def contact(db: Db, account: AccountId) -> Contact | None:
    """Return one contact; None for strangers and those removed."""
    row = db.execute(f"{_CONTACT} AND a.id = ?", (account,)).fetchone()
    return _contact(row) if row is not None else None


def set_nickname(db: Db, account: AccountId, nickname: str) -> None:
    """Keep what an account's chain now calls it."""
    _note(db, account, "nickname", nickname)


def saw(db: Db, account: AccountId, at_ms: int) -> None:
    """Keep when a contact was last on a live link."""
    _note(db, account, "last_seen_ms", at_ms)


def set_alert(db: Db, account: AccountId, alert: str | None) -> None:
    """Keep what my user has to look at before anything more goes to a contact; None: nothing."""
    _note(db, account, "alert", alert)


def is_seen(db: Db, subject: bytes, what: str) -> bool:
    """Say whether it is in `self` that I saw this of a chain."""
    return db.execute("SELECT 1 FROM seen WHERE subject = ? AND what = ?", (subject, what)).fetchone() is not None


def set_presence(db: Db, account: AccountId, key: bytes, number: int) -> None:
    """Keep a contact's presence key; an older number than the one kept changes nothing."""
    db.execute(
        """INSERT INTO acquaintance (account, presence_key, presence_number) VALUES (?, ?, ?)
        ON CONFLICT (account) DO UPDATE SET presence_key = excluded.presence_key, presence_number = excluded.presence_number
        WHERE excluded.presence_number >= presence_number""",
        (numbers.number_of_account(db, account), key, number),
    )


def set_holds(db: Db, account: AccountId, number: int) -> None:
    """Keep which of my presence keys a contact has said to hold."""
    _note(db, account, "holds", number)


def shut_out(db: Db, account: AccountId) -> None:
    """Drop what would let somebody in, or have him dialled: gates, retired ones too, invites he used, addresses."""
    number = numbers.number_of_account(db, account)
    db.execute("DELETE FROM gate WHERE spent_by = ?", (number,))
    for table in ("gate", "last_known"):
        db.execute(f"DELETE FROM {table} WHERE account = ?", (number,))


def forget(db: Db, account: AccountId) -> None:
    """Drop what only this device keeps of somebody: gates, invites he used, addresses, presence key. Log and chain stay."""
    shut_out(db, account)
    db.execute("DELETE FROM acquaintance WHERE account = ?", (numbers.number_of_account(db, account),))


_CONTACT = """SELECT a.id, c.name, coalesce(k.nickname, c.nickname), c.trust, c.verified_by, c.pair_key, k.presence_key,
    coalesce(k.presence_number, 0), coalesce(k.holds, 0), k.alert, c.blocked, k.last_seen_ms
FROM contact c JOIN account a ON a.number = c.account LEFT JOIN acquaintance k ON k.account = c.account WHERE c.removed = 0"""


def _contact(row: Sequence[Any]) -> Contact:
    account, name, nickname, trust, verified_by, pair_key, presence_key, presence_number, holds, alert, blocked, last_seen_ms = row
    return Contact(
        account=account,
        name=name,
        nickname=nickname,
        trust=Trust(trust),
        verified_by=verified_by,
        pair_key=pair_key or None,
        presence_key=presence_key,
        presence_number=presence_number,
        holds=holds,
        alert=alert,
        blocked=bool(blocked),
        last_seen_ms=last_seen_ms,
    )


def _note(db: Db, account: AccountId, column: str, value: str | int | None) -> None:
    sql = f"INSERT INTO acquaintance (account, {column}) VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET {column} = excluded.{column}"
    db.execute(sql, (numbers.number_of_account(db, account), value))


# -- settings that travel, and those of this device alone


def settings(db: Db) -> dict[str, object]:
    """Return the settings that travel among my devices, as their newest events say."""
    return {key: msgspec.msgpack.decode(value) for key, value in db.execute("SELECT key, value FROM setting ORDER BY key")}


def get_meta(db: Db, key: str) -> str | int | bytes | None:
    """Return a value that this device alone keeps; None where it was never set."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row is not None else None


def put_meta(db: Db, key: str, value: str | int | bytes) -> None:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


# -- networks and addresses


def network_port(db: Db, network: str) -> int | None:
    """Return the UDP port drawn for a network; None where I was never there."""
    row = db.execute("SELECT port FROM network WHERE id = ?", (network,)).fetchone()
    return int(row[0]) if row is not None else None


def forget_ports(db: Db) -> None:
    """Have another port drawn on every network: who was blocked may know them all."""
    db.execute("DELETE FROM network")


def set_network_port(db: Db, network: str, port: int, now_ms: int) -> None:
    db.execute("INSERT OR REPLACE INTO network (id, port, seen_ms) VALUES (?, ?, ?)", (network, port, now_ms))


def remember_address(db: Db, account: AccountId, network: str, address: Address, now_ms: int) -> None:
    """Keep where a contact was reached on a network: the newest `limits.ADDRESSES_PER_CONTACT`; the interface index is not kept."""
    number = numbers.number_of_account(db, account)
    db.execute(
        "INSERT OR REPLACE INTO last_known (account, network, host, port, seen_ms) VALUES (?, ?, ?, ?, ?)",
        (number, network, address.host, address.port, now_ms),
    )
    db.execute(
        """DELETE FROM last_known WHERE account = ?1 AND network = ?2 AND host NOT IN (
            SELECT host FROM last_known WHERE account = ?1 AND network = ?2 ORDER BY seen_ms DESC LIMIT ?3)""",
        (number, network, limits.ADDRESSES_PER_CONTACT),
    )


def last_known(db: Db, network: str) -> dict[AccountId, list[Address]]:
    """Return where contacts were reached on a network, newest first each."""
    found: dict[AccountId, list[Address]] = {}
    sql = """SELECT a.id, l.host, l.port FROM last_known l JOIN account a ON a.number = l.account
        WHERE l.network = ? ORDER BY l.account, l.seen_ms DESC"""
    for account, host, port in db.execute(sql, (network,)):
        found.setdefault(AccountId(account), []).append(Address(host, port))
    return found
