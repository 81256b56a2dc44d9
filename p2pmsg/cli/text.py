"""The one way by which text of other people reaches a terminal, a log or a notice.

After it no control character is left but the newlines and blanks put there by us: a message cannot move the cursor, set the
clipboard or the title, turn the text beside it around, or pretend to be another message.
"""

from __future__ import annotations

import re

from p2pmsg.model import plain
from p2pmsg.model.plain import BIDI, MARKS, PLAIN, cap_marks, line, name, show_controls

__all__ = ["LEAST_COLUMNS", "MARKS", "body", "cut", "hanging", "line", "name", "pad", "said", "table", "width", "wrapped"]

LEAST_COLUMNS = 16
"""Of the last column of a table, below which nobody would read it."""

INDENT = 20
"""Of the rows of a message after its first, at most."""

_NEWLINE = re.compile(r"\r\n|\n")
_EMBEDDINGS, _ISOLATES, _POP_EMBEDDING, _POP_ISOLATE = "\u202a\u202b\u202d\u202e", "\u2066\u2067\u2068", "\u202c", "\u2069"


def body(text: str, indent: str = "") -> str:
    """Return a message's text: its own newlines are kept, each followed by `indent`, so that no line stands where a sender's name would.

    A line that turns direction is isolated from what stands around it.
    """
    if PLAIN.fullmatch(text):
        return text
    return f"\n{indent}".join(_isolated(part) for part in _lines(text))


def said(head: str, text: str, columns: int | None) -> str:
    """Return a message: a head that is safe to show, and its text, every row but the first of which is indented.

    On a terminal of that many columns the rows are broken here: where the terminal did it, text could choose what stands at the
    beginning of a row, and so pass for another message.
    """
    if columns is None:
        return head + body(text, " " * min(width(head), INDENT))
    indent = " " * min(width(head), INDENT, columns // 4)
    room = columns - 1
    *above, last = _rows(head, room, room - len(indent))
    taken = _most(last) + (len(indent) if above else 0)
    rows = []
    for part in _lines(text):
        rows += [_isolated(row) for row in _rows(part, room - taken, room - len(indent))]
        taken = len(indent)
    return f"\n{indent}".join([*above, last + rows[0], *rows[1:]])


def hanging(words: str, columns: int | None) -> str:
    """Return a line that is safe to show; on a terminal of that many columns it is broken into rows as a message is."""
    if columns is None or len(words) * 2 < columns:
        return words
    indent = " " * min(INDENT, columns // 4)
    return f"\n{indent}".join(_rows(words, columns - 1, columns - 1 - len(indent)))


def _rows(words: str, first: int, rest: int) -> list[str]:
    """Return words in rows of at most so many columns. A word of ASCII that is wider stands whole, to be copied.

    No row of what the terminal then makes of it has a blank in it, and so none looks like the beginning of a message.
    """
    if _most(words) <= first:
        return [words]
    rows: list[str] = []
    row: list[str] = []
    room, used = first, 0
    for word in words.split(" "):
        wide = _most(word)
        if used + 1 + wide > room if row else wide > room < rest:
            rows.append(" ".join(row))
            row, room, used = [], rest, 0
        if wide > room and not word.isascii():
            *pieces, word = _pieces(word, room)
            rows += pieces
            wide = _most(word)
        used += wide + bool(row)
        row.append(word)
    return [*rows, " ".join(row)]


def _pieces(word: str, room: int) -> list[str]:
    pieces, start, used = [], 0, 0
    for at, wide in enumerate(word.translate(_COLUMNS).encode()):
        if used + wide > room and at > start:
            pieces.append(word[start:at])
            start, used = at, 0
        used += wide
    return [*pieces, word[start:]]


def _most(text: str) -> int:
    """Return how many columns the text takes at most: terminals disagree on symbols, and a text must not gain from that."""
    return len(text) if text.isascii() else sum(text.translate(_COLUMNS).encode())


def _columns(character: str) -> str:
    """Return \\0, \\1 or \\2."""
    from unicodedata import category, east_asian_width

    kind = category(character)
    if kind in ("Mn", "Me"):
        return "\1" if "\ufe00" <= character <= "\ufe0f" else "\0"
    return "\2" if east_asian_width(character) in "WFA" or kind in ("So", "Sk") else "\1"


def _lines(text: str) -> list[str]:
    parts = _NEWLINE.split(text.replace("\t", "    "))
    return [part if PLAIN.fullmatch(part) else cap_marks(show_controls(part)) for part in parts]


def _isolated(part: str) -> str:
    return f"\u2068{_balanced(part)}\u2069" if not part.isascii() and _turns(part) else part


def _balanced(part: str) -> str:
    """Close what is opened and drop what closes nothing, so that the isolate around the line holds."""
    if BIDI.search(part) is None:
        return part
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
    return "<" in part.translate(_DIRECTIONS)


def _direction(character: str) -> str:
    from unicodedata import bidirectional

    return "<" if BIDI.match(character) or bidirectional(character) in ("R", "AL", "AN") else " "


_COLUMNS, _DIRECTIONS = plain.Each(_columns), plain.Each(_direction)


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
        if lines[-1] and _most(longer) > columns:
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
