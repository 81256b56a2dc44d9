import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.cli import text

BIDI = {0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
EVERYTHING = st.text(st.characters())


def commands_terminal(code: int) -> bool:
    return code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029)


@given(EVERYTHING)
def test_a_line_has_no_control_and_no_bidi_character(words: str) -> None:
    shown = text.line(words)
    assert not any(commands_terminal(ord(each)) or ord(each) in BIDI for each in shown)


@given(EVERYTHING)
def test_a_body_has_no_control_but_newlines_that_are_indented(words: str) -> None:
    shown = text.body(words, indent="      ")
    assert not any(commands_terminal(ord(each)) for each in shown if each != "\n")
    assert all(line.startswith("      ") for line in shown.split("\n")[1:])


@given(EVERYTHING)
def test_what_a_line_of_a_body_opens_it_closes(words: str) -> None:
    for line in text.body(words).split("\n"):
        depth: list[str] = []
        for each in line:
            if each in "\u2066\u2067\u2068":
                depth.append("\u2069")
            elif each in "\u202a\u202b\u202d\u202e":
                depth.append("\u202c")
            elif each in "\u2069\u202c":
                assert depth.pop() == each
        assert not depth


def test_every_code_point_alone_is_harmless() -> None:
    for code in range(0x110000):
        shown = text.line(chr(code))
        assert not any(commands_terminal(ord(each)) or ord(each) in BIDI for each in shown), hex(code)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("a\rb\bc\x7f", "a\\x0db\\x08c\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("bob\nann: hi", "bob\\x0aann: hi"),
        ("b\u202eob\u2066", "bob"),
        ("a\u200bl\u2060i\ufeffce\U000e0041", "alice"),
        ("\u2028x", "\\u2028x"),
        ("\ud800", "\\ud800"),
        ("Zoë", "Zoë"),
    ],
)
def test_names(words: str, shown: str) -> None:
    assert text.line(words) == shown


def test_newlines_of_a_body_are_kept_and_returns_alone_are_not() -> None:
    assert text.body("a\nb\r\nc\rd", indent="  ") == "a\n  b\n  c\\x0dd"


def test_a_body_that_turns_is_isolated_and_one_that_does_not_is_left_alone() -> None:
    assert text.body("a\u202eb") == "\u2068a\u202eb\u202c\u2069"
    assert text.body("\u05e9\u05dc\u05d5\u05dd") == "\u2068\u05e9\u05dc\u05d5\u05dd\u2069"
    assert text.body("naïve\tcafé") == "naïve    café"


def test_an_emoji_in_a_body_stays_whole() -> None:
    family, flag = "👨\u200d👩\u200d👧", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert text.body(family + flag) == family + flag


def test_marks_are_capped() -> None:
    shown = text.body("a" + "\u0301" * 500 + "b")
    assert sum(unicodedata.combining(each) > 0 for each in shown) == text.MARKS
    assert text.body("a" + "\u200b" * 500) == "a" + "\u200b" * text.MARKS


def test_columns_are_aligned_by_display_width() -> None:
    rows = text.table([["名前", "x"], ["ann", "y"], ["e\u0301", "z"]]).split("\n")
    assert rows == ["名前  x", "ann   y", "e\u0301     z"]


@pytest.mark.parametrize(
    ("words", "columns", "kept"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("名前", 3, "名…"), ("名前", 2, "…"), ("", 0, "")]
)
def test_what_is_cut_says_so(words: str, columns: int, kept: str) -> None:
    assert text.cut(words, columns) == kept


def test_no_other_module_of_the_cli_writes_to_the_terminal() -> None:
    for path in Path(text.__file__).parent.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "print(" not in source.replace("_print(", "") and "click.echo" not in source, path


def test_words_are_broken_at_blanks_and_nothing_is_lost() -> None:
    assert text.wrapped("one two three", 7) == ["one two", "three"]
    assert text.wrapped("a/path/that/is/long to copy", 7) == ["a/path/that/is/long", "to copy"]
    assert text.wrapped("", 7) == [""] and text.wrapped("山山 山山", 6) == ["山山", "山山"]


@given(st.lists(st.text(st.characters(exclude_characters=" "), min_size=1), min_size=1), st.integers(1, 40))
def test_broken_lines_hold_the_same_words(words: list[str], columns: int) -> None:
    lines = text.wrapped(" ".join(words), columns)
    assert " ".join(lines) == " ".join(words)
    assert all(text.width(line) <= columns or " " not in line for line in lines)


def test_the_last_column_of_a_table_keeps_to_its_place() -> None:
    rows = [["a", "the words of one"], ["long", "b"]]
    assert text.table(rows, 80) == text.table(rows) == "a     the words of one\nlong  b"
    assert text.table([["a", "the words of somebody here"], ["long", "b"]], 23).split("\n") == [
        "a     the words of",
        "      somebody here",
        "long  b",
    ]
    assert text.table(rows, 12) == text.table(rows)  # too narrow to read
