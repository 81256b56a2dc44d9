import json

import pytest

from p2pmsg.cli import api_reference
from p2pmsg.rpc.api import ELSEWHERE, METHODS
from tests.unit.scripted import Daemon, message


def section(method: str) -> str:
    return api_reference.page().split(f"## {method}\n")[1].split("\n## ")[0]


def test_the_example_works(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.script.answers["send"] = message("hello", mine=True, state="queued")
    example = api_reference.HEAD.split("```python\n")[1].split("```")[0]
    exec(example, {"SOCKET": json.loads((daemon.folder / "lock").read_text())["socket"]})
    assert capsys.readouterr().out == "queued\n"
    assert daemon.script.asked("send")[0]["text"] == "hello"


def test_every_method_has_its_words() -> None:
    for method, kind in METHODS.items():
        assert kind.__doc__ is not None and kind.__doc__.splitlines()[0] in section(method)
        assert all(f"`{name}`" in section(method) for name in kind.__struct_encode_fields__)
    assert all(f"`{name}`" in api_reference.page() for name in ELSEWHERE)


def test_what_a_param_may_be() -> None:
    assert "`target`: text, needed" in section("send")
    assert '`wait`: `"delivered"` or `"read"` or `"sent"`' in section("send")
    assert "`timeout_s`: number, default 30.0" in section("send")
    assert "`n`: whole number from 1 to 1000, default 50" in section("history")
    assert "`all`: `true` or `false`, default false" in section("inbox")
    assert "list of text" in section("config.set")
