"""The table of attacks names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import tests.hostile

FOLDER = Path(__file__).parents[1]


def test_every_file_of_the_table_is_there() -> None:
    named = re.findall(r"\b(?:unit|hostile|lan)/\w+\.py", tests.hostile.__doc__ or "")
    assert len(set(named)) > 15
    assert [name for name in named if not (FOLDER / name).is_file()] == []
