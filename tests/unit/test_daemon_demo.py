"""How the demo is played: here by people who only pretend; the real play is an integration test."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.daemon import demo
from p2pmsg.errors import HomeUnusable, P2pmsgError


class Pretender:
    """Somebody whose daemon says what the play expects."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.account, self.profile = name, name.lower(), None
        self.folder = folder
        self.path: str | None = "mdns"
        self.state = "read"
        self.online = True

    def arrive(self) -> None:
        (self.folder / self.name).write_text("here")

    def ask(self, method: str, **params: Any) -> Any:
        message = {"id": "1", "kind": "text", "mine": True, "state": self.state, "from": {"name": self.name}, "text": f"I am {self.name}"}
        answers: dict[str, Any] = {
            "contact.invite": {"invite": "P2PMSG:X"},
            "history": [message, {**message, "id": "2", "kind": "system"}],
            "status": {"pid": 0},
            "peers": [{"account": "bob", "online": self.online, "path": self.path}],
        }
        return answers.get(method)

    def say(self, to: Pretender, text: str, wait: str | None = None) -> dict[str, Any]:
        return {"id": "1", "state": "delivered"}

    def path_to(self, other: Pretender) -> str | None:
        return self.path


class Stage:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.steps: list[dict[str, Any]] = []
        self.folder = tmp_path / "demo"
        self.killed: list[tuple[int, int]] = []
        self.stopped = 0
        monkeypatch.setattr(demo, "_Person", Pretender)
        monkeypatch.setattr(demo, "_PATIENCE_S", 0.05)
        monkeypatch.setattr(demo.tempfile, "mkdtemp", lambda prefix: self.folder.mkdir() or str(self.folder))
        monkeypatch.setattr(demo.os, "kill", lambda pid, number: self.killed.append((pid, number)))
        monkeypatch.setattr(demo.process, "start", lambda profile: None)
        monkeypatch.setattr(demo.process, "stop", self.stop)

    def stop(self, profile: Any) -> None:
        self.stopped += 1

    def play(self) -> bool:
        return demo.run(self.steps.append)

    def names(self) -> list[str]:
        return [step["step"] for step in self.steps]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(monkeypatch, tmp_path)


def test_every_step_is_told_and_nothing_is_left(stage: Stage) -> None:
    assert stage.play()
    assert stage.names() == ["ann", "bob", "contacts", "discovery", "delivered", "answered", "read", "crash", "transcript", "done"]
    assert all(set(step) == {"step", "ok", "detail", "elapsed_s"} and step["ok"] for step in stage.steps)
    assert stage.steps[-2]["detail"].strip() == "Ann: I am Ann"
    assert stage.killed == [(0, signal.SIGKILL)] and not stage.folder.exists() and stage.stopped == 4


@pytest.mark.parametrize("path,told", [("last_known", "not by mDNS"), (None, "did not find each other")])
def test_found_by_another_way_or_not_at_all_is_a_failure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, path: str | None, told: str
) -> None:
    monkeypatch.setattr(Pretender, "path_to", lambda self, other: path)
    assert not stage.play()
    assert stage.names()[-3:] == ["contacts", "failed", "done"] and told in stage.steps[-2]["detail"]
    assert not stage.steps[-1]["ok"] and not stage.folder.exists()


def test_what_is_never_read_is_a_failure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_states", lambda ann, bob: ["delivered"])
    assert not stage.play() and stage.names()[-2:] == ["failed", "done"]


def test_somebody_who_cannot_even_arrive(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Pretender) -> None:
        raise HomeUnusable("The folder is read-only.")

    monkeypatch.setattr(Pretender, "arrive", fail)
    assert not stage.play() and stage.names() == ["failed", "done"] and not stage.folder.exists()


def twice(answer: Any) -> Any:
    return answer * 2 if isinstance(answer, list) else answer


def test_a_message_that_came_twice_is_a_failure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    once = Pretender.ask
    monkeypatch.setattr(Pretender, "ask", lambda self, method, **params: twice(once(self, method)))
    monkeypatch.setattr(demo, "_states", lambda ann, bob: ["read"])
    assert not stage.play() and "2 times" in stage.steps[-2]["detail"]


def test_ctrl_c_leaves_nothing_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Pretender, *words: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pretender, "say", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stage.play()
    assert not stage.folder.exists() and stage.stopped >= 2


def test_a_daemon_that_does_not_stop_does_not_hide_the_outcome(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def stop(profile: Any) -> None:
        calls.append(profile)
        if len(calls) > 2:
            raise P2pmsgError("It does not stop.")

    monkeypatch.setattr(demo.process, "stop", stop)
    assert stage.play() and len(calls) == 4 and not stage.folder.exists()
