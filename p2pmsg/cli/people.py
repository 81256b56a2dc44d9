"""How people are called in human output: who is not verified carries a piece of the account's id, and an alert stands at the name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from p2pmsg.cli import text
from p2pmsg.model.names import ALERTS

SUFFIX_CHARACTERS = 8


class People:
    """The contacts, by account."""

    def __init__(self, contacts: Iterable[dict[str, Any]]) -> None:
        self._contacts = {contact["account"]: contact for contact in contacts}

    def learn(self, contact: dict[str, Any]) -> None:
        """Take in a contact that is new or changed."""
        self._contacts[contact["account"]] = contact

    def label(self, account: str | None, name: str) -> str:
        """Return what to call somebody, safe to show: the name, with a suffix unless the contact is verified."""
        contact = self._contacts.get(account or "")
        if contact is None:
            return label(account, name, None)
        return label(account, contact["name"], contact["trust"], contact["alert"])


def label(account: str | None, name: str, trust: str | None, alert: str | None = None) -> str:
    """Return a name as people see it: `bob`, or `bob~7f3a91c2` for who is not verified, and in words what is to be looked at."""
    shown = text.name(name)
    if account is not None and trust != "verified" and "~" not in shown:
        shown = f"{shown}~{account[:SUFFIX_CHARACTERS]}"
    return shown if alert is None else f"{shown} ({ALERTS.get(alert, text.line(alert))})"
