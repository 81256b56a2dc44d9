"""Help is grouped, has an example of each command, and fits where it is read."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from p2pmsg.cli import help as words
from p2pmsg.cli.main import COMMANDS, program
from tests.unit.scripted import cli
from tests.unit.terminal import terminal


def leaves(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its path."""
    if not isinstance(command, click.Group):
        yield ctx.command_path.partition(" ")[2], command
        return
    for name in command.list_commands(ctx):
        below = command.get_command(ctx, name)
        assert below is not None
        yield from leaves(below, click.Context(below, info_name=name, parent=ctx))


LEAVES = dict(leaves(program, click.Context(program, info_name="p2pmsg", help_option_names=["-h", "--help"])))


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_one_example_that_its_own_grammar_takes(path: str) -> None:
    example = words.EXAMPLES[path]
    typed = shlex.split(example.removeprefix('eval "$(').removesuffix(')"'))
    typed = typed[3:] if typed[1] == "--profile" else typed[1:]
    assert " ".join(typed).startswith(path) and len(example) < 60
    LEAVES[path].make_context(
        path, typed[len(path.split()) :], parent=click.Context(program, info_name="p2pmsg", help_option_names=["-h", "--help"])
    ).close()


def test_the_program_s_help_has_the_headings_in_this_order(home: Path) -> None:
    lines = cli(home, "--help").stdout.decode().splitlines()
    assert [line for line in lines if line.endswith(":")] == ["Options:", "Talk:", "People:", "This machine:", "More:"]
    assert "send" in lines[lines.index("Talk:") + 1]


def test_no_command_is_left_out_or_named_twice() -> None:
    shown = [name for _, names in words.sections(list(COMMANDS)) for name in names]
    assert sorted(shown) == sorted(COMMANDS)


def test_a_command_that_belongs_nowhere_stands_under_more() -> None:
    assert words.sections(["strange", "send"]) == [("Talk", ["send"]), ("More", ["strange"])]


def test_an_example_stands_at_the_end(home: Path) -> None:
    assert cli(home, "send", "-h").stdout.decode().endswith('\nExample:\n  p2pmsg send bob "Lunch at noon?"\n')


@pytest.mark.parametrize("path", [[], ["send"], ["contact"], ["contact", "add"], ["daemon", "logs"]])
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits_the_terminal(home: Path, path: list[str], columns: int) -> None:
    with terminal(home, *path, "--help", columns=columns, TERM="dumb", NO_COLOR="1", LANG="C", LC_ALL="C") as screen:
        assert screen.end() == 0
    lines = screen.screen.decode().splitlines()
    cut = lines.index("Example:") if "Example:" in lines else len(lines)  # which is to be copied whole
    assert max(map(len, lines[:cut])) <= columns and "\x1b" not in screen.screen.decode()
    if not path:
        assert "..." not in screen.screen.decode().partition("Options:")[2]
