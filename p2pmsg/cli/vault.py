"""The key that all of it is encrypted under: `vault …`. Passphrases are typed without echo, or are lines of standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from getpass import getpass
from typing import Any

import click

from p2pmsg.cli import output, show
from p2pmsg.cli.grammar import Group, command
from p2pmsg.cli.session import Session, can_ask, read_line
from p2pmsg.errors import UsageError

HERE = "p2pmsg.cli.vault"


@click.group(
    "vault",
    cls=Group,
    table={"lock": f"{HERE}:lock", "unlock": f"{HERE}:unlock", "passphrase": f"{HERE}:passphrase"},
)
def vault() -> None:
    """Protect what is stored on this machine."""


@command("unlock")
def unlock(session: Session) -> None:
    """Open the vault. The passphrase is typed, or is one line of standard input."""
    session.show(session.call("vault.unlock", answer=secret), state)


@command("lock")
def lock(session: Session) -> None:
    """Forget the key until it is unlocked: the daemon does nothing meanwhile."""
    session.show(session.call("vault.lock"), state)


@click.group(
    "passphrase",
    cls=Group,
    table={"set": f"{HERE}:set_", "change": f"{HERE}:change", "remove": f"{HERE}:remove"},
)
def passphrase() -> None:
    """Set, change or remove the passphrase. All is encrypted anew under another key meanwhile."""


@command("set")
def set_(session: Session) -> None:
    """Need a passphrase from now on. Nobody can help who forgets it."""
    session.show(session.call("vault.passphrase.set", answer=secret), state)


@command("change")
def change(session: Session) -> None:
    """Replace the passphrase. From standard input it takes two lines: the current one and the new one."""
    session.show(session.call("vault.passphrase.change", answer=secret), state)


@command("remove")
def remove(session: Session) -> None:
    """Need no passphrase any more."""
    session.show(session.call("vault.passphrase.remove", answer=secret), state)


def state(found: dict[str, Any]) -> str:
    """Return the vault's state in words."""
    return f"The vault is {show.vault(found)}."


def secret(question: dict[str, Any]) -> str:
    """Return the passphrase that is asked for; a new one that is typed is typed twice. Raises: UsageError."""
    if not can_ask():
        if os.isatty(output.STDIN):
            raise UsageError("Nobody can be asked for the passphrase here.", hint="Give it as one line of standard input.")
        given = read_line()
    elif question["which"] == "new":
        given = _typed_twice(_typed)
    else:
        given = _typed("Passphrase: ")
    if not given:
        raise UsageError("No passphrase was given.", hint="Type it, or give it as one line of standard input.")
    return given


def _typed(prompt: str) -> str:
    try:
        return getpass(prompt, stream=sys.stderr)
    except EOFError:
        output.note("")
        return ""


def _typed_twice(ask: Callable[[str], str]) -> str:
    given = ask("New passphrase: ")
    if given and ask("The same again: ") != given:
        raise UsageError("The two were not the same; nothing was changed.", hint="Type it again.")
    return given
