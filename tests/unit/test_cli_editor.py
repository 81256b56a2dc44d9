from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.cli.editor import LEAST_COLUMNS, Keys, Line, Prompt
from tests.unit.terminal import rows


class Screen:
    """A prompt and what it painted."""

    def __init__(self, columns: int = 40, limit: int = 1000) -> None:
        self.painted = b""
        self.prompt = Prompt(self._paint, "> ", limit, lambda: columns)
        self.entered: list[str | None] = []

    def _paint(self, data: bytes) -> None:
        self.painted += data

    def type(self, keys: str | bytes) -> None:
        self.entered += self.prompt.feed(keys.encode() if isinstance(keys, str) else keys)

    def rows(self) -> list[str]:
        return rows(self.painted)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("hello", "hello"),
        ("helo\x1b[Dl", "hello"),
        ("xhello\x01\x04", "hello"),
        ("hello\x7f\x08", "hel"),
        ("hello\x15bye", "bye"),
        ("one two\x17three", "one three"),
        ("one two  \x17", "one "),
        ("ello\x1b[Hh\x1b[F!", "hello!"),
        ("hello\x1b[H\x1b[3~", "ello"),
        ("hello\x1bOH\x0b", ""),
        ("ab\x02\x02\x02\x06\x06\x06c", "abc"),
        ("a\tb", "a b"),
        ("\x1b[A\x1b[B\x1b[15~\x1bxa\x00\x1a", "a"),
        ("Zoë 名", "Zoë 名"),
    ],
)
def test_editing(keys: str, line: str) -> None:
    screen = Screen()
    screen.type(keys + "\r")
    assert screen.entered == [line]


def test_bytes_may_come_one_by_one() -> None:
    screen = Screen()
    for byte in "Zoë\x1b[D\x1b[3~名\n".encode():
        screen.type(bytes([byte]))
    assert screen.entered == ["Zo名"]


def test_several_lines_at_once() -> None:
    screen = Screen()
    screen.type("one\ntwo\nthr")
    assert screen.entered == ["one", "two"] and screen.rows()[-1] == "> thr"


def test_end_of_input_only_on_an_empty_line() -> None:
    screen = Screen()
    screen.type("a\x02\x04")
    assert screen.entered == []
    screen.type("\x04")
    assert screen.entered == [None]


def test_what_comes_in_stands_above_the_line_being_typed() -> None:
    screen = Screen()
    screen.type("half a sen")
    screen.prompt.above("12:03  bob: hi\n       there")
    screen.type("tence")
    assert screen.rows() == ["12:03  bob: hi", "       there", "> half a sentence"]
    screen.prompt.clear()
    assert screen.rows()[-1] == ""


@given(
    st.lists(st.sampled_from(["a", "b ", "\x7f", "\x1b[D", "\x1b[C", "\x17", "\x01", "\x05", "\x04", "\x0b", "xyz" * 9])),
    st.integers(12, 60),
)
def test_the_row_shows_the_line_around_the_cursor(keys: list[str], columns: int) -> None:
    screen = Screen(columns)
    screen.type("." + "".join(keys))
    shown = rows(screen.painted, columns)[-1]
    line = screen.prompt.line
    assert shown.startswith(">") and shown[2:].rstrip() in line.text + " "
    if len(line.text) < columns - 4:
        assert shown == f"> {line.text}".rstrip()


def test_a_note_stands_at_the_end_of_the_row_until_it_is_taken_away() -> None:
    screen = Screen(40)
    screen.prompt.note("Zoë is typing…")
    screen.type("half\x01")
    assert screen.rows() == [f"> half{' ' * 19}Zoë is typing…"]
    screen.prompt.above("Zoë: hi")
    assert screen.rows() == ["Zoë: hi", f"> half{' ' * 19}Zoë is typing…"]
    screen.prompt.note("")
    assert screen.rows() == ["Zoë: hi", "> half"]
    screen.type("!")
    assert screen.rows()[-1] == "> !half"


@given(
    st.lists(st.sampled_from(["a", "b ", "\x7f", "\x1b[D", "\x01", "\x05", "xyz" * 9])), st.integers(12, 60), st.integers(1, 40)
)  # fmt: skip
def test_a_note_leaves_the_line_as_it_is_and_never_wraps(keys: list[str], columns: int, wide: int) -> None:
    plain, noted = Screen(columns), Screen(columns)
    noted.prompt.note("n" * wide)
    for screen in (plain, noted):
        screen.type("." + "".join(keys))
    assert noted.prompt.line.text == plain.prompt.line.text
    shown = rows(noted.painted, columns)[-1]
    fits = wide + 2 + len("> ") + LEAST_COLUMNS <= columns - 1
    assert shown.endswith(f"  {'n' * wide}" if fits else rows(plain.painted, columns)[-1])
    noted.prompt.note("")
    assert rows(noted.painted, columns)[-1] == rows(plain.painted, columns)[-1]


def test_a_line_over_the_limit_takes_no_more() -> None:
    line = Line(3)
    for character in "abcd":
        line.insert(character)
    assert line.take() == "abc" and line.text == "" and line.cursor == 0


@given(st.binary(max_size=200))
def test_no_keys_paint_anything_but_text(data: bytes) -> None:
    screen = Screen()
    screen.type(data)
    assert not any(byte < 0x20 and byte not in b"\r\b" for byte in screen.painted)
    assert b"\x7f" not in screen.painted and b"\x1b" not in screen.painted


def test_a_sequence_without_an_end_is_given_up() -> None:
    assert list(Keys().feed(b"\x1b[" + b"1" * 1_000 + b"~a")) == [("character", "a")]
