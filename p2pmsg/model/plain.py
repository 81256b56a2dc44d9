"""Text of other people as one line that is safe to show: on a terminal, in a log, in a notice.

After it no control character is left: a name cannot move the cursor, set the clipboard or the title, turn the text beside it
around, or pretend to be another message. A message's text on a terminal has more to it: `cli.text.body`.
"""

from __future__ import annotations

import re
from typing import Final

MARKS: Final = 8
"""Characters without a width of their own that may follow each other: 500 combining marks would paint over the lines above."""

PLAIN: Final = re.compile(r"[ -~]*")
BIDI: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufff9-\ufffb]")
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)


def line(text: str) -> str:
    """Return text as one line: controls as visible escapes, characters that are not seen left out. For names and sentences."""
    if PLAIN.fullmatch(text):
        return text
    return cap_marks(show_controls(_INVISIBLE.sub("", BIDI.sub("", text))))


def summary(text: str, characters: int) -> str:
    """Return the beginning of a text as one line of at most so many characters; what is cut off is shown by a final `…`."""
    one = line(" ".join(text[: 8 * characters].split()))
    return one if len(one) <= characters and len(text) <= 8 * characters else one[: characters - 1].rstrip() + "…"


def show_controls(text: str) -> str:
    """Return text with each control character as a visible escape."""
    return _CONTROLS.sub(_visible, text)


def cap_marks(text: str) -> str:
    """Keep at most MARKS combining or invisible characters in a row."""
    from unicodedata import category

    run = 0
    kept: list[str] = []
    for character in text:
        run = run + 1 if category(character) in ("Mn", "Me", "Cf") and not BIDI.match(character) else 0
        if run <= MARKS:
            kept.append(character)
    return "".join(kept)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
