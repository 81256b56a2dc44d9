"""What an account chain says, whatever the order in which its links come."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto.chain import device_id
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import Alarm, ChainLink, LinkKind
from p2pmsg.model.events import Conversation, ConversationKind
from p2pmsg.model.ids import AccountId, ChainLinkId, ConversationId, DeviceKey
from p2pmsg.protocol import authority
from tests.unit import chains
from tests.unit.people import Person

A, B, C, D = chains.KEYS[:4]
KEY = DeviceKey(b"k" * 32)
ROOT = b"r" * 32


def link_id(number: int) -> ChainLinkId:
    return ChainLinkId(number.to_bytes(2, "big") * 16)


def genesis(number: int = 0) -> ChainLink:
    account = AccountId(link_id(number))
    return ChainLink(link_id(number), LinkKind.GENESIS, b"", b"", account, (), ROOT, "Ann", KEY, "laptop", b"", admin=True)


def profile(number: int, *previous: int, nickname: str | None = None, signer: bytes = KEY, account: int = 0) -> ChainLink:
    before = tuple(link_id(each) for each in previous)
    return ChainLink(link_id(number), LinkKind.PROFILE, b"", b"", AccountId(link_id(account)), before, signer, nickname)


def line(length: int) -> list[ChainLink]:
    """A chain of a genesis and profiles, one after the other."""
    return [genesis(), *(profile(n, n - 1, nickname=f"Ann {n}") for n in range(1, length))]


def refused(*links: ChainLink) -> str:
    with pytest.raises(PeerMisbehaved) as caught:
        authority.resolve(links)
    return str(caught.value)


def test_a_genesis_alone_names_account_device_and_nickname() -> None:
    ann = Person("Ann")
    found = authority.resolve(ann.links)
    (device,) = found.devices.values()
    assert (found.account, found.heads, found.links, found.nickname) == (ann.account, (ann.account,), frozenset({ann.account}), "Ann")
    assert (device.id, device.key, device.name, device.admin) == (device_id(ann.account, ann.key), ann.key, "Ann's laptop", True)
    assert found.active(ann.device) and not found.active(Person("Bob").device)


def test_the_last_profile_counts_and_is_the_head() -> None:
    ann = Person("Ann", nicknames=("Anna", "Annie"))
    found = authority.resolve(ann.links)
    assert found.nickname == "Annie" and found.heads == (ann.links[-1].id,)


def test_a_profile_without_a_nickname_leaves_the_one_before() -> None:
    assert authority.resolve([genesis(), profile(1, 0, nickname="Anna"), profile(2, 1)]).nickname == "Anna"


def test_a_link_given_twice_counts_once() -> None:
    assert authority.resolve([*line(3), *line(3)]) == authority.resolve(line(3))


def test_a_chain_without_genesis_or_with_two_is_refused() -> None:
    assert "genesis" in refused() and "genesis" in refused(profile(1, 1))
    assert "genesis" in refused(genesis(), genesis(1))


def test_a_missing_predecessor_is_refused() -> None:
    assert "predecessor" in refused(genesis(), profile(2, 1))
    assert "predecessor" in refused(genesis(), profile(2, 0, 1))


def test_a_link_of_another_account_is_refused() -> None:
    assert "another account" in refused(genesis(), profile(1, 0, account=7))


def test_a_signer_who_was_no_admin_is_refused() -> None:
    assert "no admin" in refused(genesis(), profile(1, 0, signer=b"x" * 32))


def test_a_link_that_does_not_rest_on_genesis_is_refused() -> None:
    assert "no admin" in refused(genesis(), replace(profile(1), previous=()))


def test_two_links_of_one_signer_side_by_side_are_told_of() -> None:
    assert authority.resolve(line(3)).side_by_side == frozenset()
    found = authority.resolve([*line(3), profile(7, 1), profile(8, 2, 7)])
    assert found.side_by_side == {link_id(2), link_id(7)}


def test_the_number_of_links_is_limited() -> None:
    whole = line(limits.CHAIN_LINKS + 1)
    assert len(authority.resolve(whole[:-1]).links) == limits.CHAIN_LINKS
    assert "too many" in refused(*whole)


def test_the_number_of_devices_is_limited() -> None:
    many = [chains.GENESIS]
    for number in range(1, limits.DEVICES + 1):
        many.append(chains.add(number, chains.KEYS[0], DeviceKey(b"%32d" % number), many[-1]))
    assert len(authority.resolve(many[:-1]).devices) == limits.DEVICES
    assert "too many devices" in refused(*many)


def test_devices_tell_who_added_them_and_what_they_may() -> None:
    phone = chains.add(1, A, B, chains.GENESIS)
    box = chains.add(2, B, C, phone, admin=False)
    by_root = chains.add(3, chains.ROOT, D, box)
    gone = chains.revoke(4, A, B, by_root)
    found = {device.key: device for device in authority.resolve([chains.GENESIS, phone, box, by_root, gone]).devices.values()}
    assert [(found[key].admin, found[key].active) for key in (A, B, C, D)] == [(True, True), (True, False), (False, True), (True, True)]
    assert [found[key].added_by for key in (A, D)] == [None, None]
    assert (found[B].added_by, found[C].added_by) == (found[A].id, found[B].id) and found[C].name == "name 2"


def test_who_is_no_admin_signs_nothing() -> None:
    box = chains.add(1, A, B, chains.GENESIS, admin=False)
    assert "no admin" in refused(chains.GENESIS, box, chains.profile(2, B, "Eve", box))
    assert "no admin" in refused(chains.GENESIS, box, chains.reroot(2, chains.ROOT, B, chains.ROOTS[1], box))
    assert "the root's" in refused(chains.GENESIS, chains.reroot(1, A, A, chains.ROOTS[1], chains.GENESIS))


def test_two_links_side_by_side_and_links_of_the_root_are_alarms_once() -> None:
    alone = authority.resolve([chains.GENESIS])
    copied = [chains.GENESIS, chains.profile(1, A, "One", chains.GENESIS), chains.profile(2, A, "Two", chains.GENESIS)]
    twins = authority.resolve(copied)
    assert authority.alarms(alone, twins) == authority.alarms(None, twins) == {Alarm.SIDE_BY_SIDE}
    more = authority.resolve([*copied, chains.profile(3, A, "Three", *copied)])
    assert authority.alarms(twins, more) == authority.alarms(twins, twins) == frozenset()
    worded = authority.resolve([*copied, chains.add(3, chains.ROOT, B, *copied)])
    assert authority.alarms(twins, worded) == {Alarm.BY_ROOT} and authority.alarms(worded, worded) == frozenset()
    first_seen = authority.resolve([chains.GENESIS, chains.add(1, chains.ROOT, B, chains.GENESIS)])
    assert authority.alarms(None, first_seen) == frozenset()


def test_a_device_added_or_removed_by_devices_and_a_reroot_by_root_and_admin_are_no_alarm() -> None:
    links = [chains.GENESIS, phone := chains.add(1, A, B, chains.GENESIS), gone := chains.revoke(2, B, A, phone)]
    links += [chains.reroot(3, chains.ROOT, B, chains.ROOTS[1], gone)]
    assert authority.alarms(authority.resolve(links[:1]), authority.resolve(links)) == frozenset()


def test_concurrent_links_of_two_devices_are_no_alarm() -> None:
    phone = chains.add(1, A, B, chains.GENESIS)
    found = authority.resolve([chains.GENESIS, phone, chains.profile(2, A, "One", phone), chains.profile(3, B, "Two", phone)])
    assert authority.alarms(authority.resolve([chains.GENESIS, phone]), found) == frozenset()


def test_who_lacks_a_link_of_his_own_went_back_who_lacks_those_of_others_did_not() -> None:
    links = [chains.GENESIS, phone := chains.add(1, A, B, chains.GENESIS), mine := chains.profile(2, B, "One", phone)]
    links += [chains.profile(3, A, "Two", mine)]
    ids = [link.id for link in links]
    assert authority.went_back(links, ids[:2], B) and authority.went_back(links, ids[:3], A)
    assert not authority.went_back(links, ids[:3], B) and not authority.went_back(links, ids, A)


def test_a_deep_chain_is_no_deep_recursion() -> None:
    whole = line(limits.CHAIN_LINKS)
    assert authority.in_order(reversed(whole)) == tuple(whole)


@pytest.mark.parametrize("arms", [1, limits.CHAIN_PREDECESSORS])
def test_the_longest_chain_takes_little_memory(arms: int) -> None:
    """Sets of ancestors take 22 to 39 MB, and a peer chooses when we resolve."""
    whole = [genesis(), *(profile(n, *range(max(0, n - arms), n)) for n in range(1, limits.CHAIN_LINKS))]
    tracemalloc.start()
    try:
        authority.resolve(whole)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_ring_of_links_is_refused() -> None:
    assert "ring" in refused(genesis(), profile(1, 0, 2), profile(2, 1))


@st.composite
def grown(draw: st.DrawFn) -> list[ChainLink]:
    """Good chains: each link rests on the one before, and perhaps on older ones too."""
    links = [genesis()]
    for number in range(1, draw(st.integers(1, 12))):
        older = draw(st.sets(st.integers(0, number - 1), max_size=3)) | {number - 1}
        links.append(profile(number, *sorted(older), nickname=draw(st.none() | st.text("abc", min_size=1, max_size=3))))
    return links


@given(grown(), st.randoms(use_true_random=False))
def test_the_order_of_links_changes_nothing(links: list[ChainLink], random: object) -> None:
    shuffled = list(links)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert authority.resolve(shuffled) == authority.resolve(links)
    assert authority.in_order(shuffled) == authority.in_order(links)


@given(grown())
def test_in_order_has_predecessors_first(links: list[ChainLink]) -> None:
    seen: set[ChainLinkId] = set()
    for link in authority.in_order(reversed(links)):
        assert seen.issuperset(link.previous)
        seen.add(link.id)
    assert seen == {link.id for link in links}


@given(grown(), st.data())
def test_heads_only_grow(links: list[ChainLink], data: st.DataObject) -> None:
    part = links[: data.draw(st.integers(1, len(links)))]
    assert authority.resolve(part).links <= authority.resolve(links).links
    assert authority.heads(links) == (links[-1].id,)


def test_heads_are_sorted() -> None:
    assert authority.heads([genesis(), profile(9, 0), profile(3, 0)]) == (link_id(3), link_id(9))


def test_only_members_may_have_a_conversation() -> None:
    ann, bob, eve = (AccountId(bytes((n,)) * 32) for n in range(3))
    talk = Conversation(ConversationId(b"c" * 32), ConversationKind.DIRECT, (ann, bob))
    assert authority.may_have(talk, ann) and authority.may_have(talk, bob) and not authority.may_have(talk, eve)


def test_there_are_no_cutoffs_yet() -> None:
    ann = Person("Ann")
    talk = Conversation(ConversationId(b"c" * 32), ConversationKind.SELF, (ann.account,))
    assert authority.ceiling(talk, ann.device) is None
