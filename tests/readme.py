"""The README as those read it who do what it says: its blocks, and where each belongs."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_WHO = re.compile(r"# on (Ann|Bob)'s machine\n")
BLOCKS: list[tuple[str, str]] = _BLOCK.findall(README)
"""Language and text of every fenced block, in order."""


def steps(heading: str) -> list[tuple[str | None, str]]:
    """Return the lines to type of the section of that heading, in order, each with whose machine it is for; None: with both."""
    section = README.split(f"\n## {heading}\n")[1].partition("\n## ")[0]
    found = []
    for _, block in _BLOCK.findall(section):
        who = _WHO.match(block)
        found += [(who[1] if who else None, line) for line in block.removeprefix(who[0] if who else "").splitlines()]
    return found
