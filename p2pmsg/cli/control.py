"""The daemon's life: `daemon start|stop|restart|run|logs|install|uninstall` and `status`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from p2pmsg.cli import output, show, text
from p2pmsg.cli.grammar import Group, at_least, command
from p2pmsg.cli.session import Session
from p2pmsg.cli.times import now
from p2pmsg.errors import DaemonOtherVersion, NoDaemon

if TYPE_CHECKING:
    from p2pmsg.daemon.home import Profile


@click.group(
    "daemon",
    cls=Group,
    table={
        "start": "p2pmsg.cli.control:start",
        "stop": "p2pmsg.cli.control:stop",
        "restart": "p2pmsg.cli.control:restart",
        "run": "p2pmsg.cli.control:run",
        "logs": "p2pmsg.cli.control:logs",
        "install": "p2pmsg.cli.control:install",
        "uninstall": "p2pmsg.cli.control:uninstall",
        "status": "p2pmsg.cli.control:status",
    },
)
def daemon() -> None:
    """The process that sends and receives while nobody looks."""


@command("start")
def start(session: Session) -> None:
    """Start the daemon; returns when it answers. One that runs already is fine."""
    from p2pmsg.daemon import unit

    before = now()
    found = unit.start(_profile(session))
    session.show(found, show.status)
    if not session.json:
        output.note("It runs already." if (found["started_at"] or before) < before else "Started.")


@command("stop")
def stop(session: Session) -> None:
    """Stop the daemon; returns when its process has ended. One that does not run is fine."""
    from p2pmsg.daemon import process

    session.show(process.stop(_profile(session)), show.status)


@command("restart")
def restart(session: Session) -> None:
    """Stop the daemon and start it again."""
    from p2pmsg.config import settings
    from p2pmsg.daemon import process, unit

    settings.load(_profile(session).config)  # while one runs that these could not start again
    process.stop(_profile(session))
    session.show(unit.start(_profile(session)), show.status)


@command("run")
def run(session: Session) -> None:
    """Be the daemon, in the foreground, until SIGTERM or Ctrl-C."""
    from p2pmsg.daemon import service

    service.run(_profile(session))


@command("logs")
@click.option("-n", "count", metavar="N", type=at_least(0), default=50, show_default=True, help="The last N lines.")
@click.option("-f", "follow", is_flag=True, help="Go on as lines are written.")
def logs(session: Session, count: int, follow: bool) -> None:
    """Show the end of the daemon's log."""
    from p2pmsg.daemon import process

    for line in process.logs(_profile(session), count, follow=follow):
        if session.json:
            output.json_line({"line": line})
        else:
            output.line(text.hanging(text.line(line), output.columns()))


@command("install")
def install(session: Session) -> None:
    """Have systemd start the daemon with every session of mine, and now. Twice is once."""
    from p2pmsg.daemon import unit

    session.show(unit.install(_profile(session)), show.service)


@command("uninstall")
def uninstall(session: Session) -> None:
    """Undo `daemon install`: stops the daemon, and it starts by itself no more."""
    from p2pmsg.daemon import unit

    session.show(unit.uninstall(_profile(session)), show.service)


@command("status")
def status(session: Session) -> None:
    """Show how the daemon fares; exit 3 if it does not run."""
    try:
        found = session.call("status")
    except DaemonOtherVersion:
        raise
    except NoDaemon:
        from p2pmsg.daemon import process

        session.show(process.stopped_status(_profile(session)), show.status)
        raise
    session.show(found, show.status)


def _profile(session: Session) -> Profile:
    from p2pmsg.daemon import home

    return home.locate(os.environ, session.profile)
