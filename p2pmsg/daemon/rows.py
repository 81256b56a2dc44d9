"""What `doctor` says: one row for each thing it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One check: `ok` is None where it does not apply, or cannot be told; the hint says what to do, "" where there is nothing."""

    check: str
    ok: bool | None
    detail: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the object of the CLI contract."""
        return asdict(self) | {"hint": self.hint or None}


def merged(rows: Iterable[Row]) -> list[Row]:
    """Join the rows of one check: false where one of them is, else true where one is; the hint of the first that needs one."""
    found: dict[str, Row] = {}
    for row in rows:
        before = found.get(row.check)
        found[row.check] = row if before is None else _joined(before, row)
    return list(found.values())


def _joined(one: Row, other: Row) -> Row:
    worse = next((row for row in (one, other) if row.ok is False), None)
    ok = False if worse else (True if True in (one.ok, other.ok) else None)
    detail = f"{one.detail} {other.detail}".strip()
    return Row(one.check, ok, detail, worse.hint if worse else one.hint or other.hint)
