from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.config import settings
from p2pmsg.config.settings import Settings, checked, from_words, load, split_address
from p2pmsg.errors import InvalidValue, KeyNotFound, P2pmsgError, SettingsInvalid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_without_a_file_defaults_hold(file: Path) -> None:
    assert load(file) == Settings()


def test_the_keys_of_the_contract_are_the_fields() -> None:
    assert [key.replace(".", "_") for key in settings.RULES] == [field.name for field in fields(Settings)]


@pytest.mark.parametrize("key", settings.RULES)
def test_every_default_keeps_its_own_rule(key: str) -> None:
    assert checked(key, settings.DEFAULTS[key]) == settings.DEFAULTS[key]


def test_tables_and_dotted_keys_are_one(file: Path) -> None:
    file.write_text(
        'typing = false\nlisten.port = 4000\n[discovery]\npaths = ["mdns"]\nstatic = ["192.0.2.1:4000"]\n[receipts]\nread = false\n'
    )
    expected = Settings(
        typing=False, listen_port=4000, discovery_paths=("mdns",), discovery_static=("192.0.2.1:4000",), receipts_read=False
    )
    assert load(file) == expected


def test_an_item_given_twice_is_one(file: Path) -> None:
    file.write_text('discovery.paths = ["static", "mdns", "static"]')
    assert load(file).discovery_paths == ("static", "mdns")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[discovery]\n\npath = []", "line 3: There is no setting 'discovery.path'; did you mean discovery.paths?"),
        ("x = 1", "line 1: There is no setting 'x'"),
        ("[nothing]\na = 1", "line 1: There is no setting 'nothing'"),
        ("\n[listen]\nport = 'x'", "line 3: listen.port cannot be 'x': it is a whole number"),
        ("listen.port = true", "line 1: listen.port cannot be true"),
        ("typing = 1", "line 1: typing cannot be 1: it is true or false"),
        ('discovery.paths = "mdns"', "a list of texts"),
        ('discovery.paths = ["mdsn"]', "did you mean mdns?"),
        ("[typing]\nx = 1", "line 1: typing cannot be"),
        ("discovery = 1", "There is no setting 'discovery'"),
        ("no toml", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
        ("x = " + "[" * 100_000, "is not TOML"),
        ("x" * (settings.FILE_BYTES + 1), "is over"),
    ],
)
def test_what_is_not_understood_names_the_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_text_or_no_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsInvalid, match="UTF-8"):
        load(tmp_path / "bytes")
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("discovery.paths", " mdns , static,", ("mdns", "static")),
        ("discovery.paths", "", ()),
        ("discovery.interfaces", "lo", ("lo",)),
        ("discovery.static", "192.0.2.1:1,[2001:db8::1]:65535", ("192.0.2.1:1", "[2001:db8::1]:65535")),
        ("listen.port", "0", 0),
        ("listen.port", "1024", 1024),
        ("listen.port", "65535", 65535),
        ("receipts.read", "off", False),
        ("typing", "TRUE", True),
        ("history.keep", "90d", "90d"),
        ("history.keep", "forever", "forever"),
        ("notify.command", "notify-send 'a b'", "notify-send 'a b'"),
        ("log.level", "debug", "debug"),
        ("lock.idle_s", "300", 300),
    ],
)
def test_what_was_typed_is_taken(key: str, text: str, value: Any) -> None:
    assert from_words(key, text) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("discovery.paths", "mdns,carrier_pigeon"),
        ("discovery.interfaces", "a" * 16),
        ("discovery.interfaces", "a/b"),
        ("discovery.interfaces", ",".join(f"eth{number}" for number in range(65))),
        ("discovery.static", "bob_s-laptop:4000"),
        ("listen.port", "1023"),
        ("listen.port", "65536"),
        ("listen.port", "-1"),
        ("listen.port", "4000.0"),
        ("listen.port", ""),
        ("listen.port", "9" * 30),
        ("receipts.read", "maybe"),
        ("typing", "1"),
        ("media.quota_bytes", "-5"),
        ("media.quota_bytes", str(1 << 63)),
        ("media.quota_bytes", "10MB"),
        ("media.folder", "a\nb"),
        ("notify.command", "x" * 4097),
        ("history.keep", "0d"),
        ("history.keep", "soon"),
        ("log.level", "loud"),
        ("lock.idle_s", "5m"),
    ],
)
def test_what_breaks_the_keys_rule_is_refused(key: str, text: str) -> None:
    with pytest.raises(InvalidValue, match=rf"^{key} cannot be "):
        from_words(key, text)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("discovery.paths", "mdns,mdsn", "discovery.paths cannot be 'mdns,mdsn': .*; did you mean mdns\\?$"),
        ("listen.port", "9", "listen.port cannot be 9: it is a port from 1024 to 65535, or 0 for a random one\\.$"),
    ],
)
def test_a_value_is_shown_as_it_was_typed(key: str, text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        from_words(key, text)


def test_a_key_that_is_not_known_lists_the_nearest() -> None:
    with pytest.raises(KeyNotFound, match=r"did you mean listen\.port\?$") as caught:
        from_words("listen.prt", "1")
    assert caught.value.candidates[0] == "listen.port"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("192.0.2.1:4000", ("192.0.2.1", 4000)),
        ("[2001:db8::1]:4000", ("2001:db8::1", 4000)),
        ("[fe80::1%eth0]:4000", ("fe80::1%eth0", 4000)),
        ("Laptop.lan:4000", ("laptop.lan", 4000)),
    ],
)
def test_an_address_is_taken_apart(text: str, taken: tuple[str, int]) -> None:
    assert split_address(text) == taken


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "2001:db8::1:4000",
        "[192.0.2.1]:4000",
        "-host.local:4000",
        "192.0.2.256:4000",
        ":4000",
        "[]:4000",
        "224.0.0.251:5353",
        "[ff02::fb]:5353",
        "255.255.255.255:4000",
        "0.0.0.0:4000",
        "[::]:4000",
        "192.0.2.1:\uff14000",
        "192.0.2.1:4000\n",
    ],
)
def test_what_is_no_machines_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is|is not|a port"):
        split_address(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_settings_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    try:
        load(file)
    except P2pmsgError as error:
        assert str(file) in str(error)


def test_a_key_of_any_shape_is_known_or_not_found() -> None:
    for key in ("", ".", "discovery", "discovery.", "\0", "x" * 10_000):
        with pytest.raises(KeyNotFound):
            from_words(key, "1")


def test_what_differs_is_named_by_its_key() -> None:
    assert settings.differing(Settings(), Settings()) == []
    assert settings.differing(Settings(), Settings(log_level="debug", discovery_paths=())) == ["discovery.paths", "log.level"]


def test_every_key_has_a_meaning() -> None:
    assert set(settings.MEANINGS) == set(settings.RULES) >= settings.NO_EFFECT_YET


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_to_is_refused(file: Path, mode: int) -> None:
    file.write_text('notify.command = "cat"\n')
    file.chmod(mode)
    with pytest.raises(SettingsInvalid, match="Others may write") as caught:
        load(file)
    assert caught.value.hint == f"chmod go-w {file}"
    file.chmod(0o644)
    assert load(file).notify_command == "cat"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused_but_not_roots(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("typing = false\n")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert load(file).typing is False
    os.chown(file, 65533, 65533)
    with pytest.raises(SettingsInvalid, match="belongs to somebody else") as caught:
        load(file)
    assert caught.value.hint == f"sudo chown $(id -un) {file}"
