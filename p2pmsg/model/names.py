"""What a name may be: chosen by people for people, shown in terminals, typed in commands."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_INVISIBLE: Final = frozenset("CZM")
ALERTS: Final = {"identity_changed": "identity changed!", "device_added": "new device!"}
"""What stands at a contact's name, wherever people read it, until it was looked at."""
_RESERVED: Final = frozenset("~:/")


def fold(name: str) -> str:
    """Return the form in which names are compared: NFC, without case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def fault_of_text(text: str, most: int) -> str | None:
    """Say why a device's name is none, as the end of a sentence that starts with "it"; None where it is good."""
    if not 0 < len(text) <= most:
        return f"does not have 1 to {most} characters"
    if any(c in _BIDI or unicodedata.category(c) in _CONTROL for c in text):
        return "has a control character, or one that turns the direction of writing"
    if text != text.strip() or all(unicodedata.category(c)[0] in _INVISIBLE for c in text):
        return "begins or ends with a blank, or shows nothing at all"
    return None


def fault_of_name(text: str, most: int) -> str | None:
    """Say why a person's name is none, likewise: besides, it may not look like an id or an address, or be "me"."""
    if any(c in _RESERVED for c in text):
        return "has one of the characters ~ : /"
    if text.casefold() == "me":
        return 'is "me", which always means yourself'
    return fault_of_text(text, most)


def nick_of(name: str, most_bytes: int) -> str:
    """Return a good name as far as it goes into so many bytes of UTF-8: whole characters, no blank at the end."""
    return name.encode()[:most_bytes].decode(errors="ignore").rstrip()


def as_typed(name: str, account: str) -> str:
    """Return what names somebody in a command that is to be copied into a shell: the name if it means nothing else there."""
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.~-]*", name) else account[:16]
