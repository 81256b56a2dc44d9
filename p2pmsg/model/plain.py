"""Text of other people as one line that is safe to show: on a terminal, in a log, in a notice.

After it no control character is left: a name cannot move the cursor, set the clipboard or the title, turn the text beside it
around, or pretend to be another message. A message's text on a terminal has more to it: `cli.text.body`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

MARKS: Final = 8
"""Characters without a width of their own that may follow each other: 500 combining marks would paint over the lines above."""

PLAIN: Final = re.compile(r"[ -~]*")
BIDI: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufff9-\ufffb]")
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BLANKS: Final = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")
_STACKED: Final = re.compile(r"[\u1160-\u11ff\ud7b0-\ud7fb]")
"""Vowels and finals of Korean syllables: letters, but drawn upon what stands before them."""


def line(text: str) -> str:
    """Return text as one line: controls as visible escapes, blanks as plain ones, characters that are not seen left out. For sentences."""
    if PLAIN.fullmatch(text):
        return text
    return cap_marks(show_controls(_BLANKS.sub(" ", _INVISIBLE.sub("", BIDI.sub("", text)))))


def name(text: str) -> str:
    """Return a name as one line without two blanks in a row: in columns, and before a message, two stand between one thing and the next."""
    return " ".join(line(text).split())


def summary(text: str, characters: int) -> str:
    """Return the beginning of a text as one line of at most so many characters; what is cut off is shown by a final `…`."""
    one = line(" ".join(text[: 8 * characters].split()))
    return one if len(one) <= characters and len(text) <= 8 * characters else one[: characters - 1].rstrip() + "…"


def show_controls(text: str) -> str:
    """Return text with each control character as a visible escape."""
    return text.translate(_ESCAPES) if _CONTROLS.search(text) else text


def cap_marks(text: str) -> str:
    """Keep at most MARKS combining or invisible characters in a row; what turns direction is none, and begins no new row."""
    kinds = text.translate(_KINDS)
    if not _PILE.search(kinds):
        return text
    run = 0
    kept: list[str] = []
    for character, kind in zip(text, kinds, strict=True):
        run = run + (kind == "m") if kind != "." else 0
        if kind != "m" or run <= MARKS:
            kept.append(character)
    return "".join(kept)


class Each(dict[int, str]):
    """For `str.translate`: what a function says of each character, asked once for those that are met often."""

    def __init__(self, of: Callable[[str], str]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, code: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        self[code] = found = self._of(chr(code))
        return found


def _visible(character: str) -> str:
    code = ord(character)
    return character if not _CONTROLS.match(character) else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _kind(character: str) -> str:
    from unicodedata import category

    if BIDI.match(character):
        return "b"
    return "m" if category(character) in ("Mn", "Me", "Cf") or _STACKED.match(character) else "."


_REMEMBERED: Final = 4096
_ESCAPES, _KINDS = Each(_visible), Each(_kind)
_PILE: Final = re.compile(f"m(?:b*m){{{MARKS}}}")
