"""The vault of a running daemon: what a passphrase protects, what a locked one does, and a change that is interrupted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.rpc import client
from p2pmsg.rpc.api import METHODS
from tests.integration.daemons import MAIN, PATIENCE_S, Somebody, town, until
from tests.unit.desktop_session import Session
from tests.unit.terminal import terminal

FIRST, SECOND = "correct horse battery", "staple überall"


@pytest.fixture
def ann() -> Iterator[Somebody]:
    with town("Ann") as (ann,):
        yield ann


def line(*words: str) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def passphrase(somebody: Somebody, verb: str, *lines: str) -> str:
    """Set, change or remove it; return how the key is kept then."""
    found = somebody.good("vault", "passphrase", verb, "--json", stdin=line(*lines))[0]
    assert found["vault"] == "open"
    return str(found["vault_mode"])


def unlock(somebody: Somebody, words: str) -> None:
    assert somebody.good("vault", "unlock", "--json", stdin=line(words))[0]["vault"] == "open"


def test_a_passphrase_from_its_setting_to_its_end(ann: Somebody) -> None:
    ann.ask("send", target="me", text="kept")
    assert passphrase(ann, "set", FIRST) == "passphrase"
    assert ann.texts(ann) == ["kept"]
    assert (
        ann.fails(8, "not_permitted", "vault", "passphrase", "set", "--json", stdin=line(FIRST))["hint"] == "p2pmsg vault passphrase change"
    )
    old = (ann.folder / "key").read_bytes()
    assert passphrase(ann, "change", FIRST, SECOND) == "passphrase"
    ann.stop()
    assert ann.start()["vault"] == "locked"
    ann.fails(8, "wrong_passphrase", "vault", "unlock", "--json", stdin=line(FIRST))
    unlock(ann, SECOND)
    assert ann.texts(ann) == ["kept"]
    assert old != (ann.folder / "key").read_bytes()
    assert passphrase(ann, "remove", SECOND) == "file"
    ann.stop()
    assert ann.start()["vault"] == "open"
    assert ann.texts(ann) == ["kept"]


def test_the_key_file_from_before_opens_nothing_any_more(ann: Somebody) -> None:
    key = ann.folder / "key"
    before = key.read_bytes()
    passphrase(ann, "set", FIRST)
    ann.stop()
    key.write_bytes(before)
    ann.fails(8, "storage_damaged", "daemon", "start", "--json")


def test_a_locked_daemon_says_so_and_does_nothing_else(ann: Somebody) -> None:
    passphrase(ann, "set", FIRST)
    assert ann.good("vault", "lock", "--json") == [{"vault": "locked", "vault_mode": "passphrase"}]
    assert ann.good("vault", "lock", "--json") == [{"vault": "locked", "vault_mode": "passphrase"}]
    state = ann.good("status", "--json")[0]
    assert (state["running"], state["vault"], state["port"], state["interfaces"]) == (True, "locked", None, [])
    assert [(warning["code"], warning["hint"]) for warning in state["warnings"]] == [("vault_locked", "p2pmsg vault unlock")]
    assert not udp_ports(ann.pid)
    assert ann.fails(8, "vault_locked", "whoami", "--json")["hint"] == "p2pmsg vault unlock"
    ann.fails(8, "vault_locked", "send", "me", "--json", "text")
    ann.fails(8, "vault_locked", "vault", "passphrase", "change", "--json", stdin=line(FIRST, SECOND))
    ann.good("config", "list", "--json")
    ann.good("daemon", "logs", "--json")
    unlock(ann, FIRST)
    unlock(ann, "open already: nothing is asked")
    assert ann.good("status", "--json")[0]["vault"] == "open"
    assert udp_ports(ann.pid)


OPEN = {"rpc.hello", "status", "daemon.status", "daemon.stop", "daemon.logs", "vault.unlock", "vault.lock"}
PARAMS = {
    "config.get": {"key": "log.level"},
    "contact.uninvite": {"id": "abcd"},
    "contact.find": {"name": "bob"},
    "contact.accept": {"id": "abcd"},
    "contact.decline": {"id": "abcd"},
    "contact.show": {"name": "bob"},
    "contact.verify": {"name": "bob"},
    "contact.block": {"name": "bob"},
    "contact.unblock": {"name": "bob"},
    "contact.rename": {"name": "bob", "new": "Bob"},
    "contact.remove": {"name": "bob"},
    "send": {"target": "me", "text": "x"},
    "history": {"target": "me"},
    "read": {"target": "me"},
    "chat.typing": {"target": "me"},
}


def test_every_other_method_is_refused_while_it_is_locked(ann: Somebody) -> None:
    passphrase(ann, "set", FIRST)
    ann.ask("vault.lock")
    refused = []
    with client.connect(ann.folder) as connection:
        for method in sorted(METHODS.keys() - OPEN):
            if method.startswith("config."):
                continue
            with pytest.raises(Exception, match="locked") as caught:
                connection.call(method, PARAMS.get(method, {}))
            assert (caught.value.code, caught.value.exit_status) == ("vault_locked", 8)  # type: ignore[attr-defined]
            refused.append(method)
    assert len(refused) > 20


def test_who_was_watching_is_turned_out(ann: Somebody) -> None:
    passphrase(ann, "set", FIRST)
    with ann.popen("watch", "--json") as watching:
        assert watching.stdout is not None
        assert b'"ready"' in watching.stdout.readline()
        ann.ask("vault.lock")
        assert watching.wait(PATIENCE_S) in (3, 8)


def test_wrong_passphrases_are_counted_and_cost_time(ann: Somebody) -> None:
    passphrase(ann, "set", FIRST)
    ann.ask("vault.lock")
    said = [ann.fails(8, "wrong_passphrase", "vault", "unlock", "--json", stdin=line(f"guess {n}"))["message"] for n in range(3)]
    assert [number in words for number, words in zip(("1.", "2.", "3."), said, strict=True)] == [False, True, True]
    unlock(ann, FIRST)
    assert ann.logged("wrong passphrase") == 3
    assert not ann.logged(FIRST) and not ann.logged("guess")


@pytest.mark.parametrize("given", [b"", b"\n", b"x" * 5000 + b"\n", b"\xff\n", b"\0\n"])
@pytest.mark.parametrize("verb", ["set", "change"])
def test_what_is_no_passphrase_changes_nothing(ann: Somebody, verb: str, given: bytes) -> None:
    if verb == "change":
        passphrase(ann, "set", FIRST)
        given = line(FIRST) + given
    before = (ann.folder / "key").read_bytes()
    assert ann.cli("vault", "passphrase", verb, "--json", stdin=given).status == 2
    assert (ann.folder / "key").read_bytes() == before


def test_without_a_passphrase_a_lock_would_protect_nothing(ann: Somebody) -> None:
    assert ann.fails(8, "not_permitted", "vault", "lock", "--json")["hint"] == "p2pmsg vault passphrase set"
    ann.fails(8, "not_permitted", "vault", "passphrase", "change", "--json", stdin=line(FIRST, SECOND))
    ann.fails(8, "not_permitted", "vault", "passphrase", "remove", "--json", stdin=line(FIRST))
    unlock(ann, "")


def test_nobody_asks_for_anything_and_it_locks_itself(ann: Somebody) -> None:
    passphrase(ann, "set", FIRST)
    ann.configure("lock.idle_s", "1")
    with ann.popen("watch", "--json") as watching:  # which is no use of it
        until(lambda: ann.good("status", "--json")[0]["vault"] == "locked" or idle(), "it is locked by itself")
        watching.wait(PATIENCE_S)
    unlock(ann, FIRST)


def idle() -> bool:
    """Let more time pass than it takes to be idle: to ask is to use."""
    return threading.Event().wait(1.3)


def test_messages_wait_until_the_vault_is_open() -> None:
    with town("Ann", "Bob") as (ann, bob):
        passphrase(ann, "set", FIRST)
        until(lambda: bob.linked(ann), "the change of the key ends and both are online again")
        ann.ask("vault.lock")
        until(lambda: not bob.linked(ann), "who locks the vault says goodbye")
        waiting = bob.say(ann, "for later", wait=None)
        unlock(ann, FIRST)
        until(lambda: bob.state(ann, waiting) == "delivered", "it is delivered")
        assert ann.texts(bob) == ["for later"]


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.1, 1.4])
def test_killed_during_a_change_one_of_the_two_opens_it(ann: Somebody, after_s: float) -> None:
    ann.ask("send", target="me", text="kept")
    passphrase(ann, "set", FIRST)
    with ann.popen("vault", "passphrase", "change", "--json", stdin=-1) as changing:
        assert changing.stdin is not None
        changing.stdin.write(line(FIRST, SECOND))
        changing.stdin.close()
        threading.Event().wait(after_s)
        ann.kill()
        done = changing.wait(PATIENCE_S) == 0
    ann.start()
    opened = ann.cli("vault", "unlock", stdin=line(SECOND if done else FIRST)).status == 0
    if not opened:  # it ended between the two: then the new one is in force
        unlock(ann, SECOND)
    assert ann.texts(ann) == ["kept"]


def test_a_passphrase_is_typed_twice_and_not_shown(ann: Somebody) -> None:
    with terminal(ann.home, "vault", "passphrase", "set") as at:
        at.see("New passphrase: ")
        at.press(f"{FIRST}\n")
        at.see("The same again: ")
        at.press("something else\n")
        assert at.end() == 2
        assert b"not the same" in at.screen
    with terminal(ann.home, "vault", "passphrase", "set") as at:
        at.see("New passphrase: ")
        at.press(f"{FIRST}\n")
        at.see("The same again: ")
        at.press(f"{FIRST}\n")
        assert at.end() == 0
        assert b"The vault is open" in at.screen
        assert FIRST.encode() not in at.screen
    ann.ask("vault.lock")
    with terminal(ann.home, "vault", "unlock") as at:
        at.see("Passphrase: ")
        at.press(f"{FIRST}\n")
        assert at.end() == 0


def test_a_daemon_that_crashes_leaves_no_core_and_its_memory_is_nobodys(ann: Somebody) -> None:
    limit = next(row for row in Path(f"/proc/{ann.pid}/limits").read_text().splitlines() if row.startswith("Max core"))
    assert limit.split()[4:6] == ["0", "0"]
    assert Path(f"/proc/{ann.pid}/mem").stat().st_uid == 0
    assert ann.cli("status", "--json").status == 0


def udp_ports(pid: int) -> set[str]:
    """Return the UDP sockets of a process, as their inodes."""
    inodes = {link.split("[")[1][:-1] for link in sockets(pid)}
    rows = [row.split() for table in ("udp", "udp6") for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
    return {row[9] for row in rows} & inodes


def sockets(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            pass
    return [link for link in links if link.startswith("socket:")]


def test_a_key_in_the_desktops_keyring(tmp_path: Path) -> None:
    session = Session(tmp_path)
    program = f"{sys.executable} -I {MAIN}"
    said = session.shell(f"""
        unset P2PMSG_HOME
        printf 'y\n' | script -qec '{program} init --name Ann' /dev/null | grep -o 'Keep it in the keyring'
        {program} config set discovery.interfaces lo >/dev/null
        {program} daemon start --json 2>/dev/null | grep -o '"vault":"[^,]*,"vault_mode":"[^"]*"'
        {program} send me hello --json | grep -o hello
        {program} daemon stop >/dev/null 2>&1
        PYTHON_KEYRING_BACKEND=keyring.backends.fail.Keyring {program} daemon start --json | grep -o 'this session has none'
        {program} vault unlock --json 2>&1 | grep -o keyring_unavailable
        {program} daemon restart --json | grep -o '"vault":"open"'
        {program} wipe -y >/dev/null 2>&1
        secret-tool search --all service p2pmsg 2>/dev/null
        exit 0
    """)
    assert said.split("\n") == [
        "Keep it in the keyring",
        '"vault":"open","vault_mode":"keyring"',
        "hello",
        "this session has none",
        "keyring_unavailable",
        '"vault":"open"',
        "",
    ]
