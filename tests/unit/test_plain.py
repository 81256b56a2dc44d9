"""Other people's text as one line. What it shares with terminals is tested in test_cli_text.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.model import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello", "hello"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\u202eb\u2066", "ab"),
        ("a\u200bb", "ab"),
        ("\u2028", "\\u2028"),
        ("e\u0301", "e\u0301"),
        ("山田\u3000太郎\u00a0x\u2800y", "山田 太郎 x y"),
        ("a\U0001bca0b\U0001d173c\ufff0d\u3164e", "abcde"),
    ],
)
def test_a_line(text: str, shown: str) -> None:
    assert plain.line(text) == shown


def test_marks_do_not_pile_up() -> None:
    assert plain.line("e" + "\u0301" * 500) == "e" + "\u0301" * plain.MARKS
    assert plain.line("ᄀ" + "\u1161" * 500) == "ᄀ" + "\u1161" * plain.MARKS  # vowels that are drawn upon the letter before them
    assert plain.line("한국 각") == "한국 각"


def test_what_turns_direction_does_not_begin_a_new_pile() -> None:
    shown = plain.cap_marks("e" + ("\u0301" * 8 + "\u200e") * 60)
    assert shown.count("\u0301") == plain.MARKS and shown.count("\u200e") == 60
    assert plain.cap_marks("e\u0301\u200ee" * 60) == "e\u0301\u200ee" * 60


def test_a_name_keeps_to_its_column() -> None:
    assert plain.name("bob    verified\u3000\u00a0 yes") == "bob verified yes"


def test_what_is_remembered_of_characters_is_bounded() -> None:
    asked: list[str] = []

    def of(character: str) -> str:
        asked.append(character)
        return "x"

    each = plain.Each(of)
    everything = "".join(map(chr, range(0x3000)))
    assert everything.translate(each) == "x" * 0x3000 and len(each) <= 4096 and len(asked) == 0x3000
    assert everything[-10:].translate(each) == "x" * 10 and len(asked) == 0x3000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n\tb  c", "a b c"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 9 + "…"),
        ("one two three", "one two t…"),
        (" " * 500 + "x", "…"),
        ("", ""),
    ],
)
def test_a_summary(text: str, shown: str) -> None:
    assert plain.summary(text, 10) == shown


@given(st.text(max_size=200))
def test_a_summary_is_one_short_line(text: str) -> None:
    found = plain.summary(text, 20)
    assert len(found) <= 20 and plain.line(found) == found and "\n" not in found
