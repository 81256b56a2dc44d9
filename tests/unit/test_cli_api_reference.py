from p2pmsg.cli import api_reference
from p2pmsg.rpc.api import ELSEWHERE, METHODS


def section(method: str) -> str:
    return api_reference.page().split(f"## {method}\n")[1].split("\n## ")[0]


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
