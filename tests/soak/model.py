"""The long questions to the model of the handshake, and what each part of it is there for."""

from __future__ import annotations

import sys

from tests.symbolic.queries import MUTATIONS, QUERIES, REDUNDANT, Query, ask, broken


def run() -> bool:
    """Ask everything, and tell it line by line; say whether all is as expected."""
    good = True
    kinds = {query.name: query.kinds for query in QUERIES}
    for query in (*QUERIES, *MUTATIONS):
        good = _told(query, query.holds) and good
    for name, part in REDUNDANT:
        good = _told(broken(name, kinds[name], part), True) and good
    return good


def _told(query: Query, holds: bool) -> bool:
    answer = ask(query)
    verdict = "holds" if answer.holds else f"broken: {answer.kind}"
    sys.stdout.write(
        f"{'' if answer.holds is holds else 'UNEXPECTED '}{query.name}: {verdict} ({answer.clauses} clauses, {answer.seconds:.1f} s)\n"
    )
    for step in answer.way:
        sys.stdout.write(f"    {step}\n")
    sys.stdout.flush()
    return answer.holds is holds
