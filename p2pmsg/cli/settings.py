"""`config list|get|set|unset|path`: the settings file, also while a daemon runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.grammar import TEXT, Group, command
from p2pmsg.cli.session import Session
from p2pmsg.errors import NotInitialized
from p2pmsg.rpc.locate import initialized

HERE = "p2pmsg.cli.settings"


@click.group(
    "config",
    cls=Group,
    table={
        "list": f"{HERE}:list_",
        "get": f"{HERE}:get",
        "set": f"{HERE}:set_",
        "unset": f"{HERE}:unset",
        "path": f"{HERE}:path",
    },
)
def config() -> None:
    """Settings of this profile; a daemon that runs notices what changes."""


@command("list")
def list_(session: Session) -> None:
    """List all settings, their values and where these come from."""
    from p2pmsg.config import edit

    session.show_all(edit.list_(_file(session)), show.settings, nothing="")


@command("get")
@click.argument("key", type=TEXT)
def get(session: Session, key: str) -> None:
    """Show a setting."""
    from p2pmsg.config import edit

    session.show(edit.get(_file(session), key), lambda each: show.setting(each["value"]))


@command("set")
@click.argument("key", type=TEXT)
@click.argument("value", type=TEXT)
def set_(session: Session, key: str, value: str) -> None:
    """Change a setting; lists are comma-separated."""
    from p2pmsg.config import edit
    from p2pmsg.config.settings import NO_EFFECT_YET

    session.show(edit.set_(_own_file(session), key, value), _said)
    if key in NO_EFFECT_YET and not session.json:
        output.note("It is stored, but has no effect in this version.")


@command("unset")
@click.argument("key", type=TEXT)
def unset(session: Session, key: str) -> None:
    """Let a setting's default hold again."""
    from p2pmsg.config import edit

    session.show(edit.unset(_own_file(session), key), _said)


@command("path")
def path(session: Session) -> None:
    """Show where the settings file is."""
    from p2pmsg.config import edit

    session.show(edit.path(_file(session)), lambda each: text.line(str(each["value"])))


def _file(session: Session) -> Path:
    return session.folder / "config.toml"


def _own_file(session: Session) -> Path:
    """Return the file of a profile that exists: none is made for a person who does not."""
    if not initialized(session.folder):
        raise NotInitialized(f"There is no profile yet in {session.folder}.")
    return _file(session)


def _said(found: dict[str, Any]) -> str:
    return f"{found['key']} = {show.setting(found['value']) or '(empty)'}"
