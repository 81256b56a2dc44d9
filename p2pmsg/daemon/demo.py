"""`demo`: Ann and Bob meet and talk on this machine, with everything real: processes, mDNS, QUIC, databases; on loopback alone.

Each step is reported when it has happened, or has not; the first that has not ends the play.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from p2pmsg.config import edit
from p2pmsg.daemon import identity, process
from p2pmsg.daemon.home import Profile
from p2pmsg.errors import P2pmsgError, TimedOut
from p2pmsg.rpc import client

Json = dict[str, Any]
_PATIENCE_S = 20.0


class _Person:
    """One side of the demo: a profile of its own and its daemon."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.profile = Profile(folder / name.lower(), "default", home_was_named=True)
        self.account = ""

    def arrive(self) -> None:
        """Make the identity, keep to loopback and to mDNS, and start the daemon."""
        words = self.profile.home.with_name(f"{self.name.lower()}-words")
        self.account = identity.init(self.profile, self.name, f"{self.name.lower()}-laptop", words, lambda _: None)["account"]
        edit.set_(self.profile.config, "discovery.interfaces", "lo")
        edit.set_(self.profile.config, "discovery.paths", "mdns")
        process.start(self.profile)

    def ask(self, method: str, **params: Any) -> Any:
        with client.connect(self.profile.folder) as connection:
            return connection.call(method, params)

    def say(self, to: _Person, text: str, wait: str | None = None) -> Json:
        message: Json = self.ask("send", target=to.account, text=text, wait=wait, timeout_s=_PATIENCE_S)
        if wait is not None and message["state"] not in (wait, "read"):
            raise TimedOut(f"{self.name}'s message is {message['state']}, not {wait}.")
        return message

    def path_to(self, other: _Person) -> str | None:
        """Return how the other's address was learnt, once linked."""
        return next((str(peer["path"]) for peer in self.ask("peers") if peer["account"] == other.account and peer["online"]), None)


def run(emit: Callable[[Json], None]) -> bool:
    """Play the demo; `emit` is given each step as the CLI contract says. Return whether all of it happened.

    What was made is removed and every daemon ended, Ctrl-C included.
    """
    begun = time.monotonic()

    def tell(step: str, ok: bool, detail: str) -> None:
        emit({"step": step, "ok": ok, "detail": detail, "elapsed_s": round(time.monotonic() - begun, 3)})

    folder = Path(tempfile.mkdtemp(prefix="p2pmsg-demo-"))
    ann, bob = _Person(folder, "Ann"), _Person(folder, "Bob")
    steps = _play(ann, bob)
    try:
        for step, detail in steps:
            tell(step, True, detail)
    except P2pmsgError as error:
        tell("failed", False, f"{error.message} {error.hint}".strip())
        tell("done", False, "The demo did not come to its end.")
        return False
    finally:
        _leave(folder, ann, bob)
    tell("done", True, "Two people met and talked with no server; nothing left this machine.")
    return True


def _play(ann: _Person, bob: _Person) -> Iterator[tuple[str, str]]:
    ann.arrive()
    yield "ann", "Ann has an identity, an encrypted database and a daemon of her own."
    bob.arrive()
    yield "bob", "So has Bob, as on another machine."
    invite = ann.ask("contact.invite")["invite"]
    bob.ask("contact.add", invite=invite, timeout_s=_PATIENCE_S)
    yield "contacts", f"Bob used Ann's invite ({len(invite)} characters): they are contacts, and Bob knows that it is Ann."
    yield "discovery", _find_again(ann, bob)
    ann.say(bob, "Hello Bob! No server, no Internet, and still here.", "delivered")
    yield "delivered", "Ann's message is stored on Bob's machine, and his daemon said so."
    bob.say(ann, "Hello Ann! I found you by mDNS alone.", "delivered")
    yield "answered", "Bob's answer came back the same way."
    bob.ask("read", target=ann.account)
    ann.ask("read", target=bob.account)
    _until(lambda: _states(ann, bob) == ["read"], "Ann's message was not seen as read")
    yield "read", "Each has read what the other wrote, and knows it."
    yield "crash", _survive_a_crash(ann, bob)
    yield "transcript", "\n".join(f"{message['from']['name']}: {message['text']}" for message in _texts(ann, bob))


def _find_again(ann: _Person, bob: _Person) -> str:
    """Restart both, so that neither knows where the other is, and wait until they are linked."""
    for person in (ann, bob):
        process.stop(person.profile)
    for person in (ann, bob):
        process.start(person.profile)
    started = time.monotonic()
    _until(lambda: ann.path_to(bob) and bob.path_to(ann), "they did not find each other")
    elapsed_s = time.monotonic() - started
    paths = {ann.path_to(bob), bob.path_to(ann)}
    if "mdns" not in paths:
        raise P2pmsgError(f"They found each other by {paths}, not by mDNS.")
    return f"Restarted, they found each other by mDNS {_soon(elapsed_s)}; the announcements name nobody."


def _soon(elapsed_s: float) -> str:
    return "at once" if elapsed_s < 0.1 else f"within {elapsed_s:.1f} s"


def _survive_a_crash(ann: _Person, bob: _Person) -> str:
    """Kill Bob's daemon the hard way, send to him meanwhile, and start it again."""
    pid = bob.ask("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    message = ann.say(bob, "This one waits until you are back.")
    process.start(bob.profile)
    _until(lambda: _state(ann, bob, message["id"]) in ("delivered", "read"), "the waiting message was not delivered")
    bob.ask("read", target=ann.account)
    _until(lambda: _state(ann, bob, message["id"]) == "read", "the waiting message was not read")
    held = [each for each in bob.ask("history", target=ann.account) if each["id"] == message["id"]]
    if len(held) != 1:
        raise P2pmsgError(f"Bob holds the waiting message {len(held)} times.")
    return "Bob's daemon was killed (kill -9), and a message sent to him meanwhile; restarted, it got the message, once."


def _texts(ann: _Person, bob: _Person) -> list[Json]:
    return [message for message in ann.ask("history", target=bob.account) if message["kind"] == "text"]


def _states(ann: _Person, bob: _Person) -> list[str]:
    return [message["state"] for message in _texts(ann, bob) if message["mine"]]


def _state(ann: _Person, bob: _Person, message: str) -> str | None:
    return next((each["state"] for each in _texts(ann, bob) if each["id"] == message), None)


def _until(holds: Callable[[], object], otherwise: str) -> None:
    """Look until something holds. Raises: TimedOut."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimedOut(f"After {_PATIENCE_S:.0f} s {otherwise}.")
        time.sleep(0.05)  # a person who looks again


def _leave(folder: Path, *people: _Person) -> None:
    for person in people:
        with contextlib.suppress(P2pmsgError):
            process.stop(person.profile)
    shutil.rmtree(folder, ignore_errors=True)
