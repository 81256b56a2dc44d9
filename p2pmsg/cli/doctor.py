"""`doctor`: what is wrong here, and what mends it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from p2pmsg.cli import output, text
from p2pmsg.cli.grammar import TEXT, command
from p2pmsg.cli.session import Session
from p2pmsg.errors import FileExists, FileNotFound, NetworkError

WORDS = {True: "ok", False: "FAULT", None: "-"}


class CheckFailed(NetworkError):
    """Do what stands beside each FAULT, and look again: p2pmsg doctor"""

    code = "check_failed"


@command("doctor")
@click.option("--with", "who", metavar="NAME", type=TEXT, help="Ask a contact what it hears of me, and say on which side it breaks.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write what a maintainer needs there.")
def doctor(session: Session, who: str | None, report: Path | None) -> None:
    """Look for what is wrong on this machine and its network; exit 9 if something is. Works without a daemon."""
    from p2pmsg.daemon import doctor as examination
    from p2pmsg.daemon import home
    from p2pmsg.daemon import report as reporting

    if report is not None and os.path.lexists(report):
        raise FileExists(f"There is a file already: {report}")
    if report is not None and not report.absolute().parent.is_dir():
        raise FileNotFound(f"There is no folder {report.absolute().parent} for the report.", hint="Make it first, or name another file.")
    profile = home.locate(os.environ, session.profile)
    rows = examination.examine(profile, who)
    if report is not None:
        reporting.write(report, rows, profile)
    session.show_all((row.as_json() for row in rows), lambda found: render(found, session.profile), nothing="")
    if report is not None:
        output.note(f"Written: {report}. It names nobody and holds no message; look through it before you give it away.")
    faults = [row.check for row in rows if row.ok is False]
    if faults:
        raise CheckFailed(f"{len(faults)} check{'' if len(faults) == 1 else 's'} failed: {', '.join(faults)}.")


def render(rows: Sequence[dict[str, Any]], profile: str | None) -> str:
    """Return rows as a table; what mends a fault stands below it."""
    lines = [["CHECK", "", "WHAT WAS FOUND"]]
    for row in rows:
        lines.append([text.line(row["check"]), WORDS[row["ok"]], text.line(row["detail"])])
        if row["hint"] and row["ok"] is not True:
            lines.append(["", "", f"Try: {text.line(output.of_profile(row['hint'], profile))}"])
    return text.table(lines, output.columns())
