"""People and daemons for the unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scripted import Daemon, daemon_at


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    """A running daemon that answers as the test's script says."""
    with daemon_at(home) as running:
        yield running
