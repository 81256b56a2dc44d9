"""System lines: what a conversation shows that nobody wrote.

Names in them are what somebody chose. They stand in quotation marks where they could pass for words of ours, and bring none of their own.
"""

from __future__ import annotations

from p2pmsg.protocol.bodies import ContactBody, SeenBody


def of_contact(body: ContactBody) -> str:
    """Say that two people have become contacts, or have become so again."""
    who = body.name or body.nickname
    how = {
        "invite_mine": f"{who} used your invite.",
        "invite_theirs": f"You used {who}'s invite.",
        "nearby": "You compared what your screens showed.",
    }
    return f"You and {who} are contacts now. {how[body.via or 'nearby']}"


def of_chain(body: SeenBody) -> str:
    """Say what somebody's account chain has come to say."""
    device, by = quoted(body.device), "the recovery words" if body.by is None else quoted(body.by)
    if body.what == "added":
        return f"{body.who} added {device}, signed by {by}."
    if body.what == "removed":
        return f"{body.who} removed {device}."
    return f"Warning: {ALARMS[body.what].format(who=body.who)} It may be somebody else: ask {body.who}, then compare."


ALARMS = {
    "went_back": "a device of {who} came back as it was before.",
    "side_by_side": "a device of {who} was copied, or its key is in two hands.",
    "by_root": "the recovery words of {who} were used.",
}


def quoted(name: str | None) -> str:
    """Return a name in quotation marks that end where it ends."""
    return '"' + (name or "?").replace('"', "'") + '"'
