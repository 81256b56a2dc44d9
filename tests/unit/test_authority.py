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
from p2pmsg.model.accounts import ChainLink, LinkKind
from p2pmsg.model.events import Conversation, ConversationKind
from p2pmsg.model.ids import AccountId, ChainLinkId, ConversationId, DeviceKey
from p2pmsg.protocol import authority
from tests.unit.people import Person

KEY = DeviceKey(b"k" * 32)
ROOT = b"r" * 32


def link_id(number: int) -> ChainLinkId:
    return ChainLinkId(number.to_bytes(2, "big") * 16)


def genesis(number: int = 0) -> ChainLink:
    account = AccountId(link_id(number))
    return ChainLink(link_id(number), LinkKind.GENESIS, b"", b"", account, (), ROOT, "Ann", KEY, "laptop", b"")


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


@pytest.mark.parametrize("signer", [ROOT, b"x" * 32])
def test_a_signer_who_was_no_admin_is_refused(signer: bytes) -> None:
    assert "no admin" in refused(genesis(), profile(1, 0, signer=signer))


def test_a_link_that_does_not_rest_on_genesis_is_refused() -> None:
    assert "no admin" in refused(genesis(), replace(profile(1), previous=()))


def test_two_links_of_one_signer_side_by_side_are_refused() -> None:
    assert "side by side" in refused(genesis(), profile(1, 0), profile(2, 0))
    assert "side by side" in refused(*line(3), profile(7, 1), profile(8, 2, 7))


def test_the_number_of_links_is_limited() -> None:
    whole = line(limits.CHAIN_LINKS + 1)
    assert len(authority.resolve(whole[:-1]).links) == limits.CHAIN_LINKS
    assert "too many" in refused(*whole)


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
def chains(draw: st.DrawFn) -> list[ChainLink]:
    """Good chains: each link rests on the one before, and perhaps on older ones too."""
    links = [genesis()]
    for number in range(1, draw(st.integers(1, 12))):
        older = draw(st.sets(st.integers(0, number - 1), max_size=3)) | {number - 1}
        links.append(profile(number, *sorted(older), nickname=draw(st.none() | st.text("abc", min_size=1, max_size=3))))
    return links


@given(chains(), st.randoms(use_true_random=False))
def test_the_order_of_links_changes_nothing(links: list[ChainLink], random: object) -> None:
    shuffled = list(links)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert authority.resolve(shuffled) == authority.resolve(links)
    assert authority.in_order(shuffled) == authority.in_order(links)


@given(chains())
def test_in_order_has_predecessors_first(links: list[ChainLink]) -> None:
    seen: set[ChainLinkId] = set()
    for link in authority.in_order(reversed(links)):
        assert seen.issuperset(link.previous)
        seen.add(link.id)
    assert seen == {link.id for link in links}


@given(chains(), st.data())
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
