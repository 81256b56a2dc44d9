"""What is claimed of the handshake holds in the model; what is a limit is one; and a model that is broken on purpose is seen to be."""

from __future__ import annotations

import pytest

from p2pmsg.crypto import domains
from tests.symbolic.handshake import AGREE
from tests.symbolic.notation import HASHES, SIGNATURES
from tests.symbolic.queries import HIDING, INTEGRITY, MUTATIONS, QUERIES, Query, ask
from tests.symbolic.renewal import READ

SHORT = [query for query in QUERIES if not query.long]


def named(query: Query) -> str:
    return query.name


@pytest.mark.parametrize("query", SHORT, ids=named)
def test_it_is_as_the_page_says(query: Query) -> None:
    answer = ask(query)
    assert answer.holds is query.holds, f"{answer.kind}: {answer.way}"
    if answer.holds and HIDING not in query.kinds:  # people do get to the end, else nothing could go wrong
        assert answer.met == ({READ} if INTEGRITY in query.kinds else set(AGREE))


@pytest.mark.parametrize("query", MUTATIONS, ids=named)
def test_a_broken_protocol_is_seen(query: Query) -> None:
    answer = ask(query)
    assert not answer.holds
    assert answer.way


LINKS = {"chain/join", "chain/reroot"}
"""Second signatures in links of a chain: an account has one device in the model."""


def test_the_model_has_each_domain_of_the_code() -> None:
    """A new domain string of the handshake or the channel is a new message or key, and must be modelled."""
    names = {value.decode().removeprefix("p2pmsg/1/").rstrip("\0") for value in vars(domains).values() if isinstance(value, bytes)}
    wanted = {name for name in names if name.split("/")[0] in ("hs", "ch", "sas", "gate", "pair", "chain", "heads")} - LINKS
    assert {name.removeprefix("S:") for name in (*HASHES, *SIGNATURES)} == wanted
