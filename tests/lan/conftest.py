"""Makes the LAN in a box for the tests of this folder, or says what is missing for it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lan import avahi
from tests.lan.lan import Lan, namespaces, remove_namespace
from tests.lan.people import Scene

Play = Callable[[Scene], None]

PACKAGES = {"ip": "iproute2", "nft": "nftables", "dnsmasq": "dnsmasq-base", "faketime": "faketime", **avahi.PACKAGES}

AT_ONCE = 12
"""Plays: more of them would wait for each other's processors, on a machine with two."""


@functools.cache
def missing() -> str | None:
    """Say what to type where no LAN can be made; None where nothing is missing."""
    if os.geteuid() != 0:
        return "network namespaces need root: sudo scripts/test"
    packages = [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if packages:
        return f"tools are missing: apt-get update && apt-get install -y {' '.join(packages)}"
    try:
        with Lan(0, prefix=f"p2pmsg{os.getpid()}-try-"):
            return None
    except RuntimeError as fault:
        return f"network namespaces are not allowed here ({fault}): docker run --privileged, or a machine of one's own"


@pytest.fixture(scope="session")
def namespaces_work() -> None:
    """Skip with a reason where no LAN can be made, and fail instead where P2PMSG_REQUIRE_LAN=1."""
    reason = missing()
    if reason is not None:
        give_up = pytest.fail if os.environ.get("P2PMSG_REQUIRE_LAN") == "1" else pytest.skip
        give_up(reason)
    sweep()


@pytest.fixture
def lan(namespaces_work: None) -> Iterator[Callable[..., Lan]]:
    """Return a maker of LANs, called as the class Lan is without `prefix`; they end with the test."""
    numbers = itertools.count(1)
    with contextlib.ExitStack() as running:

        def make(nodes: int = 2, **options: Any) -> Lan:
            return running.enter_context(Lan(nodes, prefix=f"p2pmsg{os.getpid()}-{next(numbers)}-", **options))

        yield make


@pytest.fixture
def scene(namespaces_work: None) -> Iterator[Callable[..., Scene]]:
    """Return a maker of scenes, called as the class Scene is; they end with the test."""
    with contextlib.ExitStack() as running:
        yield lambda nodes=2, **options: running.enter_context(Scene(nodes, **options))


@pytest.fixture(scope="module")
def played(namespaces_work: None, request: pytest.FixtureRequest) -> Iterator[Callable[[Play], None]]:
    """Begin every play that a test of this module is given as `play`, in their order, each in a scene of its own, AT_ONCE at the same time.

    They mostly wait. What this returns waits for the end of one, and raises what it raised; asked again, it plays that one anew.
    """
    tests = [item for item in request.session.items if isinstance(item, pytest.Function) and item.module is request.module]
    plays = [test.callspec.params["play"] for test in tests if hasattr(test, "callspec")]
    nodes = getattr(request.module, "NODES", 2)
    with ThreadPoolExecutor(min(len(plays), AT_ONCE)) as stages:
        ends = {play: stages.submit(_perform, play, nodes) for play in plays}

        def end(play: Play) -> None:
            (ends.pop(play, None) or stages.submit(_perform, play, nodes)).result()

        yield end


def _perform(play: Play, nodes: int) -> None:
    with Scene(nodes) as here:
        play(here)


def sweep() -> None:
    """Remove the namespaces of test runs that were killed before they could."""
    for name in namespaces():
        owner = re.match(r"p2pmsg(\d+)-", name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            with contextlib.suppress(RuntimeError):  # another run was faster
                remove_namespace(name)
