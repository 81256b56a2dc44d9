"""What an onlooker finds: on the wire, in the files, in the logs. He is given every packet and every byte."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.lan.lines import Lines
from tests.lan.people import Person, Scene

MakeScene = Callable[..., Scene]
CANARY = "the heron nests behind the old mill"
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
