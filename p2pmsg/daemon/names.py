"""What people type to name somebody, and what they are shown: local name, else nickname, told apart by the id where two share one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from p2pmsg.config import limits
from p2pmsg.daemon.contacts import folded
from p2pmsg.daemon.people import People
from p2pmsg.errors import Ambiguous, ContactNotFound, InvalidName, NameTaken
from p2pmsg.model.accounts import Contact, Trust
from p2pmsg.model.events import Conversation
from p2pmsg.model.ids import AccountId
from p2pmsg.model.names import ALERTS, fault_of_name, fold

_SUFFIX = 8
_NEAR = 3
_MYSELF = "p2pmsg whoami, or p2pmsg profile set --name NAME"


def check_name(people: People, name: str, account: AccountId | None = None) -> str:
    """Return a local name in NFC that may be given to a contact.

    Raises:
        InvalidName: it is empty, too long, has control or bidi characters or one of ~ : /, or is "me".
        NameTaken: another contact has it as local name.
    """
    name = unicodedata.normalize("NFC", name)
    if fault := fault_of_name(name, limits.NAME_CHARACTERS):
        raise InvalidName(f"This name cannot be used: it {fault}.")
    for contact in people.contacts.values():
        if contact.account != account and contact.name is not None and fold(contact.name) == fold(name):
            raise NameTaken(f"Another contact is named {contact.name} already: {with_suffix(people, contact)}.")
    return name


def check_own_name(name: str) -> str:
    """Return the name that others are to see of me, in NFC. Raises: InvalidName."""
    name = unicodedata.normalize("NFC", name)
    if fault := fault_of_name(name, limits.NAME_CHARACTERS):
        raise InvalidName(f"This name cannot be used: it {fault}.")
    return name


def shown(people: People, contact: Contact) -> str:
    """Return a contact's name for JSON: with a suffix only where two contacts share it."""
    return contact.shown if people.contacts.called(contact.shown) < 2 else with_suffix(people, contact)


def with_suffix(people: People, contact: Contact) -> str:
    """Return `name~` and 8 characters of the account id, more until they are unique: it tells apart, it proves nothing."""
    own = contact.account.hex()
    size = _SUFFIX
    while size < len(own) and any(a != contact.account and a.hex().startswith(own[:size]) for a in people.contacts):
        size += 1
    return f"{contact.shown}~{own[:size]}"


def label(people: People, contact: Contact) -> str:
    """Return a contact's name as people are to see it: with a suffix unless he is verified, and with what is to be looked at."""
    name = shown(people, contact) if contact.trust is Trust.VERIFIED else with_suffix(people, contact)
    return name if contact.alert is None else f"{name} ({ALERTS.get(contact.alert, contact.alert)})"


def find_contact(people: People, typed: str) -> Contact:
    """Return the contact that somebody named: local name before nickname, `name~id`, or the start of an account or conversation id.

    Raises:
        ContactNotFound, Ambiguous. I am no contact of mine: who means me is told where I am found.
    """
    if _is_me(people, typed):
        raise ContactNotFound(f"{typed!r} is you, not a contact.", hint=_MYSELF)
    name, tilde, suffix = typed.rpartition("~")
    if tilde:
        wanted = fold(name)
        named = [c for c in people.contacts.values() if folded(c.shown) == wanted and c.account.hex().startswith(suffix.lower())]
        return _only(people, typed, named if len(suffix) >= limits.ID_CHARACTERS_MIN else [])
    return _only(people, typed, _named(people, typed) or _by_id(people, typed))


def find_conversation(people: People, typed: str, *, past: bool = False) -> tuple[Conversation, Contact | None]:
    """Return the conversation that a TARGET names, and the contact unless it is the one with myself.

    With `past` also one with somebody who is no contact any more, by account or conversation id.

    Raises:
        ContactNotFound, Ambiguous.
    """
    if _is_me(people, typed):
        return people.own(), None
    if past and (gone := _former(people, typed)) is not None:
        return people.direct(gone), None
    contact = find_contact(people, typed)
    if _may_be_me(people, typed) and not _named(people, typed):
        raise Ambiguous(f"{typed!r} may be you or a contact.", candidates=["me", with_suffix(people, contact)])
    return people.direct(contact.account), contact


def _is_me(people: People, typed: str) -> bool:
    return fold(typed) == "me" or (_may_be_me(people, typed) and not _named(people, typed) and not _by_id(people, typed))


def _may_be_me(people: People, typed: str) -> bool:
    return _is_prefix(typed, people.own().id.hex()) or _is_prefix(typed, people.me.account.hex())


def _named(people: People, typed: str) -> list[Contact]:
    """Return whom a name means: local names before nicknames in use before those that a local name hides."""
    everybody, wanted = list(people.contacts.values()), fold(typed)
    return (
        [c for c in everybody if c.name is not None and folded(c.name) == wanted]
        or [c for c in everybody if c.name is None and folded(c.nickname) == wanted]
        or [c for c in everybody if folded(c.nickname) == wanted]
    )


def _by_id(people: People, typed: str) -> list[Contact]:
    return [
        contact
        for contact in people.contacts.values()
        if _is_prefix(typed, contact.account.hex()) or _is_prefix(typed, people.direct(contact.account).id.hex())
    ]


def _former(people: People, typed: str) -> AccountId | None:
    """Return whom an id means that is no contact's.

    Raises:
        ContactNotFound: it is the name of somebody who was a contact; the hint says the id.
        Ambiguous: several.
    """
    if _named(people, typed) or _by_id(people, typed):
        return None
    gone = [account for account in people.memberships if account != people.me.account and account not in people.contacts]
    found = [a for a in gone if _is_prefix(typed, a.hex()) or _is_prefix(typed, people.direct(a).id.hex())]
    if len(found) > 1:
        raise Ambiguous(f"{typed!r} may be several people who are no contacts any more.", candidates=sorted(a.hex() for a in found))
    named = [a for a in gone if folded(people.memberships[a].nickname) == fold(typed)]
    if named and not found:
        hint = "; ".join(f"p2pmsg history {a.hex()[:16]}" for a in named)
        raise ContactNotFound(f"{typed!r} is no contact any more. What was said is kept under the id.", hint=hint)
    return found[0] if found else None


def _is_prefix(typed: str, full: str) -> bool:
    return len(typed) >= limits.ID_CHARACTERS_MIN and full.startswith(typed.lower())


def _near(people: People, typed: str) -> list[str]:
    """Return names of contacts that begin as what was typed, have it as a word, or are spelt much like it; at most three."""
    wanted = fold(typed[: limits.NAME_CHARACTERS])
    named = {folded(contact.shown): contact for contact in people.contacts.values()}
    begun = [name for name in named if wanted and (name.startswith(wanted) or wanted in name.split())]
    near = dict.fromkeys(begun + get_close_matches(wanted, named, n=_NEAR))
    return [shown(people, named[name]) for name in list(near)[:_NEAR]]


def _only(people: People, typed: str, matches: Iterable[Contact]) -> Contact:
    found = list(matches)
    if not found:
        near = _near(people, typed)
        mean = f" Did you mean {near[0]}?" if len(near) == 1 else " Did you mean one of these?" if near else ""
        raise ContactNotFound(f"There is no contact {typed!r}.{mean}", candidates=near)
    if len(found) > 1:
        raise Ambiguous(f"{typed!r} may be {len(found)} contacts.", candidates=sorted(with_suffix(people, c) for c in found))
    return found[0]
