"""A pytest plugin: every property gets many times the examples that it has in an ordinary run.

pytest -p tests.soak.fuzz tests/hostile/test_fuzz.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import settings

TIMES: Final = 50
_SETTINGS: Final = "_hypothesis_internal_use_settings"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        test = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        if (own := getattr(test, _SETTINGS, None)) is not None or hasattr(test, "is_hypothesis_test"):
            own = own or settings()
            setattr(test, _SETTINGS, settings(own, max_examples=own.max_examples * TIMES, deadline=None))
