"""Gate keys: pairs and invites, live, retired or ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pmsg.config import limits
from p2pmsg.errors import Ambiguous, InviteNotFound
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.ids import AccountId
from p2pmsg.storage import numbers
from p2pmsg.storage.cipher import Db


@dataclass(frozen=True, slots=True)
class InviteRow:
    """An invite of mine."""

    id: str
    created_ms: int
    expires_ms: int
    ended: Ended | None
    spent_by: AccountId | None
    key: bytes = field(repr=False)


def add_pair(db: Db, key: bytes, account: AccountId, now_ms: int) -> None:
    """Store the gate key of a pair; the ones before stay live until `confirm_pair`, as the other side may never hear of this one."""
    _add(db, key, Purpose.PAIR, numbers.number_of_account(db, account), "", now_ms, None)


def confirm_pair(db: Db, key: bytes, now_ms: int) -> None:
    """Retire the pair's gate keys that are older than this one: the other side has shown that it holds it."""
    db.execute(
        """UPDATE gate SET retired_ms = ?2 WHERE purpose = 'PAIR' AND retired_ms IS NULL
        AND account = (SELECT account FROM gate WHERE key = ?1) AND number < (SELECT number FROM gate WHERE key = ?1)""",
        (key, now_ms),
    )


def add_invite(db: Db, key: bytes, invite: str, now_ms: int, expires_ms: int) -> None:
    """Store the gate key of an invite under the id by which it is listed."""
    _add(db, key, Purpose.INVITE, None, invite, now_ms, expires_ms)


def spend_invite(db: Db, invite: str, account: AccountId, now_ms: int) -> None:
    """Note who used an invite: in the transaction that stores the contact."""
    spender = numbers.number_of_account(db, account)
    sql = "UPDATE gate SET spent_by = ?, ended = ?, ended_ms = ? WHERE reference = ? AND purpose = 'INVITE' AND spent_by IS NULL"
    db.execute(sql, (spender, Ended.USED.name, now_ms, invite))


def end_invite(db: Db, invite: str, how: Ended, now_ms: int) -> None:
    """Let an invite open nothing more; one that has ended stays as it ended."""
    sql = "UPDATE gate SET ended = ?, ended_ms = ? WHERE reference = ? AND purpose = 'INVITE' AND ended IS NULL"
    db.execute(sql, (how.name, now_ms, invite))


def gates(db: Db, now_ms: int) -> tuple[GateRow, ...]:
    """Return the rows that a dialler may hold, `limits.GATE_ROWS` at most: live pairs, retired ones, invites, of each the newest first.

    So no number of others shuts a contact out. An invite over its time counts as ended.
    """
    rows = db.execute(
        """SELECT g.key, g.purpose, a.id, g.ended, g.expires_ms <= ?, s.id,
            g.retired_ms IS NOT NULL, g.reference
        FROM gate g LEFT JOIN account a ON a.number = g.account LEFT JOIN account s ON s.number = g.spent_by
        ORDER BY g.purpose = 'INVITE', g.retired_ms IS NOT NULL, g.number DESC LIMIT ?""",
        (now_ms, limits.GATE_ROWS),
    )
    return tuple(
        GateRow(key, Purpose[purpose], account, _ended(ended, over), spent_by, bool(retired), reference)
        for key, purpose, account, ended, over, spent_by, retired, reference in rows
    )


def invites(db: Db, now_ms: int) -> list[InviteRow]:
    """Return my invites, oldest first, with those that ended in the last day."""
    rows = db.execute(
        """SELECT g.reference, g.created_ms, g.expires_ms, g.ended, g.expires_ms <= ?, s.id, g.key
        FROM gate g LEFT JOIN account s ON s.number = g.spent_by
        WHERE g.purpose = 'INVITE' AND coalesce(g.ended_ms, g.expires_ms) > ? ORDER BY g.number""",
        (now_ms, now_ms - int(limits.INVITE_ENDED_KEPT_S * 1000)),
    )
    return [
        InviteRow(reference, created_ms, expires_ms, _ended(ended, over), spent_by, key)
        for reference, created_ms, expires_ms, ended, over, spent_by, key in rows
    ]


def find_invite(db: Db, prefix: str, now_ms: int) -> InviteRow:
    """Return the invite whose id starts so.

    Raises:
        InviteNotFound, Ambiguous
    """
    found = [invite for invite in invites(db, now_ms) if invite.id.startswith(prefix.lower())]
    if not found or len(prefix) < limits.ID_CHARACTERS_MIN:  # an empty one would name whatever is alone
        raise InviteNotFound(f"There is no invite {prefix}.")
    if len(found) > 1:
        raise Ambiguous(f"{prefix} may mean several invites.", candidates=[invite.id for invite in found])
    return found[0]


def purge(db: Db, now_ms: int) -> None:
    """Delete what opens nothing more: invites that ended a day ago, or were used so long ago that nobody comes back for them; and pairs'
    keys that were retired as long ago.
    """
    db.execute("DELETE FROM gate WHERE purpose = 'PAIR' AND retired_ms < ?", (now_ms - int(limits.GATE_RETIRED_S * 1000),))
    db.execute(
        "DELETE FROM gate WHERE purpose = 'INVITE' AND coalesce(ended_ms, expires_ms) < ? - iif(spent_by IS NULL, ?, ?)",
        (now_ms, int(limits.INVITE_ENDED_KEPT_S * 1000), int(limits.INVITE_REPEAT_S * 1000)),
    )


def _add(db: Db, key: bytes, purpose: Purpose, account: int | None, reference: str, now_ms: int, expires_ms: int | None) -> None:
    db.execute(
        "INSERT OR IGNORE INTO gate (key, purpose, account, reference, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (key, purpose.name, account, reference, now_ms, expires_ms),
    )


def _ended(ended: str | None, over: int | None) -> Ended | None:
    return Ended[ended] if ended is not None else Ended.EXPIRED if over else None
