"""`watch`: what happens, as it happens."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.grammar import TEXT, at_least, command
from p2pmsg.cli.session import Session
from p2pmsg.cli.times import shown

if TYPE_CHECKING:
    from p2pmsg.rpc.client import Client


@command("watch")
@click.option("--since", metavar="CURSOR", type=TEXT, help="First all that happened after CURSOR, once each, in order.")
@click.option("-n", "count", metavar="N", type=at_least(1), help="End after N events.")
@click.option("--in", "within", metavar="TARGET", type=TEXT, help="Only of this conversation.")
def watch(session: Session, since: str | None, count: int | None, within: str | None) -> None:
    """Show what happens until Ctrl-C; exit 3 when the daemon goes."""
    with session.watching() as client:
        ready = client.call("watch", {"since": since, "n": count, "in": within})
        _print(session, {"cursor": ready["cursor"], "type": "ready"})
        for number, event in enumerate(arriving(client), 1):
            _print(session, event)
            if number == count:
                return


def arriving(client: Client) -> Iterator[dict[str, Any]]:
    """Yield events as they come. Raises: DaemonNotRunning; ReaderGone at once when the reader of stdout goes."""
    events = client.events()
    poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)
    poll.register(output.STDOUT, 0)
    while True:
        while not client.has_line():
            for descriptor, state in poll.poll():
                if descriptor == output.STDOUT and state & (select.POLLERR | select.POLLHUP):
                    raise output.ReaderGone
                if descriptor == client.fileno():
                    client.take()
        yield next(events)


def _print(session: Session, event: dict[str, Any]) -> None:
    if session.json:
        output.json_line(event)
    else:
        output.line(describe(session, event))


def describe(session: Session, event: dict[str, Any]) -> str:
    """Say an event to people."""
    kind = event["type"]
    if kind == "ready":
        return f"Watching from {text.line(str(event['cursor']))}; Ctrl-C ends."
    if kind == "message":
        return show.message(event["message"], session.people, watched=True)
    if kind == "contact":
        session.people.learn(event["contact"])
        return _line(event, f"contact {show.name(event['contact'])}")
    if kind == "peer":
        peer = event["peer"]
        return _line(event, f"{session.people.label(peer['account'], peer['name'])} is {'here' if peer['online'] else 'away'}")
    if kind == "state":
        return _line(event, f"{event['id'][: show.ID_CHARACTERS]} is {event['state']}")
    if kind == "alert":
        return _line(event, f"alert: {text.line(str(event['alert'].get('message')))}")
    return _line(event, text.line(kind))


def _line(event: dict[str, Any], words: str) -> str:
    return text.hanging(f"{shown(event['at'])}  {words}", output.columns())
