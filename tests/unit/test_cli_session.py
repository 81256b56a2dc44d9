from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from p2pmsg.cli.session import LINE_BYTES, argument, read_line, utf8
from p2pmsg.errors import InvalidText, UsageError

Stdin = Callable[[bytes], None]


@pytest.fixture
def stdin() -> Iterator[Stdin]:
    """A way to say what stands on standard input."""
    before = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)

    def give(data: bytes) -> None:
        os.write(writing, data)
        os.close(writing)

    yield give
    os.dup2(before, 0)
    os.close(before)


def test_a_line_is_taken_and_not_a_byte_more(stdin: Stdin) -> None:
    stdin("Zoë\nrest".encode())
    assert read_line() == "Zoë" and os.read(0, 100) == b"rest"


def test_the_end_of_input_is_an_empty_line(stdin: Stdin) -> None:
    stdin(b"")
    assert read_line() == ""


def test_a_line_at_the_limit_and_one_above(stdin: Stdin) -> None:
    stdin(b"x" * LINE_BYTES + b"\n" + b"x" * (LINE_BYTES + 1) + b"\n")
    assert len(read_line()) == LINE_BYTES
    with pytest.raises(UsageError):
        read_line()


@pytest.mark.parametrize("data", [b"\xff", b"a\0", b"\xed\xa0\x80"])
def test_what_is_no_text(data: bytes) -> None:
    with pytest.raises(InvalidText):
        utf8(data)


def test_an_argument_is_its_bytes() -> None:
    assert argument("Zoë") == "Zoë"
    with pytest.raises(InvalidText):
        argument(os.fsdecode(b"\xff"))
