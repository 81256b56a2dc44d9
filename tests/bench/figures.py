"""A figure, the floor beside it, and the table of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from wcwidth import wcswidth

FSYNC_MS: Final = 0.3
ROUND_TRIP_MS: Final = 0.05
"""Where a floor of the run is worse than these, what is asked of messages is eased by the larger ratio."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured; `must` and `aim` are in its unit, at most or (`least`) at least."""

    name: str
    value: float
    unit: str
    floor: str = ""
    """What the same costs without us, measured in the same run."""
    must: float | None = None
    aim: float | None = None
    least: bool = False
    of_messages: bool = False
    """Disk and network have a part in it: eased where they are slow."""
    note: str = ""

    def verdict(self, ease: float) -> str:
        """Return "aim", "must" or "NO": what it reaches; empty where nothing is asked."""
        if self.must is None:
            return ""
        bounds = [(name, bound) for name, bound in (("aim", self.aim), ("must", self.must)) if bound is not None]
        return next((name for name, bound in bounds if self._reaches(self._eased(bound, ease))), "NO")

    def _reaches(self, bound: float) -> bool:
        return self.value >= bound if self.least else self.value <= bound

    def _eased(self, bound: float, ease: float) -> float:
        if not self.of_messages:
            return bound
        return bound / ease if self.least else bound * ease

    def row(self, ease: float) -> list[str]:
        """Return the cells of the table."""
        bounds = [self._bound(bound, ease) for bound in (self.must, self.aim)]
        return [self.name, f"{number(self.value)} {self.unit}", self.floor, *bounds, self.verdict(ease), self.note]

    def _bound(self, bound: float | None, ease: float) -> str:
        return "" if bound is None else f"{'≥' if self.least else '≤'} {number(self._eased(bound, ease))}"

    def as_json(self, ease: float) -> dict[str, Any]:
        return asdict(self) | {"ease": round(ease, 2) if self.of_messages else 1.0, "reaches": self.verdict(ease)}


def ease(fsync_ms: float, round_trip_ms: float) -> float:
    """Return by how much more than planned this machine takes for a message's way to the disk and over the network."""
    return max(1.0, fsync_ms / FSYNC_MS, round_trip_ms / ROUND_TRIP_MS)


def number(value: float) -> str:
    """Return a number with about three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def table(figures: Sequence[Figure], eased: float) -> str:
    """Return all figures as a table for people."""
    rows = [["figure", "value", "floor", "must", "aim", "reaches", ""], *(figure.row(eased) for figure in figures)]
    widths = [max(wcswidth(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell + " " * (width - wcswidth(cell)) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths[:-1]))
    if eased > 1:
        lines.append(f"What is asked of messages is eased by {eased:.2f}, as disk or network are slower than planned for.")
    return "\n".join(lines)


def lines(figures: Sequence[Figure], eased: float) -> str:
    """Return all figures as one JSON object a line."""
    return "\n".join(json.dumps(figure.as_json(eased), ensure_ascii=False) for figure in figures)
