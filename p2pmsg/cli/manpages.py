"""The manual, made from the commands themselves: `python -m p2pmsg.cli.manpages FOLDER` writes p2pmsg.1 and a page for each command.

The first, which has all commands in short, lies in the documentation too and is installed with the program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from p2pmsg import __version__
from p2pmsg.cli.help import EXAMPLES, sections
from p2pmsg.cli.main import program

ENVIRONMENT = {
    "P2PMSG_HOME": "The folder of all profiles, keys included. Without it: ~/.local/share/p2pmsg.",
    "P2PMSG_PROFILE": "The profile, where --profile does not say it.",
    "NO_COLOR": "Set to anything: no colours.",
}
STATUSES = {
    "0": "Done; of send: the message is safe on this device.",
    "1": "A fault of the program; the message names the log.",
    "2": "What was typed cannot work.",
    "3": "The daemon is not running.",
    "4": "No such contact, message or other thing.",
    "5": "The name fits more than one; they are listed.",
    "6": "Not trusted.",
    "7": "Accepted, but not in time what --wait asked for.",
    "8": "Refused.",
    "9": "The network: nobody reached.",
    "130": "Ended by Ctrl-C.",
    "141": "The reader of standard output has gone.",
}


def pages() -> dict[str, str]:
    """Return every page by its file's name."""
    root = click.Context(program, info_name="p2pmsg", help_option_names=["-h", "--help"])
    found = {"p2pmsg.1": overview()}
    for name in program.list_commands(root):
        command = program.get_command(root, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=root)
        found[f"p2pmsg-{name}.1"] = "\n".join([*_head(f"p2pmsg-{name}", _first(command)), *_command(command, below, "SYNOPSIS"), ""])
    return found


def overview() -> str:
    """Return the page of the program: commands, environment, exit status."""
    root = click.Context(program, info_name="p2pmsg", help_option_names=["-h", "--help"])
    lines = _head("p2pmsg", "private messages between people on one network")
    lines += [
        ".SH SYNOPSIS",
        ".B p2pmsg",
        "[\\-\\-profile NAME] COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        _plain(program.help or ""),
    ]
    for heading, names in sections(program.list_commands(root)):
        lines += [f".SH {_plain(heading.upper())}"]
        for name in names:
            command = program.get_command(root, name)
            assert command is not None
            lines += _entries(command, click.Context(command, info_name=name, parent=root))
    lines += [".SH ENVIRONMENT", *_list(ENVIRONMENT), ".SH EXIT STATUS", *_list(STATUSES)]
    return "\n".join([*lines, ""])


def _entries(command: click.Command, ctx: click.Context) -> Iterator[str]:
    """Yield a command in a line or two; of a group its commands."""
    if not isinstance(command, click.Group):
        yield from [".TP", f".B {_plain(_usage(command, ctx))}", _plain(_first(command))]
        return
    for name in command.list_commands(ctx):
        below = command.get_command(ctx, name)
        assert below is not None
        yield from _entries(below, click.Context(below, info_name=name, parent=ctx))


def _command(command: click.Command, ctx: click.Context, heading: str) -> Iterator[str]:
    """Yield all that the help says of a command and of those below it."""
    if isinstance(command, click.Group):
        yield from [".SH DESCRIPTION", _plain(_first(command))]
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=ctx), name.upper())
        return
    yield from [f".SH {_plain(heading)}", f".B {_plain(_usage(command, ctx))}"]
    for paragraph in (command.help or "").split("\n\n"):
        yield from [".PP", _plain(" ".join(paragraph.split()))]
    for option in command.params:
        if (record := option.get_help_record(ctx)) is not None:
            yield from [".TP", f".B {_plain(record[0])}", _plain(record[1])]
    if (example := EXAMPLES.get(ctx.command_path.partition(" ")[2])) is not None:
        yield from [".PP", "Example:", ".PP", ".RS 4", ".nf", _plain(example), ".fi", ".RE"]


def _head(name: str, words: str) -> list[str]:
    title = f'.TH {name.upper()} 1 "" "p2pmsg {__version__}" "p2pmsg"'
    return [title, ".SH NAME", f"{_plain(name)} \\- {_plain(words.rstrip('.'))}"]


def _list(rows: dict[str, str]) -> Iterator[str]:
    for name, words in rows.items():
        yield from [".TP", f".B {_plain(name)}", _plain(words)]


def _usage(command: click.Command, ctx: click.Context) -> str:
    return " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])


def _first(command: click.Command) -> str:
    return command.get_short_help_str(1000)


def _plain(words: str) -> str:
    """Return words as roff shows them: neither a command of its own, nor dashes that cannot be copied."""
    words = words.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq").replace("…", "...")
    return f"\\&{words}" if words.startswith((".", "'")) else words


def main(arguments: list[str]) -> int:
    """Write the pages into a folder, which is made."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("Usage: python -m p2pmsg.cli.manpages FOLDER\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
