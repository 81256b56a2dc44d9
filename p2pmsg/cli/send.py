"""`send`: words of the command line, or standard input, become a message."""

from __future__ import annotations

import os
from typing import Any

import click

from p2pmsg.cli import output
from p2pmsg.cli.grammar import SECONDS, TEXT, Command, command
from p2pmsg.cli.session import Session, can_ask, utf8
from p2pmsg.cli.times import now, shown
from p2pmsg.config import limits
from p2pmsg.errors import EmptyText, TextTooLong, TimedOut, UsageError

_UNKNOWN = "What was accepted stays accepted: p2pmsg history NAME shows it."
STATES = ("queued", "sent", "delivered", "read")
_WITH_VALUE = {"--wait", "--timeout", "--key"}
_YES = {"-y", "--yes"}
_HELP = {"-h", "--help"}
_OPTIONS = ("--json", "--help", *sorted(_WITH_VALUE))


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
    words, options, inside = _taken_apart(head, closed=head is not args)
    text = words[1:] + args[len(head) + 1 :]
    if inside:
        raise _lookalike(inside, words[0], text, options)
    for place, word in enumerate(words):
        sole = place == 1 == len(words) - 1 and head is args
        if word.startswith("-") and word != "-" and not (word in _HELP and (place == 0 or sole)):
            raise _lookalike(word, words[0], text, options) if place else _no_option(word)


def _taken_apart(head: list[str], *, closed: bool) -> tuple[list[str], list[str], str]:
    """Return target and words of the text, the options around them, and the first option that stands in the midst of the text.

    `-y`, which asks for nothing here and may be meant as text, is an option only before TARGET, or where `--` follows (`closed`).
    """
    words: list[str] = []
    options: list[str] = []
    behind: list[str] = []
    inside = ""
    rest = iter(head)
    for word in rest:
        needless = word in _YES and (not words or (closed and len(words) == 1))
        if word == "--json" or needless or word.partition("=")[0] in _WITH_VALUE:
            behind += [word, *([value] if word in _WITH_VALUE and (value := next(rest, None)) is not None else [])]
            continue
        if len(words) > 1:
            inside = inside or (behind[0] if behind else "")
            words += behind
        else:
            options += behind
        behind = []
        words.append(word)
    return words, options + behind, inside


def _lookalike(word: str, target: str, text: list[str], options: list[str]) -> UsageError:
    from shlex import join

    hint = f"Put -- before the text, and options before that: p2pmsg send {join([*options, target])} -- {join(text)}"
    return UsageError(f"{word!r} looks like an option{_nearest(word)}.", hint=hint)


def _no_option(word: str) -> UsageError:
    if word.partition("=")[0] == "--profile":
        return UsageError("--profile stands before the command.", hint="p2pmsg --profile NAME send NAME TEXT")
    return UsageError(f"{word!r} is no option of send{_nearest(word)}.", hint="p2pmsg send --help; or p2pmsg send NAME -- TEXT")


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.partition("=")[0], _OPTIONS, n=1) if word.startswith("--") and word not in _OPTIONS else []
    return f" (did you mean {near[0]}?)" if near else ""


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
    before = now()
    sent = _stored(session, target, text, wait, timeout, key)
    session.show(sent, _said)
    if not session.json and (sent["text"] != text or sent["sent_at"] < before):
        output.note(f"Already sent under this key at {shown(sent['sent_at'])}; nothing was sent now.")
    if wait is not None and sent["state"] in STATES[: STATES.index(wait)]:
        hint = "The other side has it and has not read it yet." if sent["state"] == "delivered" else None
        raise TimedOut(f"The message is stored and {sent['state']}, but not {wait} within {timeout:g} s.", hint=hint)


def _stored(session: Session, target: str, text: str, wait: str | None, timeout: float, key: str | None) -> dict[str, Any]:
    """Return the message as it stands when the waiting is over. It is stored before that begins, so Ctrl-C can say which one it is."""
    if wait is None:
        return _call(session, target=target, text=text, timeout_s=timeout, key=key)
    key = key if key is not None else f"wait-{os.urandom(8).hex()}"
    sent: dict[str, Any] | None = None
    try:
        sent = _call(session, target=target, text=text, timeout_s=timeout, key=key)
        return _call(session, target=target, text=text, wait=wait, timeout_s=timeout, key=key)
    except KeyboardInterrupt:
        if sent is not None:
            session.show(sent, _said)
        if not session.json:
            which = f"The message is stored ({sent['id'][:16]}) and will be delivered." if sent is not None else _UNKNOWN
            output.note(which)
        raise


def _call(session: Session, **params: Any) -> dict[str, Any]:
    sent: dict[str, Any] = session.call("send", **params)
    return sent


def _said(sent: dict[str, Any]) -> str:
    return f"{sent['state']}  {sent['id'][:16]}"


def _from_stdin() -> str:
    """Return standard input less one final newline; reads no more of it than a message can hold."""
    if can_ask():
        output.note("Type the text; Ctrl-D ends it.")
    taken = bytearray()
    while len(taken) <= limits.TEXT_BYTES + 1 and (data := os.read(output.STDIN, 65_536)):
        taken += data
    if len(taken.removesuffix(b"\n")) > limits.TEXT_BYTES:
        raise TextTooLong(f"The text on standard input has more than {limits.TEXT_BYTES:,} bytes.")
    return utf8(bytes(taken.removesuffix(b"\n")))
