from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.cli import output
from p2pmsg.errors import Ambiguous, ContactNotFound, InviteUsed, P2pmsgError

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(ANYTHING)
def test_json_is_one_line_of_utf8_with_the_same_value(value: object) -> None:
    line = output.as_json(value)
    assert json.loads(line.decode("utf-8")) == value
    assert line.endswith(b"\n") and not any(byte < 0x20 or byte == 0x7F for byte in line[:-1])


def test_a_lone_surrogate_is_its_own_escape() -> None:
    assert output.as_json("\ud800") == b'"\\ud800"\n'


def test_an_error_as_words_and_as_an_object(capfd: pytest.CaptureFixture[str]) -> None:
    error = Ambiguous("Two.", hint="Say which.", candidates=["a\x1b"])
    assert output.failed(error, as_object=False) == 5
    assert capfd.readouterr().err == "Error: Two.\n  a\\x1b\nTry: Say which.\n"
    assert output.failed(error, as_object=True) == 5
    assert json.loads(capfd.readouterr().err)["error"]["candidates"] == ["a\x1b"]


def test_an_error_without_advice(capfd: pytest.CaptureFixture[str]) -> None:
    assert output.failed(P2pmsgError("x", hint=""), as_object=False) == 1
    assert capfd.readouterr().err == "Error: x\n"


def test_a_candidate_that_the_message_names_is_not_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    output.failed(ContactNotFound("No ann. Did you mean Anna?", hint="", candidates=["Anna"]), as_object=False)
    assert capfd.readouterr().err == "Error: No ann. Did you mean Anna?\n"


def test_lines(capfd: pytest.CaptureFixture[str]) -> None:
    output.line("a")
    output.json_line({"b": "ö"})
    output.note("c")
    assert capfd.readouterr() == ('a\n{"b":"ö"}\n', "c\n")


def test_advice_names_the_profile_that_was_named() -> None:
    assert output.of_profile("p2pmsg daemon start", "work") == "p2pmsg --profile work daemon start"
    assert output.of_profile("p2pmsg --profile NAME COMMAND", "work") == "p2pmsg --profile NAME COMMAND"
    assert output.of_profile("p2pmsg daemon start", None) == "p2pmsg daemon start"
    theirs = "Ask its maker for a new one; they type: p2pmsg contact invite"
    assert output.of_profile(theirs, "work") == theirs == InviteUsed("x").hint


def test_words_are_broken_at_blanks_alone() -> None:
    broken = output._broken("Try: one two three\n  four five six seven\n" + "x" * 30, 20)
    assert broken == "Try: one two three\n  four five six\n    seven\n" + "x" * 30
    assert output._broken("a" * 10 + " b" * 20, None) == "a" * 10 + " b" * 20
