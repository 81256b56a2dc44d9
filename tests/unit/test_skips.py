"""Where `scripts/test` runs as root on a fresh machine nothing is skipped: it installs whatever a test would be skipped without."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.lan.conftest import PACKAGES

TESTS = Path(__file__).parents[1]
SCRIPT = (TESTS.parent / "scripts" / "test").read_text(encoding="utf-8")
SOURCES = [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.py"))]
NOT_OURS = {
    "root": "another user runs the tests",
    "Linux": "another system",
    "little-endian": "another machine",
    "/dev/full": "another system",
    "limit on file sizes": "another system",
    "apt-get install": "a package, which scripts/test installs",
    "becomes another user": "another user runs the tests",
}
"""What else the reason of a skip may be about: part of the reason -> why scripts/test can do nothing about it."""


def installed() -> dict[str, str]:
    """Return what scripts/test installs as root: program -> package."""
    listed = re.search(r"^for pair in (.*?); do$", SCRIPT, re.MULTILINE | re.DOTALL)
    assert listed is not None
    return dict(pair.split(":") for pair in listed[1].replace("\\\n", " ").split())


def reasons() -> set[str]:
    """Return every reason that a test gives for being skipped."""
    calls = [
        node
        for source in SOURCES
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("skip", "skipif")
    ]
    words = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "reason"]
    words += [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "skip"]
    assert len(words) == len(calls)
    return {word.value for word in words if isinstance(word, ast.Constant)}


def test_what_a_skip_would_have_installed_is_installed() -> None:
    named = {package for reason in reasons() for package in reason.partition("apt-get install ")[2].split()}
    assert named >= {"zsh", "fish", "systemd"}
    assert named <= set(installed().values())


def test_what_the_network_tests_ask_for_is_installed() -> None:
    assert {"ip", "nft"} <= set(PACKAGES)
    assert PACKAGES.items() <= installed().items()


def test_every_other_reason_is_one_that_nothing_can_be_done_about() -> None:
    assert [reason for reason in reasons() if not any(part in reason for part in NOT_OURS)] == []
