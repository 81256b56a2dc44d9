"""The one way by which text of other people reaches a terminal, a log or a notice.

After it no control character is left but the newlines and blanks put there by us: a message cannot move the cursor, set the
clipboard or the title, turn the text beside it around, or pretend to be another message.
"""

from __future__ import annotations

import re

from p2pmsg.model.plain import BIDI, MARKS, PLAIN, cap_marks, line, show_controls

__all__ = ["LEAST_COLUMNS", "MARKS", "body", "cut", "line", "pad", "table", "width", "wrapped"]

LEAST_COLUMNS = 16
"""Of the last column of a table, below which nobody would read it."""

_NEWLINE = re.compile(r"\r\n|\n")
_EMBEDDINGS, _ISOLATES, _POP_EMBEDDING, _POP_ISOLATE = "\u202a\u202b\u202d\u202e", "\u2066\u2067\u2068", "\u202c", "\u2069"


def body(text: str, indent: str = "") -> str:
    """Return a message's text: its own newlines are kept, each followed by `indent`, so that no line stands where a sender's name would.

    A line that turns direction is isolated from what stands around it.
    """
    if PLAIN.fullmatch(text):
        return text
    return f"\n{indent}".join(_body_line(part) for part in _NEWLINE.split(text.replace("\t", "    ")))


def _body_line(part: str) -> str:
    if PLAIN.fullmatch(part):
        return part
    part = cap_marks(show_controls(part))
    return f"\u2068{_balanced(part)}\u2069" if _turns(part) else part


def _balanced(part: str) -> str:
    """Close what is opened and drop what closes nothing, so that the isolate around the line holds."""
    open_ones: list[str] = []
    kept: list[str] = []
    for character in part:
        if character in _EMBEDDINGS or character in _ISOLATES:
            open_ones.append(_POP_ISOLATE if character in _ISOLATES else _POP_EMBEDDING)
        elif character in (_POP_EMBEDDING, _POP_ISOLATE):
            if not open_ones or open_ones[-1] != character:
                continue
            open_ones.pop()
        kept.append(character)
    return "".join(kept + open_ones[::-1])


def _turns(part: str) -> bool:
    from unicodedata import bidirectional

    return BIDI.search(part) is not None or any(bidirectional(character) in ("R", "AL", "AN") for character in part)


def width(text: str) -> int:
    """Return how many columns the text takes on a terminal."""
    if PLAIN.fullmatch(text):
        return len(text)
    from wcwidth import wcswidth

    return max(0, wcswidth(text))


def pad(text: str, columns: int) -> str:
    """Return the text with blanks behind it, up to that many columns."""
    return text + " " * (columns - width(text))


def cut(text: str, columns: int) -> str:
    """Return the text, or as much of its start as fits, with a mark that there is more."""
    if width(text) <= columns:
        return text
    kept, taken = [], 1
    for character in text:
        taken += width(character)
        if taken > columns:
            break
        kept.append(character)
    return "".join(kept) + "…"


def wrapped(words: str, columns: int) -> list[str]:
    """Return words in lines that are no wider than that, broken at blanks; a word that is wider stands whole, to be copied."""
    lines = [""]
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and width(longer) > columns:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def table(rows: list[list[str]], columns: int | None = None) -> str:
    """Return rows as lines, columns two blanks apart and aligned by display width; the last column is not padded.

    On a terminal of that many columns the words of the last one are broken into lines, unless it is too narrow for that.
    """
    widths = [max(width(cell) for cell in column) for column in zip(*rows, strict=True)]
    left = None if columns is None else columns - sum(each + 2 for each in widths[:-1])
    if left is not None and LEAST_COLUMNS <= left < widths[-1]:
        rows = [part for row in rows for part in _broken(row, left)]
    return "\n".join("  ".join(pad(cell, columns) for cell, columns in zip(row, widths, strict=True)).rstrip() for row in rows)


def _broken(row: list[str], columns: int) -> list[list[str]]:
    first, *rest = wrapped(row[-1], columns)
    return [[*row[:-1], first], *([*[""] * (len(row) - 1), part] for part in rest)]
