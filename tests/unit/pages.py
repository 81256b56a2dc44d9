"""What a thief with the key reads in the files of a database: every page, also what no table names any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PAGE, RESERVED, SALT, IV = 4096, 80, 16, 16
WAL_HEADER, FRAME_HEADER = 32, 24


def opened(path: Path, key: bytes) -> bytes:
    """Return the content of all pages of a database and of its journal, as SQLCipher 4 seals them under a raw key."""
    pages = [path.read_bytes()[at : at + PAGE] for at in range(0, path.stat().st_size, PAGE)]
    plain = [_page(page, key, skip=SALT if number == 0 else 0) for number, page in enumerate(pages)]
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists():
        plain += [_page(page, key, skip=SALT if number == 1 else 0) for number, page in _frames(journal.read_bytes())]
    return b"".join(plain)


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(WAL_HEADER, len(data), FRAME_HEADER + PAGE):
        yield int.from_bytes(data[at : at + 4], "big"), data[at + FRAME_HEADER : at + FRAME_HEADER + PAGE]


def _page(page: bytes, key: bytes, *, skip: int) -> bytes:
    end = PAGE - RESERVED
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(page[end : end + IV])).decryptor()
    return decryptor.update(page[skip:end]) + decryptor.finalize()
