from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from p2pmsg.cli.grammar import INSTANT, SECONDS, Group, command
from p2pmsg.cli.main import COMMANDS, program
from p2pmsg.cli.session import Session
from p2pmsg.errors import UsageError


def commands(group: click.Command, path: str = "p2pmsg") -> dict[str, click.Command]:
    """Return every command by its words."""
    if not isinstance(group, Group):
        return {path: group}
    context = click.Context(group)
    below = [commands(found, f"{path} {name}") for name in group.table if (found := group.get_command(context, name))]
    return {words: found for each in below for words, found in each.items()}


def test_every_command_takes_json_and_help() -> None:
    for words, found in commands(program).items():
        options = {name for param in found.params for name in param.opts}
        assert "--json" in options, words
        assert found.help and found.context_settings["help_option_names"] == ["-h", "--help"], words


def test_yes_is_taken_by_every_command() -> None:
    without = [words for words, found in commands(program).items() if not any("--yes" in param.opts for param in found.params)]
    assert without == []


def test_one_command_loads_no_other() -> None:
    line = "import sys, p2pmsg.cli.main; print([name for name in sys.modules if name.startswith('p2pmsg.cli.')])"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert not {module.split(":")[0] for module in COMMANDS.values()} & set(eval(done.stdout))


def test_flags_reach_the_session_and_nothing_else() -> None:
    seen: list[bool] = []

    @command("x", yes=True)
    def x(session: Session) -> None:
        seen.extend((session.json, session.yes))

    for args in ([], ["--json"], ["-y"], ["--yes", "--json"]):
        with x.make_context("x", args, obj=Session()) as ctx:
            x.invoke(ctx)
    assert seen == [False, False, True, False, False, True, True, True]


@pytest.mark.parametrize("kind", [SECONDS, INSTANT])
def test_a_bad_time_is_a_usage_error(kind: click.ParamType) -> None:
    with pytest.raises(UsageError, match="no time"):
        kind.convert("soon", None, None)
