"""The pages of commands and methods in the documentation, made from the program itself: `python -m p2pmsg.cli.reference [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from p2pmsg.cli import api_reference, manpages
from p2pmsg.cli.main import program

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
MANUAL = PAGE.with_name("p2pmsg.1")
API_PAGE = PAGE.with_name("api.md")
HEAD = """# Commands

Made from the program by `python -m p2pmsg.cli.reference`: change the help there, not here.

* `--json` and `-y` stand after the command; `--profile` before it. Every command has `-h`.
* Without `--json` output is for people; with it, one JSON object a line, and on failure the last line of stderr is
  `{"error":{"code","message","hint","candidates"}}`.
* Exit status: 0 done, 1 our fault, 2 what you typed cannot work, 3 no daemon, 4 no such thing, 5 ambiguous, 6 not trusted, 7 not in time,
  8 refused, 9 network, 130 Ctrl-C, 141 the reader of stdout has gone.
* Times are typed as `10m`, `2h`, `7d`, `90` (seconds), `18:30` or RFC 3339.
"""


def page() -> str:
    """Return the whole page."""
    root = click.Context(program, info_name="p2pmsg", terminal_width=80, help_option_names=["-h", "--help"])
    return "\n".join([HEAD, *_sections(program, root)])


def _sections(command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield f"## {ctx.command_path}\n\n```text\n{command.get_help(ctx)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            context = click.Context(below, info_name=name, parent=ctx, terminal_width=80, help_option_names=["-h", "--help"])
            yield from _sections(below, context)


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check` only say whether they are up to date."""
    wanted = {PAGE: page(), MANUAL: manpages.overview(), API_PAGE: api_reference.page()}
    if arguments == ["--check"]:
        stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        for path in stale:
            sys.stderr.write(f"{path} is out of date.\nTry: python -m p2pmsg.cli.reference\n")
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
