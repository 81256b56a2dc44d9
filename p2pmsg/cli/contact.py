"""People: `contact …` and `peers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from p2pmsg.cli import output, show
from p2pmsg.cli.grammar import SECONDS, TEXT, Group, command
from p2pmsg.cli.session import Session, can_ask, read_line
from p2pmsg.cli.times import until
from p2pmsg.config.limits import NAME_CHARACTERS
from p2pmsg.errors import UsageError
from p2pmsg.model.names import fault_of_name

HERE = "p2pmsg.cli.contact"


@click.group(
    "contact",
    cls=Group,
    table={
        "invite": f"{HERE}:invite",
        "invites": f"{HERE}:invites",
        "uninvite": f"{HERE}:uninvite",
        "add": f"{HERE}:add",
        "nearby": "p2pmsg.cli.nearby:nearby",
        "find": f"{HERE}:find",
        "requests": "p2pmsg.cli.nearby:requests",
        "accept": "p2pmsg.cli.nearby:accept",
        "decline": "p2pmsg.cli.nearby:decline",
        "list": f"{HERE}:list_",
        "show": f"{HERE}:show_",
        "verify": "p2pmsg.cli.verify:verify",
        "rename": f"{HERE}:rename",
        "block": f"{HERE}:block",
        "unblock": f"{HERE}:unblock",
        "remove": f"{HERE}:remove",
    },
)
def contact() -> None:
    """People I talk to."""


@command("invite")
@click.option("--valid", metavar="TIME", type=SECONDS, default=600.0, help="How long it can be used (default 10m).")
def invite(session: Session, valid: float) -> None:
    """Make an invite: whoever uses it first becomes a contact."""
    made = session.call("contact.invite", valid_s=valid)
    session.show(made, lambda each: str(each["invite"]))
    if session.json:
        return
    output.note(f"Works once, until {until(made['expires_at'])} (id {made['id'][:8]}). They type: p2pmsg contact add INVITE")
    if os.isatty(output.STDERR):
        from p2pmsg.cli.qr import drawing

        output.draw(drawing(made["invite"]))


@command("invites")
def invites(session: Session) -> None:
    """List the invites that can still be used."""
    session.show_all(session.call("contact.invites"), show.invites, nothing="No invite is open. Try: p2pmsg contact invite")


@command("uninvite")
@click.argument("id", type=TEXT)
def uninvite(session: Session, id: str) -> None:
    """Withdraw an invite."""
    session.show(session.call("contact.uninvite", id=id), lambda each: f"Withdrawn: {each['id']}")


@command("add")
@click.argument("who", metavar="INVITE|NAME|ID", type=TEXT, required=False)
@click.option("--image", metavar="FILE", type=TEXT, help="Read the invite's QR code from a photo or screenshot.")
@click.option("--name", type=TEXT, help="What I call this person.")
@click.option("--timeout", metavar="TIME", type=SECONDS, help="How long to try (default 30s, and 2m with somebody nearby).")
def add(session: Session, who: str | None, image: str | None, name: str | None, timeout: float | None) -> None:
    """Use somebody's invite (`-` reads it from standard input), or ask somebody nearby by name or id and compare what both see.

    Returns when both sides have stored it.
    """
    if (who is None) == (image is None):
        problem = "There is no invite." if who is None else "Say the invite, or --image FILE; not both."
        raise UsageError(problem, hint="p2pmsg contact add INVITE, or p2pmsg contact add --image FILE")
    if who is not None and who != "-" and fault_of_name(who, NAME_CHARACTERS) is None:
        from p2pmsg.cli.nearby import comparing

        found = session.call("contact.add", answer=comparing(session), nickname=who, name=name, timeout_s=timeout)
    else:
        found = session.call("contact.add", invite=_invite(who, image), name=name, timeout_s=timeout)
    session.show(found, show.contact)
    met(session, found)


def met(session: Session, found: dict[str, Any]) -> None:
    """Say to people that somebody is a contact now."""
    if not session.json:
        output.note(f"You and {show.name(found)} are contacts.")


def _invite(who: str | None, image: str | None) -> str:
    if image is not None:
        from p2pmsg.cli.qr import read

        return read(Path(image))
    if who == "-" and can_ask():
        output.note("Type or paste the invite; Enter ends it.")
    return read_line().strip() if who == "-" else who or ""


@command("list")
def list_(session: Session) -> None:
    """List all contacts."""
    session.show_all(session.call_all("contact.list"), show.contacts, nothing="No contacts yet. Try: p2pmsg contact invite")


@command("show", yes=True)
@click.argument("name", type=TEXT)
def show_(session: Session, name: str) -> None:
    """Show one contact and his devices. With --yes you have looked at a new one of them, and what waited is sent."""
    session.show(session.call("contact.show", name=name, yes=session.yes or None), show.contact)


@command("find")
@click.argument("name", type=TEXT)
def find(session: Session, name: str) -> None:
    """Look for a contact by asking every address of this network, once.

    For networks where two do not find each other by themselves. Asks at most the 254 addresses around each own one (the /24), which
    takes one to three seconds; a firewall may take it for a scan.
    """
    before = session.call("contact.show", name=name)
    found = session.call("contact.find", name=before["account"])
    session.show(found, show.contact)
    if not session.json:
        output.note(f"{show.name(found)} {'is online already: nobody was asked' if before['online'] else 'is found'}.")


@command("rename")
@click.argument("name", type=TEXT)
@click.argument("new", type=TEXT)
def rename(session: Session, name: str, new: str) -> None:
    """Call a contact by another name; nobody else sees it."""
    session.show(session.call("contact.rename", name=name, new=new), show.contact)


@command("block")
@click.argument("name", type=TEXT)
def block(session: Session, name: str) -> None:
    """Fall silent to a contact, as if this machine were gone: nothing of his comes in, nothing goes out. He is not told."""
    found = session.call("contact.block", name=name)
    session.show(found, show.contact)
    if not session.json:
        output.note(f"{show.name(found)} is blocked. What was said stays: p2pmsg contact remove NAME --history deletes it.")


@command("unblock")
@click.argument("name", type=TEXT)
def unblock(session: Session, name: str) -> None:
    """Take a block back. The keys are gone: to talk again, become contacts again."""
    found = session.call("contact.unblock", name=name)
    session.show(found, show.contact)
    if not session.json:
        output.note(f"{show.name(found)} is not blocked any more. To talk again: p2pmsg contact invite")


@command("remove", yes=True)
@click.argument("name", type=TEXT)
@click.option("--history", is_flag=True, help="And what was said, on all my devices.")
def remove(session: Session, name: str, history: bool) -> None:
    """Remove a contact: we cannot reach each other any more."""
    if not session.yes:
        who = show.name(session.call("contact.show", name=name))
        session.confirm(f"Remove {who}{' and all that was said' if history else ''}?")
    stays = "" if history else " What was said stays: p2pmsg history "
    session.show(
        session.call("contact.remove", name=name, history=history),
        lambda each: f"Removed: {show.name(each)}.{stays}{'' if history else each['account'][:16]}",
    )


@command("peers")
def peers(session: Session) -> None:
    """List devices of contacts and mine, and how they are reached."""
    session.show_all(session.call_all("peers"), lambda found: show.peers(found, session.people, _me(session)), nothing="No contacts yet.")


def _me(session: Session) -> str:
    account: str = session.call("whoami")["account"]
    return account
