import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.crypto import signing, words
from p2pmsg.crypto.kem import PUBLIC_BYTES
from p2pmsg.errors import UsageError

ENTROPY = st.binary(min_size=32, max_size=32)


def test_vectors_of_bip_39() -> None:
    assert words.new(bytes(32)) == ["abandon"] * 23 + ["art"]
    assert words.new(b"\xff" * 32) == ["zoo"] * 23 + ["vote"]
    assert " ".join(words.new(b"\x7f" * 32)).startswith("legal winner thank year wave sausage worth useful legal")


@given(ENTROPY)
def test_round_trip(entropy: bytes) -> None:
    assert words.entropy(words.new(entropy)) == entropy


def test_case_does_not_matter() -> None:
    assert words.entropy([word.upper() for word in words.new(bytes(32))]) == bytes(32)


@pytest.mark.parametrize(
    "wrong",
    [
        ["abandon"] * 24,
        ["abandon"] * 23,
        ["abandon"] * 23 + ["art", "art"],
        [],
        ["abandon"] * 23 + ["xyzzy"],
        ["abandon"] * 23 + [""],
        ["abandon"] * 23 + ["a" * 10_000],
    ],
    ids=["checksum", "one short", "one more", "none", "unknown word", "empty word", "long word"],
)
def test_wrong_words_are_refused_without_repeating_them(wrong: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        words.entropy(wrong)
    assert "abandon" not in str(caught.value)
    assert "xyzzy" not in str(caught.value)


def test_root_and_backup_keys_follow_from_the_words_alone() -> None:
    public, secret = words.root_keypair(bytes(32))
    assert words.root_keypair(bytes(32)) == (public, secret)
    signing.verify(public, signing.sign(secret, b"m"), b"m")
    assert len(words.backup_public(bytes(32))) == PUBLIC_BYTES
    assert words.root_keypair(b"\x01" * 32)[0] != public


def test_other_lengths_of_entropy_are_our_fault() -> None:
    with pytest.raises(ValueError, match="32"):
        words.new(bytes(16))
