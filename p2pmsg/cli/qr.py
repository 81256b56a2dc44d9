"""Invites as QR codes: drawn on a terminal, read from a picture. Loads its libraries only when called."""

from __future__ import annotations

import os
from pathlib import Path

from p2pmsg.errors import FileNotFound, InviteMalformed

BORDER = 2
"""Modules of margin: half of what the standard asks, so that 41 x 21 characters stay on an 80 x 24 terminal; readers cope."""
BLACK_ON_WHITE, PLAIN = "\x1b[97;40m", "\x1b[0m"
BLOCKS = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
"""By (upper, lower) module dark: what is light is painted, for most terminals write light on dark."""


def drawing(words: str) -> str:
    """Return a QR code as half-block characters, two rows of modules a line; in plain white on black where colour may be used."""
    import segno

    rows = [[bool(module) for module in row] for row in segno.make_qr(words.upper(), error="l").matrix_iter(border=BORDER)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    start, end = (BLACK_ON_WHITE, PLAIN) if _may_colour() else ("", "")
    lines = ("".join(map(BLOCKS.__getitem__, zip(*pair, strict=True))) for pair in zip(rows[::2], rows[1::2], strict=True))
    return "\n".join(f"{start}{line}{end}" for line in lines)


def read(path: Path) -> str:
    """Return the invite in a picture's QR code. Raises: FileNotFound, InviteMalformed."""
    import warnings

    from PIL import Image
    from zxingcpp import barcode_formats_from_str, read_barcodes

    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("error")  # a picture that unpacks to gigabytes
            found = read_barcodes(picture.convert("L"), formats=barcode_formats_from_str("QRCode"))
    except FileNotFoundError as error:
        raise FileNotFound(f"There is no file {path}.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        raise InviteMalformed(f"{path} cannot be read as a picture.", hint="Use a photo or screenshot as PNG or JPEG.") from error
    invites = sorted({code.text for code in found if code.text.upper().startswith("P2PMSG:")})
    if len(invites) != 1:
        problem = "more than one invite" if invites else "no invite's QR code"
        raise InviteMalformed(f"There is {problem} in {path}.", hint="Take the picture straight on, the whole code in it and sharp.")
    return invites[0]


def _may_colour() -> bool:
    return os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
