"""The contacts in memory, by account, and how many go by each name: a list of a thousand asks that of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from p2pmsg.model.accounts import Contact
from p2pmsg.model.ids import AccountId
from p2pmsg.model.names import fold

folded = lru_cache(maxsize=4096)(fold)
"""`fold` for names of contacts, which are short; what is typed may be anything, and is not kept."""


class Contacts(dict[AccountId, Contact]):
    """Changed by assignment of an item, `del` and `pop`, by nothing else."""

    def __init__(self, contacts: Iterable[Contact] = ()) -> None:
        super().__init__()
        self._names: Counter[str] = Counter()
        for contact in contacts:
            self[contact.account] = contact

    def __setitem__(self, account: AccountId, contact: Contact) -> None:
        self._forget(account)
        self._names[folded(contact.shown)] += 1
        super().__setitem__(account, contact)

    def __delitem__(self, account: AccountId) -> None:
        self._forget(account)
        super().__delitem__(account)

    def pop(self, account: AccountId, *default: Any) -> Any:
        self._forget(account)
        return super().pop(account, *default)

    def called(self, name: str) -> int:
        """Return how many contacts are shown by a name, in whatever case."""
        return self._names[folded(name)]

    def _forget(self, account: AccountId) -> None:
        if (known := self.get(account)) is not None:
            name = folded(known.shown)
            self._names[name] -= 1
            if not self._names[name]:
                del self._names[name]
