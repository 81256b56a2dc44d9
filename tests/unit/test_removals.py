"""Which removals stand, against the same rules by brute force: any chain, any order of arrival, and a thief who adds what he likes."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.model.accounts import LinkKind
from p2pmsg.protocol import authority
from tests.unit.chains import GENESIS, KEYS, ROOT, ROOTS, Chain, Model, Scribe, active, add, profile, reroot, revoke

ALL = (LinkKind.ADD, LinkKind.REVOKE, LinkKind.REVOKE, LinkKind.PROFILE)
A, B, C, D, E, F = KEYS[:6]
B_IN = add(1, A, B, GENESIS)
C_IN = add(2, A, C, B_IN)
THREE = [GENESIS, B_IN, C_IN]


@st.composite
def chains(draw: st.DrawFn, *, rerooted: bool = True) -> Chain:
    """Three devices and up to eight links more, of anybody and on anything."""
    scribe = Scribe(draw, list(THREE))
    kinds = (*ALL, LinkKind.REROOT) if rerooted else ALL
    scribe.grow(draw(st.integers(0, 8)), (*KEYS[:6], *ROOTS), kinds, KEYS[3:6])
    return scribe.links


@given(chains(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_resolver_says_what_the_rules_say_in_every_order(links: Chain, random: Random) -> None:
    said = authority.resolve(links)
    assert active(said) == Model(links, random).decide().active()
    shuffled = list(links)
    random.shuffle(shuffled)
    assert authority.resolve(shuffled) == said


@given(chains(rerooted=False), st.data())
@settings(max_examples=120, deadline=None)
def test_who_was_removed_gains_nothing_by_links_he_adds(links: Chain, data: st.DataObject) -> None:
    """Property 1: on any old links, of any date, himself or by devices that he brings in."""
    before = authority.resolve(links)
    gone = [d.key for d in before.devices.values() if not d.active]
    assume(gone)
    thief = data.draw(st.sampled_from(gone))
    scribe = Scribe(data.draw, list(links))
    scribe.grow(data.draw(st.integers(1, 5)), (thief, *KEYS[9:]), ALL, KEYS[9:])
    assert active(authority.resolve(scribe.links)) <= active(before)


@given(chains(rerooted=False), st.data())
@settings(max_examples=100, deadline=None)
def test_whom_the_root_removed_changes_nothing_any_more(links: Chain, data: st.DataObject) -> None:
    thief = data.draw(st.sampled_from(KEYS[:3]))
    known = data.draw(st.lists(st.sampled_from(links), min_size=1, max_size=3))
    settled = [*links, revoke(100, ROOT, thief, *known)]
    before = authority.resolve(settled)
    scribe = Scribe(data.draw, list(settled))
    scribe.grow(data.draw(st.integers(1, 5)), (thief, *KEYS[9:]), ALL, KEYS[9:])
    assert active(authority.resolve(scribe.links)) == active(before)


@given(chains(rerooted=False), st.data())
@settings(max_examples=200, deadline=None)
def test_after_recovery_the_new_device_is_alone(links: Chain, data: st.DataObject) -> None:
    """Property 7, as far as it is about chains: the words add a device and put out all others, those too that a thief still brings."""
    recovered = [*links, new := add(100, ROOT, KEYS[8], *links)]
    for number, key in enumerate(KEYS[:6], 101):
        recovered.append(new := revoke(number, ROOT, key, new))
    scribe = Scribe(data.draw, recovered)
    scribe.grow(data.draw(st.integers(0, 4)), KEYS[:6], ALL, KEYS[9:])
    found = authority.resolve(scribe.links)
    assert active(found) == {KEYS[8]}
    assert authority.Alarm.BY_ROOT in authority.alarms(authority.resolve(links), found)


# -- rings (property 2), one by one


def test_two_who_remove_each_other_are_both_out() -> None:
    one, other = revoke(3, A, B, C_IN), revoke(4, B, A, C_IN)
    assert active(authority.resolve([*THREE, one, other])) == {C}


@pytest.mark.parametrize("size", [3, 4])
def test_rings_of_three_and_four_put_out_all_of_them(size: int) -> None:
    d_in = add(3, A, D, C_IN)
    ring = [revoke(10 + n, KEYS[n], KEYS[(n + 1) % size], d_in) for n in range(size)]
    assert active(authority.resolve([*THREE, d_in, *ring])) == set(KEYS[:4]) - set(KEYS[:size])


def test_a_ring_through_the_removal_by_a_sock() -> None:
    """A was stolen and put out; he dates an addition back, and the added one strikes at the remover."""
    out = revoke(3, C, A, C_IN)
    sock = add(4, A, D, B_IN)
    strike = revoke(5, D, C, sock, C_IN)
    assert active(authority.resolve([*THREE, out])) == {B, C}
    assert active(authority.resolve([*THREE, out, sock])) == {B, C}
    assert active(authority.resolve([*THREE, out, sock, strike])) == {B}


def test_a_ring_through_an_adder_who_was_struck() -> None:
    """B brings D in and strikes at A; D strikes at A, too: A's removal of B takes D's power away, and all of it stands."""
    d_in = add(3, B, D, C_IN)
    back = revoke(4, A, B, C_IN)
    strike = revoke(5, D, A, d_in)
    assert active(authority.resolve([*THREE, d_in, back, strike])) == {C}


def test_a_ring_brings_home_nobody_who_was_put_out() -> None:
    """A was stolen, C put it out; then a thief with B strikes at C with an old date. A stays out."""
    out, back, ring = revoke(3, C, A, C_IN), revoke(4, C, B, C_IN), revoke(5, B, C, C_IN)
    assert A not in active(authority.resolve([*THREE, out, back, ring]))
    helper = add(6, C, D, C_IN)
    by_helper = revoke(7, D, A, helper)
    assert A not in active(authority.resolve([*THREE, helper, by_helper, back, ring]))
    sock = add(8, B, E, C_IN)
    assert A not in active(authority.resolve([*THREE, helper, by_helper, back, ring, sock, revoke(9, E, D, sock, helper)]))


def test_the_root_ends_a_ring() -> None:
    ring = [revoke(3, A, B, C_IN), revoke(4, B, A, C_IN)]
    assert active(authority.resolve([*THREE, *ring, revoke(5, ROOT, A, C_IN)])) == {B, C}


def test_a_stolen_first_device_does_not_put_out_its_remover() -> None:
    """Attack 4: the thief of the first device counts as no senior; he can stop the account, and the root ends that."""
    put_out = revoke(3, B, A, C_IN)
    thief = [revoke(4, A, B, B_IN), add(5, A, D, B_IN), profile(6, A, "Thief", B_IN)]
    found = authority.resolve([*THREE, put_out, *thief])
    assert active(found) == {C} and found.nickname == "Ann"
    settled = authority.resolve([*THREE, put_out, *thief, revoke(7, ROOT, A, C_IN)])
    assert active(settled) == {B, C}


def test_stolen_words_are_beaten_by_a_reroot() -> None:
    thief = [add(3, ROOT, D, C_IN), revoke(4, ROOT, A, C_IN)]
    assert active(authority.resolve([*THREE, *thief])) == {B, C, D}
    new = reroot(5, ROOT, B, ROOTS[1], C_IN)
    found = authority.resolve([*THREE, *thief, new])
    assert active(found) == {A, B, C}
    assert active(authority.resolve([*THREE, *thief, new, revoke(6, ROOTS[1], C, new)])) == {A, B}


def test_two_roots_side_by_side_leave_none() -> None:
    """Who has the words and a device can stop the account by another root; he does not win it."""
    one, other = reroot(3, ROOT, B, ROOTS[1], C_IN), reroot(4, ROOT, A, ROOTS[2], C_IN)
    found = authority.resolve([*THREE, one, other, add(5, ROOTS[1], D, one), add(6, ROOTS[2], E, other)])
    assert active(found) == {A, B, C} and found.side_by_side == {one.id, other.id}


def test_what_somebody_did_before_he_left_stays() -> None:
    d_in = add(3, B, D, C_IN)
    assert active(authority.resolve([*THREE, d_in, revoke(4, B, B, d_in)])) == {A, C, D}
    assert active(authority.resolve([*THREE, revoke(4, B, B, C_IN), add(5, B, D, B_IN)])) == {A, C}


def test_a_key_never_returns() -> None:
    out = revoke(3, A, B, C_IN)
    assert active(authority.resolve([*THREE, out, add(4, A, B, out)])) == {A, C}
    assert active(authority.resolve([*THREE, out, add(4, C, B, C_IN)])) == {A, C}


def test_the_root_and_genesis_are_never_struck() -> None:
    odd = revoke(3, A, ROOT, C_IN)  # type: ignore[arg-type]
    found = authority.resolve([*THREE, odd, add(4, ROOT, D, C_IN)])
    assert active(found) == {A, B, C, D} and found.nickname == "Ann"
    assert active(authority.resolve([GENESIS, revoke(1, A, A, GENESIS)])) == set()


@example(7)
@given(st.integers(1, 12))
@settings(max_examples=5, deadline=None)
def test_the_longest_chains_of_removals_take_little_time(seed: int) -> None:
    """A peer chooses the chain, and when it is looked at; everything else waits meanwhile."""
    random = Random(seed)
    keys = [b"%32d" % n for n in range(limits.DEVICES - 1)]
    links = [GENESIS]
    for number, key in enumerate(keys, 1):
        links.append(add(number, A, key, links[-1]))  # type: ignore[arg-type]
    base = links[-1]
    last = dict.fromkeys(keys, base)
    while len(links) < limits.CHAIN_LINKS:
        signer = random.choice(keys)
        link = revoke(len(links), signer, random.choice(keys), last[signer], base)  # type: ignore[arg-type]
        last[signer] = link
        links.append(link)
    began = time.process_time()
    authority.resolve(links)
    assert time.process_time() - began < 1.5
