"""What a database goes through in the tests that let it fail: talking, and all else that is ever written.

What failed is tried again, as the node and people do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from p2pmsg.config import limits
from p2pmsg.errors import StorageFailed, StorageFull
from p2pmsg.model.addresses import Address
from p2pmsg.model.events import Event
from p2pmsg.model.gates import Ended
from p2pmsg.model.ids import EventId
from p2pmsg.protocol.bodies import SeenBody, SettingBody, TextBody
from p2pmsg.storage import doors, feed, log, people, queries, rebuild, requests
from p2pmsg.storage.cipher import Db
from p2pmsg.storage.requests import RequestRow
from tests.unit.people import Person
from tests.unit.shelves import NOW, Shelf, direct, line, own, second_device, tip_of

ANN, BOB, CARL = Person("Ann"), Person("Bob"), Person("Carl")
TALK = direct(ANN, BOB)
FROM_BOB = line(Shelf(BOB), TALK, [f"theirs {number}" for number in range(6)])
PHONE, BOTH = second_device(ANN)
FROM_PHONE = line(Shelf(PHONE), TALK, ["from my phone"])
NEWS = SeenBody(BOB.account, "added", BOB.device, "Bob", "phone", "laptop")
LATER_MS = 90 * 86_400_000
TRIES = 10

Run = Callable[[list[Callable[[Db], object]]], list[object]]
"""Runs jobs that wait together, and returns their outcomes in order."""


@dataclass
class Life:
    """What Ann's database goes through, and what was promised of it on the way."""

    ann: Shelf
    run: Run
    at_home: bool = False
    """It keeps house, instead of talking."""
    promised: list[EventId] = field(default_factory=list)
    said: dict[str, Event] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def live(self) -> None:
        self.keep_house() if self.at_home else self.talk()

    def talk(self) -> None:
        ann = self.ann
        self.together(lambda: ann.meet(BOB))
        self.together(self.say("one"), self.hear(0, 2), self.say("two"))
        self.together(lambda: ann.ack(BOB, [self.said["one"]]), self.hear(3, 4))
        self.together(self.hear(0, 4), lambda: ann.mark_read(TALK.id, [FROM_BOB[1]]), self.say("three"))
        self.together(lambda: ann.delete(BOB, [FROM_BOB[0]]), lambda: ann.delete(BOB, [self.said["one"]]))
        self.together(self.hear(0, 6), lambda: ann.delete(BOB, [self.said["three"]]), self.say("four"))
        self.together(lambda: ann.ack(BOB, [self.said["four"]]))
        self.together(lambda: ann.meet(BOB, name="Robert"))

    def keep_house(self) -> None:
        """Everything that is written besides messages and what follows from them."""
        ann = self.ann
        self.together(lambda: ann.meet(BOB), self.say("one"), self.hear(0, 6))
        self.together(lambda: forget_changes(ann.db), lambda: acquaint(ann.db, BOB), lambda: acquaint(ann.db, CARL))
        self.together(lambda: open_doors(ann.db), lambda: ask_from_outside(ann.db))
        self.together(lambda: close_doors(ann.db), lambda: requests.drop(ann.db, "00"), lambda: people.forget(ann.db, CARL.account))
        self.together(lambda: ann.write(own(ANN), SettingBody("typing", True)), lambda: keep_keys(ann.db, self.said["one"]))
        self.together(lambda: ann.write(own(ANN), NEWS), lambda: people.set_alert(ann.db, BOB.account, "device_added"))
        answer = Shelf(BOB).make(tip_of(FROM_BOB[-1]), TALK, TextBody("an answer"), [FROM_PHONE[0].id])
        self.together(lambda: ann.take([answer], BOB), lambda: ann.mark_read(TALK.id, FROM_PHONE))
        self.together(lambda: ann.take(FROM_PHONE, BOTH))
        self.together(lambda: ann.write(direct(ANN, CARL), TextBody("hello")))
        self.together(lambda: ann.delete_all(CARL), lambda: rebuild.catch_up(ann.db))

    def together(self, *steps: Callable[[], object]) -> None:
        """Run steps that wait together; those that failed are tried again, as often as a fault may last."""
        left = list(steps)
        for _ in range(TRIES):
            outcomes = self.run([lambda db, step=step: step() for step in left])  # type: ignore[misc]
            self._note(outcomes)
            left = [step for step, outcome in zip(left, outcomes, strict=True) if isinstance(outcome, BaseException)]
            if not left:
                return
        raise AssertionError(f"it never went on: {self.failures[-1]!r}")

    def _note(self, outcomes: list[object]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Event):
                self.promised.append(outcome.id)
            elif isinstance(outcome, log.Received):
                self.promised += [tip.id for tip in outcome.tips]
            elif isinstance(outcome, BaseException):
                assert isinstance(outcome, StorageFull | StorageFailed | MemoryError), repr(outcome)
                self.failures.append(outcome)
        real = getattr(self.ann.db.conn, "real", self.ann.db.conn)
        assert set(self.promised) <= {EventId(row[0]) for row in real.execute("SELECT id FROM event")}, "what was promised is there"

    def say(self, text: str) -> Callable[[], Event]:
        def step() -> Event:
            self.said[text] = self.ann.say(BOB, text)
            return self.said[text]

        return step

    def hear(self, start: int, stop: int) -> Callable[[], object]:
        return lambda: self.ann.take(FROM_BOB[start:stop], BOB)


def acquaint(db: Db, who: Person) -> None:
    people.set_network_port(db, "net", 5000, NOW)
    people.add_links(db, who.links, NOW)
    people.set_nickname(db, who.account, f"{who.name}!")
    people.saw(db, who.account, NOW)
    people.set_presence(db, who.account, bytes(32), 1)
    people.remember_address(db, who.account, "net", Address("10.0.0.2", 4000), NOW)
    doors.add_pair(db, who.account, who.account, NOW)


def open_doors(db: Db) -> None:
    for number in range(3):
        doors.add_invite(db, bytes([number]) * 32, f"invite {number}", NOW, NOW + 1000)


def close_doors(db: Db) -> None:
    doors.spend_invite(db, "invite 0", BOB.account, NOW)
    people.forget_ports(db)
    doors.end_invite(db, "invite 1", Ended.WITHDRAWN, NOW)
    doors.purge(db, NOW + int(limits.INVITE_ENDED_KEPT_S * 1000) + 500)


def ask_from_outside(db: Db) -> None:
    for number in range(limits.REQUESTS + 1):
        requests.put(db, RequestRow(f"{number:02}", "Zed", NOW - number))


def keep_keys(db: Db, event: Event) -> None:
    queries.keep_key(db, "old", event.id, NOW)
    queries.keep_key(db, "new", event.id, NOW + LATER_MS)


def forget_changes(db: Db) -> None:
    least, limits.FEED_LEAST = limits.FEED_LEAST, 0
    try:
        feed.prune(db, NOW + LATER_MS)
    finally:
        limits.FEED_LEAST = least


_KEPT = (
    "SELECT id FROM chain_link ORDER BY id",
    "SELECT nickname, presence_key, presence_number, last_seen_ms FROM acquaintance ORDER BY nickname",
    "SELECT key, purpose, reference, ended FROM gate ORDER BY key",
    "SELECT network, host, port FROM last_known ORDER BY host",
    "SELECT id, port FROM network",
    "SELECT id FROM request ORDER BY id",
    "SELECT key FROM send_key ORDER BY key",
    "SELECT key, value FROM setting",
    "SELECT key, value FROM meta ORDER BY key",
    "SELECT count(*) FROM cleared",
    "SELECT key IS NULL FROM device ORDER BY id",
)
"""What `keep_house` leaves."""


def left_by(life: Life) -> dict[str, object]:
    """What a life must have left, whatever failed on the way: all but ids and times."""
    db = life.ann.db
    rows = [row for row in queries.history(db, TALK.id, 100) if row.kind == "text"]
    fed = [(change.type, change.state, change.account) for change in feed.after(db, 0).changes]
    return {
        "texts": sorted((row.text, [each.delivered_ms is not None for each in row.deliveries]) for row in rows),
        "unread": life.ann.unread(BOB),
        "logs": db.execute(
            "SELECT c.id, d.id, e.seq FROM event e, conversation c, device d"
            " WHERE c.number = e.conversation AND d.number = e.device ORDER BY 1, 2, 3"
        ).fetchall(),
        "erased": db.execute("SELECT count(*) FROM event WHERE body IS NULL").fetchone()[0],
        "fed": sorted(fed, key=repr),
        "contacts": [contact.name for contact in people.contacts(db)],
        "kept": [db.execute(sql).fetchall() for sql in _KEPT],
    }
