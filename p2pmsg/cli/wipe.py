"""`wipe`: leave nothing of a profile on this machine."""

from __future__ import annotations

import os
from typing import Any

from p2pmsg.cli import text
from p2pmsg.cli.grammar import command
from p2pmsg.cli.session import Session


@command("wipe", yes=True)
def wipe(session: Session) -> None:
    """Destroy my keys and all that is stored of me on this machine. Cannot be undone."""
    from p2pmsg.daemon import home, wiping

    profile = home.locate(os.environ, session.profile)
    if os.path.lexists(profile.folder):
        session.confirm(f"Destroy the keys, all messages and all settings of profile {profile.name} in {profile.home}?")
    session.show(wiping.wipe(profile), _said)


def _said(done: dict[str, Any]) -> str:
    return "\n".join(text.line(words) for words in [*done["did"], "What stays:", *(f"  {words}" for words in done["stays"])])
