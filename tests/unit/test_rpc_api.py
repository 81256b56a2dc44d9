import msgspec
import pytest

from p2pmsg.errors import UsageError
from p2pmsg.rpc.api import METHODS, History, Send, Watch, params_of


def decode(method: str, params: bytes) -> object:
    return msgspec.json.decode(params, type=METHODS[method])


def test_methods_are_the_commands_with_a_dot() -> None:
    contact = {f"contact.{verb}" for verb in ("invite", "invites", "uninvite", "add", "list", "show", "rename", "remove")}
    talk = {"whoami", "profile.set", "status", "doctor", "peers", "send", "inbox", "history", "read", "delete", "watch"}
    nearby = {"visible.on", "visible.off", *(f"contact.{verb}" for verb in ("nearby", "find", "requests", "accept", "decline"))}
    daemon = {f"daemon.{verb}" for verb in ("status", "stop", "logs")}
    config = {f"config.{verb}" for verb in ("list", "get", "set", "unset", "path")}
    trust = {*(f"contact.{verb}" for verb in ("verify", "block", "unblock")), "vault.lock", "vault.unlock"}
    trust |= {f"vault.passphrase.{verb}" for verb in ("set", "change", "remove")}
    assert set(METHODS) == contact | nearby | talk | daemon | config | trust | {"rpc.hello", "chat.typing"}


def test_a_command_that_is_no_method_says_where_to_go() -> None:
    with pytest.raises(UsageError, match="wipe is no method") as raised:
        params_of("wipe")
    assert raised.value.hint == "p2pmsg wipe -y"


@pytest.mark.parametrize("method", METHODS)
def test_unknown_params_are_refused(method: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(method, b'{"yes":true,"json":true}')


def test_defaults_are_the_contracts() -> None:
    assert decode("send", b'{"target":"bob","text":"x"}') == Send("bob", "x", None, 30.0, None)
    assert decode("history", b'{"target":"bob"}') == History("bob", 50)


def test_in_is_the_name_of_a_param() -> None:
    assert decode("watch", b'{"in":"bob","since":"17"}') == Watch("17", None, "bob")


@pytest.mark.parametrize("params", [b'{"target":"b","n":0}', b'{"target":"b","n":1001}', b'{"target":"b","n":"5"}', b"[]", b'{"n":5}'])
def test_history_is_bounded(params: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode("history", params)


@pytest.mark.parametrize("wait", ["queued", "", "Read"])
def test_only_these_states_can_be_waited_for(wait: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode("send", msgspec.json.encode({"target": "b", "text": "x", "wait": wait}))


@pytest.mark.parametrize("timeout", [-1, 1e10, "30s"])
def test_durations_are_numbers_of_seconds(timeout: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode("send", msgspec.json.encode({"target": "b", "text": "x", "timeout_s": timeout}))
