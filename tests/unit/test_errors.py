from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg import errors
from p2pmsg.errors import HomeUnusable, P2pmsgError, StorageFull, file_faults


def below(kind: type[P2pmsgError]) -> Iterator[type[P2pmsgError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


TREE = sorted(set(below(P2pmsgError)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", TREE)
def test_every_error_gives_advice_and_stands_in_the_drawing(kind: type[P2pmsgError]) -> None:
    assert kind("what happened").hint
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", TREE)
def test_an_error_leaves_with_the_status_of_its_branch(kind: type[P2pmsgError]) -> None:
    parent = kind.__bases__[0]
    assert issubclass(parent, P2pmsgError)
    assert parent is P2pmsgError or kind.exit_status == parent.exit_status


def test_no_two_errors_that_people_see_have_one_code() -> None:
    leaves = [kind for kind in TREE if not kind.__subclasses__()]
    codes = [kind.code for kind in leaves if kind.code != "not_permitted"]
    assert sorted(codes) == sorted(set(codes))


def test_the_object_of_the_contract() -> None:
    error = errors.Ambiguous("two", hint="say which", candidates=["a", "b"])
    assert error.as_json() == {"code": "ambiguous", "message": "two", "hint": "say which", "candidates": ["a", "b"]}
    assert str(error) == "two"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_other_faults(number: int) -> None:
    with pytest.raises(StorageFull, match="/x could not be written: the disk is full"), file_faults("/x"):
        raise OSError(number, "")


def test_a_fault_names_the_file_that_it_is_about() -> None:
    with pytest.raises(HomeUnusable, match="/nowhere/y cannot be used: No such file"), file_faults("/x"):
        Path("/nowhere/y").read_bytes()


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="mine"), file_faults("/x"):
        raise ValueError("mine")
