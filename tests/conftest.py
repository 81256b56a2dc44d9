"""What every test stands on: a clean environment, homes with short paths, and skips that are counted, or forbidden."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

LAN = Path(__file__).parent / "lan"
INTEGRATION = Path(__file__).parent / "integration"
REQUIRE_LAN = "P2PMSG_REQUIRE_LAN"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in [name for name in os.environ if name.startswith("P2PMSG_")]:
        if name != REQUIRE_LAN:
            monkeypatch.delenv(name)
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a P2PMSG_HOME, 0700; its path is short enough for a socket, unlike that of `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have a test of whole daemons that fails run once more: the machine is shared, and the deadlines are people's. The summary tells."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in (LAN, INTEGRATION)):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With P2PMSG_REQUIRE_LAN=1 a LAN test that is skipped has failed."""
    report = yield
    if os.environ.get(REQUIRE_LAN) == "1" and report.skipped and item.path.is_relative_to(LAN):
        report.outcome = "failed"
        report.longrepr = f"skipped, and {REQUIRE_LAN}=1 forbids it: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the skipped tests by reason: none is meant to go unseen."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    terminalreporter.write_line(f"Skipped tests: {sum(reasons.values())}")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} x {reason.removeprefix('Skipped: ')}")
