"""The questions that are put to the model, and the places where it is broken on purpose to see that the questions bite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from tests.symbolic import comparing, handshake, hiding, renewal
from tests.symbolic.handshake import AGREE, LOSSES, SESSION, World
from tests.symbolic.horn import BEGIN, Clause, Saturation
from tests.symbolic.notation import ANN, BOB, EVE, account, device, invite_secret, pair_secret, root
from tests.symbolic.terms import Term

AGREEMENT, SECRECY, FORWARD, NAMES, HIDING = "agreement", "secrecy", "forward secrecy", "names", "hiding"
INTEGRITY, HEALING = "integrity", "healing"
PAIR, INVITE = (pair_secret(ANN, BOB),), (invite_secret(BOB, ANN),)
LATER = (*(kind(who) for kind in (device, root) for who in (ANN, BOB)), *PAIR, *INVITE)
"""What is lost at the end, when forward secrecy is asked for: every key that is stored."""
LATER_WITH_TLS = (*LATER, Term("X", SESSION))
THIEF = (device(ANN), root(ANN))
"""What the thief of Ann's keys has; with the gate keys it is all that is stored of hers."""
TWO = ((ANN, BOB), (BOB, ANN))


@dataclass(frozen=True, slots=True)
class Query:
    """A world, and what must not be found there."""

    name: str
    clauses: Callable[[World], Iterable[Clause]]
    world: World
    kinds: frozenset[str]
    holds: bool = True
    """Whether it is expected to hold; what does not is a limit that is written down, or a mutation."""
    long: bool = False
    only: Term | None = None
    """Whose side counts, where the other's keys are lost."""


@dataclass(frozen=True, slots=True)
class Answer:
    holds: bool
    way: list[str]
    kind: str
    clauses: int
    seconds: float
    met: frozenset[str]
    """The goals that honest people reach: a model in which nobody gets anywhere holds everything."""


def ask(query: Query, limit: int = 60_000) -> Answer:
    """Search. Raises: TooLong."""
    began = time.process_time()
    found: list[tuple[str, Clause]] = []

    def enough(clause: Clause) -> bool:
        kind = violated(clause, query)
        if kind is not None:
            found.append((kind, clause))
        return kind is not None

    saturation = Saturation(_all(query), limit, enough)
    kind, way = (found[0][0], found[0][1].steps()) if found else ("", [])
    met = frozenset(goal for goal in (*AGREE, renewal.READ) if saturation.ways_to(goal))
    return Answer(not found, way, kind, saturation.kept, time.process_time() - began, met)


def _all(query: Query) -> Iterable[Clause]:
    yield from query.clauses(query.world)
    if query.kinds.isdisjoint((HIDING, INTEGRITY, HEALING)):
        yield from handshake.surroundings(query.world)


def violated(clause: Clause, query: Query) -> str | None:
    """Return which kind of claim a solved clause violates; None where none that is asked for."""
    goal = clause.conclusion
    if goal.head == "bad":
        kind = HIDING
    elif goal.head in (renewal.READ, renewal.SECRET_KNOWN):
        kind = _violated_on_the_channel(clause, query.world)
    elif goal.head in LOSSES:
        kind = FORWARD if goal.head.endswith("later") else SECRECY
        kind = kind if query.only in (None, goal.args[0]) else ""
    elif goal.head in AGREE and query.only in (None, goal.args[-1]):
        kind = _violated_by_a_goal(clause, query)
    else:
        kind = ""
    return kind if kind in query.kinds else None


def _violated_by_a_goal(clause: Clause, query: Query) -> str:
    *about, _ = clause.conclusion.args
    if NAMES in query.kinds:
        return NAMES if clause.conclusion.head == "R committed" and about[0] not in map(account, (ANN, BOB)) else ""
    if clause.conclusion.head == "R answered" and query.world.lost:
        return ""  # whoever has the gate key is answered
    return "" if Term(BEGIN, Term(AGREE[clause.conclusion.head], *about)) in clause.hypotheses else AGREEMENT


def _violated_on_the_channel(clause: Clause, world: World) -> str:
    who, place, *payload = clause.conclusion.args
    epoch, number = (int(part) for part in place.head.split("."))
    if payload:
        said = renewal.secret(who, epoch, number)
        return "" if payload[0] is said and Term(BEGIN, Term("sent", who, said)) in clause.hypotheses else INTEGRITY
    may_be_read = epoch <= READ_AT[0] if world.lost else bool(world.lost_later) and (epoch, number) in READABLE
    return "" if may_be_read else HEALING


READ_AT = (1, 1)
"""The epoch and frame at which Ann's memory is read."""
READABLE = ((1, 1),)
"""What may be read then: this frame and those that follow in its epoch."""

ALL = frozenset((AGREEMENT, SECRECY, FORWARD))
_small = partial(renewal.channel, size=renewal.Size(3, 1))
_large = partial(renewal.channel, size=renewal.Size(3, 2))
_pair = partial(handshake.contacts, pairs=TWO)
_pair_and_eve = partial(handshake.contacts, pairs=(*TWO, (BOB, EVE)))
_one = comparing.compared
_crossed = partial(comparing.compared, diallers=TWO, responders=TWO)
_memory = renewal.memory(*READ_AT)
_pending = (*_memory, renewal.asked(ANN, 1))
_CHANNEL = frozenset((INTEGRITY, HEALING))
_TLS = World(lost_later=LATER_WITH_TLS, tls_protects=True)

QUERIES = (
    Query("A", _pair_and_eve, World(lost_later=LATER), ALL),
    Query("A, gate key lost", _pair, World(lost=PAIR, lost_later=LATER), ALL),
    Query("A, Ann's keys stolen", _pair, World(lost=(*THIEF, *PAIR), lost_later=LATER), ALL, only=ANN),
    Query("A, both know Eve", handshake.contacts, World(lost_later=LATER), ALL, long=True),
    Query("A, both know Eve, gate key lost", handshake.contacts, World(lost=PAIR, lost_later=LATER), ALL, long=True),
    Query(
        "A, both know Eve, Ann's keys stolen", handshake.contacts, World(lost=(*THIEF, *PAIR), lost_later=LATER), ALL, only=ANN, long=True
    ),
    Query("B", handshake.invites, World(lost_later=LATER), ALL),
    Query("B, secret lost", handshake.invites, World(lost=INVITE, lost_later=LATER), ALL),
    Query("B, Ann's keys stolen", handshake.invites, World(lost=(*THIEF, *INVITE), lost_later=LATER), ALL, only=ANN, long=True),
    Query(
        "A and B at once", lambda world: [*handshake.contacts(world), *handshake.invites(world)], World(lost_later=LATER), ALL, long=True
    ),
    Query("C", _one, _TLS, ALL),
    Query("C, both dial", _crossed, _TLS, ALL),
    Query("C, Ann's keys stolen", _one, World(lost=THIEF, lost_later=LATER_WITH_TLS, tls_protects=True), ALL, only=ANN),
    Query("C, TLS broken while they compare", _one, World(lost=(Term("X", SESSION),), tls_protects=True), ALL, holds=False),
    Query("hiding, strangers", hiding.without_eve, World(), frozenset((HIDING,))),
    Query("hiding, strangers, and Eve knows all", hiding.strangers, World(), frozenset((HIDING,)), long=True),
    Query("hiding, who uses an invite", hiding.guests, World(), frozenset((HIDING,))),
    Query("hiding, invite's secret lost", hiding.guests, World(lost=INVITE), frozenset((HIDING,)), holds=False),
    Query("channel", _small, World(), _CHANNEL),
    Query("channel, memory read", _small, World(lost_later=_memory), _CHANNEL),
    Query("channel, memory read, longer epochs", _large, World(lost_later=_memory), _CHANNEL, long=True),
    Query("channel, memory read while a KEY is under way", _small, World(lost_later=_pending), _CHANNEL, holds=False),
    Query(
        "channel, memory read by who can also change frames", _small, World(lost=renewal.memory(1, 0)), frozenset((HEALING,)), holds=False
    ),
)


def broken(query: str, kinds: Iterable[str], *parts: str) -> Query:
    """Return a query of the model without some parts: it must not hold."""
    whole = next(each for each in QUERIES if each.name == query)
    world = World(whole.world.lost, whole.world.lost_later, frozenset(parts), whole.world.tls_protects)
    return Query(f"{query}, without {' and '.join(parts)}", whole.clauses, world, frozenset(kinds), False, whole.long, whole.only)


MUTATIONS = (
    broken("B", {AGREEMENT}, "X in t0"),
    broken("B", {AGREEMENT}, "MAC of GATE"),
    broken("B", {SECRECY}, "PROVE's signature"),
    broken("B, secret lost", {SECRECY}, "WELCOME's signature"),
    broken("B, secret lost", {AGREEMENT}, "t1 in PROVE's signature"),
    broken("B, secret lost", {NAMES}, "t1 in PROVE's signature", "account in PROVE's signature"),
    broken("B, secret lost", {FORWARD}, "seed_R in K"),
    broken("A, Ann's keys stolen", ALL, "PROVE's signature"),
    broken("A, Ann's keys stolen", ALL, "WELCOME's signature"),
    broken("A, Ann's keys stolen", ALL, "t2 in WELCOME's signature"),
    broken("C", ALL, "COMMIT"),
    broken("C", ALL, "n_D in COMMIT"),
    broken("C", ALL, "nick in COMMIT"),
    broken("C", ALL, "REVEAL after NONCE"),
    broken("C", ALL, "X in COMMIT", "X in T"),
    broken("hiding, who uses an invite", {HIDING}, "MAC of READY"),
    broken("channel, memory read", {HEALING}, "seed in NEXT"),
    broken("channel, memory read", {HEALING}, "step"),
)
REDUNDANT = tuple(
    (query, part)
    for query, parts in (
        (
            "B, secret lost",
            ("to in PROVE's signature", "account in PROVE's signature", "D in WELCOME's signature", "R in WELCOME's signature"),
        ),
        (
            "B, secret lost",
            ("G in K", "seed_D in K", "t2 in K", "t1 in t2", "PROVE in t2", "t0 in t1", "ek_R in t1", "info of READY", "info of PROVE"),
        ),
        ("A, Ann's keys stolen", ("to in PROVE's signature", "account in PROVE's signature", "G in K")),
        ("C", ("X in COMMIT", "X in T", "X in G")),
    )
    for part in parts
)
"""Parts without which, each alone, the questions of a query still hold: the second line. (The long run tries them.)"""
