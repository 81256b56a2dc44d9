import ast
import re
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.cli import text
from tests.unit.terminal import balanced, drawn

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
    assert all(map(balanced, text.body(words).split("\n")))


UNSEEN = {
    *(0xAD, 0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, *range(0x180B, 0x180E), 0x180F, *range(0x200B, 0x200E), *range(0x2060, 0x2066)),
    *(*range(0x206A, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4)),
    *(*range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
}
"""Default_Ignorable_Code_Point of Unicode but for what turns direction: zero-width, tags, variation selectors, fillers."""


REMOVED = BIDI | UNSEEN


def test_every_code_point_is_harmless() -> None:
    """All 1,114,112, each behind a letter, in a name and in a message; a page of 256 at a time, for the sake of time."""
    for page in range(0, 0x110000, 256):
        words = "".join(f"a{chr(code)}" for code in range(page, page + 256))
        shown = text.line(words)
        assert not any(commands_terminal(ord(each)) or ord(each) in REMOVED for each in shown), hex(page)
        first, *rest = text.said("12:00  bob: ", words, 80).split("\n")
        assert all(row.startswith(" " * 12) for row in rest), hex(page)
        assert all(balanced(row) and not any(map(commands_terminal, map(ord, row))) for row in (first, *rest)), hex(page)


@pytest.mark.parametrize("code", BIDI)
def test_a_control_of_direction_is_isolated(code: int) -> None:
    said = text.said("12:00  bob: ", f"a{chr(code)}b", 80)
    assert (said[12], said[-1]) == ("\u2068", "\u2069")


def test_every_control_of_direction_is_isolated_and_balanced_wherever_a_row_ends() -> None:
    for code in BIDI:
        for row in text.said("12:00  bob: ", (chr(code) + "word ") * 40, 60).split("\n"):
            assert balanced(row), hex(code)


FORGED = "12:01  ann: forged"
PADDED = ["x" * 67 + FORGED, "x " + " " * 66 + FORGED, ("x" * 63 + " ") + FORGED, "山" * 33 + " " * 2 + FORGED, "⚠" * 36 + FORGED]
PADDED += ["x" * 68 + "\n" + FORGED, "x" * 68 + "\u3000" * 40 + FORGED, "x" * 300 + " " + FORGED, "\u00a0".join([FORGED] * 20)]
PADDED += [f"{FORGED}  " * 9, *(f"{'é' * n} {FORGED}  * ann was removed" for n in range(60))]


@pytest.mark.parametrize("words", PADDED)
@pytest.mark.parametrize("columns", [40, 80, 81])
def test_no_row_of_a_message_looks_like_the_head_of_another(words: str, columns: int) -> None:
    """Were the terminal to break rows, a text could choose what stands at the beginning of the next."""
    first, *rest = drawn(text.said("12:00  bob: ", words, columns), columns)
    assert first.startswith("12:00  bob: ")
    for row in rest:
        assert row.startswith("          ") or not re.search(r"\s", row), rest


NAMES = st.text(st.sampled_from("a 山⚠é\u3000\u0301*"), min_size=1, max_size=64)


@given(NAMES, st.text(st.sampled_from("a  \u3000⚠山\u05d0\u0301\u202e\u2066\n:*1x"), max_size=300), st.integers(20, 130))
def test_rows_are_never_longer_than_the_terminal_and_nothing_is_lost(name: str, words: str, columns: int) -> None:
    head = f"12:00  {text.name(name)}: "
    shown = text.said(head, words, columns)
    plain = "".join(each for each in shown if each not in "\u2068\u2069\u202c \n")
    assert plain == "".join(each for each in text.body(head + words) if each not in "\u2068\u2069\u202c \n")
    first, *rest = shown.split("\n")
    assert all(row.startswith(" " * min(text.width(head), 20, columns // 4)) for row in rest)
    for row in (first, *rest):
        assert balanced(row) and (text._most(row) <= columns + 1 or " " not in row.strip())  # + 1: marks of isolation count


def test_a_name_cannot_make_a_row_of_its_own() -> None:
    head = "12:00  " + text.name("x" + "\u3000" * 40 + "名" * 20 + "* ann was removed") + "~7f3a91c2: "
    assert all(row.startswith("    ") for row in drawn(text.said(head, "hi", 60), 60)[1:])
    assert all(row.startswith("    ") for row in drawn(text.hanging(head + "is here", 60), 60)[1:])


def test_an_address_stands_whole_to_be_copied() -> None:
    url = "https://example.org/" + "x" * 100
    assert url in text.said("12:00  bob: ", f"see {url} there", 80)
    assert text.said("12:00  bob: ", "short", 80) == "12:00  bob: short"
    assert text.said("12:00  bob: ", "a b " * 30, None).count("\n") == 0


KINDS = ["a b ", "x", " ", "\n", "\t", "\u05e9\u05dc ", "a\u0301\u0301", "\u0301", "\u2066", "\u2066x\u2069", "\u202e", "\x1b[", "\x9b"]
KINDS += ["山", "👨\u200d", "\u202eab c\n", "\ud800", "\u200b", "\U000e0041", "https://a.b/ ", "\u3000", "😀", "ᄀ\u1161"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [None, 80])
def test_the_time_it_takes_is_linear(kind: str, columns: int | None) -> None:
    """64 KiB cost at most 20 times what 4 KiB cost."""
    each = len(kind.encode("utf-8", "surrogatepass"))
    small, large = (kind * (size // each) for size in (4096, 65_536))

    def cost_s(words: str) -> float:
        began = time.process_time()
        text.said("12:00  bob: ", words, columns)
        text.cut(text.line(words), 60)
        return time.process_time() - began

    for _ in range(6):  # what else this machine does may fall on one
        ratio = min(cost_s(large) for _ in range(5)) / max(min(cost_s(small) for _ in range(20)), 50e-6)
        if ratio <= 20:
            return
    pytest.fail(f"{ratio:.1f} times")


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
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert not {"print", "click.echo", "sys.stdout.write"} & set(calls), path


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
