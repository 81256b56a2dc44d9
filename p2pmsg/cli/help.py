"""What the help says beside the commands' own words: which commands belong together, and one example of each."""

from __future__ import annotations

SECTIONS = {
    "Talk": ("send", "chat", "inbox", "read", "history", "watch", "delete"),
    "People": ("contact", "visible", "peers"),
    "This machine": ("init", "whoami", "profile", "daemon", "status", "doctor", "config", "vault", "wipe"),
}
"""Heading of the help -> commands, in the order shown; all others stand under More."""
MORE = "More"

EXAMPLES = {
    "send": 'p2pmsg send bob "Lunch at noon?"',
    "chat": "p2pmsg chat bob",
    "inbox": "p2pmsg inbox --all",
    "read": "p2pmsg read bob",
    "history": "p2pmsg history bob -n 20 --since 7d",
    "watch": "p2pmsg watch --json --in bob",
    "delete": "p2pmsg delete 7f3a91c2",
    "contact invite": "p2pmsg contact invite --valid 1h",
    "contact invites": "p2pmsg contact invites",
    "contact uninvite": "p2pmsg contact uninvite 7f3a91c2",
    "contact add": "p2pmsg contact add P2PMSG:… --name Bob",
    "contact nearby": "p2pmsg contact nearby --timeout 10s",
    "contact find": "p2pmsg contact find bob",
    "contact requests": "p2pmsg contact requests",
    "contact accept": "p2pmsg contact accept 7f3a",
    "contact decline": "p2pmsg contact decline 7f3a",
    "contact list": "p2pmsg contact list",
    "contact show": "p2pmsg contact show bob",
    "contact verify": "p2pmsg contact verify bob --number",
    "contact rename": 'p2pmsg contact rename bob "Bob from work"',
    "contact block": "p2pmsg contact block bob",
    "contact unblock": "p2pmsg contact unblock bob",
    "contact remove": "p2pmsg contact remove bob",
    "visible on": "p2pmsg visible on --for 10m",
    "visible off": "p2pmsg visible off",
    "peers": "p2pmsg peers",
    "init": "p2pmsg init --name Ann",
    "whoami": "p2pmsg whoami",
    "profile set": "p2pmsg profile set --name Ann",
    "daemon start": "p2pmsg daemon start",
    "daemon stop": "p2pmsg daemon stop",
    "daemon restart": "p2pmsg daemon restart",
    "daemon run": "p2pmsg daemon run",
    "daemon logs": "p2pmsg daemon logs -f",
    "daemon install": "p2pmsg daemon install",
    "daemon uninstall": "p2pmsg daemon uninstall",
    "daemon status": "p2pmsg daemon status",
    "status": "p2pmsg status",
    "doctor": "p2pmsg doctor --with bob",
    "config list": "p2pmsg config list",
    "config get": "p2pmsg config get log.level",
    "config set": "p2pmsg config set receipts.read off",
    "config unset": "p2pmsg config unset receipts.read",
    "config path": "p2pmsg config path",
    "vault unlock": "p2pmsg vault unlock",
    "vault lock": "p2pmsg vault lock",
    "vault passphrase set": "p2pmsg vault passphrase set",
    "vault passphrase change": "p2pmsg vault passphrase change",
    "vault passphrase remove": "p2pmsg vault passphrase remove",
    "wipe": "p2pmsg --profile test wipe",
    "demo": "p2pmsg demo",
    "completion": 'eval "$(p2pmsg completion bash)"',
}


def example(command_path: str) -> str | None:
    """Return the example of a command by its whole path, `p2pmsg …`."""
    return EXAMPLES.get(command_path.partition(" ")[2])


def sections(commands: list[str]) -> list[tuple[str, list[str]]]:
    """Return headings and the commands below them, of those that there are."""
    found = [(heading, [name for name in names if name in commands]) for heading, names in SECTIONS.items()]
    rest = [name for name in commands if not any(name in names for _, names in found)]
    return [(heading, names) for heading, names in [*found, (MORE, rest)] if names]
