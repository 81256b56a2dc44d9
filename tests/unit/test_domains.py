import re
from collections import Counter
from pathlib import Path

import p2pmsg
from p2pmsg.crypto import domains

TABLE = {name: value for name, value in vars(domains).items() if name.isupper()}
SOURCES = {path: path.read_text() for path in Path(p2pmsg.__file__).parent.rglob("*.py") if path.name != "domains.py"}
HASHED_AND_SIGNED = {"CHAIN", "EVENT"}
"""The same bytes are hashed for the id and signed: one format, more than one line of source."""


def test_each_string_is_its_own_and_ends_in_nul() -> None:
    assert len(set(TABLE.values())) == len(TABLE)
    assert all(re.fullmatch(rb"p2pmsg/1/[a-z0-9/]+\x00", value) for value in TABLE.values())


def test_none_begins_another() -> None:
    assert not [(a, b) for a in TABLE.values() for b in TABLE.values() if a != b and a.startswith(b)]


def test_each_is_used_in_one_place() -> None:
    uses = Counter(name for text in SOURCES.values() for name in re.findall(r"\bdomains\.([A-Z0-9_]+)", text))
    assert set(uses) == set(TABLE)
    assert [name for name, count in uses.items() if count > 1 and name not in HASHED_AND_SIGNED] == []


def test_no_domain_string_stands_outside_the_table() -> None:
    assert [path for path, text in SOURCES.items() if re.search(r"""b["']p2pmsg/1/""", text)] == []
