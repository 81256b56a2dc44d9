from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from p2pmsg.cli.demo import DemoFailed, demo
from p2pmsg.cli.session import Session
from p2pmsg.daemon import demo as play

STEPS = [{"step": "meet", "ok": True, "detail": "x\x1b", "elapsed_s": 0.5}, {"step": "done", "ok": False, "detail": None, "elapsed_s": 1.0}]


def act(well: bool) -> Callable[[Callable[[Any], None]], bool]:
    """Return a play that takes no time: Ann and Bob are people."""

    def run(emit: Callable[[Any], None]) -> bool:
        for step in STEPS:
            emit(step)
        return well

    return run


def perform(*flags: str) -> None:
    with demo.make_context("demo", list(flags), obj=Session()) as ctx:
        demo.invoke(ctx)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_each_step_is_said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], flags: list[str]) -> None:
    monkeypatch.setattr(play, "run", act(True))
    perform(*flags)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2 and (lines[0].startswith('{"step":"meet"') if flags else "meet: x\\x1b" in lines[0])


def test_a_step_that_failed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "run", act(False))
    with pytest.raises(DemoFailed):
        perform()
