"""Whom to dial: what happened goes in, dials come out."""

from __future__ import annotations

import itertools

from p2pmsg.config import limits
from p2pmsg.model.addresses import Address, Path
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol.messages import Dial
from p2pmsg.protocol.presence import LATELY_S, UNREACHABLE_S, Presence, Whereabout

BOB, CARL = AccountId(b"b" * 32), AccountId(b"c" * 32)
HERE, THERE = Address("10.0.0.2", 4000), Address("10.0.0.3", 4000)
ALL = frozenset(Path)


def presence(*contacts: AccountId, paths: frozenset[Path] = ALL) -> Presence:
    made = Presence(paths)
    for account in contacts or (BOB,):
        made.contact_added(account, 0.0)
    return made


def test_a_sighted_contact_is_dialled_at_once() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    assert who.poll(0.0) == [Dial(BOB, HERE, Path.MDNS, False)]
    assert who.poll(0.0) == []


def test_strangers_are_not_dialled() -> None:
    who = presence()
    who.sighted(CARL, [HERE], Path.MDNS, 0.0)
    assert who.poll(0.0) == []


def test_a_path_that_is_switched_off_is_not_used() -> None:
    who = presence(paths=frozenset({Path.STATIC}))
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    assert who.poll(0.0) == []


def test_a_failed_dial_is_repeated_every_five_seconds_as_a_redial() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    who.poll(0.0)
    who.dial_ended(BOB, HERE, 1.0)
    assert who.poll(4.0) == []
    assert who.deadline == 5.0
    assert who.poll(5.0) == [Dial(BOB, HERE, Path.MDNS, True)]
    who.dial_ended(BOB, HERE, 10.0)  # after the whole time that a dial may take
    assert who.poll(10.0) == [Dial(BOB, HERE, Path.MDNS, True)]


def test_refusals_make_an_address_rest_longer_each_time_and_an_announcement_ends_that() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    for count, at in ((1, 0.0), (2, 100.0)):
        assert len(who.poll(at)) == 1
        who.dial_ended(BOB, HERE, at, refused=True)
        assert who.deadline == at + limits.REDIAL_EVERY_S * 2**count
    who.sighted(BOB, [HERE], Path.MDNS, 101.0)
    assert len(who.poll(101.0)) == 1


def test_a_linked_contact_is_not_dialled_and_is_again_soon_after_the_link_ended() -> None:
    who = presence()
    who.link_opened(BOB, HERE, Path.INCOMING, 0.0)
    who.sighted(BOB, [THERE], Path.MDNS, 1.0)
    assert who.poll(1.0) == []
    who.link_closed(BOB, HERE, 20.0, said_goodbye=False)
    assert who.poll(20.5) == [Dial(BOB, HERE, Path.INCOMING, True)]


def test_the_two_ends_of_a_silent_link_redial_in_turn_and_so_do_the_ways_to_one_contact() -> None:
    dials = []
    for dialled in (True, False):
        who = presence()
        who.link_opened(BOB, HERE, Path.MDNS, 0.0)
        who.sighted(BOB, [THERE], Path.MDNS, 1.0)
        who.link_closed(BOB, HERE, 20.0, said_goodbye=False, dialled=dialled)
        for _ in range(4):
            dials.append(who.deadline)
            for dial in who.poll(who.deadline or 0.0):
                who.dial_ended(BOB, dial.address, dials[-1] + limits.HANDSHAKE_TIMEOUT_S)
    waits = [late - early for early, late in itertools.pairwise(sorted(dials))]
    assert max(waits) <= limits.REDIAL_EVERY_S / 4 + 0.01


def test_who_fell_silent_is_sought_until_he_is_back_or_an_hour_has_passed() -> None:
    who = presence()
    assert not who.seeking(0.0)
    who.link_opened(BOB, HERE, Path.MDNS, 0.0)
    assert not who.seeking(1.0)
    who.link_closed(BOB, HERE, 10.0, said_goodbye=False)
    assert who.seeking(11.0) and not who.seeking(10.0 + limits.REDIAL_FOR_S)
    who.link_opened(BOB, HERE, Path.MDNS, 20.0)
    assert not who.seeking(20.0)
    who.link_closed(BOB, HERE, 30.0, said_goodbye=True)
    assert not who.seeking(31.0)


def test_who_is_heard_and_cannot_be_reached() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    assert who.unreachable(UNREACHABLE_S - 1) == []
    assert who.unreachable(UNREACHABLE_S) == [BOB]
    who.sighted(BOB, [HERE], Path.MDNS, 60.0)
    assert who.unreachable(60.0) == [BOB]
    assert who.unreachable(60.0 + LATELY_S + 1) == []  # he has gone


def test_who_was_reached_or_refuses_is_not_out_of_reach() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    who.link_opened(BOB, HERE, Path.MDNS, 1.0)
    who.sighted(BOB, [HERE], Path.MDNS, 2.0)
    who.link_closed(BOB, HERE, 20.0, said_goodbye=False)
    assert who.unreachable(50.0) == []
    who.sighted(BOB, [HERE], Path.BEACON, 50.0)
    assert who.unreachable(70.0) == [BOB]
    who.poll(70.0)
    who.dial_ended(BOB, HERE, 70.0, refused=True)
    assert who.unreachable(71.0) == []
    who = presence()
    who.sighted(BOB, [HERE], Path.LAST_KNOWN, 0.0)
    assert who.unreachable(20.0) == []


def test_who_said_goodbye_is_given_time() -> None:
    who = presence()
    who.link_opened(BOB, HERE, Path.MDNS, 0.0)
    who.link_closed(BOB, HERE, 1.0, said_goodbye=True)
    assert who.poll(2.0) == []
    assert who.deadline == 1.0 + limits.REDIAL_EVERY_S


def test_after_an_hour_without_a_sign_nobody_is_dialled() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    assert who.poll(limits.REDIAL_FOR_S + 1) == []
    assert who.deadline is None


def test_static_addresses_are_tried_for_every_contact_and_for_ever() -> None:
    who = presence(BOB, CARL)
    who.anybody_found([HERE], Path.STATIC, 0.0)
    assert {dial.account for dial in who.poll(0.0)} == {BOB, CARL}
    for account in (BOB, CARL):
        who.dial_ended(account, HERE, 5.0)
    assert len(who.poll(10 * limits.REDIAL_FOR_S)) == 2


def many(count: int) -> tuple[Presence, list[AccountId]]:
    """Return somebody whose contacts were all seen at an address each, and are dialled."""
    accounts = [AccountId(bytes([n]) * 32) for n in range(count)]
    who = presence(*accounts, BOB)
    for number, account in enumerate(accounts):
        who.sighted(account, [Address(f"10.0.1.{number}", 4000)], Path.MDNS, 0.0)
    return who, accounts


def test_twenty_dials_a_second() -> None:
    who, _ = many(50)
    assert len(who.poll(0.0)) == limits.DIALS_PER_S
    assert who.poll(0.5) == []
    assert who.deadline == 1.0
    assert len(who.poll(1.1)) == limits.DIALS_PER_S


def test_those_who_do_not_answer_keep_nobody_else_waiting() -> None:
    who, _ = many(10)
    assert len(who.poll(0.0)) == 10
    who.sighted(BOB, [HERE], Path.MDNS, 1.5)
    assert who.poll(1.5) == [Dial(BOB, HERE, Path.MDNS, False)]


def test_whoever_was_just_heard_comes_before_redials() -> None:
    who, accounts = many(20)
    for dial in who.poll(0.0):
        who.dial_ended(dial.account, dial.address, 5.0)
    who.sighted(accounts[7], [Address("10.0.1.7", 4000)], Path.MDNS, 4.0)
    who.sighted(BOB, [HERE], Path.MDNS, 5.0)
    assert [(dial.account, dial.redial) for dial in who.poll(5.0)[:3]] == [(BOB, False), (accounts[7], False), (accounts[0], True)]


def test_a_thousand_announced_addresses_cost_no_more_than_a_few() -> None:
    who = presence()
    for batch in range(100):
        who.sighted(BOB, [Address(f"10.{batch}.0.{n}", 4000) for n in range(10)], Path.MDNS, float(batch))
    assert len(who._contacts[BOB].places) <= 2 * limits.ADDRESSES_PER_CONTACT  # what bounds memory


def test_a_removed_contact_is_forgotten() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    who.contact_removed(BOB)
    assert who.poll(0.0) == []
    who.link_closed(BOB, HERE, 0.0, said_goodbye=False)
    who.dial_ended(BOB, HERE, 0.0)


def test_where_a_contact_was_met_it_is_tried_again_though_no_link_came_of_it() -> None:
    who = presence()
    who.met(BOB, HERE, Path.INCOMING, 0.0)
    assert who.poll(0.0) == []
    assert who.poll(limits.REDIAL_EVERY_S) == [Dial(BOB, HERE, Path.INCOMING, True)]


def test_where_a_stranger_was_met_is_not_kept() -> None:
    who = presence()
    who.met(CARL, HERE, Path.INCOMING, 0.0)
    assert who.deadline is None


def test_a_place_on_a_path_that_is_switched_off_asks_for_no_turn() -> None:
    """Once: the node woke a thousand times a second for it."""
    who = presence(paths=frozenset({Path.MDNS}))
    who.link_opened(BOB, HERE, Path.INCOMING, 0.0)
    who.link_closed(BOB, HERE, 1.0, said_goodbye=False)
    assert who.poll(10.0) == []
    assert who.deadline is None


def test_a_static_peer_that_is_configured_no_more_is_not_dialled_any_more() -> None:
    who = presence()
    who.anybody_found([HERE], Path.STATIC, 0.0)
    who.anybody_found([THERE], Path.STATIC, 0.0)
    assert [dial.address for dial in who.poll(0.0)] == [THERE]


def test_where_a_contact_may_be_is_told() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    who.sighted(BOB, [THERE], Path.BEACON, 1.0)
    who.poll(1.0)
    who.dial_ended(BOB, HERE, 1.0, refused=True)
    assert who.places(BOB) == [Whereabout(THERE, Path.BEACON, 0), Whereabout(HERE, Path.MDNS, 1)]
    assert who.places(CARL) == []


def test_who_was_linked_by_an_address_of_mine_that_is_gone_is_sought_at_once_and_with_repetitions() -> None:
    who = presence()
    who.sighted(BOB, [THERE], Path.MDNS, 0.0)
    who.link_opened(BOB, HERE, Path.MDNS, 0.0)
    who.link_closed(BOB, HERE, 1.0, said_goodbye=True)
    assert who.poll(1.0) == []
    who.moved(BOB, 1.0)
    who.moved(CARL, 1.0)
    assert sorted((dial.address, dial.redial) for dial in who.poll(1.0)) == [(HERE, False), (THERE, False)]


def test_a_sweep_is_asked_for_and_no_setting_switches_it() -> None:
    who = presence(paths=frozenset())
    who.sighted(BOB, [HERE], Path.SWEEP, 0.0)
    assert [dial.path for dial in who.poll(0.0)] == [Path.SWEEP]
    who.link_opened(BOB, HERE, Path.SWEEP, 0.0)
    who.dial_ended(BOB, HERE, 0.0)
    who.link_closed(BOB, HERE, 1.0, said_goodbye=False)
    assert [dial.path for dial in who.poll(60.0)] == [Path.SWEEP]


def test_a_path_that_is_switched_off_is_dialled_no_more_and_again_once_it_is_on() -> None:
    who = presence()
    who.sighted(BOB, [HERE], Path.MDNS, 0.0)
    who.met(BOB, THERE, Path.INVITE, -10.0)
    who.switch(frozenset({Path.STATIC}))
    assert who.poll(0.0) == [] and who.deadline is None
    assert not who.uses(Path.MDNS) and not who.uses(Path.INVITE) and who.uses(Path.SWEEP)
    who.switch(ALL)
    assert {dial.address for dial in who.poll(0.0)} == {HERE, THERE} and who.uses(Path.INCOMING)
