"""The keyring of a real desktop session: gnome-keyring on a message bus of its own. Without one it says so."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from p2pmsg.errors import KeyringUnavailable
from tests.unit.desktop_session import Session

SESSION_S = 30.0


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_a_key_is_kept_and_forgotten(session: Session) -> None:
    assert (
        session.run("""
        from p2pmsg.crypto import desktop
        from p2pmsg.errors import KeyringUnavailable
        assert desktop.available()
        desktop.store("ab", b"k" * 32)
        assert desktop.load("ab") == b"k" * 32
        desktop.forget("ab")
        desktop.forget("ab")
        try:
            desktop.load("ab")
        except KeyringUnavailable as error:
            print(error)
    """)
        == "The desktop's keyring has no entry p2pmsg/ab, which holds the key of this profile.\n"
    )


def test_a_vault_lies_in_the_keyring_and_what_is_changed_there_is_no_key(session: Session) -> None:
    assert (
        session.run("""
        import keyring
        from p2pmsg.crypto import vault
        from p2pmsg.errors import KeyringUnavailable
        slot = vault.in_keyring(b"m" * 32)
        assert vault.unseal(slot) == b"m" * 32
        keyring.set_password("p2pmsg", slot.secret.decode(), "rubbish")
        try:
            vault.unseal(slot)
        except KeyringUnavailable as error:
            print("changed" in str(error))
        vault.forget(slot)
        print(keyring.get_password("p2pmsg", slot.secret.decode()))
    """)
        == "True\nNone\n"
    )


@pytest.fixture
def without_a_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


def test_without_a_desktop_it_says_so(without_a_desktop: None) -> None:
    program = """
        from p2pmsg.crypto import desktop
        from p2pmsg.errors import KeyringUnavailable
        assert not desktop.available()
        for call in (lambda: desktop.load("ab"), lambda: desktop.store("ab", bytes(32))):
            try:
                call()
            except KeyringUnavailable as error:
                print("this session has none" in str(error))
        desktop.forget("ab")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=SESSION_S)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


def test_the_error_says_what_to_do() -> None:
    assert "unlock it there" in KeyringUnavailable("x").hint
