"""The program: reads the command line, runs one command, and turns whatever happened into the contract's words and exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from p2pmsg import __version__
from p2pmsg.cli import output, text
from p2pmsg.cli.grammar import Group
from p2pmsg.cli.session import Session
from p2pmsg.errors import P2pmsgError, UsageError
from p2pmsg.rpc import locate

COMMANDS = {
    "init": "p2pmsg.cli.identity:init",
    "whoami": "p2pmsg.cli.identity:whoami",
    "profile": "p2pmsg.cli.identity:profile",
    "daemon": "p2pmsg.cli.control:daemon",
    "status": "p2pmsg.cli.control:status",
    "doctor": "p2pmsg.cli.doctor:doctor",
    "config": "p2pmsg.cli.settings:config",
    "vault": "p2pmsg.cli.vault:vault",
    "wipe": "p2pmsg.cli.wipe:wipe",
    "demo": "p2pmsg.cli.demo:demo",
    "completion": "p2pmsg.cli.completion:completion",
    "contact": "p2pmsg.cli.contact:contact",
    "visible": "p2pmsg.cli.nearby:visible",
    "peers": "p2pmsg.cli.contact:peers",
    "send": "p2pmsg.cli.send:send",
    "inbox": "p2pmsg.cli.conversations:inbox",
    "history": "p2pmsg.cli.conversations:history",
    "read": "p2pmsg.cli.conversations:read",
    "delete": "p2pmsg.cli.conversations:delete",
    "chat": "p2pmsg.cli.chat:chat",
    "watch": "p2pmsg.cli.watch:watch",
}
NEXT = {
    "p2pmsg init --name YOUR-NAME": "make your identity on this machine",
    "p2pmsg daemon start": "start the daemon that sends and receives",
    "p2pmsg contact invite": "let somebody become a contact",
    "p2pmsg contact add INVITE": "use the invite that somebody gave you",
    "p2pmsg send NAME hello": "say something",
    "p2pmsg inbox": "see what is unread",
    "p2pmsg --help": "see all commands",
}


@click.group(cls=Group, table=COMMANDS, invoke_without_command=True)
@click.option("--profile", metavar="NAME", help="Which profile to use (default: P2PMSG_PROFILE, else default).")
@click.version_option(__version__, message="p2pmsg %(version)s")
@click.pass_context
def program(ctx: click.Context, profile: str | None) -> None:
    """Private messages between people on one network, with no server and no Internet."""
    session = ctx.find_object(Session)
    assert session is not None
    session.profile = profile
    folder = session.folder
    if ctx.invoked_subcommand is None:
        _say_what_next(locate.initialized(folder), locate.lock_info(folder) is not None)


def _say_what_next(initialized: bool, running: bool) -> None:
    done = [*(["p2pmsg init --name YOUR-NAME"] if initialized else []), *(["p2pmsg daemon start"] if initialized and running else [])]
    rows = [["", words, why] for words, why in NEXT.items() if words not in done]
    listed, columns = text.table(rows), output.columns()
    if columns is not None and max(map(len, listed.split("\n"))) > columns:
        listed = "\n".join("\n  ".join([words, *text.wrapped(why, columns - 2)]) for _, words, why in rows)
    output.line(f"Next:\n{listed}")


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit status; only what is our own fault is raised."""
    session = Session()
    try:
        with program.make_context("p2pmsg", list(arguments), obj=session) as ctx:
            program.invoke(ctx)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return output.failed(_as_ours(error), as_object=_wants_json(arguments), profile=session.profile)
    except P2pmsgError as error:
        return output.failed(error, as_object=_wants_json(arguments), profile=session.profile)
    finally:
        session.close()
    return 0


def main() -> None:
    """Run the program and leave it. Never returns."""
    if sys.platform == "win32":
        sys.exit("Error: p2pmsg does not run on Windows yet.\nTry: a Linux machine, or WSL")
    output.claim_descriptors()
    if "_P2PMSG_COMPLETE" in os.environ:
        _complete()
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = output.INTERRUPTED
        if os.isatty(output.STDERR):
            output.note("")  # what the terminal shows of the key stands where the next prompt would
    except output.ReaderGone:
        status = output.READER_GONE
    except Exception as error:
        status = output.failed(_crashed(error), as_object=_wants_json(sys.argv[1:]))
    sys.exit(status)


def _complete() -> NoReturn:
    from p2pmsg.cli.completion import answer

    answer(program)
    sys.exit(0)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Say whether errors are to be objects; asked also of command lines that cannot be read."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before


def _as_ours(error: click.ClickException) -> P2pmsgError:
    ctx = getattr(error, "ctx", None)
    hint = f"{ctx.command_path} --help" if ctx is not None else None
    if isinstance(error, click.NoSuchOption):
        if error.option_name == "--profile":
            return UsageError("--profile stands before the command.", hint="p2pmsg --profile NAME COMMAND")
        if error.option_name in ("--json", "-y", "--yes") and ctx is not None:
            return UsageError(f"{error.option_name} stands after the command.", hint=f"{ctx.command_path} COMMAND {error.option_name}")
    message = " ".join(error.format_message().split())
    return UsageError(message if message.endswith((".", "?", "?)")) else f"{message}.", hint=hint)


def _crashed(error: Exception) -> P2pmsgError:
    """Keep the trace for whoever is to mend it, beside the daemon's log where there is a profile."""
    import traceback

    trace = traceback.format_exc()
    try:
        log = locate.profile_folder(os.environ) / "cli.log"
        log.touch(mode=0o600)
        log.write_text(trace)
    except (OSError, P2pmsgError):
        output.note(text.body(trace))
        return P2pmsgError(f"Something went wrong ({type(error).__name__}).", hint="Report what is written above.")
    return P2pmsgError(f"Something went wrong ({type(error).__name__}).", hint=f"Look into {log}")
