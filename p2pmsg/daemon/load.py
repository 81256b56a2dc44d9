"""Reads people from storage at start."""

from __future__ import annotations

from p2pmsg.daemon.contacts import Contacts
from p2pmsg.daemon.people import Me, People
from p2pmsg.daemon.presence_keys import PRESENCE_KEY
from p2pmsg.errors import StorageDamaged
from p2pmsg.storage import doors
from p2pmsg.storage import log as log_store
from p2pmsg.storage import people as people_store
from p2pmsg.storage.cipher import Db


def load_people(db: Db) -> People:
    """Return who I am and whom I know.

    Raises:
        NotInitialized, StorageDamaged: the database lacks what `init` stored.
    """
    own = people_store.identity(db)
    stored = people_store.settings(db).get(PRESENCE_KEY)
    if not (isinstance(stored, list) and len(stored) == 2):
        raise StorageDamaged("The database lacks this account's presence key.")
    key, number = stored
    people = People(Me(own.account, own.device, own.device_key, own.device_secret, key, number))
    for links in people_store.chains(db).values():
        people.learn_chain(links)
    people.contacts = Contacts(people_store.contacts(db))
    people.gates = doors.gates(db, 0)
    people.forked = log_store.forked(db) - {own.device}
    return people


def invite_ends(db: Db, now: float, wall_ms: int) -> dict[str, float]:
    """Return when each invite ends by the monotonic clock, from what the wall clock says is left of it."""
    return {row.id: now + (row.expires_ms - wall_ms) / 1000 for row in doors.invites(db, wall_ms)}
