"""Who I am: `init`, `whoami`, `profile set`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.grammar import TEXT, Group, command
from p2pmsg.cli.session import Session, can_ask, read_line
from p2pmsg.errors import UsageError


@command("init")
@click.option("--name", required=True, type=TEXT, help="What others see.")
@click.option("--device", type=TEXT, help="What my own devices call this one (default: the machine's name).")
@click.option("--words-file", type=TEXT, metavar="FILE", help="Write the recovery words there instead of on the terminal.")
def init(session: Session, name: str, device: str | None, words_file: str | None) -> None:
    """Make my identity on this machine. The 24 recovery words are shown once: write them down."""
    from p2pmsg.daemon import home, identity

    here, words = home.locate(os.environ, session.profile), Path(words_file).absolute() if words_file is not None else None
    identity.check(here, name, device, words)
    if words is None and not os.isatty(output.STDERR):
        raise UsageError(
            "The recovery words cannot be shown: standard error is no terminal.", hint="Name a new file for them: --words-file FILE"
        )
    made = identity.init(
        here, name, device, words, _show_words, in_keyring=can_ask() and identity.can_use_keyring(here) and _wants_keyring()
    )
    session.show(made, show.identity)
    if not session.json:
        output.note(output.of_profile("Next: p2pmsg daemon start", session.profile))


@command("whoami")
def whoami(session: Session) -> None:
    """Show who I am on this device."""
    session.show(session.call("whoami"), show.identity)


@click.group("profile", cls=Group, table={"set": "p2pmsg.cli.identity:profile_set"})
def profile() -> None:
    """What others see of me."""


@command("set")
@click.option("--name", type=TEXT, help="What others see.")
def profile_set(session: Session, name: str | None) -> None:
    """Change what others see of me."""
    if name is None:
        raise UsageError("There is nothing to change.", hint="p2pmsg profile set --name NAME")
    session.show(session.call("profile.set", name=name), show.identity)


def _wants_keyring() -> bool:
    """Ask where the key shall lie. Enter is yes."""
    output.note(
        "The key of what is stored can lie in this desktop's keyring, which opens when you log in,\nor in a file that only you may read."
    )
    sys.stderr.write("Keep it in the keyring? [Y/n] ")
    sys.stderr.flush()
    return read_line().strip().lower() in ("", "y", "yes")


def _show_words(words: Sequence[str]) -> None:
    """Show the recovery words, in as many columns as fit, at most four."""
    output.note("Your recovery words, shown this once. Write them down; let nobody see them.\n")
    output.note(_grid(words, output.columns(output.STDERR) or 80))
    output.note(
        "\nWho has them can get your account back when your devices are lost. Getting it back from them comes with a later version.\n"
    )


def _grid(words: Sequence[str], width: int) -> str:
    """Return the words, numbered down the columns."""
    cells = [f"{number:2}. {word}" for number, word in enumerate(words, 1)]
    for columns in (4, 3, 2, 1):
        rows = len(cells) // columns
        grid = text.table([["  ", *cells[row::rows]] for row in range(rows)])
        if max(map(len, grid.split("\n"))) <= width:
            break
    return grid
