from hashlib import blake2b, blake2s

import pytest

from p2pmsg.crypto import gates
from p2pmsg.model.gates import Ended, GateRow, Purpose
from p2pmsg.model.ids import AccountId

ANN, BOB, CARL = (AccountId(name * 32) for name in (b"a", b"b", b"c"))
KEY = b"k" * 32


def h(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def m(key: bytes, data: bytes) -> bytes:
    return blake2b(data, key=key, digest_size=32).digest()


def test_formulas_are_the_written_ones() -> None:
    assert gates.pair_key(KEY, BOB, ANN) == m(KEY, b"p2pmsg/1/pair\0" + ANN + BOB)
    assert gates.pair_gate(KEY, BOB, ANN) == m(KEY, b"p2pmsg/1/gate/pair\0" + ANN + BOB)
    assert gates.invite_gate(b"s" * 16, ANN) == m(b"s" * 16, b"p2pmsg/1/gate/invite\0" + ANN)
    assert gates.self_conversation(ANN) == h(b"p2pmsg/1/self\0" + ANN)
    assert gates.direct_conversation(BOB, ANN) == h(b"p2pmsg/1/direct\0" + ANN + BOB)


def test_a_tag_covers_nonce_and_addresses() -> None:
    tag = gates.tag(KEY, b"n" * 10, b"\x01\x0a\x00\x00\x01\x10\x00")
    assert tag == blake2s(b"p2pmsg/1/tag\0" + b"n" * 10 + b"\x01\x0a\x00\x00\x01\x10\x00", key=KEY, digest_size=8).digest()
    assert len({tag, gates.tag(KEY, b"o" * 10, b""), gates.tag(KEY, b"n" * 10, b""), gates.tag(b"l" * 32, b"n" * 10, b"")}) == 4


def test_both_of_a_pair_make_the_same() -> None:
    assert gates.pair_gate(KEY, ANN, BOB) == gates.pair_gate(KEY, BOB, ANN)
    assert gates.pair_key(KEY, ANN, BOB) == gates.pair_key(KEY, BOB, ANN)
    assert gates.direct_conversation(ANN, BOB) == gates.direct_conversation(BOB, ANN)


def test_every_key_and_id_is_its_own() -> None:
    made = {
        gates.pair_gate(KEY, ANN, BOB),
        gates.pair_gate(KEY, ANN, CARL),
        gates.pair_gate(KEY, ANN, ANN),
        gates.pair_key(KEY, ANN, BOB),
        gates.invite_gate(KEY, ANN),
        gates.self_conversation(ANN),
        gates.direct_conversation(ANN, ANN),
        gates.direct_conversation(ANN, BOB),
    }
    assert len(made) == 8


def test_an_invite_is_listed_by_16_hex_characters() -> None:
    assert gates.invite_id(b"s" * 16) == h(b"p2pmsg/1/invite/id\0" + b"s" * 16)[:8].hex()
    assert len(gates.invite_id(b"t" * 16)) == 16


def test_a_pair_opens_for_the_one_named_and_an_invite_for_all_but_me() -> None:
    pair, invite = GateRow(KEY, Purpose.PAIR, BOB), GateRow(KEY, Purpose.INVITE, None)
    assert [pair.opens_for(who, ANN) for who in (ANN, BOB, CARL)] == [False, True, False]
    assert [invite.opens_for(who, ANN) for who in (ANN, BOB, CARL, AccountId(bytes(32)))] == [False, True, True, False]


@pytest.mark.parametrize(
    ("ended", "spent_by", "bob", "carl"),
    [
        (None, None, None, None),
        (None, BOB, None, Ended.USED),
        (Ended.USED, BOB, None, Ended.USED),
        (Ended.USED, None, Ended.USED, Ended.USED),
        (Ended.EXPIRED, None, Ended.EXPIRED, Ended.EXPIRED),
        (Ended.EXPIRED, BOB, None, Ended.USED),
        (Ended.WITHDRAWN, None, Ended.WITHDRAWN, Ended.WITHDRAWN),
        (Ended.WITHDRAWN, BOB, Ended.WITHDRAWN, Ended.WITHDRAWN),
    ],
)
def test_whom_an_ended_invite_still_admits(ended: Ended | None, spent_by: AccountId | None, bob: Ended | None, carl: Ended | None) -> None:
    row = GateRow(KEY, Purpose.INVITE, None, ended, spent_by)
    assert (row.ended_for(BOB), row.ended_for(CARL)) == (bob, carl)


def test_a_rows_key_is_not_shown() -> None:
    assert KEY.hex() not in repr(GateRow(KEY, Purpose.PAIR, BOB)) and str(KEY) not in repr(GateRow(KEY, Purpose.PAIR, BOB))
