"""handshake-model.md tells what is asked of the model, and what comes of it, as the tests have it."""

from __future__ import annotations

import re
from pathlib import Path

import p2pmsg
from tests.symbolic.queries import MUTATIONS, QUERIES, REDUNDANT

PAGE = (Path(p2pmsg.__file__).parent / "docs" / "handshake-model.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table of a section, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")][2:]


def test_each_question_stands_with_its_answer() -> None:
    told = [(name, claims, answer, "long" in note) for name, claims, answer, note in rows("Results")]
    assert told == [(each.name, ", ".join(sorted(each.kinds)), "holds" if each.holds else "broken", each.long) for each in QUERIES]


def test_what_does_not_hold_is_a_finding() -> None:
    notes = {note for _, _, answer, note in rows("Results") if answer == "broken"}
    findings = PAGE.split("\n## Findings\n")[1].split("\n## ")[0]
    numbers = re.findall(r"^(\d)\. \*\*", findings, re.MULTILINE)
    assert notes == {f"finding {number}" for number in numbers[: len(notes)]}


def test_each_mutation_stands_with_the_claim_that_sees_it() -> None:
    assert rows("Broken on purpose") == [[each.name, ", ".join(sorted(each.kinds))] for each in MUTATIONS]


def test_each_second_line_stands_there() -> None:
    told = [(query, part) for query, parts in rows("Parts that are second lines") for part in parts.split(", ")]
    assert told == list(REDUNDANT)


def test_every_claim_is_explained() -> None:
    explained = {claim for claim, _ in rows("What is asked")}
    assert explained == {kind for each in (*QUERIES, *MUTATIONS) for kind in each.kinds}
