"""What an onlooker finds: on the wire, in the files, in the logs. He is given every packet and every byte."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.lan.lines import Lines
from tests.lan.people import Person, Scene

MakeScene = Callable[..., Scene]
CANARY = "the heron nests behind the old mill"
GONE = "a bittern booms where no one goes"
FIRST, SECOND = "four herons over seven weirs", "nine kingfishers under one bridge"
BETWEEN_SCANS_S = 0.05
CAPTURE = """
import pathlib, socket, sys
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
frames.bind(("eth0", 0))
frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
print("{}", flush=True)
with pathlib.Path(sys.argv[1]).open("wb", buffering=0) as file:
    while True:
        file.write(frames.recv(1 << 16))
"""


def secrets(*people: Person) -> dict[str, bytes]:
    """Return what nobody else may find, each with its name."""
    found = {"text": CANARY.encode(), "text in part": CANARY[:12].encode()}
    for person in people:
        me = person.ask("whoami")
        for what in ("account", "device"):
            raw = bytes.fromhex(me[what])
            found |= {f"{what} of {person.name}": raw[:12], f"{what} of {person.name} in hex": raw[:12].hex().encode()}
        found |= {f"name of {person.name}": person.name.encode(), f"device name of {person.name}": me["device_name"].encode()}
    return found


def present(secret: dict[str, bytes], data: bytes) -> list[str]:
    return [name for name, value in secret.items() if value.lower() in data.lower()]


def test_the_wire_shows_neither_words_nor_names_nor_who_it_is(scene: MakeScene, home: Path) -> None:
    here = scene()
    ann, bob = here.person(1, "Annegret", discovery_paths="mdns"), here.person(2, "Bobadilla", discovery_paths="mdns")
    capture = home / "frames"
    Lines(here.lan.popen(1, [sys.executable, "-c", CAPTURE, str(capture)])).expect(lambda line: True, 10)
    for person in (ann, bob):
        person.start()
    bob.meet(ann)
    ann.send(bob, CANARY, wait="delivered")
    bob.stop()
    bob.start()
    ann.until_online(bob)
    bob.send(ann, CANARY, wait="delivered")
    secret = secrets(ann, bob)
    seen = capture.read_bytes()
    assert b"_p2pmsg" in seen  # so it was the right wire
    assert len(seen) > 20_000
    assert present(secret, seen) == []


class Scan:
    """Reads, again and again while the block runs, all that is to be had of people's homes and daemons without asking the daemon itself.

    Files of the home, files that a process has open (deleted ones, too), its command line and its environment.
    """

    def __init__(self, secret: dict[str, bytes], *people: Person) -> None:
        self._secret, self._people = secret, people
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.found: set[tuple[str, str]] = set()
        self.seen: set[str] = set()
        self.rounds = 0

    def __enter__(self) -> Scan:
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._over.set()
        self._thread.join()
        self._round()

    def _run(self) -> None:
        while not self._over.wait(BETWEEN_SCANS_S):
            self._round()

    def _round(self) -> None:
        for path in (path for person in self._people for path in places(person)):
            with contextlib.suppress(OSError):  # it was there a moment ago
                if path.is_file():
                    data = path.read_bytes()
                    self.seen.add(path.name)
                    self.found |= {(str(path), name) for name in present(self._secret, data)}
        self.rounds += 1


def places(person: Person) -> list[Path]:
    found = list(person.home.rglob("*"))
    if person.pid is not None:
        process = Path(f"/proc/{person.pid}")
        with contextlib.suppress(OSError):
            found += [process / "cmdline", process / "environ", *(process / "fd").iterdir()]
    return found


def vault(person: Person, *words: str, lines: tuple[str, ...] = ()) -> None:
    """Run a command of the vault; what is secret goes by stdin."""
    command = person.lan.command(person.node, person.command("vault", *words))
    done = subprocess.run(command, input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def recovery_words(person: Person) -> bytes:
    text = person.home.with_name(f"{person.name}-words").read_text()
    words = re.findall(r"\b[a-z]{3,8}\b", text)
    return " ".join(words[-24:][:4]).encode()


def test_a_whole_conversation_leaves_nothing_in_the_clear_while_it_runs(scene: MakeScene, home: Path) -> None:
    here = scene()
    ann, bob = here.pair(log_level="debug")
    capture = home / "frames"
    Lines(here.lan.popen(1, [sys.executable, "-c", CAPTURE, str(capture)])).expect(lambda line: True, 10)
    secret = {name: value for name, value in secrets(ann, bob).items() if name.startswith(("text", "device name"))}
    secret |= {"deleted": GONE.encode(), "a first passphrase": FIRST.encode(), "a second one": SECOND.encode()}
    secret |= {f"words of {person.name}": recovery_words(person) for person in (ann, bob)}
    with Scan(secret, ann, bob) as scan:
        ann.send(bob, CANARY, wait="delivered")
        vault(ann, "passphrase", "set", lines=(FIRST,))
        ann.until_online(bob)
        gone = bob.send(ann, GONE, wait="delivered")
        ann.send(bob, CANARY * 500, wait="delivered")
        ann.cli("delete", gone["id"])
        vault(ann, "passphrase", "change", lines=(FIRST, SECOND))
        ann.until_online(bob)
        bob.send(ann, CANARY, wait="delivered")
        vault(ann, "lock")
        vault(ann, "unlock", lines=(SECOND,))
        ann.until_online(bob)
        ann.stop()
        ann.start()
    assert scan.found == set()
    assert scan.rounds > 10 and {"data.db", "data.db-wal", "daemon.log", "key", "cmdline", "environ", "lock"} <= scan.seen
    assert all("DEBUG" in "".join(person.log(10_000)) for person in (ann, bob))
    assert len(capture.read_bytes()) > 40_000 and present(secret, capture.read_bytes()) == []


def test_the_files_hold_no_words_in_the_clear(scene: MakeScene) -> None:
    ann, bob = scene().pair(log_level="debug")
    ann.send(bob, CANARY, wait="delivered")
    words = {name: value for name, value in secrets(ann, bob).items() if name.startswith("text")}
    for person in (ann, bob):
        files = [file for file in person.home.rglob("*") if file.is_file()]
        assert any(file.name.endswith("-wal") for file in files)
        assert {file.name: present(words, file.read_bytes()) for file in files if present(words, file.read_bytes())} == {}
        open_to_others = [file for file in person.home.rglob("*") if not file.is_symlink() and file.stat().st_mode & 0o077]
        assert open_to_others == []
        assert "DEBUG" in "".join(person.log(1000))
