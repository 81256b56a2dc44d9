from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import limits
from p2pmsg.crypto import chain
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink
from p2pmsg.model.ids import AccountId
from p2pmsg.protocol import authority
from p2pmsg.protocol.proofs import PROOF_BYTES, ChainReader, Proof, Verifier, encode_chain
from tests.unit.meeting import knowledge
from tests.unit.people import Person, join, put_out

ANN = Person("Ann", nicknames=("Ann B.", "Ann C."))
BOB = Person("Bob")
TEXT = b"p2pmsg/1/test\0what is signed"


def proof_of(person: Person, links: Sequence[ChainLink] | None = None) -> Proof:
    heads = chain.heads_digest(authority.heads(links if links is not None else person.links))
    return Proof(person.account, person.key, heads, person.sign(TEXT))


def forms(links: Sequence[ChainLink]) -> list[bytes]:
    return [chain.wire_form(link) for link in links]


def verifier(stored: Sequence[ChainLink] = (), **kept_out: bool) -> Verifier:
    know = knowledge(BOB, stored=stored)
    return Verifier(BOB.key, know.known, know.links_of, lambda account, device: not kept_out)


def read(payloads: Sequence[bytes]) -> list[bytes]:
    reader = ChainReader()
    assert [reader.read(payload) for payload in payloads] == [False] * (len(payloads) - 1) + [True]
    return reader.forms


# -- CHAIN frames


def test_a_chain_comes_back() -> None:
    assert read(encode_chain(ANN.links)) == forms(ANN.links)


def test_an_empty_chain_is_one_last_frame() -> None:
    assert encode_chain(()) == [b"\x01"]
    assert read([b"\x01"]) == []


def test_a_long_chain_fills_frames_of_at_most_60000_bytes() -> None:
    links = ANN.links * 70
    pages = encode_chain(links)
    assert read(pages) == forms(links)
    assert all(limits.CHAIN_FRAME_BYTES - limits.CHAIN_LINK_BYTES < len(page) <= limits.CHAIN_FRAME_BYTES for page in pages[:-1])


def entry(size: int) -> bytes:
    return size.to_bytes(2, "big") + bytes(size)


@pytest.mark.parametrize(
    ("payloads", "fits"),
    [
        ([b"\x01" + entry(4096)], True),
        ([b"\x01" + entry(4097)], False),
        ([b"\x01" + entry(65)], True),
        ([b"\x01" + entry(64)], False),
        ([b"\x00" + entry(65) * 500, b"\x01" + entry(65) * 500], True),
        ([b"\x00" + entry(65) * 500, b"\x01" + entry(65) * 501], False),
        ([b"\x00" + entry(4096) * 14] * 4 + [b"\x01" + entry(4096) * 7], True),
        ([b"\x00" + entry(4096) * 14] * 4 + [b"\x01" + entry(4096) * 8], False),
        ([b"\x00"] * 5 + [b"\x01"], True),
        ([b"\x00"] * 6 + [b"\x01"], False),
        ([b"\x01" + entry(4096) * 14 + entry(2625)], True),
        ([b"\x01" + entry(4096) * 14 + entry(2626)], False),
        ([b""], False),
        ([b"\x02"], False),
        ([b"\x01\x00"], False),
        ([b"\x01\x10\x00" + bytes(4095)], False),
    ],
)
def test_limits_of_the_frames(payloads: list[bytes], fits: bool) -> None:
    if fits:
        read(payloads)
    else:
        with pytest.raises(PeerMisbehaved):
            read(payloads)


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_payloads_give_forms_or_peer_misbehaved(payloads: list[bytes]) -> None:
    reader = ChainReader()
    try:
        for payload in payloads:
            reader.read(payload)
    except PeerMisbehaved:
        return
    assert sum(map(len, reader.forms)) <= sum(map(len, payloads))


# -- proofs


def test_a_proof_is_160_bytes() -> None:
    proof = proof_of(ANN)
    assert len(proof.pack()) == PROOF_BYTES == 160
    assert Proof.unpack(proof.pack()) == proof
    assert proof.device_id == ANN.device
    for size in (0, 159, 161):
        with pytest.raises(PeerMisbehaved):
            Proof.unpack(bytes(size))


def test_who_is_kept_out_is_refused_before_his_signature_is_looked_at() -> None:
    bad = Proof(ANN.account, ANN.key, bytes(32), bytes(64))
    with pytest.raises(PeerMisbehaved, match="kept out"):
        verifier(ann=True).check_signed(bad, TEXT)


def test_my_own_key_is_refused_before_the_signature_and_a_bad_signature_after() -> None:
    with pytest.raises(PeerMisbehaved, match="own device"):
        verifier().check_signed(Proof(ANN.account, BOB.key, bytes(32), bytes(64)), TEXT)
    with pytest.raises(PeerMisbehaved, match="signature"):
        verifier().check_signed(Proof(ANN.account, ANN.key, bytes(32), bytes(64)), TEXT)
    verifier().check_signed(proof_of(ANN), TEXT)


# -- chains


def test_an_unknown_chain_is_taken_whole() -> None:
    shown = verifier().check_chain(proof_of(ANN), forms(ANN.links)[::-1])
    assert (shown.membership.account, shown.membership.nickname) == (ANN.account, "Ann C.")
    assert shown.new_links == ANN.links and shown.went_back is None


def test_a_longer_chain_gives_what_is_new() -> None:
    shown = verifier(ANN.links[:1]).check_chain(proof_of(ANN), forms(ANN.links))
    assert shown.new_links == ANN.links[1:] and shown.went_back is None


def test_a_chain_without_a_link_of_the_device_itself_went_back() -> None:
    shown = verifier(ANN.links).check_chain(proof_of(ANN, ANN.links[:2]), forms(ANN.links[:2]))
    assert shown.new_links == () and shown.membership.nickname == "Ann C." and shown.went_back == ANN.links[2].id


def test_a_device_that_lacks_what_others_have_signed_lags_and_is_taken_with_what_is_known() -> None:
    ann = Person("Ann")
    phone = join(ann, "phone")
    ann.rename("Annie")
    phone.rename("Phony")
    shown = verifier(ann.links).check_chain(proof_of(phone), forms(phone.links))
    assert shown.new_links == phone.links[-1:] and shown.went_back is None
    assert shown.membership.links == {link.id for link in (*ann.links, *phone.links)}


def test_a_device_that_was_put_out_is_refused_whatever_it_shows() -> None:
    ann = Person("Ann")
    phone = join(ann, "phone")
    put_out(ann, phone)
    for links in (phone.links, ann.links):
        with pytest.raises(PeerMisbehaved, match="not active"):
            verifier(ann.links).check_chain(proof_of(phone, links), forms(links))


def test_where_the_heads_are_known_nothing_is_read() -> None:
    shown = verifier(ANN.links).check_chain(proof_of(ANN), [b"rubbish"])
    assert shown.membership.nickname == "Ann C." and shown.new_links == ()


def test_a_stored_link_is_not_verified_again() -> None:
    first = replace(ANN.links[0], signature=bytes(64))
    unsigned = forms((first, *ANN.links[1:]))
    assert verifier((first,)).check_chain(proof_of(ANN), unsigned).new_links == ANN.links[1:]
    with pytest.raises(PeerMisbehaved):
        verifier().check_chain(proof_of(ANN), unsigned)


@pytest.mark.parametrize(
    ("proof", "shown", "stored", "fault"),
    [
        pytest.param(proof_of(ANN, ANN.links[:2]), ANN.links, (), "other heads", id="other heads than were signed"),
        pytest.param(proof_of(ANN), ANN.links[:2], (), "other heads", id="newest link held back"),
        pytest.param(proof_of(ANN), (ANN.links[0], ANN.links[2]), (), "predecessor", id="a link missing"),
        pytest.param(proof_of(ANN), ANN.links[1:], (), "genesis", id="no genesis"),
        pytest.param(proof_of(ANN), (), (), "genesis", id="empty"),
        pytest.param(proof_of(ANN), (*ANN.links, *BOB.links), (), "genesis", id="two accounts mixed"),
    ],
)
def test_chains_that_do_not_hold(proof: Proof, shown: tuple[ChainLink, ...], stored: tuple[ChainLink, ...], fault: str) -> None:
    with pytest.raises(PeerMisbehaved, match=fault):
        verifier(stored).check_chain(proof, forms(shown))


def test_another_accounts_chain_proves_nothing() -> None:
    bobs = Proof(AccountId(bytes(32)), BOB.key, chain.heads_digest(authority.heads(BOB.links)), BOB.sign(TEXT))
    with pytest.raises(PeerMisbehaved, match="account's genesis"):
        verifier().check_chain(bobs, forms(BOB.links))


def test_a_key_that_the_chain_does_not_name_is_refused_with_known_heads_too() -> None:
    heads = chain.heads_digest(authority.heads(ANN.links))
    mallory = Proof(ANN.account, Person("Mallory").key, heads, bytes(64))
    for stored in ((), ANN.links):
        with pytest.raises(PeerMisbehaved, match="not active"):
            verifier(stored).check_chain(mallory, forms(ANN.links))
