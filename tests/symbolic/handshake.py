"""The handshake as clauses: contacts (case A) and invites (case B).

TLS is taken to be worth nothing here: all frames are public and the attacker has every exporter. What TLS still gives is that the
exporter is another one in each session: the attacker sits between two sessions with two exporters, or lets one session pass through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.symbolic.horn import BEGIN, Clause, rule
from tests.symbolic.notation import (
    ANN,
    BOB,
    CHAIN,
    EVE,
    GATE,
    HELLO,
    HONEST,
    NOBODY,
    NOTHING,
    PROVE,
    READY,
    WELCOME,
    account,
    account_of,
    att,
    attacker,
    chain,
    chain_of,
    device,
    frame,
    heads,
    invite_gate,
    pair_gate,
    proof,
    public,
    root,
    seal,
    step,
    tuple_,
)
from tests.symbolic.terms import Term, contains

SESSION = 0
"""The variable for the number of a TLS session."""
AGREE = {"R answered": "D calls", "D accepted": "R commits", "R committed": "D proves", "R opened": "D accepts"}
"""What the other side must have done before: about the same gate, exporter and ephemeral key; then accounts, exporter, transcript, key."""
LOSSES = ("D's key known", "R's key known", "D's key known later", "R's key known later")


@dataclass(frozen=True, slots=True)
class World:
    """What is lost before all begins, what is lost at the end, and where the protocol is broken on purpose."""

    lost: Sequence[Term] = ()
    lost_later: Sequence[Term] = ()
    without: frozenset[str] = frozenset()
    tls_protects: bool = False

    def part(self, name: str, value: Any) -> Any:
        return NOTHING if name in self.without else value

    def sent(self, exporter: Term, *parts: Any) -> Term:
        """Return that a frame is on the wire."""
        return att(Term("TLS", exporter, tuple_(*parts)) if self.tls_protects else tuple_(*parts))


def exporters(side: str) -> Iterator[tuple[str, Term]]:
    """Yield the sessions that a side can be in: with an honest other end, or with the attacker."""
    yield "", Term("X", SESSION)
    yield " (TLS ends at the attacker)", Term(f"X.{side}", SESSION)


@dataclass(frozen=True, slots=True)
class Transcript:
    """t0 to t2 and the keys, made by either side of what it sent and read."""

    world: World
    gate: Any
    exporter: Any
    ek_d: Any
    ek_r: Any = None
    seed_d: Any = None
    seed_r: Any = None
    sealed: Any = None
    prove: Any = None

    @property
    def t0(self) -> Term:
        return Term("hs/t0", self.world.part("X in t0", self.exporter), self.ek_d)

    @property
    def t1(self) -> Term:
        part = self.world.part
        return Term("hs/t1", part("t0 in t1", self.t0), part("ek_R in t1", self.ek_r), part("seal in t1", self.sealed))

    @property
    def t2(self) -> Term:
        return Term("hs/t2", self.world.part("t1 in t2", self.t1), self.world.part("PROVE in t2", self.prove))

    @property
    def gate_mac(self) -> Any:
        return self.world.part("MAC of GATE", Term("hs/gate", self.gate, self.t0))

    @property
    def ready_mac(self) -> Any:
        return self.world.part("MAC of READY", Term("hs/ready", self.gate, self.t1))

    @property
    def master(self) -> Term:
        part = self.world.part
        seeds = part("seed_D in K", self.seed_d), part("seed_R in K", self.seed_r)
        return Term("hs/key", part("G in K", self.gate), *seeds, part("t2 in K", self.t2))

    @property
    def key_d(self) -> Term:
        return Term("ch/d", self.master)

    @property
    def key_r(self) -> Term:
        return Term("ch/r", self.master)

    def prove_signature(self, key: Any, to: Any, account_d: Any) -> Any:
        part = self.world.part
        signed = (part("t1 in PROVE's signature", self.t1), part("to in PROVE's signature", to))
        named = part("account in PROVE's signature", account_d)
        return part("PROVE's signature", Term("S:hs/prove", key, *signed, named, public(key), heads(named)))

    def welcome_signature(self, key: Any, account_d: Any, account_r: Any) -> Any:
        part = self.world.part
        signed = (part("t2 in WELCOME's signature", self.t2), part("D in WELCOME's signature", account_d))
        named = part("R in WELCOME's signature", account_r)
        return part("WELCOME's signature", Term("S:hs/welcome", key, *signed, named, public(key), heads(named)))


def dialler(world: World, me: Term, to: Term, gate: Term, how: str) -> Iterator[Clause]:
    for session, exporter in exporters("d"):
        name = f"{me} dials {to} with {how}{session}"
        yield from dial(
            world, (me, (root(to), device(to)), account(to)), gate, (exporter, [], (me, to, gate, exporter)), name, to is not EVE
        )


def dial(
    world: World, who: tuple[Term, tuple[Any, Any], Term], gate: Any, seen: tuple[Any, list[Term], tuple[Any, ...]], name: str, honest: bool
) -> Iterator[Clause]:
    """Yield what a dialler does.

    `who` is me, the secret keys of whoever may answer (variables where anybody may) and the account that I name in PROVE. `seen` is the
    exporter, what went before, and what my fresh values depend on.
    """
    (me, (root_r, device_r), to), (exporter, before, own) = who, seen
    ek_r, seed_r, randomness, rest = 1, 2, 3, 4
    seed_d = Term("seed_D", *own)
    t = Transcript(world, gate, exporter, public(Term("ek_D", *own)))
    calls = [*before, Term(BEGIN, Term("D calls", gate, exporter, t.ek_d))]
    yield rule(calls, world.sent(exporter, GATE, t.ek_d, t.gate_mac), f"{name}: sends GATE")

    sealed = seal(t.ek_d, seed_r, world.part("info of READY", t.t0), randomness)
    t = replace(t, ek_r=ek_r, seed_d=seed_d, seed_r=seed_r, sealed=sealed)
    read = [*before, world.sent(exporter, READY, ek_r, sealed, t.ready_mac)]
    signature = t.prove_signature(device(me), to, account(me))
    plain = tuple_(seed_d, *proof(account(me), public(device(me)), signature).args)
    t = replace(t, prove=seal(ek_r, plain, world.part("info of PROVE", t.t1), Term("r_D", *own)))
    account_r = account_of(public(root_r), public(device_r))
    about = (account(me), account_r, exporter, t.t2, t.master)
    proves = [*read, Term(BEGIN, Term("D proves", account(me), to, exporter, t.t2, t.master))]
    yield rule(proves, world.sent(exporter, PROVE, t.prove), f"{name}: reads READY, sends PROVE")
    yield rule(proves, world.sent(exporter, frame(t.key_d, CHAIN, tuple_(chain(me), Term("in D's CHAIN", *own)))), f"{name}: sends CHAIN")

    welcome = proof(account_r, public(device_r), t.welcome_signature(device_r, account(me), account_r))
    read += [
        world.sent(exporter, frame(t.key_r, WELCOME, welcome)),
        world.sent(exporter, frame(step(t.key_r), CHAIN, tuple_(chain_of(root_r, public(device_r)), rest))),
    ]
    hello = frame(step(t.key_d), HELLO, Term("D's hello", *own))
    yield rule(
        [*read, Term(BEGIN, Term("D accepts", *about))], world.sent(exporter, hello), f"{name}: reads WELCOME and CHAIN, sends HELLO"
    )
    if honest:
        yield rule(read, Term("D accepted", *about, me), f"{name}: accepts")
        yield from _losses("D", read, own, t)


def _losses(side: str, read: Sequence[Term], own: Sequence[Any], t: Transcript) -> Iterator[Clause]:
    """Yield that it is a loss if the attacker has, then or later, the master key of a link that this side has accepted."""
    for knows, when in (("att", ""), ("late", " later")):
        yield rule([*read, Term(knows, t.master)], Term(f"{side}'s key known{when}", *own))


def responder(world: World, me: Term, gate: Term, peer: Term | None, how: str) -> Iterator[Clause]:
    """`peer` is whom the gate names; None where anybody may prove himself."""
    for session, exporter in exporters("r"):
        own = (me, gate, exporter)
        yield from respond(world, me, gate, peer, (exporter, [], own), f"{me} is dialled under {how}{session}")


def respond(
    world: World, me: Term, gate: Any, peer: Term | None, seen: tuple[Any, list[Term], tuple[Any, ...]], name: str, to: Term | None = None
) -> Iterator[Clause]:
    """Yield what a responder does; `seen` as in `dial`, `to` is whom PROVE must name."""
    exporter, before, own = seen
    ek_d, seed_d = 1, 2
    own = (*own, ek_d)
    t = Transcript(world, gate, exporter, ek_d)
    read = [*before, world.sent(exporter, GATE, ek_d, t.gate_mac)]
    seed_r = Term("seed_R", *own)
    sealed = seal(ek_d, seed_r, world.part("info of READY", t.t0), Term("r_R", *own))
    t = replace(t, ek_r=public(Term("ek_R", *own)), seed_d=seed_d, seed_r=seed_r, sealed=sealed)
    yield rule(read, world.sent(exporter, READY, t.ek_r, sealed, t.ready_mac), f"{name}: reads GATE, sends READY")
    if to is not EVE and not contains(gate, EVE):
        yield rule(read, Term("R answered", gate, exporter, ek_d, me), f"{name}: answers")

    honest, to = to is not EVE, NOBODY if to in (NOBODY, EVE) else account(me)
    yield from _admit(t, me, to, own, read, (5, 6) if peer is None else (root(peer), device(peer)), name)
    if to is NOBODY:  # nobody else but the one whose screen I saw
        yield from [] if not honest else _admitted(t, me, to, own, read, (5, 6), name)
        return
    for person in HONEST[:2]:  # what must be so where it is an honest person's device that has proved itself
        if peer in (None, person) and person is not me:
            yield from _admitted(t, me, to, own, read, (root(person) if peer else 5, device(person)), name)


def _proved(t: Transcript, to: Term, keys: tuple[Any, Any]) -> tuple[list[Term], Transcript, Term]:
    """Return what R has read when it decides, for a peer with these secret keys of root and device."""
    root_d, device_d = keys
    account_d = account_of(public(root_d), public(device_d))
    signature = t.prove_signature(device_d, to, account_d)
    plain = tuple_(t.seed_d, *proof(account_d, public(device_d), signature).args)
    t = replace(t, prove=seal(t.ek_r, plain, t.world.part("info of PROVE", t.t1), 3))
    showed = frame(t.key_d, CHAIN, tuple_(chain_of(root_d, public(device_d)), 4))
    return [t.world.sent(t.exporter, PROVE, t.prove), t.world.sent(t.exporter, showed)], t, account_d


def _admit(
    t: Transcript, me: Term, to: Term, own: Sequence[Any], read: Sequence[Term], keys: tuple[Any, Any], name: str
) -> Iterator[Clause]:
    more, t, account_d = _proved(t, to, keys)
    given = [*read, *more, Term(BEGIN, Term("R commits", account_d, account(me), t.exporter, t.t2, t.master))]
    signature = t.welcome_signature(device(me), account_d, account(me))
    differ = [(account_d, account(me)), (public(keys[1]), public(device(me)))]
    sent = [
        frame(t.key_r, WELCOME, proof(account(me), public(device(me)), signature)),
        frame(step(t.key_r), CHAIN, tuple_(chain(me), Term("in R's CHAIN", *own, account_d))),
        frame(step(step(t.key_r)), HELLO, Term("R's hello", *own, account_d)),
    ]
    for each in sent:
        yield rule(given, t.world.sent(t.exporter, each), f"{name}: reads PROVE and CHAIN, sends {each.args[1]}", differ)


def _admitted(
    t: Transcript, me: Term, to: Term, own: Sequence[Any], read: Sequence[Term], keys: tuple[Any, Any], name: str
) -> Iterator[Clause]:
    more, t, account_d = _proved(t, to, keys)
    about = (account_d, account(me), t.exporter, t.t2, t.master)
    differ = [(account_d, account(me)), (public(keys[1]), public(device(me)))]
    read = [*read, *more]
    # Under sas PROVE names nobody, so that "D proves" cannot name R.
    yield rule(read, Term("R committed", account_d, to, *about[2:], me), f"{name}: commits", differ)
    yield rule(
        [*read, t.world.sent(t.exporter, frame(step(t.key_d), HELLO, 7))],
        Term("R opened", *about, me),
        f"{name}: reads HELLO, opens",
        differ,
    )
    yield from (replace(each, differ=tuple(differ)) for each in _losses("R", read, (*own, account_d), t))


def contacts(world: World, pairs: Sequence[tuple[Term, Term]] = ((ANN, BOB), (BOB, ANN), (ANN, EVE), (BOB, EVE))) -> Iterator[Clause]:
    """Yield case A: Ann and Bob are contacts, and both are contacts of Eve; the first of each pair dials and is dialled."""
    for me, other in pairs:
        gate = pair_gate(me, other)
        yield from dialler(world, me, other, gate, "the pair key")
        yield from responder(world, me, gate, other, f"the pair key with {other}")


def invites(world: World) -> Iterator[Clause]:
    """Yield case B: Bob has invited Ann and Eve, and Eve has invited Ann."""
    yield from dialler(world, ANN, BOB, invite_gate(BOB, ANN), "an invite")
    yield from dialler(world, ANN, EVE, invite_gate(EVE, ANN), "an invite")
    yield from responder(world, BOB, invite_gate(BOB, ANN), None, "Ann's invite")
    yield from responder(world, BOB, invite_gate(BOB, EVE), None, "Eve's invite")


def surroundings(world: World) -> Iterator[Clause]:
    """Yield the attacker, then and later, and what is lost."""
    yield from attacker("att")
    yield from attacker("late")
    yield rule([att(0)], Term("late", 0))
    for exporter in (Term("X.d", SESSION), Term("X.r", SESSION), *([] if world.tls_protects else [Term("X", SESSION)])):
        yield rule([], att(exporter))
    for secret in world.lost:
        yield rule([], att(secret), f"lost: {secret}")
    for secret in world.lost_later:
        yield rule([], Term("late", secret), f"lost later: {secret}")
