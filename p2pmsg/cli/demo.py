"""`demo`: two people on this machine, from nothing to talking."""

from __future__ import annotations

from typing import Any

from p2pmsg.cli import show
from p2pmsg.cli.grammar import command
from p2pmsg.cli.session import Session
from p2pmsg.errors import P2pmsgError


@command("demo")
def demo(session: Session) -> None:
    """Let two people meet and talk on this machine alone."""
    from p2pmsg.daemon import demo as play

    def emit(step: dict[str, Any]) -> None:
        session.show(step, show.step)

    if not play.run(emit):
        raise DemoFailed("A step of the demo failed; see above which.")


class DemoFailed(P2pmsgError):
    """Report what is written above."""
