"""`send`: words of the command line, or standard input, become a message."""

from __future__ import annotations

import os
from typing import Any

import click

from p2pmsg.cli import output
from p2pmsg.cli.grammar import SECONDS, TEXT, Command, command
from p2pmsg.cli.session import Session, utf8
from p2pmsg.config import limits
from p2pmsg.errors import EmptyText, TextTooLong, TimedOut, UsageError

STATES = ("queued", "sent", "delivered", "read")
_WITH_VALUE = {"--wait", "--timeout", "--key"}
_HELP = {"-h", "--help"}


class Send(Command):
    """After TARGET, a word that looks like an option is not guessed at: a message must never lose a word or become a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the words before `--`. Raises: UsageError that names `--`."""
        if not ctx.resilient_parsing:  # while a shell completes half of it
            refuse_lookalikes(args)
        return super().parse_args(ctx, args)


def refuse_lookalikes(args: list[str]) -> None:
    """Raise UsageError if a word before `--` looks like an option and is none, asks for help among other words, or if an option stands
    in the midst of the text, which would lose it.
    """
    head = args[: args.index("--")] if "--" in args else args
    words: list[str] = []
    inside = ""
    rest = iter(head)
    for word in rest:
        if word == "--json" or word.partition("=")[0] in _WITH_VALUE:
            inside = word if len(words) > 1 else ""
            if word in _WITH_VALUE:
                next(rest, None)
            continue
        if inside:
            raise _lookalike(inside, words[0])
        words.append(word)
    for place, word in enumerate(words):
        sole = place == 1 == len(words) - 1 and head is args
        if word.startswith("-") and word != "-" and not (word in _HELP and (place == 0 or sole)):
            raise _lookalike(word, words[0] if place else "NAME")


def _lookalike(word: str, target: str) -> UsageError:
    from shlex import quote

    hint = f"Put -- before the text, and options before that: p2pmsg send {quote(target)} -- {quote(word)}"
    return UsageError(f"{word!r} looks like an option.", hint=hint)


@command("send", cls=Send)
@click.argument("target", type=TEXT)
@click.argument("words", metavar="[TEXT…|-]", type=TEXT, nargs=-1)
@click.option("--wait", type=click.Choice(STATES[1:]), help="Return only when it is in this state, or fail with 7.")
@click.option("--timeout", metavar="TIME", type=SECONDS, default=30.0, help="How long to wait (default 30s).")
@click.option("--key", type=TEXT, help="The same KEY within 7 days sends nothing again and returns the first message.")
def send(session: Session, target: str, words: tuple[str, ...], wait: str | None, timeout: float, key: str | None) -> None:
    """Send a message. It waits for ever for who is away.

    `-` as the sole word reads the text from standard input. Scripts put options first, then `--`: p2pmsg send bob --json -- "$MSG"
    """
    text = _from_stdin() if words == ("-",) else " ".join(words)
    if not text:
        raise EmptyText("There is no text to send.")
    if len(text.encode()) > limits.TEXT_BYTES:
        raise TextTooLong(f"The text has more than {limits.TEXT_BYTES:,} bytes.")
    sent = session.call("send", target=target, text=text, wait=wait, timeout_s=timeout, key=key)
    session.show(sent, _said)
    if wait is not None and sent["state"] in STATES[: STATES.index(wait)]:
        raise TimedOut(f"The message is stored and {sent['state']}, but not {wait} within {timeout:g} s.")


def _said(sent: dict[str, Any]) -> str:
    return f"{sent['state']}  {sent['id'][:16]}"


def _from_stdin() -> str:
    """Return standard input less one final newline; reads no more of it than a message can hold."""
    taken = bytearray()
    while len(taken) <= limits.TEXT_BYTES + 1 and (data := os.read(output.STDIN, 65_536)):
        taken += data
    if len(taken.removesuffix(b"\n")) > limits.TEXT_BYTES:
        raise TextTooLong(f"The text on standard input has more than {limits.TEXT_BYTES:,} bytes.")
    return utf8(bytes(taken.removesuffix(b"\n")))
