"""Times as people type them and as they read them. Input becomes seconds or RFC 3339; output is local."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d|w)?", re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, None: 1.0}


def seconds(text: str, now: datetime | None = None) -> float:
    """Return how long a duration lasts, or how long it is until a time. Raises: ValueError, also for a time that has passed."""
    found = _DURATION.fullmatch(text)
    if found:
        return float(found[1]) * _UNIT_S[found[2]]
    now = now or _now()
    left = (_moment(text, now, past=False) - now).total_seconds()
    if left < 0:
        raise ValueError(f"{text} has passed already")
    return left


def instant(text: str, now: datetime | None = None) -> str:
    """Return a past time as RFC 3339: a duration is that long ago, HH:MM the last such local time. Raises: ValueError."""
    from datetime import UTC, timedelta

    now = now or _now()
    found = _DURATION.fullmatch(text)
    try:
        moment = now - timedelta(seconds=seconds(text)) if found else _moment(text, now, past=True)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError as error:
        raise ValueError(f"{text} is too long ago") from error


def _moment(text: str, now: datetime, *, past: bool) -> datetime:
    from datetime import datetime, timedelta

    clock = _CLOCK.fullmatch(text)
    if clock:
        local = now.astimezone()
        moment = local.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0, tzinfo=None).astimezone()
        step = timedelta(days=0 if (moment <= now) == past else -1 if past else 1)
        return (moment.replace(tzinfo=None) + step).astimezone()  # the same time of day also across a change to summer time
    if _RFC_3339.fullmatch(text):
        return datetime.fromisoformat(text.upper())
    raise ValueError(f"{text!r} is no time: 10m, 2h, 7d, 90 (seconds), 18:30 or 2026-01-31T18:30:00Z")


def shown(time: str | None, now: datetime | None = None) -> str:
    """Return a time of the local API for people: HH:MM today, with the date otherwise, "-" for none."""
    if time is None:
        return "-"
    from datetime import datetime

    local = datetime.fromisoformat(time).astimezone()
    return local.strftime("%H:%M" if local.date() == (now or _now()).astimezone().date() else "%Y-%m-%d %H:%M")


def until(time: str, moment: datetime | None = None) -> str:
    """Return a time to come for people, with its seconds where it is less than a minute away."""
    from datetime import datetime

    there, here = datetime.fromisoformat(time), moment or _now()
    return f"{there.astimezone():%H:%M:%S}" if abs((there - here).total_seconds()) < 60 else shown(time, here)


def now() -> str:
    """Return what our clock says, as the local API writes it."""
    return _now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def by_our_clock(time: str, skew_s: float) -> str:
    """Return what our clock said when one that is `skew_s` ahead of it said this."""
    from datetime import datetime, timedelta

    try:
        return (datetime.fromisoformat(time) - timedelta(seconds=skew_s)).isoformat()
    except OverflowError:
        return time


def seconds_after(time: str, other: str) -> float:
    """Return how much later a time of the local API is than another; negative where it is earlier."""
    from datetime import datetime

    return (datetime.fromisoformat(time) - datetime.fromisoformat(other)).total_seconds()


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)
