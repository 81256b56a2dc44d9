"""People nearby, without an invite: `visible …`, `contact nearby`, `contact requests`, and comparing what both see."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.grammar import SECONDS, TEXT, Group, command
from p2pmsg.cli.session import Session, can_ask, read_line
from p2pmsg.cli.times import shown
from p2pmsg.model.emoji import SYMBOLS, WORDS

HERE = "p2pmsg.cli.nearby"
Object = dict[str, Any]


@click.group("visible", cls=Group, table={"on": f"{HERE}:on", "off": f"{HERE}:off"})
def visible() -> None:
    """Let people nearby find me, who are no contacts yet."""


@command("on")
@click.option("--for", "for_", metavar="TIME", type=SECONDS, default=600.0, help="How long (default 10m).")
def on(session: Session, for_: float) -> None:
    """Show my name to everybody on this network, for a while."""
    session.show(session.call("visible.on", for_s=for_), lambda each: f"Visible until {shown(each['visible_until'])}.")
    if not session.json:
        output.note("Others type: p2pmsg contact nearby. Whoever asks shows here: p2pmsg contact requests")


@command("off")
def off(session: Session) -> None:
    """Hide from strangers again."""
    session.show(session.call("visible.off"), lambda each: "Not visible.")


@command("nearby")
@click.option("--timeout", metavar="TIME", type=SECONDS, default=5.0, help="How long to look (default 5s).")
def nearby(session: Session, timeout: float) -> None:
    """List who is visible on this network now."""
    nothing = "Nobody is visible. They type: p2pmsg visible on"
    session.show_all(session.call("contact.nearby", timeout_s=timeout), people, nothing=nothing)


@command("requests")
def requests(session: Session) -> None:
    """List who wants to become a contact, and which contacts want to compare."""
    session.show_all(session.call("contact.requests"), asked, nothing="Nobody has asked.")


@command("accept")
@click.argument("id", type=TEXT)
def accept(session: Session, id: str) -> None:
    """Compare with who asked, and become contacts, or verified ones. Reads `yes` or `no` from standard input."""
    from p2pmsg.cli.contact import met

    waiting = [] if session.json else [each for each in session.call("contact.requests") if each["id"].startswith(id.lower())]
    verifies = any(each["kind"] == "verify" for each in waiting)
    if len(waiting) == 1 and not waiting[0]["live"] and not verifies:
        who = text.name(waiting[0]["nickname"])
        output.note(f"{who} is not there just now: waiting for them to ask again, up to 2 minutes. Ctrl-C ends it.")
    found = session.call("contact.accept", answer=comparing(session), id=id)
    session.show(found, show.contact)
    if verifies:
        output.note(f"{show.name(found)} is verified.")
    else:
        met(session, found)


@command("decline")
@click.argument("id", type=TEXT)
def decline(session: Session, id: str) -> None:
    """Send a request away."""
    session.show(session.call("contact.decline", id=id), lambda each: f"Declined: {text.name(each['nickname'])}")


def comparing(session: Session) -> Callable[[Object], str]:
    """Return what shows my user the strings and reads his answer; "" where the daemon has more to say before he does."""

    def answer(question: Object) -> str:
        session.show(question, strings)
        if can_ask():
            sys.stderr.write("Does the other person see the same? Ask them. [yes/no] ")
            sys.stderr.flush()
        return _decision(session)

    return answer


def _decision(session: Session) -> str:
    """Return the line that was typed; a person who typed neither yes nor no, nor nothing, is asked again."""
    while True:
        line = read_line() if session.stdin_first() else ""
        if not can_ask() or line.strip().lower() in ("yes", "no", ""):
            return line
        sys.stderr.write("Type yes or no: ")
        sys.stderr.flush()


def strings(question: Object) -> str:
    """Return what is to be compared, as numbers and as symbols with their words: either is enough."""
    numbers = "   ".join(str(number) for number in question["numbers"])
    symbols = "   ".join(f"{SYMBOLS[WORDS.index(word)]} {word}" for word in question["emoji"])
    return f"\n  {numbers}\n\n  {symbols}\n"


def people(found: list[Object]) -> str:
    """List who is visible."""
    return text.table([["NAME", "ID"], *([text.name(each["nickname"]), each["id"]] for each in found)])


def asked(found: list[Object]) -> str:
    """List requests."""
    wants = {"contact": "to become a contact", "verify": "to compare"}
    rows = [
        [each["id"], text.name(each["nickname"]), wants[each["kind"]], "yes" if each["live"] else "no", shown(each["received_at"])]
        for each in found
    ]
    return text.table([["ID", "NAME", "WANTS", "THERE NOW", "ASKED"], *rows])
