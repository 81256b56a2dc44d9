"""The vault of a running daemon: what a passphrase protects, what a locked one does, and a change that is interrupted."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg.crypto import vault
from p2pmsg.rpc import client
from p2pmsg.rpc.api import METHODS
from tests.integration.daemons import MAIN, PATIENCE_S, Somebody, town, until
from tests.unit.desktop_session import Session
from tests.unit.terminal import terminal

FIRST, SECOND = "correct horse battery", "staple überall"


@pytest.fixture
def ann() -> Iterator[Somebody]:
    """Somebody whose key is changed."""
    with town("Ann") as (ann,):
        yield ann


@pytest.fixture(scope="module")
def long_sealed() -> Iterator[tuple[Somebody, bytes]]:
    with town("Ann") as (ann,):
        yield ann, vault.open_key(ann.folder / "key")


@pytest.fixture
def sealed(long_sealed: tuple[Somebody, bytes]) -> Somebody:
    """Somebody whose vault is open and has the passphrase FIRST, as long as no test changes the key."""
    ann, master = long_sealed
    seal(ann, master)
    ann.start()
    unlock(ann, FIRST)
    return ann


def seal(somebody: Somebody, master: bytes) -> None:
    """Have the same key sealed under FIRST from now on, at a cost that lets each guess take no time."""
    vault.write(somebody.folder / "key", vault.KeyFile(vault.under_passphrase(master, FIRST, vault.Cost(1, 8 << 20))))


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
    unprotected = (ann.folder / "key").read_bytes()
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
    ann.stop()
    (ann.folder / "key").write_bytes(unprotected)  # from before: it opens nothing any more
    ann.fails(8, "storage_damaged", "daemon", "start", "--json")


def test_a_locked_daemon_says_so_and_does_nothing_else(sealed: Somebody) -> None:
    assert sealed.good("vault", "lock", "--json") == [{"vault": "locked", "vault_mode": "passphrase"}]
    assert sealed.good("vault", "lock", "--json") == [{"vault": "locked", "vault_mode": "passphrase"}]
    state = sealed.good("status", "--json")[0]
    assert (state["running"], state["vault"], state["port"], state["interfaces"]) == (True, "locked", None, [])
    assert [(warning["code"], warning["hint"]) for warning in state["warnings"]] == [("vault_locked", "p2pmsg vault unlock")]
    assert not udp_ports(sealed.pid)
    assert sealed.fails(8, "vault_locked", "whoami", "--json")["hint"] == "p2pmsg vault unlock"
    sealed.fails(8, "vault_locked", "send", "me", "--json", "text")
    sealed.fails(8, "vault_locked", "vault", "passphrase", "change", "--json", stdin=line(FIRST, SECOND))
    sealed.good("config", "list", "--json")
    sealed.good("daemon", "logs", "--json")
    unlock(sealed, FIRST)
    unlock(sealed, "open already: nothing is asked")
    assert sealed.good("status", "--json")[0]["vault"] == "open"
    assert udp_ports(sealed.pid)


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


def test_every_other_method_is_refused_while_it_is_locked(sealed: Somebody) -> None:
    sealed.ask("vault.lock")
    refused = []
    with client.connect(sealed.folder) as connection:
        for method in sorted(METHODS.keys() - OPEN):
            if method.startswith("config."):
                continue
            with pytest.raises(Exception, match="locked") as caught:
                connection.call(method, PARAMS.get(method, {}))
            assert (caught.value.code, caught.value.exit_status) == ("vault_locked", 8)  # type: ignore[attr-defined]
            refused.append(method)
    assert len(refused) > 20


def test_who_was_watching_is_turned_out(sealed: Somebody) -> None:
    with sealed.popen("watch", "--json") as watching:
        assert watching.stdout is not None
        assert b'"ready"' in watching.stdout.readline()
        sealed.ask("vault.lock")
        assert watching.wait(PATIENCE_S) == 8


def test_wrong_passphrases_are_counted_and_cost_time(sealed: Somebody) -> None:
    sealed.ask("vault.lock")
    said = [sealed.fails(8, "wrong_passphrase", "vault", "unlock", "--json", stdin=line(f"guess {n}"))["message"] for n in range(3)]
    assert [number in words for number, words in zip(("1.", "2.", "3."), said, strict=True)] == [False, True, True]
    unlock(sealed, FIRST)
    assert sealed.logged("wrong passphrase") == 3
    assert not sealed.logged(FIRST) and not sealed.logged("guess")


NO_PASSPHRASE = (b"", b"\n", b"\r\n", b"x" * 5000 + b"\n", b"\xff\n", b"\0\n")


def test_what_is_no_passphrase_is_not_set(ann: Somebody) -> None:
    before = (ann.folder / "key").read_bytes()
    assert [ann.cli("vault", "passphrase", "set", "--json", stdin=given).status for given in NO_PASSPHRASE] == [2] * len(NO_PASSPHRASE)
    assert (ann.folder / "key").read_bytes() == before
    without_a_passphrase(ann)


def test_what_is_no_passphrase_takes_the_place_of_none(sealed: Somebody) -> None:
    before = (sealed.folder / "key").read_bytes()
    for given in NO_PASSPHRASE:
        assert sealed.cli("vault", "passphrase", "change", "--json", stdin=line(FIRST) + given).status == 2
    assert (sealed.folder / "key").read_bytes() == before


def without_a_passphrase(ann: Somebody) -> None:
    """A lock would protect nothing."""
    assert ann.fails(8, "not_permitted", "vault", "lock", "--json")["hint"] == "p2pmsg vault passphrase set"
    ann.fails(8, "not_permitted", "vault", "passphrase", "change", "--json", stdin=line(FIRST, SECOND))
    ann.fails(8, "not_permitted", "vault", "passphrase", "remove", "--json", stdin=line(FIRST))
    unlock(ann, "")


def test_nobody_asks_for_anything_and_it_locks_itself(sealed: Somebody) -> None:
    sealed.configure("lock.idle_s", "1")
    with sealed.popen("watch", "--json") as watching:  # which is no use of it
        until(lambda: sealed.good("status", "--json")[0]["vault"] == "locked" or idle(), "it is locked by itself")
        watching.wait(PATIENCE_S)
    unlock(sealed, FIRST)


def idle() -> bool:
    """Let more time pass than it takes to be idle: to ask is to use."""
    return threading.Event().wait(1.3)


def test_messages_wait_until_the_vault_is_open() -> None:
    with town("Ann", "Bob") as (ann, bob):
        seal(ann, vault.open_key(ann.folder / "key"))
        until(lambda: bob.linked(ann), "both are online")
        ann.ask("vault.lock")
        until(lambda: not bob.linked(ann), "who locks the vault says goodbye")
        waiting = bob.say(ann, "for later", wait=None)
        unlock(ann, FIRST)
        until(lambda: bob.state(ann, waiting) == "delivered", "it is delivered")
        assert ann.texts(bob) == ["for later"]


def test_killed_during_a_change_one_of_the_two_opens_it(ann: Somebody) -> None:
    ann.ask("send", target="me", text="kept")
    seal(ann, vault.open_key(ann.folder / "key"))
    before, after = FIRST, SECOND
    for after_s in (0.2, 0.5, 0.8):
        with ann.popen("vault", "passphrase", "change", "--json", stdin=-1) as changing:
            assert changing.stdin is not None
            changing.stdin.write(line(before, after))
            changing.stdin.close()
            threading.Event().wait(after_s)
            ann.kill()
            done = changing.wait(PATIENCE_S) == 0
        ann.start()
        if ann.cli("vault", "unlock", stdin=line(after)).status == 0:
            before, after = after, before
        else:
            assert not done
            unlock(ann, before)
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


def test_a_daemon_that_crashes_leaves_no_core_and_its_memory_is_nobodys(sealed: Somebody) -> None:
    limit = next(row for row in Path(f"/proc/{sealed.pid}/limits").read_text().splitlines() if row.startswith("Max core"))
    assert limit.split()[4:6] == ["0", "0"]
    assert Path(f"/proc/{sealed.pid}/mem").stat().st_uid == 0
    assert sealed.cli("status", "--json").status == 0


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


def test_the_key_of_somebody_else_is_told_apart_and_nothing_is_moved(sealed: Somebody) -> None:
    key = sealed.folder / "key"
    mine = key.read_bytes()
    sealed.ask("vault.lock")
    seal(sealed, bytes(32))
    assert "does not open the database" in sealed.fails(8, "storage_damaged", "vault", "unlock", "--json", stdin=line(FIRST))["message"]
    assert not list(sealed.folder.glob("*damaged*"))
    key.write_bytes(mine)
    unlock(sealed, FIRST)


def test_settings_that_are_changed_while_it_is_locked_count_afterwards(sealed: Somebody) -> None:
    sealed.ask("vault.lock")
    for key, value in (("log.level", "debug"), ("receipts.read", "off")):
        sealed.good("config", "set", key, value, "--json")
    unlock(sealed, FIRST)
    assert sealed.logged("the setting log.level has changed and counts from now on")
    sealed.good("config", "unset", "log.level", "--json")


def test_what_keeps_an_unlocked_vault_from_use_is_said(sealed: Somebody) -> None:
    sealed.ask("vault.lock")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        sealed.good("config", "set", "listen.port", str(taken.getsockname()[1]), "--json")
        refused = sealed.fails(8, "not_permitted", "vault", "unlock", "--json", stdin=line(FIRST))
        assert "cannot be used" in refused["message"]
        assert sealed.good("status", "--json")[0]["vault"] == "locked"
    unlock(sealed, FIRST)
    sealed.good("config", "unset", "listen.port", "--json")
