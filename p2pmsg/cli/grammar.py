"""The grammar of the command line: groups that load a command when it is called, and the options that every command has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from p2pmsg.cli import times
from p2pmsg.cli.session import Session, argument
from p2pmsg.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

T = TypeVar("T")

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


SENTENCE = 200
"""Characters of a command's first sentence in a list; longer than any, for the list breaks lines."""


class _Formatter(click.HelpFormatter):
    """Leaves the second column of a list most of a narrow terminal: what is longer in the first stands above it."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(rows, col_max if self.width >= 60 else max(self.width // 4, 8), col_spacing)


class _Context(click.Context):
    """Lets help fit terminals of fewer than the 50 columns that click has as its least."""

    formatter_class = _Formatter

    def make_formatter(self) -> click.HelpFormatter:
        formatter = super().make_formatter()
        if self.terminal_width is None:
            import shutil

            formatter.width = min(formatter.width, max(shutil.get_terminal_size().columns - 1, 20))
        return formatter


class Group(click.Group):
    """Knows its commands by name alone and where they are: `module:attribute`, loaded on the first call."""

    context_class = _Context

    def __init__(self, *args: Any, table: Mapping[str, str], **kwargs: Any) -> None:
        kwargs |= {"no_args_is_help": False, "context_settings": HELP}
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None where there is none of that name."""
        if cmd_name not in self.table:
            return None
        module, attribute = self.table[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands; those of the program itself under headings."""
        if ctx.parent is not None:
            super().format_commands(ctx, formatter)
            return
        from p2pmsg.cli.help import sections

        longest = max(map(len, self.table))
        for heading, names in sections(self.list_commands(ctx)):
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(longest), self._first_sentence(ctx, name)) for name in names])

    def _first_sentence(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(SENTENCE) if command is not None else ""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands by their names alone: loading them takes longer than a person who presses a key waits."""
        from click.shell_completion import CompletionItem

        commands = [CompletionItem(name) for name in self.table if name.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words. Raises: UsageError that names the commands where none is named."""
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            raise UsageError(f"{ctx.command_path} needs a command: {', '.join(self.table)}.", hint=f"{ctx.command_path} --help")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called. Raises: UsageError that names the nearest."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise self._unknown(ctx, args[0])
        return args[0], command, args[1:]

    def _unknown(self, ctx: click.Context, name: str) -> UsageError:
        from difflib import get_close_matches

        path = ctx.command_path
        near = get_close_matches(name.lower(), self.table, n=1, cutoff=0.6)
        message = f"{path} has no command {name!r}."
        if near:
            return UsageError(f"{message} Did you mean {near[0]!r}?", hint=f"{path} {near[0]} --help")
        return UsageError(message, hint=f"{path} --help")


class Command(click.Command):
    """A command whose help ends with an example."""

    context_class = _Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words. Raises: click.UsageError that knows whose help helps."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from p2pmsg.cli.help import example

        if (words := example(ctx.command_path)) is not None:
            with formatter.section("Example"):
                formatter.write(f"{'':>{formatter.current_indent}}{words}\n")


def command(name: str, *, yes: bool = False, cls: type[click.Command] = Command) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command. It gets the Session first; `--json` and `-y` are read into that, `-y` shown in the help if `yes`."""

    def make(function: Callable[..., None]) -> click.Command:
        made = click.command(name, cls=cls, context_settings=HELP)(click.pass_obj(function))
        made.params.append(_flag("--json", "json", "Print JSON, one object a line."))
        if yes or issubclass(cls, Command):
            made.params.append(_flag("-y/--yes", "yes", "Do not ask.", hidden=not yes))
        return made

    return make


def _flag(names: str, field: str, words: str, *, hidden: bool = False) -> click.Option:
    def store(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        session = ctx.find_object(Session)
        if session is not None:
            setattr(session, field, value)

    return click.Option([*names.split("/"), field], is_flag=True, expose_value=False, callback=store, help=words, hidden=hidden)


class _Text(click.ParamType[str]):
    """An argument that other people read or that names something of theirs: exactly its UTF-8 bytes."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return argument(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from p2pmsg.cli.completion import candidates

        return candidates(ctx, param, incomplete)


class _Seconds(click.ParamType[float]):
    """A duration, or the time until a moment."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return value if isinstance(value, float) else _time(times.seconds, value, ctx)


class _Instant(click.ParamType[str]):
    """A moment that has passed, as RFC 3339."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _time(times.instant, value, ctx)


def _time(read: Callable[[str], T], value: str, ctx: click.Context | None) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise UsageError(f"{error}.", hint=f"{ctx.command_path} --help" if ctx is not None else None) from error


class _Number(click.IntRange):
    """A whole number, at least `min`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter as error:
            raise click.BadParameter(f"{value!r} is no whole number from {self.min} on.", ctx=ctx, param=param) from error


def at_least(number: int) -> click.ParamType[int]:
    """Return the type of a whole number from that on."""
    return _Number(min=number)


TEXT = _Text()
SECONDS = _Seconds()
INSTANT = _Instant()
