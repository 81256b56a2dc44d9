"""Who is there unless a file says otherwise: Ann and Bob, contacts, with running daemons for all tests of the file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.daemons import Somebody, town


@pytest.fixture(scope="module")
def people() -> Iterator[list[Somebody]]:
    with town("Ann", "Bob") as found:
        yield found


@pytest.fixture
def ann(people: list[Somebody]) -> Somebody:
    return people[0]


@pytest.fixture
def bob(people: list[Somebody]) -> Somebody:
    return people[1]
