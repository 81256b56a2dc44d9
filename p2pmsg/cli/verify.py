"""`contact verify`: see that nobody sits between a contact and me, live or by a number."""

from __future__ import annotations

import os
from typing import Any

import click

from p2pmsg.cli import output, show
from p2pmsg.cli.grammar import TEXT, command
from p2pmsg.cli.session import Session

_GROUP, _GROUPS_A_LINE = 5, 4


@command("verify")
@click.argument("name", type=TEXT)
@click.option("--number", metavar="[60DIGITS]", type=TEXT, is_flag=False, flag_value="", help="Show the safety number, or compare it.")
def verify(session: Session, name: str, number: str | None) -> None:
    """Compare with a contact what both machines show, by voice or eye to eye. Reads `yes` or `no` from standard input.

    Both have to be online for that; the other one types: p2pmsg contact requests. Without it: --number shows sixty digits that the other
    one sees, too, and --number 60DIGITS compares those that he has read to you.
    """
    from p2pmsg.cli.nearby import comparing

    if number is None:
        if not session.json:
            output.note("The other one types: p2pmsg contact requests, and accepts.")
        found = session.call("contact.verify", answer=comparing(session), name=name)
    else:
        found = session.call("contact.verify", name=name, number=number or True)
    if number == "":
        session.show(found, _number)
        _draw(session, found)
        return
    session.show(found, show.contact)
    if not session.json:
        output.note(f"{show.name(found)} is verified.")


def _number(found: dict[str, Any]) -> str:
    """Return the digits as they are read aloud: groups of five, four in a line."""
    digits = found["number"]
    groups = [digits[at : at + _GROUP] for at in range(0, len(digits), _GROUP)]
    return "\n".join("  ".join(groups[at : at + _GROUPS_A_LINE]) for at in range(0, len(groups), _GROUPS_A_LINE))


def _draw(session: Session, found: dict[str, Any]) -> None:
    if session.json or not os.isatty(output.STDERR):
        return
    from p2pmsg.cli.qr import drawing

    output.note("The other one sees the same with p2pmsg contact verify; or compares what you read to him: --number 60DIGITS")
    output.draw(drawing(found["number"]))
