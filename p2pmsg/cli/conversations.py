"""What was said: `inbox`, `history`, `read`, `delete`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from shlex import quote
from typing import Any

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.grammar import INSTANT, TEXT, at_least, command
from p2pmsg.cli.session import Session
from p2pmsg.cli.times import shown
from p2pmsg.config.limits import RPC_LIST
from p2pmsg.errors import UsageError


@command("inbox")
@click.option("--all", "all_", is_flag=True, help="Also where nothing is unread.")
def inbox(session: Session, all_: bool) -> None:
    """List conversations with something unread, the most recent first."""
    found = session.call_all("inbox", all=all_)
    nothing = "Nothing was said yet." if all_ else "Nothing is unread."
    session.show_all(found, lambda each: show.conversations(each, session.people), nothing=nothing)


@command("history")
@click.argument("target", type=TEXT)
@click.option("-n", "count", metavar="N", type=at_least(1), default=50, show_default=True, help="How many messages.")
@click.option("--before", metavar="ID", type=TEXT, help="The last N before this message.")
@click.option("--after", metavar="ID", type=TEXT, help="The first N after this message.")
@click.option("--since", metavar="TIME", type=INSTANT, help="None older than this.")
def history(session: Session, target: str, count: int, before: str | None, after: str | None, since: str | None) -> None:
    """Show the last messages, oldest first. Marks nothing read."""
    if before is not None and after is not None:
        raise UsageError("Say --before or --after, not both.", hint="p2pmsg history --help")
    found = _history(session, target, count, before, after, since)
    nothing = "Nothing was said yet." if since is None else f"Nothing since {shown(since)}."
    session.show_all(found, lambda each: show.messages(each, session.people), nothing=nothing)
    if not session.json and os.isatty(output.STDERR) and len(found) == count:
        where = {"after": found[-1]["id"]} if after is not None else {"before": found[0]["id"]}
        if session.call("history", target=target, n=1, since=since, **where):
            _say_more(session, target, where)


def _say_more(session: Session, target: str, where: dict[str, str]) -> None:
    option, identity = where.popitem()
    advice = f"… more: p2pmsg history {quote(target)} --{option} {identity[:16]}"
    output.note(output.of_profile(text.line(advice), session.profile))


@command("read")
@click.argument("target", type=TEXT)
def read(session: Session, target: str) -> None:
    """Show the unread messages and mark them read."""
    found = (message for part in _parts(session, target) for message in part)
    session.show_all(found, lambda each: show.messages(each, session.people), nothing="Nothing is unread.")


@command("delete", yes=True)
@click.argument("id", type=TEXT, required=False)
@click.option("--in", "within", metavar="TARGET", type=TEXT, help="All that was said in this conversation.")
def delete(session: Session, id: str | None, within: str | None) -> None:
    """Delete a message, or all of a conversation: on all my devices, and nowhere else."""
    if (id is None) == (within is None):
        raise UsageError("Say the ID of one message, or --in TARGET; not both.", hint="p2pmsg delete --help")
    if within is not None:
        session.confirm(f"Delete all that was said in the conversation {text.line(within)}, on all my devices?")
    session.show(session.call("delete", answer=partial(_confirmed, session), id=id, **{"in": within}), show.deleted)


def _confirmed(session: Session, asked: dict[str, Any]) -> str:
    who = text.name(asked["name"])
    session.confirm(f"{who} does not have this message yet, and will still get it: deleting takes nothing back. Delete it here?")
    return "yes"


def _parts(session: Session, target: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the unread messages as many at a time as one answer holds."""
    while True:
        part = session.call("read", target=target)
        yield part
        if len(part) < RPC_LIST:
            return


def _history(session: Session, target: str, count: int, before: str | None, after: str | None, since: str | None) -> list[dict[str, Any]]:
    """Return `count` messages, asking as often as the answer's limit makes it necessary."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        ask = min(count - len(found), RPC_LIST)
        part = session.call("history", target=target, n=ask, before=before, after=after, since=since)
        found = found + part if after is not None else part + found
        if len(part) < ask:
            break
        if after is not None:
            after = part[-1]["id"]
        else:
            before = part[0]["id"]
    return found
