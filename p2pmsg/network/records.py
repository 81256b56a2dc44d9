"""What is kept of the packets of multicast DNS that come in: announcements of ours, a bounded number, and nothing else.

zeroconf would keep 10,000 records of any kind and size, for as long as their sender says: 90 MB of anybody's choosing. And it would name
as known, in our questions, whoever a pointer speaks of, so that he does not answer: here that takes the announcement itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from typing import Final

from zeroconf import (  # type: ignore[attr-defined]  # DNSText: documented, and forgotten in __all__
    DNSCache,
    DNSPointer,
    DNSRecord,
    DNSText,
    RecordUpdate,
    RecordUpdateListener,
    Zeroconf,
)

from p2pmsg.config import limits
from p2pmsg.network.announcements import SERVICE, parse

_PTR, _TXT, _INTERNET = 12, 16, 1
KEPT: Final = limits.STRANGERS_REMEMBERED // 2
"""Fewer than `heard` remembers: who is named as known was told of, and can be told of again."""


class Records(RecordUpdateListener):
    """Hands on the TXT records of our service, new and repeated ones alike, and their goodbyes; throws away what is not needed.

    What bears one of our `own` labels stays for a while: zeroconf sees by it what was said a moment ago, and need not be repeated.
    """

    def __init__(self, heard: Callable[[str, bytes], None], gone: Callable[[str], None], own: Container[str]) -> None:
        super().__init__()
        self.heard, self.gone = heard, gone
        self._own = own
        self._kept: dict[DNSRecord, DNSRecord] = {}
        self._names: Counter[str] = Counter()
        self._passing: dict[DNSRecord, None] = {}
        self._cache: DNSCache | None = None

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Take what a packet brings, or what has expired; zeroconf puts it into its cache after this."""
        if self._cache is not zc.cache:
            self._cache = zc.cache
            self._kept.clear()
            self._names.clear()
        for update in records:
            record = update.new
            if record.is_expired(now):
                self._forget(record)
            elif isinstance(record, DNSText) and parse(record.name, record.text) is not None:
                self._keep(record)
                self.heard(record.name, record.text)
            elif self._is_own(record):
                self._keep(record)
            else:
                self._passing[record] = None

    def async_update_records_complete(self) -> None:
        """Remove from the cache what is not kept."""
        passing, self._passing = self._passing, {}
        if self._cache is not None:
            self._cache.async_remove_records([each for each in passing if self._cache.get(each) is not None])

    def known(self, now_ms: float) -> list[DNSPointer]:
        """Return pointers to those who need not answer, as they were heard lately; but not to one of whom two things were heard."""
        texts = [each for each in self._kept.values() if isinstance(each, DNSText) and not each.is_stale(now_ms)]
        return [
            DNSPointer(SERVICE, _PTR, _INTERNET, each.ttl, each.name, each.created)
            for each in texts
            if self._names[each.name] == 1 and not self._is_own(each)
        ]

    def _keep(self, record: DNSRecord) -> None:
        if self._kept.pop(record, None) is None:
            self._names[record.name] += isinstance(record, DNSText)
        self._kept[record] = record
        if len(self._kept) > KEPT:
            oldest = next(iter(self._kept))
            self._drop(oldest)
            self._passing[oldest] = None

    def _forget(self, record: DNSRecord) -> None:
        self._drop(record)
        if isinstance(record, DNSText) and record.name not in self._names:
            self.gone(record.name)

    def _drop(self, record: DNSRecord) -> None:
        if self._kept.pop(record, None) is not None and isinstance(record, DNSText):
            self._names[record.name] -= 1
            if not self._names[record.name]:
                del self._names[record.name]

    def _is_own(self, record: DNSRecord) -> bool:
        name = record.alias if isinstance(record, DNSPointer) else record.name
        return name.partition(".")[0] in self._own
