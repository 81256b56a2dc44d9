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
    ],
)
def test_a_line(text: str, shown: str) -> None:
    assert plain.line(text) == shown


def test_marks_do_not_pile_up() -> None:
    assert plain.line("e" + "\u0301" * 500) == "e" + "\u0301" * plain.MARKS


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
