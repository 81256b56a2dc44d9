"""Two daemons of which one is of the next version of the protocol: it is a copy of this one with another number."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import p2pmsg
from tests.integration.daemons import until
from tests.lan.people import Json, Person, Scene

NUMBERS = {
    "__init__.py": ("PROTOCOL_VERSION = 1", "PROTOCOL_VERSION = 2"),
    "protocol/handshake.py": (r'_VERSION: Final = b"\x01"', r'_VERSION: Final = b"\x02"'),
    "network/announcements.py": ("\nVERSION = 1\n", "\nVERSION = 2\n"),
}


def next_version(folder: Path) -> list[str]:
    """Make the program with the next number; return what runs it."""
    copy = folder / "p2pmsg"
    shutil.copytree(Path(p2pmsg.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (now, then) in NUMBERS.items():
        text = (copy / name).read_text()
        assert text.count(now) == 1
        (copy / name).write_text(text.replace(now, then))
    return [sys.executable, "-I", str(copy / "__main__.py")]


def warning(person: Person) -> Json | None:
    return next((each for each in person.ask("status")["warnings"] if each["code"].endswith("_version")), None)


def test_both_sides_are_told_who_has_another_version(scene: Callable[..., Scene], home: Path) -> None:
    here = scene()
    ann, bob = here.pair(discovery_paths="mdns,beacon")
    bob.stop()
    bob.program = next_version(home)
    bob.start()
    for person, name, which in ((ann, "Bob", "newer"), (bob, "Ann", "older")):
        told = until(partial(warning, person), f"{person.name} is told")
        assert told["code"] == f"{which}_version"
        assert told["message"].startswith(f"{name} is here with ") and f"{which} version" in told["message"]
        assert not person.peer(bob if person is ann else ann)["online"]
    bob.stop()
    del bob.program
    bob.start()
    ann.until_online(bob)
    until(lambda: warning(ann) is None, "nobody has another version now")
